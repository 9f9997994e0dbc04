"""A preset whose experiments do not fit an artifact's kind is refused when it is planned, whatever is selected."""

import pytest
import synthetic
import synthetic_methods
import synthetic_searches

from scalarization.errors import ConfigError

DIGITS = {"experiment": "pair"}
PEOPLE = {"experiment": "people"}


def refusal(make_plan, content):
    """The message of the error."""
    with pytest.raises(ConfigError) as error:
        make_plan(content)
    return str(error.value)


def on_digits(kind, artifact=None, **changes):
    content = synthetic.preset(kind, **changes)
    content["artifacts"] = {"mine": {"kind": kind, **(artifact or DIGITS)}}
    return content


def on_people(kind, artifact=None, **experiments):
    return synthetic_methods.preset({"mine": {"kind": kind, **(artifact or PEOPLE)}}, **experiments)


def with_searches(kind, artifact=None, **experiments):
    searches = {"found": synthetic_searches.search()}
    return synthetic_searches.preset({"mine": {"kind": kind, **(artifact or PEOPLE)}}, searches, **experiments)


KINDS_OF_WEIGHTS = ("figure_2", "figure_b", "figure_d", "consistency", "affinity")


@pytest.mark.parametrize("kind", KINDS_OF_WEIGHTS)
def test_joint_training_needs_baselines(make_plan, kind):
    message = refusal(make_plan, on_digits(kind, methods={"grid": {"p1": [0.5]}}))
    assert "artifacts.mine: experiment 'pair' has no SD baselines; add single to experiments.pair.methods" in message


@pytest.mark.parametrize("kind", KINDS_OF_WEIGHTS)
def test_baselines_need_joint_training(make_plan, kind):
    message = refusal(make_plan, on_digits(kind, methods={"single": {}, "rlw": {}}))
    assert "artifacts.mine: experiment 'pair' trains nothing jointly with constant weights" in message
    assert "add at least one of grid, proportional, uniform to experiments.pair.methods" in message


@pytest.mark.parametrize("kind", ["figure_c", "predictions"])
def test_only_dense_tasks_have_maps(make_plan, kind):
    assert "'digits' has none; " in refusal(make_plan, on_digits(kind))


def test_tasks_of_one_image_have_no_affinity(make_plan):
    message = refusal(make_plan, on_people("affinity"))
    assert "artifacts.mine: 'emoji_people' has tasks, not domains" in message


def test_attributes_are_no_domains_with_classes(make_plan):
    message = refusal(make_plan, on_people("figure_a"))
    assert "artifacts.mine: benchmark 'emoji_people' has no domains with classes" in message


def test_domains_are_no_groups_of_attributes(make_plan):
    message = refusal(make_plan, on_digits("table_a"))
    assert "artifacts.mine: benchmark 'digits' has no groups of attributes" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task_sets": {"other": ["mnist"]}}, "has no method single on the reference domain optdigits"),
        ({"depth": (1, 3)}, "has several architectures; a sweep is made with one"),
    ],
)
def test_a_sweep_trains_one_model_of_the_reference_domain(make_plan, changes, words):
    alone = {"task_sets": {"alone": ["optdigits"]}, "depth": (1,), "width": (24,), "methods": {"single": {}}}
    message = refusal(make_plan, on_digits("sweep", **{**alone, **changes}))
    assert f"artifacts.mine: experiment 'pair' {words}" in message


@pytest.mark.parametrize("kind", ["table_methods", "table_main"])
def test_tables_of_methods_need_joint_training(make_plan, kind):
    single = synthetic_methods.experiment(methods={"single": {}})
    message = refusal(make_plan, on_people(kind, people=single))
    assert "artifacts.mine: nothing is trained jointly in people; add methods other than single" in message


def test_a_population_study_needs_a_population(make_plan):
    message = refusal(make_plan, on_people("rebuttal_table_1a"))
    assert "artifacts.mine: its experiments retrain nothing after a search; add one with method pbt or pb2" in message


@pytest.mark.parametrize("kind", ["rebuttal_table_2", "rebuttal_figure_2"])
def test_grid_and_search_are_needed_on_the_same_tasks(make_plan, kind):
    message = refusal(make_plan, with_searches(kind, {**PEOPLE, "searches": ["found"]}))
    assert "artifacts.mine: its experiments have no grid on the same tasks and architecture" in message


def test_the_simplex_has_three_corners(make_plan):
    methods = {"grid": {"points": [[0.3, 0.7]]}, "pbt": {"search": "found"}}
    artifact = {**PEOPLE, "searches": ["found"]}
    content = with_searches("rebuttal_figure_2", artifact, people=synthetic_methods.experiment(methods=methods))
    content["searches"]["found"]["task_set"] = {"pair": synthetic_methods.PAIR}
    message = refusal(make_plan, content)
    assert "artifacts.mine: task set 'pair' has 2 tasks; the simplex is drawn for 3" in message


def test_a_search_elsewhere_is_needed(make_plan):
    message = refusal(make_plan, with_searches("table_search_on", {**PEOPLE, "searches": ["found"]}))
    assert "trained" not in message and "add a variant with search_on" in message


@pytest.mark.parametrize(
    ("kind", "source", "key"),
    [
        ("figure_3", "experiment", "'conflicts'"),
        ("rebuttal_figure_1a", "experiment", "'conflicts'"),
        ("figure_1", "experiment", "'profile'"),
        ("table_costs", "experiment", "'profile'"),
        ("figure_e", "experiment", "'searches'"),
        ("table_search_cost", "experiment", "'searches'"),
        ("figure_2", "profile", "'experiment'"),
        ("sweep", "searches", "'experiment'"),
        ("table_a", "profile", "'experiment'"),
        ("figure_a", "experiments", "'experiment'"),
        ("table_main", "profile", "'experiment' or 'experiments'"),
        ("rebuttal_table_1a", "searches", "'experiment' or 'experiments'"),
        ("table_search_on", "searches", "'experiment' or 'experiments'"),
    ],
)
def test_a_missing_source_is_named(make_plan, kind, source, key):
    given = {"experiment": "people", "experiments": ["people", "more"], "searches": ["found"], "profile": "steps"}
    people, more = synthetic_searches.experiment(), synthetic_methods.experiment()
    message = refusal(make_plan, with_searches(kind, {source: given[source]}, people=people, more=more))
    assert f"artifacts.mine: key {key} is missing" in message


@pytest.mark.parametrize("only", [{}, {"seeds": [0]}, {"capacities": ["vit_d1_w24"]}])
def test_what_is_refused_does_not_depend_on_the_selection(make_plan, only):
    content = on_digits("figure_2", methods={"grid": {"p1": [0.5]}})
    with pytest.raises(ConfigError, match="has no SD baselines"):
        make_plan(content, only=only)
