"""Drawings of policies and of the weights that searches visited."""

import functools
import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import synthetic_methods
import synthetic_searches as synthetic
from matplotlib.colors import to_hex
from matplotlib.text import Text
from synthetic import read_back

from scalarization import figures
from scalarization.config import load_config
from scalarization.experiments import Plan
from scalarization.figures import figure_e, rebuttal_figure_2

DEPTHS = {"family": "vit", "depth": [1, 2], "width": [48]}
SEARCHES = {
    "found": synthetic.search(architectures=DEPTHS),
    "narrow": synthetic.search(architectures={"family": "vit", "depth": [2], "width": [24]}),
    "bandit": synthetic.search(method="pb2", architectures={"family": "vit", "depth": [2], "width": [48]}),
}
PEOPLE = synthetic_methods.experiment(
    task_sets={"three": synthetic.TASKS},
    methods={"uniform": {}, "grid": {"simplex_step": 0.2}, "pbt": {"search": "found"}},
    architectures=DEPTHS,
)
ALL_TASKS = {"all": "attributes"}
#: Case -> searches, experiment, selected part.
CASES = {
    "several": (SEARCHES, PEOPLE, {}),
    "part": (SEARCHES, PEOPLE, {"capacities": ["vit_d2_w48"]}),
    "sizes": (
        {
            "small": synthetic.search(),
            "large": synthetic.search(population=6),
            "again": synthetic.search(population=6, seed=1),
            "pair": synthetic.search(task_set={"pair": ["role", "gender"]}),
            "all": synthetic.search(task_set=ALL_TASKS),
        },
        synthetic.experiment() | {"methods": {"uniform": {}}},
        {},
    ),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, write_config):
    """(kind, case) -> figure and summary as read back from Parquet. Drawn once, not to be changed."""

    @functools.cache
    def make(kind, case="several"):
        searches, people, only = CASES[case]
        directory = tmp_path_factory.mktemp(kind)
        artifact = {"searches": list(searches)} if kind == "figure_e" else {"experiment": "people"}
        content = synthetic.preset({kind: artifact}, searches, people=people)
        plan = Plan(load_config(write_config(directory, content, only=only)))

        def value(cell, member, split, task, metric):
            weights = member.weights or (1 / 3,) * 3
            return 80 + member.seed + 5 * weights[0] - 3 * weights[1] if metric == "accuracy" else None

        synthetic.write(plan, value)
        summary, facts = read_back(plan, kind, directory)
        with warnings.catch_warnings(action="error"):
            return figures.draw(kind, summary, facts), summary

    return make


@pytest.mark.parametrize(
    ("kind", "case"),
    [("figure_e", "several"), ("figure_e", "part"), ("figure_e", "sizes")]
    + [("rebuttal_figure_2", "several"), ("rebuttal_figure_2", "part")],
)
def test_no_text_overlaps_or_leaves_the_page(drawn, check_page, kind, case):
    figure, _ = drawn(kind, case)
    check_page(figure)


# --- Figure E ---


def panels(figure):
    return {ax.get_title(): ax for ax in figure.get_axes() if ax.get_title()}


def test_areas_are_the_policys_weights_and_change_at_the_ends_of_intervals(drawn):
    figure, summary = drawn("figure_e")
    ax = panels(figure)["PBT, depth 1, width 48"]
    rows = summary[(summary["search"] == "found") & (summary["depth"] == 1)]
    weights = rows.pivot(index="interval", columns="task", values="weight")
    assert len(ax.collections) == 3
    # The first task is on top, and what is below it are the others.
    colours = dict(zip(synthetic.TASKS, figure_e.AREAS, strict=False))
    total = np.zeros(3)
    for area, task in zip(ax.collections, reversed(synthetic.TASKS), strict=True):
        assert to_hex(area.get_facecolor()[0]) == to_hex(colours[task])
        points = area.get_paths()[0].vertices
        for interval, (start, end) in enumerate([(0, 2), (2, 4), (4, 5)], 1):
            middle = points[np.isin(points[:, 0], [start, end])]
            low, high = total[interval - 1], total[interval - 1] + weights[task][interval]
            assert any(np.allclose(p, (start, low)) for p in middle)
            assert any(np.allclose(p, (end, high)) for p in middle)
        total += weights[task].to_numpy()
    assert total == pytest.approx(np.ones(3))
    assert ax.get_xlim() == (0, 5) and ax.get_ylim() == (0, 1)
    assert [line.get_xdata()[0] for line in ax.lines] == [2, 4]


def test_widths_and_methods_are_beside_and_depths_below_each_other(drawn):
    figure, _ = drawn("figure_e")
    figure.draw_without_rendering()
    places = {title: ax.get_position().get_points()[0] for title, ax in panels(figure).items()}
    corners = {title: ax.transAxes.transform((0, 0)) for title, ax in panels(figure).items()}
    assert len(places) == 4
    narrow, wide = corners["PBT, depth 2, width 24"], corners["PBT, depth 2, width 48"]
    shallow, bandit = corners["PBT, depth 1, width 48"], corners["PB2, depth 2, width 48"]
    assert narrow[1] == pytest.approx(wide[1]) == pytest.approx(bandit[1])
    assert narrow[0] < wide[0] < bandit[0]
    assert shallow[0] == pytest.approx(wide[0]) and shallow[1] > wide[1]


def test_a_task_has_the_same_colour_in_all_panels_and_many_have_different_ones(drawn):
    figure, summary = drawn("figure_e", "sizes")
    legends = [legend for part in figure.subfigs for inner in part.subfigs for legend in inner.legends]
    found = [
        {text.get_text(): to_hex(patch.get_facecolor()) for text, patch in zip(of.texts, of.get_patches(), strict=True)}
        for of in legends
    ]
    assert len(found) == 3
    assert found[0]["role"] == found[1]["role"] and found[0]["gender"] == found[1]["gender"]
    count = summary[summary["task_set"] == "all"]["task"].nunique()
    assert count > len(figure_e.AREAS) and len(set(found[2].values())) == count


def test_searches_that_differ_in_size_say_so(drawn):
    figure, _ = drawn("figure_e", "sizes")
    titles = [ax.get_title() for ax in figure.get_axes() if ax.get_title()]
    assert "PBT, N=3, E=2, Q=0.25\ndepth 1, width 48" in titles
    assert titles.count("PBT, N=6, E=2, Q=0.25\ndepth 1, width 48") == 2


def test_searches_that_were_left_out_are_hatched(drawn):
    figure, _ = drawn("figure_e", "part")
    found = panels(figure)
    assert any(p.get_hatch() for p in found["PBT, depth 1, width 48"].patches)
    assert not any(p.get_hatch() for p in found["PBT, depth 2, width 48"].patches)


# --- R figure 2 ---


def test_corners_of_the_simplex_are_the_tasks():
    corners = rebuttal_figure_2._place(np.eye(3))
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(corners, 2)]
    assert distances == pytest.approx([1, 1, 1])
    assert rebuttal_figure_2._place([[1 / 3, 1 / 3, 1 / 3]])[0] == pytest.approx(corners.mean(axis=0))


def test_points_are_at_their_weights_over_the_grid(drawn):
    figure, summary = drawn("rebuttal_figure_2")
    ax = panels(figure)["PBT over the grid, depth 1, width 48"]
    here = summary[summary["depth"] == 1]
    grid, visits = here[here["part"] == "grid"], here[here["part"] == "search"]
    points, best = ax.collections[:2]
    assert points.get_offsets().data == pytest.approx(rebuttal_figure_2._place(grid["weights"]))
    assert points.get_array().tolist() == grid["score"].tolist()
    expected = grid.loc[grid["score"].idxmax(), "weights"]
    assert list(expected) == pytest.approx([0.6, 0.2, 0.2])
    assert best.get_offsets().data == pytest.approx(rebuttal_figure_2._place([expected]))
    # All settings that were tried, once each.
    drawn_points = {tuple(p) for c in ax.collections[2:] for p in np.round(c.get_offsets().data, 6)}
    assert drawn_points == {tuple(p) for p in np.round(rebuttal_figure_2._place(visits["weights"]), 6)}
    policy = visits[visits["policy"]].sort_values("interval")
    thick = [line for line in ax.lines if line.get_color() == rebuttal_figure_2.POLICY["color"]]
    assert len(thick) == 1 and thick[0].get_xydata() == pytest.approx(rebuttal_figure_2._place(policy["weights"]))
    labels = [t.get_text() for t in ax.texts]
    assert {f"$p$({task}) = 1" for task in synthetic.TASKS} <= set(labels)
    assert "validation average of the grid's points [%]" in [t.get_text() for t in figure.findobj(Text)]


def test_numbers_on_the_edges_are_weights(drawn):
    """Every number stands next to a point of the edge at which the task whose corner it rises to has that weight."""
    figure, _ = drawn("rebuttal_figure_2")
    ax = panels(figure)["PBT over the grid, depth 1, width 48"]
    numbers = [t for t in ax.texts if t.get_text().startswith("0.")]
    assert len(numbers) == 12
    for text in numbers:
        tick, near = float(text.get_text()), np.array(text.get_position())
        candidates = [rebuttal_figure_2._place([w])[0] for w in itertools.permutations((tick, 1 - tick, 0.0))]
        assert min(np.linalg.norm(near - c) for c in candidates) < 0.06


def test_absent_capacity_is_hatched(drawn):
    figure, summary = drawn("rebuttal_figure_2", "part")
    assert not summary["present"].all()
    ax = panels(figure)["PBT over the grid, depth 1, width 48"]
    assert any(p.get_hatch() for p in ax.patches) and "not run" in [t.get_text() for t in ax.texts]


@pytest.mark.parametrize("kind", ["figure_e", "rebuttal_figure_2"])
def test_captions_say_where_it_is_from(root, kind):
    caption = (root / "workflow" / "report" / f"{kind}.rst").read_text()
    assert ("appendix" in caption or "rebuttal" in caption) and "**validation**" in caption


def test_a_single_score_still_has_a_colour():
    norm = rebuttal_figure_2._norm(pd.Series([80.0, 80.0]))
    assert norm(80.0) == 0.5
