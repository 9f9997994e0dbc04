"""A run that diverged is shown as such: in every kind of artifact, and it is never p*, best, bold, or part of a mean.

Run files are real, with the values that training writes where a run diverged at its last epoch: NaN.
"""

from __future__ import annotations

import math
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

sys.path.append(str(Path(__file__).resolve().parents[1] / "analysis"))  # importlib mode adds no directory to the path

import synthetic
import synthetic_conflicts
import synthetic_dense
import synthetic_methods
import synthetic_searches

from scalarization import analysis, figures, storage, tables
from scalarization.plan import artifacts

GRID = {"single": {}, "grid": {"p1": [0.1, 0.5, 0.9]}}
#: Nothing is trained for the kinds that read these.
#: Kinds that read no runs, or all of them: claims are shown with their diverged runs in tests/tables/test_claims.py.
NO_RUNS = ("store", "profile", "everything", "nothing")
SWEEP = {"base": {}, "fast": {"recipe": {"lr": 0.03}}, "slow": {"recipe": {"lr": 0.0003}}}
DEEP = {"family": "vit", "depth": [2], "width": [48]}
SEARCHES = {
    "found": synthetic_searches.search(architectures={"family": "vit", "depth": [1, 2], "width": [48]}),
    "large": synthetic_searches.search(population=6, epochs_ready=1),
}
THREE = {"three": synthetic_searches.TASKS}


def pair_plan(make_plan, kind):
    options = {"methods": {"single": {}}, "variants": SWEEP, "width": (24,)} if kind == "sweep" else {"methods": GRID}
    plan = make_plan(synthetic.preset(kind, depth=(1,), **options))
    synthetic.write_runs(plan, synthetic.plausible)
    return plan


def dense_plan(make_plan, kind):
    content = synthetic_dense.preset()
    content["artifacts"] = {kind: {"experiment": "pair"}}
    plan = make_plan(content)
    synthetic_dense.write(plan)
    return plan


def by_method(cell, run, split, task, metric):
    """A number that every method, task, metric and seed has for itself; weights matter as validation alone sees."""
    number = {"single": 60, "uniform": 61, "rlw": 62, "grid": 63, "pcgrad": 64, "pbt": 65}[cell.method]
    extra = {"base": 0.0, "last_weights": 0.3, "from_small": 0.6, "large": 0.9}[cell.variant]
    weight = (run.weights[0] if run.weights else 0.0) * (split == "validation")
    return number + extra + 1.7 * run.seed + 0.1 * len(task) + weight - 20 * (metric != "accuracy")


def methods_plan(make_plan, kind):
    methods = {"single": {}, "uniform": {}, "grid": {"p1": [0.3, 0.7]}, "rlw": {}, "pcgrad": {}}
    people = synthetic_methods.experiment(methods=methods)
    plan = make_plan(synthetic_methods.preset({kind: {"experiment": "people"}}, people=people))
    synthetic_methods.write_runs(plan, by_method)
    return plan


def searches_plan(make_plan, kind):
    methods = {
        "uniform": {},
        "grid": {"points": [[0.2, 0.2, 0.6], [0.6, 0.2, 0.2], [0.4, 0.2, 0.4]]},
        "pbt": {"search": "found"},
    }
    shared = {"task_sets": THREE, "architectures": DEEP}
    people = synthetic_methods.experiment(**shared, methods=methods)
    small = synthetic_methods.experiment(
        **shared, methods={"pbt": {"search": "found"}}, variants={"from_small": {"search_on": "vit_d1_w48"}}
    )
    artifact = {
        "rebuttal_table_1a": {"experiments": ["people"]},
        "table_search_on": {"experiments": ["people", "small"], "searches": ["found"]},
        "table_search_cost": {"searches": ["found", "large"]},
        "figure_e": {"searches": ["found", "large"]},
    }.get(kind, {"experiment": "people", "searches": ["found"]})
    plan = make_plan(synthetic_searches.preset({kind: artifact}, SEARCHES, people=people, small=small))
    synthetic_searches.write(plan, by_method)
    return plan


def conflicts_plan(make_plan, kind):
    plan = make_plan(synthetic_conflicts.preset(kind, depth=(1,), rates=(5e-3,)))
    synthetic_conflicts.write_counts(plan, synthetic_conflicts.plausible)
    return plan


#: Kind -> makes a plan with everything written.
PLANS = {
    **dict.fromkeys(("figure_2", "figure_b", "figure_d", "consistency", "affinity", "sweep"), pair_plan),
    **dict.fromkeys(("figure_c", "predictions"), dense_plan),
    **dict.fromkeys(("table_methods", "table_main"), methods_plan),
    **dict.fromkeys(("rebuttal_table_1a", "rebuttal_table_2", "table_search_on", "rebuttal_figure_2"), searches_plan),
    **dict.fromkeys(("figure_e", "table_search_cost"), searches_plan),
    **dict.fromkeys(("figure_3", "rebuttal_figure_1a"), conflicts_plan),
}
#: Kinds that read the histories of searches alone.
OF_HISTORIES = ("figure_e", "table_search_cost")
#: Kinds whose cells are not all drawn: those of predictions are of one capacity, the optimum and one seed.
OF_RUNS = [kind for kind in PLANS if kind not in (*OF_HISTORIES, "figure_3", "rebuttal_figure_1a", "predictions")]
TABLES = [kind for kind in PLANS if artifacts.load_kind(kind).output == "table"]


@pytest.fixture
def prepared(make_plan):
    """Kind -> plan with everything written; nothing has diverged."""
    return lambda kind: PLANS[kind](make_plan, kind)


def drawn(plan, kind, directory):
    """Summary as read back, and everything that is written on the figure, for tables in the text files as well."""
    summary, metadata = synthetic.read_back(plan, kind, directory)
    with warnings.catch_warnings(action="error"):
        if artifacts.load_kind(kind).output == "figure":
            figure, files = figures.draw(kind, summary, metadata), {}
        else:
            figure, files = tables.draw(kind, summary, metadata)
        figure.draw_without_rendering()
    written = [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    return summary, written, files


def says_diverged(written, files):
    """The word is on the figure and in every text file, and nothing is written as `nan`."""
    for text in ("\n".join(written), *files.values()):
        assert re.search("diverged", text, re.I), text
        assert not re.search(r"\b(nan|inf|<NA>|None)\b", text), text
    return True


#: Kind -> methods that it does not show, although its experiments have them.
NOT_SHOWN = {
    "consistency": {"single"},
    "rebuttal_table_1a": {"grid"},
    "table_search_on": {"grid"},
    "rebuttal_figure_2": {"uniform", "pbt"},
}


def cells_of(plan, kind):
    """The cells whose values a kind shows."""
    cells = [c for c in artifacts.cells_of(plan, kind) if c.method not in NOT_SHOWN.get(kind, ())]
    return [c for c in cells if kind != "sweep" or c.task_set == "optdigits"]


def diverge_counts(plan, cell, seed, epoch):
    """What training leaves of a run that diverged in an epoch: nothing is counted from there on, means are NaN."""
    file = plan.paths.run_file(cell)
    rows = storage.read_conflict_file(file).to_pylist()
    for row in rows:
        if row["seed"] == seed and row["epoch"] >= epoch:
            row |= dict.fromkeys(("mean_cosine", "norm_i", "norm_j", "train_loss", "validation"), math.nan)
            row |= dict.fromkeys(("conflicts", "steps", "zero"))
    storage.write_conflict_file(file, rows, {})


def with_diverged(story, members, interval):
    """A history in which some members diverge in an interval and have no score from there on."""
    return [
        [(w, -math.inf if n >= interval and m in members else s, p) for m, (w, s, p) in enumerate(of_interval)]
        for n, of_interval in enumerate(story, 1)
    ]


def test_every_kind_that_shows_runs_is_here():
    assert {k for k in artifacts.kind_names() if artifacts.load_kind(k).reads not in NO_RUNS} == set(PLANS)


@pytest.mark.parametrize("kind", OF_RUNS)
def test_one_diverged_run_of_any_cell_is_shown(prepared, tmp_path, kind):
    plan = prepared(kind)
    for cell in cells_of(plan, kind):
        before = plan.paths.run_file(cell).read_bytes()
        synthetic.diverge(plan, cell, cell.runs[-1])
        summary, written, files = drawn(plan, kind, tmp_path)
        assert says_diverged(written, files), cell.name
        # Where only the best of a grid is shown, that is another setting now; the figure says so nevertheless.
        counts = [summary[name].fillna(0).astype(int) for name in ("diverged", "settings_diverged") if name in summary]
        assert any((count > 0).any() for count in counts), cell.name
        plan.paths.run_file(cell).write_bytes(before)


def chosen(summary):
    """Rows of what a kind marks as p* or as the best."""
    names = [name for name in ("optimum", "chosen") if name in summary]
    return summary[summary[names].fillna(False).astype(bool).any(axis=1)] if names else summary.iloc[:0]


@pytest.mark.parametrize("kind", OF_RUNS)
def test_a_mean_never_leaves_a_diverged_run_out(prepared, kind):
    plan = prepared(kind)
    for cell in cells_of(plan, kind):
        synthetic.diverge(plan, cell, cell.runs[-1])
    summary = analysis.summarize(plan, kind)
    if "mean" in summary:
        diverged = summary["diverged"].fillna(0) > 0
        assert summary.loc[diverged, ["mean", "std", "low", "high"]].isna().all(axis=None)
        assert summary.loc[~diverged & (summary["seeds"] > 0), "mean"].notna().all()
        assert (summary["diverged"] <= summary["seeds"]).all()
    if kind != "figure_d":  # its rows are differences to baselines, which diverged
        assert not (chosen(summary)["diverged"].fillna(0).astype(int) > 0).any()
    if "within_ci" in summary:
        assert summary.loc[summary["difference"].isna(), "within_ci"].isna().all()


@pytest.mark.parametrize("kind", OF_RUNS)
def test_if_every_run_diverged_nothing_is_best(prepared, tmp_path, kind):
    plan = prepared(kind)
    for cell in cells_of(plan, kind):
        for run in cell.runs:
            synthetic.diverge(plan, cell, run)
    summary, written, files = drawn(plan, kind, tmp_path)
    assert says_diverged(written, files)
    assert chosen(summary).empty
    trained = summary[summary["part"] != "search"] if "part" in summary else summary
    for name in ("mean", "gain", "score", "gap"):
        assert name not in trained or trained[name].isna().all()
    # Titles of blocks are bold in Markdown, too, but they are no entries.
    assert not re.search(r"\| \*\*", files.get("md", ""))


def test_the_best_setting_that_diverged_at_one_seed_is_not_the_optimum(prepared):
    plan = prepared("figure_b")
    healthy = analysis.summarize(plan, "figure_b")
    best = healthy[healthy["optimum"] & (healthy["width"] == 24)].iloc[0]
    grid = plan.cells["digits/mnist+optdigits/vit_d1_w24/grid/base"]
    (run,) = [r for r in grid.runs if (r.weight_setting, r.seed) == (best["weight_setting"], 1)]
    synthetic.diverge(plan, grid, run)
    summary = analysis.summarize(plan, "figure_b")
    other = summary[summary["optimum"] & (summary["width"] == 24)].iloc[0]
    assert other["weight_setting"] != best["weight_setting"] and other["diverged"] == 0
    # It is the best of the rest.
    rest = healthy.query("width == 24 and method == 'grid' and weight_setting != @best.weight_setting")
    assert other["weight_setting"] == rest.loc[rest["validation"].idxmax(), "weight_setting"]


def numbers(files):
    """Markdown: label of a line -> its entries, without what makes them bold."""
    lines = [line.strip("| ").split(" | ") for line in files["md"].splitlines() if line.startswith("| ")]
    return {line[0]: [entry.replace("*", "") for entry in line[1:]] for line in lines if len(line) > 1}


def own_numbers(files):
    """As :func:`numbers`, without intervals and differences to uniform, which are made from several lines."""
    heads, lines = [], {}
    for line in files["md"].splitlines():
        label, *entries = [entry.strip().replace("*", "") for entry in line.strip("|").split("|")]
        if line.startswith("|  |"):
            heads = entries
        elif line.startswith("| ") and label[0].isupper():
            named = zip(heads, entries, strict=True)
            lines[label] = [entry for head, entry in named if head not in ("95 % interval", "vs uniform")]
    return lines


@pytest.mark.parametrize("kind", ["table_methods", "table_main", "rebuttal_table_2"])
def test_other_lines_keep_their_numbers(prepared, tmp_path, kind):
    plan = prepared(kind)
    *_, files = drawn(plan, kind, tmp_path)
    healthy = own_numbers(files)
    for cell in cells_of(plan, kind):
        if cell.method in ("grid", "single"):
            continue  # another setting may be the best; of several SD models each has a column
        file = plan.paths.run_file(cell)
        before = file.read_bytes()
        for run in cell.runs:
            synthetic.diverge(plan, cell, run)
            *_, files = drawn(plan, kind, tmp_path)
            changed = {label for label, entries in own_numbers(files).items() if entries != healthy[label]}
            own = {label for label in healthy if label.lower().startswith(cell.method)}
            assert changed and changed <= own, (cell.name, changed)
            for label in changed:
                values = [entry for entry in own_numbers(files)[label] if re.match(r"\d+\.\d\d\b", entry)]
                assert not values, (label, values)
            file.write_bytes(before)


@pytest.mark.parametrize("kind", ["figure_b", "figure_d", "consistency", "sweep"])
def test_rows_of_other_settings_keep_their_values(prepared, kind):
    plan = prepared(kind)
    keys = [k for k in ("part", "task_set", "architecture", "variant", "method", "weight_setting", "task", "split")]
    keys += ["source", "procedure"]
    healthy = analysis.summarize(plan, kind)
    keys = [key for key in keys if key in healthy]
    for cell in cells_of(plan, kind):
        file = plan.paths.run_file(cell)
        before = file.read_bytes()
        for run in cell.runs:
            synthetic.diverge(plan, cell, run)
            summary = analysis.summarize(plan, kind)
            both = healthy.merge(summary, on=keys, suffixes=("", "_now"))
            if kind == "consistency":  # regrets are of p*, which may be another one now
                both = both[both["part"] == "optimum"]
            kept = both[both["diverged_now"] == 0]
            assert 0 < len(kept) < len(both)
            np.testing.assert_array_equal(kept["mean"], kept["mean_now"])
            file.write_bytes(before)


def test_a_diverged_baseline_leaves_no_gain(prepared, tmp_path):
    plan = prepared("figure_2")
    single = plan.cells["digits/mnist/vit_d1_w24/single/base"]
    synthetic.diverge(plan, single, single.runs[0])
    summary, written, _ = drawn(plan, "figure_2", tmp_path)
    rows = summary.set_index(["width", "task"])
    assert pd.isna(rows.loc[(24, "mnist"), "mean"]) and rows.loc[(24, "mnist"), "diverged"] == 1
    assert rows.loc[(24, "mnist"), "weight"] > 0  # p* is that of joint training, which has not diverged
    assert rows["mean"].notna().sum() == 3 and written.count("diverged\n(1 of 2)") == 1


def test_gains_over_a_diverged_baseline_are_diverged_not_missing(prepared, tmp_path):
    plan = prepared("table_search_on")
    uniform = plan.cells["emoji_people/three/vit_d2_w48/uniform/base"]
    synthetic.diverge(plan, uniform, uniform.runs[0])
    summary, _, files = drawn(plan, "table_search_on", tmp_path)
    searched = summary[summary["method"] == "pbt"]
    assert searched["mean"].notna().all() and searched["gain"].isna().all() and (searched["gain_diverged"] == 1).all()
    assert all(entries[2] == "diverged (1 of 2)" for label, entries in numbers(files).items() if "PBT" in label)


@pytest.mark.parametrize("kind", ["figure_3", "rebuttal_figure_1a"])
def test_counted_runs_that_diverged_are_marked_and_end(prepared, tmp_path, kind):
    plan = prepared(kind)
    healthy = analysis.summarize(plan, kind)
    cell = next(iter(plan.counted.values()))
    diverge_counts(plan, cell, seed=1, epoch=3)
    summary, written, files = drawn(plan, kind, tmp_path)
    assert says_diverged(written, files)
    of_run = (summary["architecture"] == cell.architecture.name) & (summary["seed"] == 1)
    late = of_run & (summary["epoch"] >= 3)
    assert summary[late]["diverged"].all() and not summary[~late]["diverged"].any()
    assert summary.loc[late, ["percent", "validation", "train_loss", "norm"]].isna().all(axis=None)
    keys = ["architecture", "variant", "seed", "epoch"]
    both = healthy.merge(summary[~late], on=keys, suffixes=("", "_now"))
    assert both["percent"].tolist() == both["percent_now"].tolist()
    if kind == "figure_3":
        assert "1 of 4 runs diverged" in "\n".join(written)
        assert summary["r"].notna().all() and (summary["runs"] == 4).all()


@pytest.mark.parametrize("kind", ["figure_3", "rebuttal_figure_1a"])
def test_counted_runs_that_all_diverged_at_once(prepared, tmp_path, kind):
    plan = prepared(kind)
    for cell in plan.counted.values():
        for seed in (0, 1):
            diverge_counts(plan, cell, seed, epoch=1)
    summary, written, files = drawn(plan, kind, tmp_path)
    assert says_diverged(written, files) and summary["validation"].isna().all()
    assert kind != "figure_3" or summary["r"].isna().all()


@pytest.mark.parametrize("kind", [*OF_HISTORIES, "rebuttal_figure_2"])
def test_members_that_diverged(prepared, tmp_path, kind):
    plan = prepared(kind)
    for search in plan.searches.values():
        story = synthetic_searches.plausible(search)
        last = len(search.interval_ends)  # afterwards nobody can have copied it
        synthetic_searches.write_history(plan, search, with_diverged(story, {1}, last))
    summary, written, files = drawn(plan, kind, tmp_path)
    if kind == "figure_e":  # it shows policies alone, and no member that diverged is in one
        last = summary[summary["interval"] == summary["intervals"]]
        assert not summary["diverged"].any() and (last["member"] != 1).all()
        return
    assert says_diverged(written, files)
    if kind == "rebuttal_figure_2":
        failed = summary[summary["diverged"]]
        assert set(failed["member"]) == {1} and not failed["policy"].any() and failed["score"].isna().all()
    else:
        assert (summary["diverged"] == 1).all() and "1 of 3 members" in files["md"]


@pytest.mark.parametrize("kind", [*OF_HISTORIES, "rebuttal_figure_2", "rebuttal_table_2"])
def test_searches_all_of_whose_members_diverged_have_no_policy(prepared, tmp_path, kind):
    plan = prepared(kind)
    for search in plan.searches.values():
        story = synthetic_searches.plausible(search)
        synthetic_searches.write_history(plan, search, with_diverged(story, set(range(search.population)), 2))
    summary, written, files = drawn(plan, kind, tmp_path)
    assert says_diverged(written, files)
    if kind == "figure_e":
        assert summary["diverged"].all() and summary[["weight", "score"]].isna().all(axis=None)
        assert written.count("all members diverged") == len(plan.searches)


@pytest.mark.parametrize("content", ["single", "joint"])
def test_predictions_of_runs_that_diverged(prepared, tmp_path, content):
    plan = prepared("predictions")
    method = {"single": "single", "joint": "grid"}[content]
    for cell in plan.cells.values():
        if cell.method == method:
            for run in cell.runs:
                synthetic.diverge(plan, cell, run)
    summary, written, files = drawn(plan, "predictions", tmp_path)
    assert says_diverged(written, files)
    diverged = summary[summary["diverged"].fillna(False).astype(bool)]
    assert set(diverged["content"]) == {content} and diverged["l1"].isna().all()
    assert written.count("diverged") == 2 and sum(text.startswith("L1 ") for text in written) == 2


def test_a_run_whose_last_epoch_is_fine_has_not_diverged(prepared):
    """With ``on_divergence: continue`` an earlier epoch may be NaN."""
    plan = prepared("figure_b")
    healthy = analysis.summarize(plan, "figure_b")
    for cell in plan.cells.values():
        rows = storage.read_run_file(plan.paths.run_file(cell)).to_pylist()
        for row in rows:
            if row["epoch"] < cell.specification.epochs:
                row["value"] = math.nan
        storage.write_run_file(plan.paths.run_file(cell), rows, cell.describe())
    pd.testing.assert_frame_equal(analysis.summarize(plan, "figure_b"), healthy)


def test_a_run_with_one_value_that_is_nan_diverged_as_a_whole(prepared):
    plan = prepared("figure_b")
    cell = plan.cells["digits/mnist+optdigits/vit_d1_w24/grid/base"]
    rows = storage.read_run_file(plan.paths.run_file(cell)).to_pylist()
    place = {"weight_setting": 1, "seed": 0, "epoch": 4, "split": "train", "task": "mnist", "metric": "loss"}
    for row in rows:
        if all(row[key] == value for key, value in place.items()):
            row["value"] = math.nan
    storage.write_run_file(plan.paths.run_file(cell), rows, cell.describe())
    summary = analysis.summarize(plan, "figure_b")
    assert (summary["diverged"] > 0).sum() == 2
    assert not chosen(summary).query("width == 24")["weight_setting"].eq(1).any()
