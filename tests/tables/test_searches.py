"""Tables of searches have the numbers of the summary, and no texts overlap."""

import functools
import re

import numpy as np
import pandas as pd
import pytest
import synthetic_methods
import synthetic_searches as synthetic
from synthetic import read_back

from scalarization.config import load_config
from scalarization.plan import load_plan
from scalarization.tables import method_lines, searches

from .conftest import line, plain

KINDS = ["rebuttal_table_1a", "rebuttal_table_2", "table_search_cost", "table_search_on", "table_methods"]
DEPTHS = {"family": "vit", "depth": [1, 2], "width": [48]}
SEARCHES = {
    "found": synthetic.search(architectures=DEPTHS, session="found"),
    "large": synthetic.search(population=6, epochs_ready=1, session="others"),
    "random": synthetic.search(method="search_random", session="others"),
}
THREE = {"task_sets": {"three": synthetic.TASKS}}
METHODS = {
    "uniform": {},
    "rlw": {},
    "grid": {"points": [[0.2, 0.2, 0.6], [0.6, 0.2, 0.2]]},
    "pbt": {"search": "found"},
}
#: Case -> number of seeds, `only:`, changes of the search `found`.
CASES = {
    "two_seeds": (2, {}, {}),
    "one_seed_absent": (1, {"capacities": ["vit_d2_w48"]}, {}),
    "repeated": (2, {}, {"seeds": 2}),
    "repeated_less": (3, {}, {"seeds": 2}),
}


def value(cell, run, split, task, metric):
    number = {"uniform": 70, "rlw": 71, "grid": 72, "pbt": 74}[cell.method] + {"large": 0.5}.get(cell.variant, 0)
    return None if metric != "accuracy" else number + 1.25 * run.seed + 0.1 * len(task)


@pytest.fixture(scope="module")
def summarized(tmp_path_factory, write_config):
    """(kind, case) -> summary and metadata as a drawing gets them. Tests must not change them."""

    @functools.cache
    def make(kind, case="two_seeds"):
        seeds, only, changes = CASES[case]
        searches = {**SEARCHES, "found": SEARCHES["found"] | changes}
        directory = tmp_path_factory.mktemp(kind)
        people = synthetic_methods.experiment(**THREE, methods=METHODS, architectures=DEPTHS, seeds=seeds)
        sizes = synthetic_methods.experiment(
            **THREE, methods={"pbt": {"search": "large"}}, variants={"large": {}}, seeds=seeds
        )
        deep = {"family": "vit", "depth": [2], "width": [48]}
        small = synthetic_methods.experiment(
            **THREE,
            methods={"pbt": {"search": "found"}},
            architectures=deep,
            variants={"last_weights": {"policy": "last"}, "from_small": {"search_on": "vit_d1_w48"}},
            seeds=seeds,
        )
        experiments = {"people": people, "sizes": sizes, "small": small}
        artifacts = {
            "rebuttal_table_1a": {"experiments": ["people", "sizes"]},
            "rebuttal_table_2": {"experiment": "people", "searches": ["found"]},
            "table_search_cost": {"searches": list(SEARCHES)},
            "table_search_on": {"experiments": ["people", "small"], "searches": ["found"]},
            "table_methods": {"experiments": ["people", "small"]},
        }
        content = synthetic.preset({kind: artifacts[kind]}, searches, **experiments)
        plan = load_plan(load_config(write_config(directory, content, only=only)))
        synthetic.write(plan, value)
        return read_back(plan, kind, directory)

    return make


def with_reported(summary):
    searched = summary["population"].notna() & (summary["architecture"] == "vit_d1_w48")
    summary.loc[searched, "reported"] = 74.5
    summary.loc[searched, "difference"] = summary["mean"] - 74.5
    return summary


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_no_text_overlaps_or_leaves_the_page(draw, check_page, kind, case):
    figure, _ = draw(kind, case, with_reported if kind == "rebuttal_table_1a" else lambda summary: summary)
    check_page(figure)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_text_files_are_well_formed(draw, kind, case):
    _, texts = draw(kind, case)
    for block in texts["md"].split("\n\n"):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines() if row.startswith("|")}
        assert len(widths) <= 1
    assert texts["tex"].isascii()
    # Counts are whole numbers, and missing values are not written as such.
    assert not re.search(r"N=\d+\.|E=\d+\.|nan|<NA>|None", texts["md"])


def test_population_study_has_intervals_as_rows_and_populations_as_columns(draw):
    _, texts = draw("rebuttal_table_1a", change=with_reported)
    shallow = plain(texts["md"]).split("\n\n")[1]
    assert "|  | N=3 | N=6 |" in shallow
    mean = 74 + 0.625 + 0.1 * np.mean([len(t) for t in synthetic.TASKS])
    assert f"| E=2, Q=0.25 | {mean:.2f} ± 0.88 | - |" in shallow
    assert f"| E=1, Q=0.25 | - | {mean + 0.5:.2f} ± 0.88 |" in shallow
    assert "| trainings, N r + 1 | 3.1 | 5.2 |" in shallow
    assert "<sub>+4.00 ± 0.00</sub>" in shallow and "<sub>+4.50 ± 0.00</sub>" in shallow
    assert f"<sub>74.50 (+{mean - 74.5:.2f})</sub>" in shallow
    without = texts["md"].split("\n\n")[2]
    assert line(without, "| Uniform").endswith("| 1 |") and without.count("Uniform") == without.count("RLW") == 1
    assert "reported" not in draw("rebuttal_table_1a")[1]["md"]


def test_grid_and_search_have_their_trainings(draw):
    _, texts = draw("rebuttal_table_2")
    markdown = texts["md"]
    heads = ["", "trainings", "average", "95 % interval", "gender", "activity", "role", "p(gender, activity, role)"]
    assert f"| {' | '.join(heads)} |" in markdown
    assert line(markdown, "| Uniform").startswith("| Uniform | 1 | 71.") and "(0.33, 0.33, 0.33)" in markdown
    assert line(markdown, r"| Grid, p\*").startswith(r"| Grid, p\* | 2 (points) | 73.")
    assert line(markdown, "| PBT").startswith("| PBT, N=3, E=2, Q=0.25 | 3.1 (N r + 1) | 75.")
    assert method_lines.NOTE_NONE_SEPARATED in markdown and "| **" not in markdown
    bold = draw("rebuttal_table_2", change=lambda summary: summary.assign(best=summary["method"] == "pbt"))[1]["md"]
    assert line(bold, "| PBT").count("**") == 8 and method_lines.NOTE_TESTED in bold
    _, texts = draw("rebuttal_table_2", "one_seed_absent")
    assert "*not run*" in texts["md"] and "±" not in texts["md"] and method_lines.NOTE_ONE_SEED in texts["md"]


def test_search_cost_has_expected_and_measured_values(draw, summarized):
    _, texts = draw("table_search_cost")
    row = summarized("table_search_cost")[0].query("search == 'large'").iloc[0]
    measured, tried = f"{row['trainings_measured']:.2f}", int(row["configurations_measured"])
    # Of six members, two exploit others after four of five intervals.
    start = r"| large, vit\_d1\_w48 | 6 | 1 | 0.25 | 0.7 | 5 | 5.20 | "
    assert line(texts["md"], r"| large").startswith(start + f"{measured} | 14 | {tried} | 75 s |")
    assert line(plain(texts["md"]), "| random").startswith(r"| random, vit\_d1\_w48 | 3 | 2 | - | 0.7 | 3 | 3.10 | ")
    assert "| found | 2 | 2 | 70.0 s | 50.0 s | 9.0 s | 10.0 s |" in texts["md"]
    assert texts["md"].count("| others | ") == 1
    heads, numbers = (line(texts["md"], start).strip("| ").split(" | ") for start in ("|  | N", "| large"))
    by_head = dict(zip(heads, numbers[1:], strict=True))
    assert by_head["won by"] == f"{row['won_by']:.3g}" and by_head["validation images"] == "1,000"
    assert "seed" not in line(texts["md"], "| found")
    _, texts = draw("table_search_cost", "repeated")
    assert [line(texts["md"], rf"| found, vit\_d1\_w48, seed {seed} ").count("|") for seed in (0, 1)] == [14, 14]
    _, texts = draw("table_search_cost", "one_seed_absent")
    assert line(texts["md"], "| large").endswith("| not run |  |  |  |  |  |  |")


@pytest.mark.parametrize("kind", ["rebuttal_table_1a", "rebuttal_table_2", "table_search_on"])
def test_notes_say_what_deviations_are_of(draw, kind):
    """The study of populations also lists a search that was run once."""
    all_repeated = searches.PARTLY if kind == "rebuttal_table_1a" else searches.SEARCHES
    expected = {
        **{"two_seeds": searches.RETRAINING, "repeated": all_repeated},
        **{"repeated_less": searches.PARTLY, "one_seed_absent": None},
    }
    for case, note in expected.items():
        _, texts = draw(kind, case)
        given = [n for n in (searches.RETRAINING, searches.SEARCHES, searches.PARTLY) if n in texts["md"]]
        assert given == ([note] if note else []), case


def test_search_on_another_architecture_and_the_direct_search(draw):
    _, texts = draw("table_search_on")
    markdown = plain(texts["md"])
    rows = [row for row in markdown.splitlines() if row.startswith("| ") and "searched" in row]
    assert [row.split(" | ")[0] for row in rows] == [
        "| PBT, N=3, searched on itself",
        r"| PBT, N=3, searched on vit\_d1\_w48",
    ]
    assert "1.00x" in rows[0] and re.search(r"\| 0\.\d\dx \| 22 s \|$", rows[1])
    assert line(markdown, "| Uniform").endswith("| - | 1.00 | - | - |")


def test_lines_of_one_method_have_their_own_numbers(draw):
    def better(summary):
        last = summary["label"] == "PBT, last weights"
        summary.loc[last, "mean"] += 7
        return summary.assign(best=last)

    _, texts = draw("table_methods", change=better)
    deep = texts["md"].split("\n\n")[3]
    labels = re.findall(r"^\| ([A-Z][^|]*?) \|", deep, re.M)
    assert labels == ["Uniform", r"Grid, p\*", "RLW", "PBT", "PBT, last weights", r"PBT, searched on vit\_d1\_w48"]
    assert "**" in line(deep, "| PBT, last") and "**" not in line(deep, "| PBT |")


@pytest.mark.parametrize("kind", KINDS)
def test_captions_name_the_source(root, kind):
    caption = (root / "workflow" / "report" / f"{kind}.rst").read_text()
    assert re.search("appendix|rebuttal", caption)


def test_unknown_search_time_is_a_dash(draw):
    _, texts = draw("table_search_on", change=lambda s: s.assign(search_seconds=pd.NA))
    assert line(plain(texts["md"]), "| PBT, N=3, searched on itself").endswith("| - |")
