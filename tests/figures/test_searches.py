"""Figures of policies and of the weights that searches tried."""

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
from scalarization.figures import figure_e, rebuttal_figure_2
from scalarization.plan import load_plan

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
#: Case -> searches, experiment, `only:`.
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
    "repeated": ({**SEARCHES, "found": synthetic.search(architectures=DEPTHS, seeds=2)}, PEOPLE, {}),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, write_config):
    """(kind, case) -> figure, and summary as read back from Parquet. Each is drawn once; tests must not change it."""

    @functools.cache
    def make(kind, case="several"):
        searches, people, only = CASES[case]
        directory = tmp_path_factory.mktemp(kind)
        artifact = {"searches": list(searches)}
        if kind != "figure_e":
            artifact["experiment"] = "people"
        content = synthetic.preset({kind: artifact}, searches, people=people)
        plan = load_plan(load_config(write_config(directory, content, only=only)))

        def value(cell, run, split, task, metric):
            weights = run.weights or (1 / 3,) * 3
            return 80 + run.seed + 5 * weights[0] - 3 * weights[1] if metric == "accuracy" else None

        synthetic.write(plan, value)
        summary, metadata = read_back(plan, kind, directory)
        with warnings.catch_warnings(action="error"):
            return figures.draw(kind, summary, metadata), summary

    return make


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        *(("figure_e", case) for case in ("several", "part", "sizes", "repeated")),
        *(("rebuttal_figure_2", case) for case in ("several", "part", "repeated")),
    ],
)
def test_no_text_overlaps_or_leaves_the_page(drawn, check_page, kind, case):
    figure, _ = drawn(kind, case)
    check_page(figure)


# --- Figure E ---


def panels(figure):
    return {ax.get_title(): ax for ax in figure.get_axes() if ax.get_title()}


def test_repetitions_are_panels_of_their_own(drawn):
    figure, _ = drawn("figure_e", "repeated")
    titles = [title.replace("\n", ", ") for title in panels(figure)]
    found = [f"PBT, seed {seed}, depth {depth}, width 48" for depth in (1, 2) for seed in (0, 1)]
    assert set(found) <= set(titles) and len(titles) == 4 + 2


def test_areas_are_the_weights_of_the_policy_and_change_at_the_ends_of_intervals(drawn):
    figure, summary = drawn("figure_e")
    ax = panels(figure)["PBT, depth 1, width 48"]
    rows = summary[(summary["search"] == "found") & (summary["depth"] == 1)]
    weights = rows.pivot(index="interval", columns="task", values="weight")
    assert len(ax.collections) == 3
    # The areas are drawn from the last task at the bottom to the first task at the top.
    colours = dict(zip(synthetic.TASKS, figure_e.AREA_COLOURS, strict=False))
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


def test_columns_are_methods_and_widths_and_rows_are_depths(drawn):
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


def test_a_task_has_the_same_colour_in_all_panels_and_many_tasks_have_different_colours(drawn):
    figure, summary = drawn("figure_e", "sizes")
    legends = [legend for part in figure.subfigs for inner in part.subfigs for legend in inner.legends]
    colours = [
        {text.get_text(): to_hex(patch.get_facecolor()) for text, patch in zip(*entries, strict=True)}
        for entries in ((legend.texts, legend.get_patches()) for legend in legends)
    ]
    assert len(colours) == 3
    assert colours[0]["role"] == colours[1]["role"] and colours[0]["gender"] == colours[1]["gender"]
    count = summary[summary["task_set"] == "all"]["task"].nunique()
    assert count > len(figure_e.AREA_COLOURS) and len(set(colours[2].values())) == count


def test_titles_name_the_settings_in_which_searches_differ(drawn):
    figure, _ = drawn("figure_e", "sizes")
    titles = [ax.get_title() for ax in figure.get_axes() if ax.get_title()]
    assert "PBT, N=3, E=2, Q=0.25\ndepth 1, width 48" in titles
    assert titles.count("PBT, N=6, E=2, Q=0.25\ndepth 1, width 48") == 2


def test_searches_that_were_not_run_are_hatched(drawn):
    figure, _ = drawn("figure_e", "part")
    axes = panels(figure)
    assert any(p.get_hatch() for p in axes["PBT, depth 1, width 48"].patches)
    assert not any(p.get_hatch() for p in axes["PBT, depth 2, width 48"].patches)


# --- rebuttal figure 2 ---


def test_corners_of_the_simplex_are_the_tasks():
    corners = rebuttal_figure_2.points_of(np.eye(3))
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(corners, 2)]
    assert distances == pytest.approx([1, 1, 1])
    assert rebuttal_figure_2.points_of([[1 / 3, 1 / 3, 1 / 3]])[0] == pytest.approx(corners.mean(axis=0))


def test_points_are_at_their_weights_over_the_grid(drawn):
    figure, summary = drawn("rebuttal_figure_2")
    ax = panels(figure)["PBT over the grid, depth 1, width 48"]
    rows = summary[summary["depth"] == 1]
    grid, search = rows[rows["part"] == "grid"], rows[rows["part"] == "search"]
    points, best = ax.collections[:2]
    assert points.get_offsets().data == pytest.approx(rebuttal_figure_2.points_of(grid["weights"]))
    assert points.get_array().tolist() == grid["score"].tolist()
    expected = grid.loc[grid["score"].idxmax(), "weights"]
    assert list(expected) == pytest.approx([0.6, 0.2, 0.2])
    assert best.get_offsets().data == pytest.approx(rebuttal_figure_2.points_of([expected]))
    # All weights that were tried, once each.
    drawn_points = {tuple(p) for c in ax.collections[2:] for p in np.round(c.get_offsets().data, 6)}
    assert drawn_points == {tuple(p) for p in np.round(rebuttal_figure_2.points_of(search["weights"]), 6)}
    policy = search[search["policy"]].sort_values("interval")
    thick = [line for line in ax.lines if line.get_color() == rebuttal_figure_2.POLICY_LINE["color"]]
    assert len(thick) == 1 and thick[0].get_xydata() == pytest.approx(rebuttal_figure_2.points_of(policy["weights"]))
    labels = [t.get_text() for t in ax.texts]
    assert {f"$p$({task}) = 1" for task in synthetic.TASKS} <= set(labels)
    assert "validation average of the grid points [%]" in [t.get_text() for t in figure.findobj(Text)]


def test_numbers_on_the_edges_are_weights(drawn):
    """Each number is next to a point of an edge where one task has that weight."""
    figure, _ = drawn("rebuttal_figure_2")
    ax = panels(figure)["PBT over the grid, depth 1, width 48"]
    numbers = [t for t in ax.texts if t.get_text().startswith("0.")]
    assert len(numbers) == 12
    for text in numbers:
        tick, near = float(text.get_text()), np.array(text.get_position())
        candidates = [rebuttal_figure_2.points_of([w])[0] for w in itertools.permutations((tick, 1 - tick, 0.0))]
        assert min(np.linalg.norm(near - c) for c in candidates) < 0.06


def test_capacities_that_were_not_run_are_hatched(drawn):
    figure, summary = drawn("rebuttal_figure_2", "part")
    assert not summary["present"].all()
    ax = panels(figure)["PBT over the grid, depth 1, width 48"]
    assert any(p.get_hatch() for p in ax.patches) and "not run" in [t.get_text() for t in ax.texts]


@pytest.mark.parametrize("kind", ["figure_e", "rebuttal_figure_2"])
def test_captions_name_the_source_and_the_split(root, kind):
    caption = (root / "workflow" / "report" / f"{kind}.rst").read_text()
    assert ("appendix" in caption or "rebuttal" in caption) and "**validation**" in caption


def test_equal_scores_have_a_colour():
    norm = rebuttal_figure_2.score_norm(pd.Series([80.0, 80.0]))
    assert norm(80.0) == 0.5
