"""Summaries of searches, policies and retrained models, against values computed by hand."""

import math

import pandas as pd
import pytest
import synthetic_methods
import synthetic_searches as synthetic

from scalarization import analysis, storage
from scalarization.analysis import reported_numbers
from scalarization.errors import DataError
from scalarization.plan import estimates

CAPACITIES = {"family": "vit", "depth": [1, 2], "width": [48]}


def flat(cell, run, split, task, metric):
    """Validation and test accuracy by method and seed; the tasks differ by 1."""
    number = {"uniform": 70.0, "rlw": 71.0, "pbt": 74.0, "pb2": 73.0, "grid": 72.0}[cell.method]
    if metric != "accuracy":
        return None
    return number + (2 if cell.method == "pbt" else 1) * run.seed + synthetic.TASKS.index(task) - 1


@pytest.fixture
def make(make_plan):
    """(kind, artifact, searches, value, only, **experiments) -> plan, with everything written."""

    def make(kind, artifact, searches=None, value=flat, only=None, story=lambda _: synthetic.STORY, **experiments):
        content = synthetic.preset({kind: artifact}, searches or {"found": synthetic.search()}, **experiments)
        plan = make_plan(content, **({"only": only} if only else {}))
        synthetic.write(plan, value, story)
        return plan

    return make


# --- Figure E ---


def test_policy_goes_back_through_the_members_that_were_copied(make):
    summary = analysis.summarize(make("figure_e", {"searches": ["found"]}), "figure_e")
    assert summary["member"].tolist() == [1] * 6 + [0] * 3
    assert list(zip(summary["first_epoch"], summary["last_epoch"], strict=True)) == [
        *[(0, 2)] * 3,
        *[(2, 4)] * 3,
        *[(4, 5)] * 3,
    ]
    assert summary["task"].tolist() == synthetic.TASKS * 3
    assert summary["weight"].tolist() == [0.2, 0.2, 0.6, 0.2, 0.2, 0.6, 0.25, 0.25, 0.5]
    assert summary["copied"].tolist() == [False] * 6 + [True] * 3
    assert summary["score"].unique().tolist() == [71, 75, 80]
    first = summary.iloc[0]
    assert (first["population"], first["epochs_ready"], first["quantile"], first["intervals"]) == (3, 2, 0.25, 3)


def test_a_task_has_one_number_on_a_benchmark(make):
    turned = {"pair": ["role", "gender"]}
    searches = {"found": synthetic.search(), "other": synthetic.search(task_set=turned)}
    plan = make("figure_e", {"searches": ["other", "found"]}, searches, story=synthetic.for_tasks)
    summary = analysis.summarize(plan, "figure_e")
    assert summary["search"].unique().tolist() == ["other", "found"]
    numbers = summary.groupby("task")["task_number"].unique().map(list).to_dict()
    assert numbers == {"role": [0], "gender": [1], "activity": [2]}


def test_a_search_that_is_not_selected_is_marked_absent(make):
    searches = {"found": synthetic.search(architectures=CAPACITIES)}
    only = {"capacities": ["vit_d2_w48"]}
    deep = synthetic.experiment(architectures=CAPACITIES)
    plan = make("figure_e", {"searches": ["found"]}, searches, only=only, people=deep)
    summary = analysis.summarize(plan, "figure_e")
    assert summary["present"].tolist() == [False] + [True] * 9
    assert pd.isna(summary["weight"].iloc[0]) and summary["depth"].iloc[0] == 1


def test_missing_and_incomplete_histories_are_errors(make):
    plan = make("figure_e", {"searches": ["found"]})
    (search,) = plan.searches.values()
    synthetic.write_history(plan, search)
    file = plan.paths.search_file(search)
    metadata = storage.read_metadata(file)
    storage.write_table(file, storage.read_table(file).slice(0, 8), metadata)
    with pytest.raises(DataError, match="interval 3 of member 2 is there 0 times"):
        analysis.summarize(plan, "figure_e")
    plan.paths.search_file(search).unlink()
    with pytest.raises(DataError, match="no such search"):
        analysis.summarize(plan, "figure_e")


def test_metadata_name_the_benchmarks_of_searches(make):
    metadata = analysis.metadata(make("figure_e", {"searches": ["found"]}), "figure_e")
    assert metadata["benchmarks"] == ["emoji_people"]


# --- What searches take ---


def test_trainings_and_configurations_by_hand(make):
    plan = make("table_search_cost", {"searches": ["found"]})
    (row,) = analysis.summarize(plan, "table_search_cost").to_dict("records")
    # As many steps as fit the bundled people: 5 epochs of ceil(n / 64) and of ceil(0.7 n / 64).
    images = plan.benchmarks["emoji_people"].train_sizes["people"]
    full, part = 5 * math.ceil(images / 64), 5 * math.ceil(0.7 * images / 64)
    assert (row["steps"], row["full_steps"]) == (3 * part, full)
    assert row["trainings"] == pytest.approx(3.1)
    assert row["trainings_measured"] == pytest.approx(1 + 3 * part / full)
    # One of three copies after two of three intervals: 3 + 2; the story has as many.
    assert (row["configurations"], row["configurations_measured"]) == (5, 5)
    assert row["seconds"] == 9 * 2.5
    # (70 - 100 / 2) / 2
    assert (row["overhead_seconds"], row["session_searches"], row["workers"]) == (10.0, 2, 2)


def test_a_history_without_a_session_is_an_error(make):
    plan = make("table_search_cost", {"searches": ["found"]})
    (search,) = plan.searches.values()
    file = plan.paths.search_file(search)
    storage.write_table(file, storage.read_table(file), {"specification": search.describe()})
    with pytest.raises(DataError, match="lack the session"):
        analysis.summarize(plan, "table_search_cost")


# --- Rebuttal table 1a ---

STUDY = {"n3_e1": {"search": "n3_e1"}, "n3_e2": {"search": "n3_e2"}}


@pytest.fixture
def study(make):
    """Summary of one population with intervals of 1 and 2 epochs, E = 2 being one better, and uniform and RLW."""

    def value(cell, run, split, task, metric):
        number = flat(cell, run, split, task, metric)
        return number if number is None or cell.variant != "n3_e2" else number + 1

    def study(only=None):
        searches = {
            "n3_e1": synthetic.search(epochs_ready=1),
            "n3_e2": synthetic.search(),
        }
        without = synthetic_methods.experiment(
            task_sets={"three": synthetic.TASKS}, methods={"uniform": {}, "rlw": {}}, seeds=2
        )
        searched = synthetic_methods.experiment(
            task_sets={"three": synthetic.TASKS}, methods={"pbt": {"search": "n3_e1"}}, variants=STUDY, seeds=2
        )
        artifact = {"experiments": ["without", "searched"]}
        plan = make(
            "rebuttal_table_1a",
            artifact,
            searches,
            value,
            only,
            story=synthetic.constant,
            without=without,
            searched=searched,
        )
        return analysis.summarize(plan, "rebuttal_table_1a")

    return study


def test_populations_by_intervals_with_their_average_and_gain(study):
    summary = study()
    rows = summary.to_dict("records")
    assert summary["label"].tolist() == ["PBT", "PBT", "PBT", "Uniform", "RLW"]
    assert summary[["population", "epochs_ready"]].fillna(0).to_numpy().tolist() == [
        *([3, 1], [3, 2], [3, 0]),
        *([0, 0], [0, 0]),
    ]
    assert [list(r["by_seed"]) for r in rows] == [[74, 76], [75, 77], [74.5, 76.5], [70, 71], [71, 72]]
    assert [r["gain"] for r in rows] == [4.5, 5.5, 5.0, 0.0, 1.0]
    assert rows[0]["gain_std"] == pytest.approx(math.sqrt(0.5)) and rows[4]["gain_std"] == 0
    assert [r["trainings"] for r in rows] == pytest.approx([3.1, 3.1, 3.1, 1, 1])
    assert summary["reported"].isna().all()


def test_reported_population_study_is_listed_with_the_same_setting_only(study, people_are_reported, monkeypatch):
    table = {(3, 1, 0.25): 74.0, (3, None, 0.25): 75.0, (3, 1, 0.5): 10.0, ("uniform", None, None): 70.25}
    monkeypatch.setattr(reported_numbers, "population", lambda: {("emoji_people", 3): table})
    rows = study().to_dict("records")
    reported = [None if pd.isna(r["reported"]) else (r["reported"], r["difference"]) for r in rows]
    assert reported == [(74.0, 1.0), None, (75.0, 0.5), (70.25, 0.25), None]
    monkeypatch.setattr(reported_numbers, "population", lambda: {("emoji_people", 40): table})
    assert study()["reported"].isna().all()


def test_reported_population_study_is_read_as_published():
    (key,) = reported_numbers.population()
    table = reported_numbers.population()[key]
    assert key == ("celeba", 40) and len(table) == 14
    assert table[12, 3, 0.25] == 90.375 and table[40, 5, 0.25] == 90.380 and table[6, None, 0.25] == 90.317
    assert table["uniform", None, None] == 90.303 and table["rlw", None, None] == 90.327
    for size in (6, 12, 24, 40):
        mean = (table[size, 3, 0.25] + table[size, 5, 0.25]) / 2
        assert mean == pytest.approx(table[size, None, 0.25], abs=6e-4)


# --- Rebuttal table 2 ---

POINTS = [[0.2, 0.2, 0.6], [0.6, 0.2, 0.2]]


@pytest.fixture
def against_grid(make):
    def value(cell, run, split, task, metric):
        number = flat(cell, run, split, task, metric)
        if number is not None and cell.method == "grid":
            # The second point is the best one on validation, the first one on test.
            number += {"validation": 5, "test": -5, "train": 0}[split] * (1 if run.weights[0] > 0.5 else -1)
        return number

    def make_kind(kind, tasks=synthetic.TASKS, points=POINTS):
        methods = {"uniform": {}, "grid": {"points": points}, "pbt": {"search": "found"}}
        people = synthetic_methods.experiment(task_sets={"three": tasks}, methods=methods)
        searches = {"found": synthetic.search(task_set={"three": tasks})}
        return make(
            kind,
            {"experiment": "people", "searches": ["found"]},
            searches,
            value,
            story=synthetic.for_tasks,
            people=people,
        )

    return make_kind


def test_grid_is_chosen_on_validation_and_costs_its_points(against_grid):
    summary = analysis.summarize(against_grid("rebuttal_table_2"), "rebuttal_table_2")
    average = summary[summary["task"] == "average"].set_index("method")
    assert average.index.tolist() == ["uniform", "grid", "pbt"]
    assert list(average["weights"]["grid"]) == POINTS[1] and list(average["weights"]["pbt"]) == [0.25, 0.25, 0.5]
    assert average["mean"].to_dict() == {"uniform": 70.5, "grid": 67.5, "pbt": 75.0}
    assert average["trainings"].to_dict() == pytest.approx({"uniform": 1, "grid": 2, "pbt": 3.1})
    assert average["cost"].fillna("").to_dict() == {"uniform": "", "grid": "points", "pbt": "N r + 1"}
    # All three tasks deviate by sqrt(2) over the seeds of PBT.
    assert average["std"]["pbt"] == pytest.approx(math.sqrt(2))
    assert average["paper_std"]["pbt"] == pytest.approx(math.sqrt(6) / 3)
    of_task = summary.query("method == 'pbt' and task == 'activity'").iloc[0]
    assert of_task["mean"] == 75 and of_task["paper_std"] == of_task["std"]


def test_visited_weights_know_where_they_came_from(against_grid):
    summary = analysis.summarize(against_grid("rebuttal_figure_2"), "rebuttal_figure_2")
    grid = summary[summary["part"] == "grid"]
    assert [list(w) for w in grid["weights"]] == POINTS
    assert grid["score"].tolist() == [67.5, 77.5] and grid["test"].tolist() == [77.5, 67.5]
    visits = summary[summary["part"] == "search"].set_index(["interval", "member"])
    assert len(visits) == 9 and visits["explored"].sum() == 2
    assert list(visits["weights_before"][3, 0]) == [0.2, 0.2, 0.6]
    assert list(visits["weights_before"][2, 2]) == [0.5, 0.3, 0.2]
    assert [len(w) for w in visits["weights_before"][1]] == [0, 0, 0]
    assert visits.index[visits["policy"]].tolist() == [(1, 1), (2, 1), (3, 0)]


# --- Searches that are repeated ---


def repeated_story(search):
    """The second repetition ends with other weights, and takes twice as long to find them."""
    if not search.repetition:
        return synthetic.STORY
    last = [((0.6, 0.2, 0.2), 80.5, 1), *synthetic.STORY[2][1:]]
    return [*synthetic.STORY[:2], last]


@pytest.fixture
def repeated(make):
    """(kind, only=None) -> summary of a search that is repeated twice, whose policies three seeds use."""

    def repeated(kind, only=None):
        artifact = {"experiment": "people", "searches": ["found"]}
        artifacts = {
            "rebuttal_table_1a": {"experiment": "people"},
            "table_search_cost": {"searches": ["found"]},
            "figure_e": {"searches": ["found"]},
        }
        methods = {"uniform": {}, "grid": {"points": POINTS}, "pbt": {"search": "found"}}
        people = synthetic_methods.experiment(task_sets={"three": synthetic.TASKS}, methods=methods, seeds=3)
        searches = {"found": synthetic.search(seeds=2, seed=4)}
        artifact = artifacts.get(kind, artifact)
        plan = make(kind, artifact, searches, only=only, story=repeated_story, people=people)
        return analysis.summarize(plan, kind)

    return repeated


def test_rows_tell_how_many_searches_their_deviation_is_over(repeated):
    summary = repeated("rebuttal_table_1a")
    assert summary.set_index("method")["searches"].fillna(0).to_dict() == {"pbt": 2, "uniform": 0}
    assert repeated("rebuttal_table_1a", {"seeds": [0, 2]}).query("method == 'pbt'")["searches"].tolist() == [1]
    table = repeated("rebuttal_table_2")
    (pbt,) = table[(table["task"] == "average") & (table["method"] == "pbt")].to_dict("records")
    assert pbt["searches"] == 2 and list(pbt["weights"]) == [0.25, 0.25, 0.5]
    # With seed 1 alone, its search is the second one: the first need not be there.
    table = repeated("rebuttal_table_2", {"seeds": [1]})
    (pbt,) = table[(table["task"] == "average") & (table["method"] == "pbt")].to_dict("records")
    assert pbt["searches"] == 1 and list(pbt["weights"]) == [0.6, 0.2, 0.2]
    visits = repeated("rebuttal_figure_2", {"seeds": [1]}).query("part == 'search' and interval == 3 and policy")
    assert [list(weights) for weights in visits["weights"]] == [[0.6, 0.2, 0.2]]


def test_every_repetition_is_listed(repeated):
    costs = repeated("table_search_cost")
    assert costs[["search", "search_seed", "repetitions"]].to_numpy().tolist() == [["found", 4, 2], ["found", 5, 2]]
    # 80 and 79 at the end; 80.5 and 79.
    assert costs["won_by"].tolist() == [1.0, 1.5] and costs["validation_images"].tolist() == [1000, 1000]
    policies = repeated("figure_e").query("interval == 3 and task == 'gender'")
    assert policies["search_seed"].tolist() == [4, 5] and policies["weight"].tolist() == [0.25, 0.6]


def test_nothing_is_won_over_members_that_diverged(make):
    def story(search):
        last = [
            (w, s if member == 0 else -math.inf, parent) for member, (w, s, parent) in enumerate(synthetic.STORY[2])
        ]
        return [*synthetic.STORY[:2], last]

    (row,) = analysis.summarize(
        make("table_search_cost", {"searches": ["found"]}, story=story), "table_search_cost"
    ).to_dict("records")
    assert pd.isna(row["won_by"]) and row["diverged"] == 2


def test_searched_learning_rates_have_their_uniform_weights_in_the_comparison_with_the_grid(make):
    methods = {"uniform": {}, "grid": {"points": POINTS}, "pbt": {"search": "found"}, "search_lr": {"search": "rates"}}
    people = synthetic_methods.experiment(task_sets={"three": synthetic.TASKS}, methods=methods)
    searches = {"found": synthetic.search(), "rates": synthetic.search(method="search_lr")}

    def story(search):
        if search.method == "pbt":
            return synthetic.STORY
        return [[((1 / 3,) * 3, 60.0 + m, None if not n else m) for m in range(3)] for n in range(3)]

    artifact = {"experiment": "people", "searches": ["found", "rates"]}
    value = lambda cell, *more: 70.0 if cell.method == "search_lr" else flat(cell, *more)  # noqa: E731
    plan = make("rebuttal_table_2", artifact, searches, value, story=story, people=people)
    average = analysis.summarize(plan, "rebuttal_table_2").query("task == 'average'").set_index("label")
    assert list(average["weights"]["Uniform, searched lr"]) == pytest.approx([1 / 3] * 3)
    assert average["trainings"]["Uniform, searched lr"] == average["trainings"]["PBT"] == pytest.approx(3.1)
    figure = make("rebuttal_figure_2", artifact, searches, value, story=story, people=people)
    assert set(analysis.summarize(figure, "rebuttal_figure_2")["method"]) == {"grid", "pbt"}


# --- Lines of searched methods in the tables of methods, and searches on other models ---


@pytest.fixture
def variants(make):
    """Plan of a kind with PBT at two capacities, retrained whole, with the last weights, and from the other one."""

    def value(cell, run, split, task, metric):
        number = flat(cell, run, split, task, metric)
        extra = {"base": 0, "last_weights": -1, "from_small": 1, "slow": -20}[cell.variant]
        return None if number is None else number + extra

    def make_kind(kind, only=None, **more):
        searches = {"found": synthetic.search(architectures=CAPACITIES)}
        deep = {"family": "vit", "depth": [2], "width": [48]}
        base = synthetic_methods.experiment(
            task_sets={"three": synthetic.TASKS}, methods={"uniform": {}, "rlw": {}}, architectures=deep, **more
        )
        searched = synthetic.experiment(
            architectures=deep,
            variants={
                "base": {},
                "last_weights": {"policy": "last"},
                "from_small": {"search_on": "vit_d1_w48"},
            },
        ) | {"methods": {"pbt": {"search": "found"}}}
        artifact = {"experiments": ["base", "searched"]}
        if kind == "table_search_on":
            artifact["searches"] = ["found"]
        return make(kind, artifact, searches, value, only, base=base, searched=searched)

    return make_kind


def test_variants_of_a_search_are_lines_of_one_table(variants):
    summary = analysis.summarize(variants("table_methods"), "table_methods")
    assert summary["listed_under"].unique().tolist() == ["base"]
    average = summary[(summary["task"] == "average") & (summary["metric"] == "accuracy")]
    # The rows are told apart by the variants of their own cells.
    assert average["variant"].tolist() == ["base", "base", "base", "last_weights", "from_small"]
    assert average["label"].tolist() == [
        *("Uniform", "RLW", "PBT", "PBT, last weights"),
        "PBT, searched on vit_d1_w48",
    ]
    assert average["mean"].tolist() == [70.5, 71.5, 75, 74, 76]
    assert set(average["group"]) == {"Scalarization"}


def test_a_variant_of_the_training_is_a_table_of_its_own(variants):
    more = {"variants": {"base": {}, "slow": {"recipe": {"lr": 1e-4}}}}
    summary = analysis.summarize(variants("table_methods", **more), "table_methods")
    labels = summary.groupby("listed_under", sort=False)["label"].unique().map(list).to_dict()
    assert list(labels) == ["base", "slow"] and labels["slow"] == ["Uniform", "RLW"]


def test_main_table_has_one_line_per_method(variants):
    summary = analysis.summarize(variants("table_main"), "table_main").query("metric == 'accuracy'")
    assert summary["label"].tolist() == ["Uniform", "RLW", "PBT"] and summary["mean"].tolist() == [70.5, 71.5, 75]


def test_reported_numbers_are_listed_with_the_whole_policy_only(variants, people_are_reported, monkeypatch):
    theirs = {("pbt", t): reported_numbers.Accuracy(74.0, 0.1) for t in ("average", *synthetic.TASKS)}
    monkeypatch.setattr(reported_numbers, "accuracies", lambda: {("emoji_people", "vit_d2_w48"): theirs})
    summary = analysis.summarize(variants("table_methods"), "table_methods")
    assert summary[summary["reported_mean"].notna()]["label"].unique().tolist() == ["PBT"]


def test_search_elsewhere_costs_what_its_flops_say(variants):
    plan = variants("table_search_on")
    rows = analysis.summarize(plan, "table_search_on").fillna({"searched_on": ""}).to_dict("records")
    assert [(r["label"], r["searched_on"]) for r in rows] == [
        ("Uniform", ""),
        ("PBT", "vit_d2_w48"),
        ("PBT", "vit_d1_w48"),
    ]
    small, large = (plan.search(f"found/vit_d{depth}_w48") for depth in (1, 2))
    cell = plan.cell("emoji_people/three/vit_d2_w48/pbt/base")
    once = estimates.flops(plan, cell)
    direct, elsewhere = once + 3 * estimates.flops(plan, large.cell), once + 3 * estimates.flops(plan, small.cell)
    assert [r["trainings"] for r in rows] == pytest.approx([1, direct / once, elsewhere / once])
    assert pd.isna(rows[0]["of_direct"])
    assert [r["of_direct"] for r in rows[1:]] == pytest.approx([1, elsewhere / direct])
    assert 1 < rows[2]["trainings"] < rows[1]["trainings"]
    assert [r["gain"] for r in rows] == [0, 4.5, 5.5]
    assert [r["search_seconds"] for r in rows[1:]] == [22.5, 22.5] and pd.isna(rows[0]["search_seconds"])
