"""All tables: Markdown, LaTeX and figure say what the summary holds, and nothing overlaps."""

import functools
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import synthetic_methods as synthetic
from matplotlib.text import Text
from synthetic import read_back

from scalarization import figures
from scalarization.analysis import _reported
from scalarization.config import load_config
from scalarization.experiments import Plan
from scalarization.figures import _style
from scalarization.tables import _methods, _render

from .conftest import line

KINDS = ["table_methods", "table_main", "table_costs", "table_a"]
METHODS = {"single": {}, "grid": {"p1": [0.3, 0.5]}} | dict.fromkeys(
    ["uniform", "rlw", "uncertainty", "imtl_l", "famo", "cagrad", "pcgrad", "rotograd"], {}
)
CAPACITIES = {"family": "vit", "depth": [1, 2], "width": [48]}
#: Case -> changes of the experiment, selected part.
CASES = {
    "two_seeds": ({}, {}),
    "one_seed_absent": ({"seeds": 1}, {"capacities": ["vit_d2_w48"]}),
}


def value(cell, member, split, task, metric):
    if metric == "loss":
        return 0.5
    number = list(METHODS).index(cell.method)
    return 80 + number + 0.37 * len(task) + (0.5 + 0.1 * number) * member.seed - 9 * (metric != "accuracy")


@pytest.fixture(scope="module")
def summarized(tmp_path_factory, write_config):
    """(kind, case) -> summary and facts as a drawing gets them. Not to be changed."""

    @functools.cache
    def make(kind, case="two_seeds"):
        changes, only = CASES[case]
        directory = tmp_path_factory.mktemp(kind)
        experiment = synthetic.experiment(methods=METHODS, architectures=CAPACITIES, **changes)
        artifact = {"costs": "steps"} if kind in ("table_costs", "figure_1") else {"experiment": "people"}
        content = synthetic.preset({kind: artifact}, people=experiment)
        plan = Plan(load_config(write_config(directory, content, **({"only": only} if only else {}))))
        synthetic.write_runs(plan, value)
        synthetic.write_costs(plan, tasks=(2, 8, 40))
        synthetic.write_store(plan, "emoji_people")
        return read_back(plan, kind, directory)

    return make


def with_reported(summary):
    """Pretend that the paper reports what pcgrad and uniform reach: close for uniform, far off for pcgrad."""
    summary = summary.copy()
    for method, off in (("uniform", 0.25), ("pcgrad", 30.0)):
        rows = (summary["method"] == method) & (summary["metric"] == "accuracy")
        summary.loc[rows, "reported_mean"] = (summary["mean"] - off)[rows]
        summary.loc[rows, "reported_std"] = 0.12
        summary.loc[rows, "difference"] = off
        summary.loc[rows, "inside"] = off < 1
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
    # The same words everywhere.
    words = {text.get_text() for text in figure.findobj(Text)}
    assert all(label in texts["md"] for label in ("PCGrad", "CAGrad") if label in words)


def test_special_characters_are_escaped():
    row = _render.Row("a_b", (_render.Cell("5 %", "± 1"), _render.Cell("T²|x*", bold=True)))
    table = _render.Table([_render.Block("50 % & more_", "", ("c_1", "#2"), [_render.Group("g_h", [row])])], ["n_o"])
    markdown, latex = _render.markdown(table), _render.latex(table)
    assert r"**50 % & more\_**" in markdown and r"| *g\_h* |" in markdown
    assert r"| a\_b | 5 % ± 1 | **T²\|x\*** |" in markdown
    assert r"\textbf{50 \% \& more\_}" in latex and r"a\_b & 5 \% $\pm$ 1 & \textbf{T$^2$$|$x*} \\" in latex
    assert r"& c\_1 & \#2 \\" in latex and r"n\_o\par" in latex


def test_methods_in_groups_with_both_deviations_and_the_best_in_bold(draw, summarized):
    figure, texts = draw("table_methods")
    summary, _ = summarized("table_methods")
    markdown = texts["md"]
    assert "**emoji\\_people, ViT, 1 layer, width 48**" in markdown
    heads = ["", "average", "95 % interval", "balanced accuracy, average", "activity", "gender"]
    assert f"| {' | '.join(heads)} |" in markdown
    order = re.findall(r"^\| (\*?[A-Z][^|]*?) \|", markdown.split("\n\n")[1], re.M)
    assert order == [
        *("SD", "*Scalarization*", "Uniform", r"Grid, p\*", "RLW"),
        *("*MTO, loss-based*", "Uncertainty", "IMTL-L", "FAMO"),
        *("*MTO, gradient-based*", "CAGrad", "PCGrad", "RotoGrad"),
    ]
    average = summary.query("method == 'pcgrad' and task == 'average' and metric == 'accuracy'").iloc[0]
    expected = f"{average['mean']:.2f} ± {average['std']:.2f} \\[{average['paper_std']:.2f}\\]"
    assert f"| PCGrad | {expected} | {average['low']:.2f} to {average['high']:.2f} |" in markdown
    assert line(markdown, "| RotoGrad").count("**") == 8  # all columns but the interval
    assert sum(t.get_text() == "92.29" and t.get_weight() == "bold" for t in figure.findobj(Text)) == 2
    assert r"RotoGrad & \textbf{92.29} $\pm$ " in texts["tex"]


def test_bold_is_the_best_as_printed_with_ties_without_the_baseline():
    rows = pd.DataFrame({"method": ["single", "a", "b", "c", "d"], "mean": [99.0, 90.004, 90.0, 89.994, np.nan]})
    rows["label"] = ["SD", "A", "B", "C", "D"]
    assert _methods.best(rows.assign(metric="accuracy")) == {"A", "B"}
    assert _methods.best(rows.assign(metric="l1")) == {"C"}
    assert _methods.best(rows.assign(metric="accuracy").iloc[:1]) == set()


def test_one_seed_and_absent_capacities_are_told(draw):
    figure, texts = draw("table_methods", "one_seed_absent")
    words = [t.get_text() for t in figure.findobj(Text)]
    assert "±" not in texts["md"] and "95 %" not in texts["md"].split("\n\n")[3]
    assert "**emoji\\_people, ViT, 1 layer, width 48**\n\n*not run*" in texts["md"]
    assert r"\textit{not run}" in texts["tex"] and "not run" in words
    assert _methods.NOTE_ONE_SEED in words


def test_reported_numbers_stand_below_with_difference_and_mark(draw):
    _, texts = draw("table_methods", change=with_reported)
    rows = texts["md"].splitlines()
    below = rows[rows.index(line(texts["md"], "| Uniform")) + 1]
    assert below.startswith("| <sub>reported</sub> | <sub>") and "± \\[0.12\\] (+0.25)</sub> |  |  |" in below
    assert "†" not in below
    assert rows[rows.index(line(texts["md"], "| PCGrad")) + 1].count("†") == 3
    assert r"{\scriptsize reported}" in texts["tex"] and r"$^\dagger$" in texts["tex"]
    assert "†" in texts["md"].splitlines()[-1]
    assert "reported" not in draw("table_methods")[1]["md"].split("\n\n")[1]


def test_main_table_has_a_column_per_capacity(draw):
    _, texts = draw("table_main", change=with_reported)
    assert "|  | vit\\_d1\\_w48 | vit\\_d2\\_w48 |" in texts["md"]
    assert "**emoji\\_people, balanced accuracy**" in texts["md"]
    assert line(texts["md"], "| RotoGrad").count("**") == 4
    _, texts = draw("table_main", "one_seed_absent")
    assert line(texts["md"], "| RLW").startswith("| RLW | not run | ")


def test_main_table_shows_the_poster(draw):
    def with_poster(summary):
        theirs = {"benchmark": "emoji_people", "method": "pcgrad", "group": "MTO, gradient-based", "label": "PCGrad"}
        theirs |= {"task": "average", "metric": "accuracy", "present": True, "reported_mean": 44.96}
        return pd.concat([summary.astype(object), pd.DataFrame([theirs | {"reported_std": 0.14}], dtype=object)])

    summary = draw("table_main", change=with_poster)[1]["md"]
    assert line(summary, "| PCGrad").endswith("| 44.96 ± \\[0.14\\] |")
    assert "does not state the capacity" in summary


def test_costs_put_formulas_beside_ratios(draw):
    _, texts = draw("table_costs")
    markdown = texts["md"]
    assert "time, T=2 | time, T=8 | time, T=40 | memory, T=2 | memory, T=8 | memory, T=40 |" in markdown
    assert "| PCGrad | 1 | T | T² | T | 1.67× | 5.67× | 27.00× | 1.80× | 4.20× | 17.00× |" in markdown
    assert line(markdown, "| RotoGrad").startswith(r"| RotoGrad | 1 | 1 \[T\] | T | T (features) \[T\] | 1.20×")
    assert line(markdown, "| PBT").endswith("| – | – | – | – | – | – |")
    assert line(markdown, "| new").startswith("| new\\_method‡ | – | – | – | – | 2.00×")
    assert "<sub>10 ms</sub>" in markdown and "<sub>100 MiB</sub>" in markdown
    assert "Measured on: an abacus." in markdown
    assert r"T$^2$" in texts["tex"] and r"1.67$\times$" in texts["tex"]


def test_table_a_lists_groups(draw):
    _, texts = draw("table_a")
    assert "|  | train (200) | validation (50) | test (50) |" in texts["md"]
    assert "| *skin tone* |" in texts["md"]
    assert "| tone light | 4 (2.0 %) | 2 (4.0 %) | 2 (4.0 %) |" in texts["md"]
    _, texts = draw("table_a", change=lambda s: s.assign(positives=pd.NA, percent=np.nan))
    assert "| tone light |" in texts["md"] and "%" not in texts["md"]


def test_figure_1_has_a_line_per_method_on_a_logarithmic_axis(summarized):
    summary, facts = summarized("figure_1")
    with warnings.catch_warnings(action="error"):
        figure = figures.draw("figure_1", summary, facts)
        figure.draw_without_rendering()
    (ax,) = figure.get_axes()
    lines = {found.get_label(): found for found in ax.lines}
    assert list(lines["PCGrad"].get_xdata()) == [2, 8, 40]
    assert list(lines["PCGrad"].get_ydata()) == [180, 420, 1700]
    assert ax.get_xscale() == "log" and ax.get_ylim()[0] == 0
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2", "8", "40"]
    legend = ax.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["PCGrad", "RotoGrad", "new_method", "Uniform"]
    assert legend.get_window_extent().x0 > ax.get_window_extent().x1
    assert legend.get_window_extent().x1 < figure.bbox.x1


def test_figure_1_gives_each_of_eight_methods_a_look_of_its_own(summarized):
    summary, facts = summarized("figure_1")
    uniform = summary[summary["method"] == "uniform"]
    others = [uniform.assign(method=f"method_{n}", label=f"method {n}") for n in range(7)]
    (ax,) = figures.draw("figure_1", pd.concat([uniform, *others]), facts).get_axes()
    for looks in ({drawn.get_color() for drawn in ax.lines}, {drawn.get_marker() for drawn in ax.lines}):
        assert len(looks) == len(ax.lines) == 8


def test_files_are_equal_for_equal_summaries(draw, tmp_path):
    contents = []
    for name in ("first", "second"):
        figure, texts = draw("table_costs")
        _style.save(figure, tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
        contents.append(((tmp_path / f"{name}.pdf").read_bytes(), (tmp_path / f"{name}.png").read_bytes(), texts))
    assert contents[0] == contents[1]
    assert b"/CIDFontType2" in contents[0][0] and b"/Type3" not in contents[0][0]


def test_drawing_imports_no_training_code():
    code = """
import importlib, pathlib, sys
import scalarization.tables as tables
for file in sorted(pathlib.Path(tables.__file__).parent.glob("*.py")):
    importlib.import_module(f"scalarization.tables.{file.stem}".removesuffix(".__init__"))
heavy = {"torch", "torchvision", "timm", "ray"} | {f"scalarization.{p}" for p in ("training", "models", "data")}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", [*KINDS, "figure_1"])
def test_captions_say_where_it_is_from(root, kind):
    caption = (root / "workflow" / "report" / f"{kind}.rst").read_text()
    assert re.search("appendix|main-text|rebuttal", caption)
    if kind in ("table_methods", "table_main"):
        assert "**validation**" in caption and "**test**" in caption


def test_reported_files_are_as_given(root):
    assert {f.stem for f in _reported.DIRECTORY.glob("*.csv")} == {"accuracy", "costs", "population", "poster"}
