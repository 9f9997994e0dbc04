"""Figures of gradient conflicts show the numbers of the summary, and no texts overlap."""

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
from scalarization.analysis import summaries
from scalarization.config import load_config
from scalarization.plan import load_plan
from scalarization.plotting import style

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
    """(kind, case) -> figure, and summary as read back from Parquet. Each is drawn once; tests must not change it."""
    results = {}

    def drawn(kind, case):
        if (kind, case) not in results:
            options, only = CASES[case]
            directory = tmp_path_factory.mktemp(kind)
            config = write_config(directory, synthetic_conflicts.preset(kind, **options), only=only)
            plan = load_plan(load_config(config))
            synthetic_conflicts.write_counts(plan, synthetic_conflicts.plausible)
            summary, metadata = synthetic.read_back(plan, kind, directory)
            with warnings.catch_warnings(action="error"):
                results[kind, case] = figures.draw(kind, summary, metadata), summary
        return results[kind, case]

    return drawn


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_no_text_overlaps_or_leaves_the_page(drawn, check_page, kind, case):
    figure, _ = drawn(kind, case)
    check_page(figure)
    assert figure.get_figwidth() == style.TEXT_WIDTH


def test_figure_3_marks_a_task_set_that_was_not_run(drawn, check_page):
    """`only:` can leave out all runs of a task set, for example if it is of another benchmark."""
    _, summary = drawn("figure_3", "two sets")
    not_run = summary["task_set"] == "three"
    kept = ["benchmark", "task_set", "variant", "architecture", "depth", "width", "shared_layers", "lr", "tasks"]
    absent = summary[not_run].drop_duplicates("architecture")[kept].assign(present=False, runs=0)
    part = pd.concat([summary[~not_run], absent.reindex(columns=summary.columns)])
    figure = figures.draw("figure_3", part, dict.fromkeys(summaries.COMMON_KEYS) | {"kind": "figure_3"})
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
    r, low, high, last_r, last_low, last_high = (
        fit[f"{prefix}{name}"] for prefix in ("", "last_") for name in ("r", "r_low", "r_high")
    )
    title = (
        f"digits, three ($T$ = 3), 24 runs\n$r$ = {r:.2f} (95 % CI {low:.2f} to {high:.2f})\n"
        f"last epoch: $r$ = {last_r:.2f} ({last_low:.2f} to {last_high:.2f})"
    )
    assert ax.get_title() == title.replace("-", "\N{MINUS SIGN}")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("validation accuracy [%]", "conflicting pairs [%]")
    names = {"lr 0.0005", "lr 0.005", "lr 0.05", "width 24", "width 48", "depth 1", "depth 3", "linear fit"}
    assert names <= set(texts(figure))


def test_figure_3_fades_early_epochs_and_colours_by_width_if_the_learning_rate_is_the_same(drawn):
    figure, _ = drawn("figure_3", "one rate and seed")
    (ax,) = figure.get_axes()
    colours = {to_hex(part.get_facecolor()[0]) for part in ax.collections}
    assert colours == {c.lower() for c in style.COLOURS[:2]}
    for part in ax.collections:
        x, alpha = part.get_offsets()[:, 0], part.get_facecolor()[:, 3]
        assert (np.diff(alpha[np.argsort(x)]) > 0).all()  # the made-up accuracy grows with epochs
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
        assert len(ax.collections) == 12  # one band per line
    slow = summary[(summary["lr"] == 5e-4) & (summary["architecture"] == "vit_d1_w24")].groupby("epoch")["percent"]
    first = next(line for line in conflicts.lines if np.array_equal(line.get_ydata(), slow.mean()))
    assert (to_hex(first.get_color()), first.get_linestyle()) == (style.COLOURS[0].lower(), "-")


def test_legends_list_capacities_that_were_not_run(drawn):
    for kind in KINDS:
        figure, _ = drawn(kind, "absent")
        entries = {f"depth {d}, width {w}: not run" for d, w in ((1, 48), (3, 24), (3, 48))}
        assert entries <= set(texts(figure))
        lines = [line for ax in figure.get_axes() for line in ax.lines]
        assert len(lines) == (1 if kind == "figure_3" else 2 * 3)
        assert isinstance(figure, mpl.figure.Figure)


@pytest.mark.parametrize("kind", KINDS)
def test_captions_name_what_is_counted_and_the_source(root, kind):
    caption = (root / "workflow" / "report" / f"{kind}.rst").read_text()
    assert "strictly negative" in caption and "appendix 3" in caption and "rebuttal figure" in caption
