"""Drawings of gradient conflicts: they show what the summary holds, and nothing overlaps."""

import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import synthetic
import synthetic_conflicts
from matplotlib.colors import to_hex
from matplotlib.text import Text

from scalarization import figures
from scalarization.config import load_config
from scalarization.experiments import Plan
from scalarization.figures import _style

KINDS = ["figure_3", "rebuttal_figure_1a"]
CASES = {
    "rates": ({}, {}),
    "one rate and seed": ({"rates": (5e-3,), "seeds": 1}, {}),
    "two sets": ({"task_sets": {"pair": ["mnist", "optdigits"], "three": ["mnist", "optdigits", "mfeat"]}}, {}),
    "two sets, absent": (
        {
            **{"task_sets": {"pair": ["mnist", "optdigits"], "three": ["mnist", "optdigits", "mfeat"]}},
            **{"rates": (5e-4, 5e-3, 5e-2), "depth": (3, 9), "width": (96, 192)},
        },
        {"capacities": ["vit_d3_w192", "vit_d9_w96"], "seeds": [1]},
    ),
    "absent": ({}, {"capacities": ["vit_d1_w24"], "seeds": [1]}),
    "published": ({"depth": (3, 6, 9), "width": (48, 96, 144, 192), "rates": (1e-3,)}, {}),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, write_config):
    """(kind, case) -> figure and summary as read back from Parquet. Drawn once, not to be changed."""
    made = {}

    def drawn(kind, case):
        if (kind, case) not in made:
            options, only = CASES[case]
            directory = tmp_path_factory.mktemp(kind)
            config = write_config(directory, synthetic_conflicts.preset(kind, **options), only=only)
            plan = Plan(load_config(config))
            synthetic_conflicts.write_counts(plan, synthetic_conflicts.plausible)
            summary, facts = synthetic.read_back(plan, kind, directory)
            with warnings.catch_warnings(action="error"):
                made[kind, case] = figures.draw(kind, summary, facts), summary
        return made[kind, case]

    return drawn


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_no_text_overlaps_or_leaves_the_page(drawn, check_page, kind, case):
    figure, _ = drawn(kind, case)
    check_page(figure)
    assert figure.get_figwidth() == _style.WIDTH


def test_figure_3_shows_a_task_set_that_was_left_out_whole(drawn, check_page):
    """As of another benchmark, with `only`."""
    _, summary = drawn("figure_3", "two sets")
    left_out = summary["task_set"] == "three"
    kept = ["benchmark", "task_set", "variant", "architecture", "depth", "width", "shared_layers", "lr", "tasks"]
    absent = summary[left_out].drop_duplicates("architecture")[kept].assign(present=False, runs=0)
    part = pd.concat([summary[~left_out], absent.reindex(columns=summary.columns)])
    figure = figures.draw("figure_3", part, {})
    check_page(figure)
    first, second = figure.get_axes()
    assert first.collections and not second.collections
    assert [t.get_text() for t in second.texts] == ["not run"]
    assert texts(figure).count("not run") == 1 and any(": not run" in text for text in texts(figure))


def test_figure_3_has_one_point_per_run_and_epoch_and_its_line(drawn):
    figure, summary = drawn("figure_3", "rates")
    (ax,) = figure.get_axes()
    points = [tuple(p) for part in ax.collections for p in part.get_offsets().tolist()]
    assert sorted(points) == sorted(zip(summary["validation"], summary["percent"], strict=True))
    (line,) = ax.lines
    ends = np.array([summary["validation"].min(), summary["validation"].max()])
    fit = summary.iloc[0]
    np.testing.assert_allclose(line.get_xdata(), ends)
    np.testing.assert_allclose(line.get_ydata(), fit["intercept"] + fit["slope"] * ends)
    said = f"$r$ = {fit['r']:.2f} (95 %: {fit['r_low']:.2f} to {fit['r_high']:.2f}, 24 runs)".replace("-", "\u2212")
    assert ax.get_title() == f"digits, three ($T$ = 3)\n{said}"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("validation accuracy [%]", "conflicting pairs [%]")
    names = {"lr 0.0005", "lr 0.005", "lr 0.05", "width 24", "width 48", "depth 1", "depth 3", "linear fit"}
    assert names <= set(texts(figure))


def test_figure_3_fades_early_epochs_and_colours_by_width_where_there_is_one_rate(drawn):
    figure, summary = drawn("figure_3", "one rate and seed")
    (ax,) = figure.get_axes()
    colours = {to_hex(part.get_facecolor()[0]) for part in ax.collections}
    assert colours == {c.lower() for c in _style.COLOURS[:2]}
    for part in ax.collections:
        x, alpha = part.get_offsets()[:, 0], part.get_facecolor()[:, 3]
        assert (np.diff(alpha[np.argsort(x)]) > 0).all()  # made-up accuracy grows with epochs
    assert not any(name.startswith("lr") for name in texts(figure))


def test_rebuttal_figure_1a_draws_means_over_seeds(drawn):
    figure, summary = drawn("rebuttal_figure_1a", "rates")
    conflicts, loss = figure.get_axes()
    assert [ax.get_ylabel() for ax in (conflicts, loss)] == ["conflicting pairs [%]", "training loss [nats]"]
    for ax, name in ((conflicts, "percent"), (loss, "train_loss")):
        expected = summary.groupby(["architecture", "lr", "epoch"])[name].mean().unstack()
        assert sorted(line.get_ydata().tolist() for line in ax.lines) == sorted(expected.to_numpy().tolist())
        assert {tuple(line.get_xdata()) for line in ax.lines} == {(1, 2, 3, 4)}
        assert len({to_hex(line.get_color()) for line in ax.lines}) == 3
        assert len({line.get_linestyle() for line in ax.lines}) == 4
        assert len(ax.collections) == 12  # a band each
    slow = summary[(summary["lr"] == 5e-4) & (summary["architecture"] == "vit_d1_w24")].groupby("epoch")["percent"]
    first = next(line for line in conflicts.lines if np.array_equal(line.get_ydata(), slow.mean()))
    assert (to_hex(first.get_color()), first.get_linestyle()) == (_style.COLOURS[0].lower(), "-")


def test_what_was_not_run_is_said(drawn):
    for kind in KINDS:
        figure, _ = drawn(kind, "absent")
        said = {f"depth {d}, width {w}: not run" for d, w in ((1, 48), (3, 24), (3, 48))}
        assert said <= set(texts(figure))
        lines = [line for ax in figure.get_axes() for line in ax.lines]
        assert len(lines) == (1 if kind == "figure_3" else 2 * 3)
        assert isinstance(figure, mpl.figure.Figure)


@pytest.mark.parametrize("kind", KINDS)
def test_captions_say_what_is_counted_and_where_it_is_from(root, kind):
    caption = (root / "workflow" / "report" / f"{kind}.rst").read_text()
    assert "strictly negative" in caption and "appendix 3" in caption and "rebuttal figure" in caption
