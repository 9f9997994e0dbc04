"""Tables of methods: Markdown, LaTeX and figure have the numbers of the summary, and no texts overlap."""

import functools
import re

import numpy as np
import pandas as pd
import pytest
import synthetic_methods as synthetic
from matplotlib.text import Text
from synthetic import read_back

from scalarization.analysis import reported_numbers
from scalarization.config import load_config
from scalarization.plan import load_plan
from scalarization.plotting import style
from scalarization.tables import method_lines, render

from .conftest import line, plain

KINDS = ["table_methods", "table_main", "table_costs", "table_a"]
WITHOUT_OPTIONS = ("uniform", "rlw", "uncertainty", "imtl_l", "famo", "cagrad", "pcgrad", "rotograd")
METHODS = {"single": {}, "grid": {"p1": [0.3, 0.5]}, **{method: {} for method in WITHOUT_OPTIONS}}
CAPACITIES = {"family": "vit", "depth": [1, 2], "width": [48]}
#: Case -> changes of the experiment, `only:`.
CASES = {
    "two_seeds": ({}, {}),
    "one_seed_absent": ({"seeds": 1}, {"capacities": ["vit_d2_w48"]}),
}


def value(cell, run, split, task, metric):
    if metric == "loss":
        return 0.5
    number = list(METHODS).index(cell.method)
    return 80 + number + 0.37 * len(task) + (0.5 + 0.1 * number) * run.seed - 9 * (metric != "accuracy")


@pytest.fixture(scope="module")
def summarized(tmp_path_factory, write_config):
    """(kind, case) -> summary and metadata as a drawing gets them. Tests must not change them."""

    @functools.cache
    def make(kind, case="two_seeds"):
        changes, only = CASES[case]
        directory = tmp_path_factory.mktemp(kind)
        experiment = synthetic.experiment(methods=METHODS, architectures=CAPACITIES, **changes)
        artifact = {"profile": "steps"} if kind == "table_costs" else {"experiment": "people"}
        content = synthetic.preset({kind: artifact}, people=experiment)
        plan = load_plan(load_config(write_config(directory, content, **({"only": only} if only else {}))))
        synthetic.write_runs(plan, value)
        synthetic.write_profile(plan)
        synthetic.write_store(plan, "emoji_people")
        synthetic.record_majority(plan, dict.fromkeys(synthetic.PAIR, 79.0))
        return read_back(plan, kind, directory)

    return make


def with_reported(summary):
    """Pretend that the paper reports uniform and pcgrad: uniform nearly as we have it, pcgrad far from it."""
    summary = summary.copy()
    for method, difference in (("uniform", 0.25), ("pcgrad", 30.0)):
        rows = (summary["method"] == method) & (summary["metric"] == "accuracy")
        summary.loc[rows, "reported_mean"] = (summary["mean"] - difference)[rows]
        summary.loc[rows, "reported_std"] = 0.12
        summary.loc[rows, "difference"] = difference
        summary.loc[rows, "difference_p"] = 1e-9 if difference > 1 else 0.5
        summary.loc[rows, "differs"] = difference > 1
    return summary


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_no_text_overlaps_or_leaves_the_page(draw, check_page, kind, case):
    reported = with_reported if kind in ("table_methods", "table_main") else lambda summary: summary
    figure, _ = draw(kind, case, reported)
    check_page(figure)


@pytest.mark.parametrize("kind", KINDS)
def test_text_files_are_well_formed(draw, kind):
    figure, texts = draw(kind)
    assert set(texts) == {"md", "tex"}
    for block in texts["md"].split("\n\n"):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines() if row.startswith("|")}
        assert len(widths) <= 1
    rows = [row for row in texts["tex"].splitlines() if row.endswith(r"\\")]
    columns = len(re.search(r"\\begin\{tabular\}\{(l?r*)\}", texts["tex"])[1])
    assert rows
    assert all(f"\\multicolumn{{{columns}}}" in row or len(re.findall(r"(?<!\\)&", row)) < columns for row in rows)
    assert not re.search(r"(?<!\\)[_#]", texts["tex"]) and not re.search(r"(?<!\\)%(?! needs)", texts["tex"])
    assert texts["tex"].count("{") - texts["tex"].count(r"\{") == texts["tex"].count("}") - texts["tex"].count(r"\}")
    assert texts["tex"].isascii()
    # The figure and the text files have the same labels.
    words = {text.get_text() for text in figure.findobj(Text)}
    assert all(label in texts["md"] for label in ("PCGrad", "CAGrad") if label in words)


def test_special_characters_are_escaped():
    row = render.Row("a_b", (render.Entry("5 %", "± 1"), render.Entry("T²|x*", bold=True)))
    table = render.Table([render.Block("50 % & more_", "", ("c_1", "#2"), [render.Group("g_h", [row])])], ["n_o"])
    markdown, latex = render.markdown(table), render.latex(table)
    assert r"**50 % & more\_**" in markdown and r"| *g\_h* |" in markdown
    assert r"| a\_b | 5 % ± 1 | **T²\|x\*** |" in markdown
    assert r"\textbf{50 \% \& more\_}" in latex and r"a\_b & 5 \% $\pm$ 1 & \textbf{T$^2$$|$x*} \\" in latex
    assert r"& c\_1 & \#2 \\" in latex and r"n\_o\par" in latex


def test_methods_in_groups_with_both_deviations_and_the_best_in_bold(draw, summarized):
    figure, texts = draw("table_methods")
    summary, _ = summarized("table_methods")
    markdown = texts["md"]
    assert "**emoji\\_people, ViT, 1 layer, width 48**" in markdown
    heads = ["", "average", "95 % interval", "vs uniform", "balanced accuracy, average", "activity", "gender"]
    assert f"| {' | '.join(heads)} |" in markdown
    order = re.findall(r"^\| (\*?[A-Z][^|]*?) \|", markdown.split("\n\n")[1], re.M)
    assert order == [
        *("Majority class", "SD", "*Scalarization*", "Uniform", r"Grid, p\*", "RLW"),
        *("*MTO, loss-based*", "Uncertainty", "IMTL-L", "FAMO"),
        *("*MTO, gradient-based*", "CAGrad", "PCGrad", "RotoGrad"),
    ]
    average = summary.query("method == 'pcgrad' and task == 'average' and metric == 'accuracy'").iloc[0]
    expected = f"{average['mean']:.2f} ± {average['std']:.2f} \\[{average['paper_std']:.2f}\\]"
    assert f"| PCGrad | {expected} | {average['low']:.2f} to {average['high']:.2f} |" in markdown
    gain, low, high = (f"{average[name]:+.2f}" for name in ("gain_over_uniform", "gain_low", "gain_high"))
    assert f"| {gain} ({low} to {high}) |".replace("-", "\N{MINUS SIGN}") in line(markdown, "| PCGrad")
    best = set(summary.loc[summary["best"].fillna(False) & (summary["task"] == "average"), "label"])
    assert best == {"RotoGrad"}
    assert line(markdown, "| RotoGrad").count("**") == 8  # all columns but the interval and the difference to uniform
    assert sum(t.get_text() == "92.29" and t.get_weight() == "bold" for t in figure.findobj(Text)) == 2
    assert r"RotoGrad & \textbf{92.29} $\pm$ " in texts["tex"]
    assert method_lines.NOTE_TESTED in markdown and method_lines.NOTE_POOLED in markdown
    assert method_lines.NOTE_MAJORITY in markdown


@pytest.mark.parametrize("kind", ["table_methods", "table_main"])
def test_bold_are_all_lines_that_tests_leave_as_the_best(draw, kind):
    two = draw(kind, change=lambda s: s.assign(best=s["method"].isin(["rlw", "pcgrad"])))[1]["md"]
    bold = {label for label in ("Uniform", "RLW", "FAMO", "PCGrad", "RotoGrad") if "**" in line(two, f"| {label} ")}
    assert bold == {"RLW", "PCGrad"}
    none = draw(kind, change=lambda s: s.assign(best=False))[1]["md"]
    assert not re.search(r"\| \*\*", none) and method_lines.NOTE_NONE_SEPARATED in none
    one_seed = draw(kind, "one_seed_absent")[1]["md"]
    assert not re.search(r"\| \*\*", one_seed) and method_lines.NOTE_UNTESTED in one_seed
    assert method_lines.GAIN_HEAD not in one_seed


def test_intervals_that_are_wide_because_seeds_move_all_lines_are_explained(draw):
    together, apart = ({"change": lambda s, dof=dof: s.assign(interval_dof=dof)} for dof in (1.0, 7.3))
    assert method_lines.NOTE_SHARED in draw("table_methods", **together)[1]["md"]
    assert method_lines.NOTE_SHARED not in draw("table_methods", **apart)[1]["md"]
    assert method_lines.NOTE_SHARED not in draw("table_main", **together)[1]["md"]  # has no intervals of means


def test_one_seed_and_capacities_that_were_not_run_are_noted(draw):
    figure, texts = draw("table_methods", "one_seed_absent")
    words = [t.get_text() for t in figure.findobj(Text)]
    assert "±" not in texts["md"] and "95 %" not in texts["md"].split("\n\n")[3]
    assert "**emoji\\_people, ViT, 1 layer, width 48**\n\n*not run*" in texts["md"]
    assert r"\textit{not run}" in texts["tex"] and "not run" in words
    assert method_lines.NOTE_ONE_SEED in words


def test_reported_numbers_are_below_with_difference_and_mark(draw):
    _, texts = draw("table_methods", change=with_reported)
    rows = texts["md"].splitlines()
    reported = rows[rows.index(line(texts["md"], "| Uniform")) + 1]
    assert reported.startswith("| <sub>reported</sub> | <sub>") and "± \\[0.12\\] (+0.25)</sub> |  |  |" in reported
    assert "†" not in reported
    assert rows[rows.index(line(texts["md"], "| PCGrad")) + 1].count("†") == 3
    assert r"{\scriptsize reported}" in texts["tex"] and r"$^\dagger$" in texts["tex"]
    assert "†" in texts["md"].splitlines()[-1]
    assert "reported" not in draw("table_methods")[1]["md"].split("\n\n")[1]


def test_main_table_has_a_column_per_capacity(draw):
    _, texts = draw("table_main", change=with_reported)
    assert "|  | vit\\_d1\\_w48 | vit\\_d2\\_w48 |" in texts["md"]
    assert "**emoji\\_people, balanced accuracy**" in texts["md"]
    assert line(texts["md"], "| RotoGrad").count("**") == 4
    gains = texts["md"].splitlines()[texts["md"].splitlines().index(line(texts["md"], "| PCGrad")) + 1]
    assert re.match(r"\| <sub>vs uniform</sub> \| <sub>\+6\.\d\d \(.+ to .+\)</sub> \| <sub>", gains)
    _, texts = draw("table_main", "one_seed_absent")
    assert line(texts["md"], "| RLW").startswith("| RLW | not run | ")


def test_main_table_has_the_numbers_of_the_poster(draw):
    def with_poster(summary):
        poster = {"benchmark": "emoji_people", "method": "pcgrad", "group": "MTO, gradient-based", "label": "PCGrad"}
        poster |= {"task": "average", "metric": "accuracy", "present": True, "reported_mean": 44.96}
        return pd.concat([summary.astype(object), pd.DataFrame([poster | {"reported_std": 0.14}], dtype=object)])

    markdown = draw("table_main", change=with_poster)[1]["md"]
    assert line(markdown, "| PCGrad").endswith("| 44.96 ± \\[0.14\\] |")
    assert "does not state the capacity" in markdown


def test_costs_have_formulas_and_measured_ratios(draw):
    _, texts = draw("table_costs")
    markdown = plain(texts["md"])
    assert "time, T=2 | time, T=8 | time, T=40 | memory, T=2 | memory, T=8 | memory, T=40 |" in markdown
    assert "| PCGrad | 1 | T | T² | T | 1.67x | 5.67x | 27.00x | 1.80x | 4.20x | 17.00x |" in markdown
    assert line(markdown, "| RotoGrad").startswith(r"| RotoGrad | 1 | 1 \[T\] | T | T (features) \[T\] | 1.20x")
    assert line(markdown, "| PBT").endswith("| - | - | - | - | - | - |")
    assert line(markdown, "| MGDA").startswith("| MGDA‡ | ") and "| 2.00x | 2.00x | 2.00x |" in line(markdown, "| MGDA")
    assert "<sub>10 ms</sub>" in markdown and "<sub>100 MiB</sub>" in markdown
    assert "Measured on: an abacus." in markdown
    assert r"T$^2$" in texts["tex"] and r"1.67$\times$" in texts["tex"]


def test_table_a_lists_attributes_by_group(draw):
    _, texts = draw("table_a")
    assert "|  | train (200) | validation (50) | test (50) |" in texts["md"]
    assert "| *skin tone* |" in texts["md"]
    assert "| tone light | 4 (2.0 %) | 2 (4.0 %) | 2 (4.0 %) |" in texts["md"]
    _, texts = draw("table_a", change=lambda s: s.assign(positives=pd.NA, percent=np.nan))
    assert "| tone light |" in texts["md"] and "%" not in texts["md"]


def test_files_are_equal_for_equal_summaries(draw, tmp_path):
    contents = []
    for name in ("first", "second"):
        figure, texts = draw("table_costs")
        style.save(figure, tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
        contents.append(((tmp_path / f"{name}.pdf").read_bytes(), (tmp_path / f"{name}.png").read_bytes(), texts))
    assert contents[0] == contents[1]
    assert b"/CIDFontType2" in contents[0][0] and b"/Type3" not in contents[0][0]


@pytest.mark.parametrize("kind", KINDS)
def test_captions_name_the_source(root, kind):
    caption = (root / "workflow" / "report" / f"{kind}.rst").read_text()
    assert re.search("appendix|main-text|rebuttal", caption)
    if kind in ("table_methods", "table_main"):
        assert "**validation**" in caption and "**test**" in caption


def test_reported_files_are_as_given(root):
    assert {f.stem for f in reported_numbers.DIRECTORY.glob("*.csv")} == {"accuracy", "costs", "population", "poster"}
