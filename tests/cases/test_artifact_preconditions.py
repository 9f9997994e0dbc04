"""Artifacts that cannot be made of what they name are refused when the preset is planned, not after all training."""

import copy

import pytest

from scalarization.config import parse_value
from scalarization.errors import ConfigError
from scalarization.plan import artifacts

#: What an artifact may name in preset `smoke`.
SOURCES = {
    "digits": {"experiment": "digits_pair"},
    "people": {"experiment": "people"},
    "pairs of styles": {"experiment": "styles_pairs"},
    "six styles": {"experiment": "styles_six"},
    "one style alone": {"experiment": "styles_sweep"},
    "three groups": {"experiment": "people_three"},
    "searched elsewhere": {"experiment": "people_search_on"},
    "motorcycle": {"experiment": "motorcycle_pair"},
    "several": {"experiments": ["people", "people_three"]},
    "several and searches": {
        "experiments": ["people_three", "people_search_on"],
        "searches": ["three_pbt", "three_pb2"],
    },
    "several and one of two searches": {
        "experiments": ["people_three", "people_search_on"],
        "searches": ["three_pb2"],
    },
    "three groups and searches": {"experiment": "people_three", "searches": ["three_pbt", "three_pb2"]},
    "three groups and one of two searches": {"experiment": "people_three", "searches": ["three_pbt"]},
    "digits and searches": {"experiment": "digits_pair", "searches": ["three_pbt"]},
    "searches": {"searches": ["three_pbt", "three_pb2"]},
    "conflicts": {"conflicts": ["digits_conflicts"]},
    "conflicts and digits": {"conflicts": ["digits_conflicts"], "experiment": "digits_pair"},
    "profile": {"profile": "people_costs"},
    "profile and people": {"profile": "people_costs", "experiment": "people"},
    "experiment and experiments": {"experiment": "people_three", "experiments": ["people"]},
    "nothing": {},
}
DOMAINS = {"digits", "pairs of styles", "six styles"}
JOINT_AND_SINGLE = {*DOMAINS, "people", "motorcycle"}
JOINT = {*JOINT_AND_SINGLE, "three groups", "searched elsewhere", "several"}
#: Kind -> the sources that it can be made of.
POSSIBLE = {
    **dict.fromkeys(("figure_2", "figure_b", "figure_d", "consistency"), JOINT_AND_SINGLE),
    **{key: {"motorcycle"} for key in ("figure_c", "predictions")},
    "affinity": DOMAINS,
    "figure_a": {*DOMAINS, "one style alone"},
    "table_a": {"people", "three groups", "searched elsewhere"},
    "sweep": {"one style alone", "six styles"},
    **dict.fromkeys(("table_methods", "table_main"), JOINT),
    "rebuttal_table_1a": {"three groups", "several"},
    **{key: {"three groups and searches", "several and searches"} for key in ("rebuttal_table_2", "rebuttal_figure_2")},
    "table_search_on": {"several and searches"},
    **{key: {"searches"} for key in ("figure_e", "table_search_cost")},
    **{key: {"conflicts"} for key in ("figure_3", "rebuttal_figure_1a")},
    **{key: {"profile"} for key in ("figure_1", "table_costs")},
    **{key: {"nothing"} for key in ("claims", "claims_forest", "claims_reported")},
}


@pytest.fixture(scope="module")
def shipped_smoke(root):
    return parse_value((root / "workflow/presets/smoke.yaml").read_text())


@pytest.fixture
def refusal(shipped_smoke, make_plan):
    """(kind, source) -> the message about this artifact in preset `smoke`; empty if it is planned."""

    def refusal(kind, source):
        preset = copy.deepcopy(shipped_smoke)
        preset["artifacts"]["mine"] = {"kind": kind, **source}
        try:
            make_plan(preset)
        except ConfigError as error:
            return str(error)
        return ""

    return refusal


@pytest.mark.parametrize("kind", artifacts.kind_names())
def test_a_kind_is_made_of_what_it_needs_only(kind, refusal, tmp_path):
    """Each of all kinds with each of all sources: planned, or refused with the artifact's name and a way out."""
    assert kind in POSSIBLE, "a new kind: say here what it can be made of"
    for name, source in SOURCES.items():
        message = refusal(kind, source)
        assert (message == "") == (name in POSSIBLE[kind]), f"{name}: {message}"
        for line in message.splitlines():
            assert line.startswith(
                (f"{tmp_path / 'mine.yaml'}: artifacts.mine: ", f"{tmp_path / 'mine.yaml'}: artifacts.mine.")
            )


@pytest.mark.parametrize(
    ("kind", "source", "message"),
    [
        ("figure_c", "digits", "figure_c is about dense tasks, 'digits' has none; take kind figure_b"),
        ("figure_3", "digits", "key 'conflicts' is missing"),
        ("table_costs", "people", "key 'profile' is missing"),
        ("predictions", "digits", "predictions are of dense tasks, 'digits' has none; name an experiment on dense"),
        ("table_a", "digits", "benchmark 'digits' has no groups of attributes"),
        ("sweep", "three groups", "experiment 'people_three' has no method single on the reference domain people"),
        (
            "figure_2",
            "three groups",
            "experiment 'people_three' has no SD baselines; add single to experiments.people_thr",
        ),
        (
            "rebuttal_table_1a",
            "people",
            "its experiments retrain nothing after a search; add one with method pbt or pb2",
        ),
        ("table_search_on", "three groups and searches", "add a variant with search_on"),
        ("figure_b", "several", "kind figure_b is not made of experiments, but of experiment; leave it out"),
        ("figure_b", "digits and searches", "kind figure_b is not made of searches, but of experiment; leave it out"),
        ("rebuttal_table_2", "three groups", "key 'searches' is missing"),
        ("rebuttal_figure_2", "three groups", "key 'searches' is missing"),
        (
            "rebuttal_table_2",
            "three groups and one of two searches",
            "emoji_people/three/vit_d1_w8/pb2/base takes its weights from search 'three_pb2/vit_d1_w8'; add its key to",
        ),
        ("table_main", "experiment and experiments", "give 'experiment' or 'experiments', not both"),
        (
            "figure_1",
            "profile and people",
            "artifacts.mine.experiment: kind figure_1 is not made of experiment, but of prof",
        ),
    ],
)
def test_the_message_names_what_is_missing(kind, source, message, refusal):
    assert message in refusal(kind, SOURCES[source])


def test_a_sweep_has_one_model_of_each_setting(shipped_smoke, make_plan):
    preset = copy.deepcopy(shipped_smoke)
    preset["experiments"]["styles_sweep"]["variants"]["large"] = {"recipe": {"batch_size": 300}}
    with pytest.raises(
        ConfigError, match=r"artifacts\.sweep: .*'base' and 'large' with the same lr = 0\.01 and epochs = 1"
    ):
        make_plan(preset)
