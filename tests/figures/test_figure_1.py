"""Figure 1: lines of memory over the number of tasks, with a look for any number of methods."""

import re
import warnings

import pandas as pd
import pytest
import synthetic_methods as synthetic
from synthetic import read_back

from scalarization import figures
from scalarization.config import load_config
from scalarization.plan import load_plan


@pytest.fixture(scope="module")
def summarized(tmp_path_factory, write_config):
    """Summary and metadata as the drawing gets them. Tests must not change them."""
    directory = tmp_path_factory.mktemp("figure_1")
    plan = load_plan(load_config(write_config(directory, synthetic.preset({"figure_1": {"profile": "steps"}}))))
    synthetic.write_profile(plan)
    return read_back(plan, "figure_1", directory)


def with_methods(summary, count):
    """Uniform scalarization and further methods, which nothing else knows."""
    uniform = summary[summary["method"] == "uniform"]
    others = [
        uniform.assign(method=f"method_{n}", label=f"method {n}", group="Other methods", peak_mib=200.0 + n)
        for n in range(count - 1)
    ]
    return pd.concat([uniform, *others])


def draw(summary, metadata):
    with warnings.catch_warnings(action="error"):
        return figures.draw("figure_1", summary, metadata)


def test_there_is_a_line_per_method_on_a_logarithmic_axis(summarized):
    figure = draw(*summarized)
    figure.draw_without_rendering()
    (ax,) = figure.get_axes()
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines["PCGrad"].get_xdata()) == [2, 8, 40]
    assert list(lines["PCGrad"].get_ydata()) == [180, 420, 1700]
    assert ax.get_xscale() == "log" and ax.get_ylim()[0] == 0
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2", "8", "40"]
    legend = ax.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["PCGrad", "RotoGrad", "MGDA", "Uniform"]
    assert legend.get_window_extent().x0 > ax.get_window_extent().x1
    assert legend.get_window_extent().x1 < figure.bbox.x1


def test_each_of_eight_methods_has_its_own_colour_and_marker(summarized):
    summary, metadata = summarized
    (ax,) = draw(with_methods(summary, 8), metadata).get_axes()
    for looks in ({line.get_color() for line in ax.lines}, {line.get_marker() for line in ax.lines}):
        assert len(looks) == len(ax.lines) == 8


@pytest.mark.parametrize("count", [9, 25])
def test_any_number_of_methods_can_be_told_apart(summarized, check_page, count):
    summary, metadata = summarized
    figure = draw(with_methods(summary, count), metadata)
    (ax,) = figure.get_axes()
    assert len({(line.get_color(), line.get_marker()) for line in ax.lines}) == len(ax.lines) == count
    if count == 9:
        check_page(figure)


def test_the_caption_names_the_source(root):
    caption = (root / "workflow" / "report" / "figure_1.rst").read_text()
    assert re.search("main-text figure 1", caption)
