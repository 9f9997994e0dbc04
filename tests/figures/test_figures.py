"""Figures of experiments show the numbers of the summary, name them, and no texts overlap."""

import functools
import re
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from scalarization import figures
from scalarization.config import load_config
from scalarization.figures import consistency, figure_2
from scalarization.plan import load_plan
from scalarization.plotting import style

KINDS = ["figure_2", "figure_b", "figure_d", "consistency", "affinity"]
THREE = {"task_sets": {"three": ["mnist", "optdigits", "mfeat"]}, "depth": (1,)}
CASES = {
    "pair": ({}, {}),
    "three_seeds": ({"seeds": 3}, {}),
    "one_seed_absent": ({"seeds": 1}, {"capacities": ["vit_d1_w24", "vit_d3_w48"]}),
    "three": (THREE | {"methods": {"single": {}, "grid": {"simplex_step": 0.25}, "uniform": {}}}, {}),
    "one_capacity": ({"depth": (3,), "width": (48,)}, {}),
    "sets_and_variants": (
        {
            "task_sets": {"first": ["mnist", "optdigits"], "second": ["mnist", "mfeat"]},
            "variants": {"base": {}, "slow": {"recipe": {"lr": 1e-4}}},
            "depth": (1,),
        },
        {},
    ),
    "twelve": ({"depth": (3, 6, 9), "width": (48, 96, 144, 192), "seeds": 3}, {}),
}
#: Case -> kinds whose texts are checked for overlap. The layout is slow, so only kinds whose layout differs.
CHECKED_LAYOUTS = {
    "pair": KINDS,
    "three_seeds": ["consistency"],
    "one_seed_absent": KINDS,
    "three": ["figure_2", "figure_b", "consistency", "affinity"],
    "one_capacity": ["consistency"],
    "sets_and_variants": ["figure_2"],
    "twelve": ["figure_b", "consistency"],
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, write_config):
    """(kind, case) -> figure, and summary and metadata as read back from Parquet. Tests must not change them."""

    @functools.cache
    def make(kind, case="pair"):
        options, only = CASES[case]
        directory = tmp_path_factory.mktemp(kind)
        plan = load_plan(load_config(write_config(directory, synthetic.preset(kind, **options), only=only)))
        synthetic.write_runs(plan, synthetic.plausible)
        summary, metadata = synthetic.read_back(plan, kind, directory)
        with warnings.catch_warnings(action="error"):
            return figures.draw(kind, summary, metadata), summary, metadata

    return make


def axes_of(figure, title=None, ylabel=None):
    """Axes with a given title or label, in order."""
    return [
        ax
        for ax in figure.get_axes()
        if (title is None or ax.get_title() == title) and (ylabel is None or ax.get_ylabel() == ylabel)
    ]


def texts(parent):
    return [t.get_text() for t in parent.findobj(Text) if t.get_visible() and t.get_text().strip()]


def words(ax):
    return [t.get_text() for t in ax.texts]


def hatched(ax):
    return [p for p in ax.patches if isinstance(p, Rectangle) and p.get_hatch()]


def marked(ax, marker):
    """Points with a given marker."""
    return [line for line in ax.lines if line.get_marker() == marker and len(line.get_xdata()) == 1]


@pytest.mark.parametrize(("kind", "case"), [(kind, case) for case, kinds in CHECKED_LAYOUTS.items() for kind in kinds])
def test_no_text_overlaps_or_leaves_the_page(drawn, check_page, kind, case):
    figure, _, _ = drawn(kind, case)
    check_page(figure)
    assert figure.get_figwidth() == style.TEXT_WIDTH


@pytest.mark.parametrize("kind", ["figure_b", "affinity"])
def test_style_does_not_depend_on_the_process_and_does_not_change_it(drawn, kind):
    _, summary, metadata = drawn(kind, "one_capacity")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        figure = figures.draw(kind, summary, metadata)
        assert mpl.rcParams["font.size"] == 30
    assert to_hex(figure.get_axes()[0].get_facecolor()) == "#ffffff"
    assert max(text.get_fontsize() for text in figure.findobj(Text)) < 10


# --- figure 2 ---


def test_figure_2_heat_maps_show_the_summary(drawn):
    figure, summary, _ = drawn("figure_2")
    best, gain, other = figure.get_axes()[:3]
    titles = [best.get_title(), gain.get_title(), other.get_title()]
    assert titles == ["$p^*$(optdigits)", "optdigits: MDL $-$ SD", "mnist: MDL $-$ SD"]
    rows = summary[summary["task"] == "optdigits"].sort_values(["depth", "width"])
    assert best.collections[0].get_array().ravel().tolist() == rows["weight"].tolist()
    assert gain.collections[0].get_array().ravel().tolist() == rows["mean"].tolist()
    first = rows.iloc[0]
    expected = f"{first['mean']:+.2f}\n±{first['std']:.2f}".replace("-", "\N{MINUS SIGN}")
    assert words(gain)[0] == expected
    seed_range = f"{first['weight_low']:.2g}\N{EN DASH}{first['weight_high']:.2g}"
    assert words(best)[0] == f"{first['weight']:.2g}\n({seed_range})"
    assert [t.get_text() for t in best.get_yticklabels()] == ["1", "3"]
    assert [t.get_text() for t in best.get_xticklabels()] == ["24", "48"]
    assert gain.collections[0].get_clim() == other.collections[0].get_clim()
    low, high = gain.collections[0].get_clim()
    assert low == -high == -summary["mean"].abs().max()
    assert best.collections[0].get_clim() == (0, 1)
    assert "MDL $-$ SD on test [percentage points]" in texts(figure)


def test_figure_2_hatches_capacities_that_were_not_run_and_has_no_deviation_of_one_seed(drawn):
    figure, _, _ = drawn("figure_2", "one_seed_absent")
    for ax in figure.get_axes()[:3]:
        assert [(p.get_x(), p.get_y()) for p in hatched(ax)] == [(1, 0), (0, 1)]
        assert len([w for w in words(ax) if w]) == 2
        assert not any("±" in w or "(" in w for w in words(ax))
    assert "not run" in texts(figure)
    assert figure_2.ONE_SEED in texts(figure)
    assert figure_2.ONE_SEED not in texts(drawn("figure_2")[0])


def test_figure_2_has_a_weight_for_each_of_three_domains(drawn):
    figure, _, _ = drawn("figure_2", "three")
    titles = [ax.get_title() for ax in figure.get_axes()[:6]]
    assert titles == [f"$p^*$({t})" for t in ("optdigits", "mnist", "mfeat")] + [
        f"{t}: MDL $-$ SD" for t in ("optdigits", "mnist", "mfeat")
    ]


def test_figure_2_names_task_sets_and_variants(drawn):
    figure, _, _ = drawn("figure_2", "sets_and_variants")
    labels = [ax.get_ylabel() for ax in figure.get_axes() if ax.get_ylabel()]
    assert labels == [f"{t}, {v}\ndepth" for v in ("base", "slow") for t in ("first", "second")]


@pytest.mark.parametrize(("metric", "unit"), [("accuracy", "percentage points"), ("l1", "L1 loss")])
@pytest.mark.parametrize(("setting", "word"), [("mdl", "MDL"), ("mtl", "MTL")])
def test_labels_follow_metric_and_setting(drawn, metric, unit, setting, word):
    _, summary, metadata = drawn("figure_2", "one_capacity")
    figure = figures.draw("figure_2", summary.assign(metric=metric), metadata | {"setting": setting})
    assert f"{word} $-$ SD on test [{unit}]" in texts(figure)


def test_rows_are_shared_decoder_layers_if_the_depth_is_the_same(drawn):
    _, summary, metadata = drawn("figure_2")
    dense = summary.assign(shared_layers=summary["depth"] - 1, depth=26)
    best = figures.draw("figure_2", dense, metadata).get_axes()[0]
    assert best.get_ylabel() == "shared layers"
    assert [t.get_text() for t in best.get_yticklabels()] == ["0", "2"]


# --- figures B and C ---


def test_figure_b_marks_weights_heuristics_optimum_and_baseline(drawn):
    figure, summary, _ = drawn("figure_b")
    panel = axes_of(figure, "width 24", "depth 1")[0]
    cell = summary[(summary["depth"] == 1) & (summary["width"] == 24)]
    x, y = (cell[cell["task"] == t].set_index(["method", "weight_setting"]) for t in ("optdigits", "mnist"))
    expected = {(x["mean"][i], y["mean"][i]) for i in x.index}

    def points(marker):
        return [(line.get_xdata()[0], line.get_ydata()[0]) for line in marked(panel, marker)]

    ring = [p for p, line in zip(points("o"), marked(panel, "o"), strict=True) if line.get_markerfacecolor() == "none"]
    best = x[x["optimum"].astype(bool)].index[0]
    assert ring == [(x["mean"][best], y["mean"][best])]
    assert points("*") == [(x["mean"]["single", 0], y["mean"]["single", 0])]
    assert points("D") == [(x["mean"]["proportional", 0], y["mean"]["proportional", 0])]
    assert points("s") == [(x["mean"]["grid", 2], y["mean"]["grid", 2])]  # 0.5 is uniform
    assert set(points("o")) | set(points("*")) | set(points("D")) | set(points("s")) == expected
    square = marked(panel, "s")[0]
    assert to_hex(square.get_markerfacecolor()) == to_hex(mpl.colormaps[style.WEIGHT_MAP](0.5))
    curve = next(line for line in panel.lines if len(line.get_xdata()) == 6)
    by_weight = x.drop("single", level=0).sort_values("weight")
    assert curve.get_xdata().tolist() == by_weight["mean"].tolist()
    levels = [line for line in panel.lines if line.get_linestyle() == "--"]
    assert levels[0].get_xdata()[0] == x["mean"]["single", 0]
    assert levels[1].get_ydata()[0] == y["mean"]["single", 0]
    assert {"$p$(optdigits)", "optdigits test accuracy [%]", "mnist test accuracy [%]"} <= set(texts(figure))
    assert {"MDL", "MDL, uniform", "MDL, proportional", "$p^*$", "SD"} <= set(texts(figure))


def test_figure_b_error_bars_are_the_deviation_over_seeds(drawn):
    figure, summary, _ = drawn("figure_b")
    panel = axes_of(figure, "width 24", "depth 1")[0]
    cell = summary[(summary["depth"] == 1) & (summary["width"] == 24)]
    drawn_lengths = sorted(np.ptp(s, axis=0).max() / 2 for bars in panel.collections for s in bars.get_segments())
    assert drawn_lengths == pytest.approx(sorted(cell["std"]))


def test_figure_b_of_one_seed_has_no_error_bars_and_marks_capacities_that_were_not_run(drawn):
    figure, _, _ = drawn("figure_b", "one_seed_absent")
    panels = figure.get_axes()[:4]
    assert [bool(hatched(ax)) for ax in panels] == [False, True, True, False]
    assert [words(ax) for ax in panels] == [[], ["not run"], ["not run"], []]
    assert not any(bars.get_segments() for ax in panels for bars in ax.collections)


def test_figure_b_has_a_block_for_each_pair_of_three_and_no_curve(drawn):
    figure, _, _ = drawn("figure_b", "three")
    labels = [t for t in texts(figure) if t.endswith("test accuracy [%]")]
    assert labels == [f"{t} test accuracy [%]" for t in ("optdigits", "mnist", "optdigits", "mfeat", "mnist", "mfeat")]
    assert all(len(line.get_xdata()) <= 2 for ax in figure.get_axes() for line in ax.lines)


# --- figure D ---


def test_figure_d_draws_train_and_test_over_the_weight(drawn):
    figure, summary, _ = drawn("figure_d")
    block = next(f for f in figure.findobj(mpl.figure.SubFigure) if f.get_suptitle() == "mnist")
    panel = axes_of(block, "width 24")[0]
    cell = summary[(summary["depth"] == 1) & (summary["width"] == 24) & (summary["task"] == "mnist")]
    for split, line_style in (("train", "--"), ("test", "-")):
        # The horizontal axis is the weight of optdigits, which is 1 minus this one.
        rows = cell[cell["split"] == split].sort_values("weight", ascending=False)
        line = next(line for line in panel.lines if line.get_linestyle() == line_style and line.get_marker() == "o")
        assert line.get_xdata().tolist() == pytest.approx((1 - rows["weight"]).tolist())
        assert line.get_ydata().tolist() == rows["mean"].tolist()
    best = next(line for line in panel.lines if line.get_linewidth() == 2.5)
    assert best.get_xdata()[0] == pytest.approx(1 - cell.loc[cell["optimum"].astype(bool), "weight"].iloc[0])
    assert "MDL $-$ SD [percentage points]" in texts(figure)
    assert {"train", "test", "$p$(optdigits)"} <= set(texts(figure))


def test_figure_d_compresses_only_large_losses(drawn):
    _, summary, metadata = drawn("figure_d")
    for factor, scale in ((1, "linear"), (10, "symlog")):
        wide = summary.assign(mean=factor * summary["mean"].clip(-4.9, 4.9))
        figure = figures.draw("figure_d", wide, metadata)
        panel = axes_of(figure, "width 24")[0]
        assert panel.get_yscale() == scale
    figure.draw_without_rendering()
    lowest = panel.transData.transform((0, wide.loc[wide["task"] == "optdigits", "mean"].min()))[1]
    assert lowest - panel.bbox.y0 > 0.03 * panel.bbox.height  # no point on the frame
    assert len(panel.yaxis.get_majorticklocs()) > 4
    dense = figures.draw("figure_d", wide.assign(metric="l1"), metadata)
    assert {ax.get_yscale() for ax in dense.get_axes()} == {"linear"}


def test_figure_d_of_three_domains_is_over_the_weight_of_each(drawn):
    figure, summary, _ = drawn("figure_d", "three")
    block = next(f for f in figure.findobj(mpl.figure.SubFigure) if f.get_suptitle() == "mfeat")
    assert "$p$(mfeat)" in texts(block)
    line = next(line for line in axes_of(block, "width 24")[0].lines if line.get_marker() == "o")
    rows = summary.query("width == 24 and task == 'mfeat' and split == 'train'")
    assert sorted(line.get_xdata()) == sorted(rows["weight"])
    assert line.get_linestyle() == "None"


# --- consistency ---


def test_consistency_shows_optima_choices_of_seeds_and_weights_within_the_error(drawn):
    figure, summary, _ = drawn("consistency")
    strip = figure.get_axes()[0]
    assert strip.get_ylabel() == "$p$(optdigits)"
    optima = summary[(summary["part"] == "optimum") & (summary["task"] == "optdigits")]
    best = optima[optima["optimum"].astype(bool)].sort_values(["depth", "width"])
    filled = [line for line in marked(strip, "o") if line.get_markersize() == 5.5]
    assert [line.get_ydata()[0] for line in filled] == pytest.approx(best["weight"].tolist())
    chosen = sum(len(line.get_ydata()) for line in strip.lines if line.get_markersize() == 3)
    assert chosen == 4 * 2
    near = [len(line.get_ydata()) for line in strip.lines if line.get_marker() == "_"]
    sizes = optima.groupby(["depth", "width"])["within_error"].sum()
    assert near == [n for n in sizes if n > 1]
    levels = {line.get_label(): line for line in strip.lines if line.get_linestyle() in ("--", ":")}
    assert sorted(line.get_ydata()[0] for line in levels.values()) == pytest.approx([1 / 11, 0.5])


def test_consistency_matrices_show_the_losses(drawn):
    figure, summary, _ = drawn("consistency", "three_seeds")
    reuse = axes_of(figure, "reuse $p^*$ unchanged")[0]
    names = ["d1 w24", "d1 w48", "d3 w24", "d3 w48"]
    assert [t.get_text() for t in reuse.get_yticklabels()] == names
    assert [t.get_text() for t in reuse.get_xticklabels()] == names
    assert (reuse.get_ylabel(), reuse.get_xlabel()) == ("searched capacity", "trained capacity")
    order = ["vit_d1_w24", "vit_d1_w48", "vit_d3_w24", "vit_d3_w48"]
    values = summary.query("procedure == 'reuse'").set_index(["source", "architecture"])["mean"]
    expected = [[values[source, trained] for trained in order] for source in order]
    assert reuse.collections[0].get_array().tolist() == expected
    refine = axes_of(figure, "search again near $p^*$")[0]
    left = summary.query("procedure == 'refine'").groupby("source")["candidates_left"].first()
    assert [t.get_text() for t in refine.get_yticklabels()] == [f"{left[a]:.0f} of 6" for a in order]


def test_consistency_of_two_seeds_says_what_takes_three(drawn):
    figure, _, _ = drawn("consistency")
    (refine,) = axes_of(figure, "search again near $p^*$")
    assert words(refine) == [consistency.MORE_SEEDS]
    assert not refine.get_xticks().size and not refine.get_yticks().size
    assert not refine.collections


def test_consistency_hatches_capacities_that_were_not_run(drawn):
    figure, _, _ = drawn("consistency", "one_seed_absent")
    strip, reuse = figure.get_axes()[:2]
    assert len(hatched(strip)) == 2
    assert len(hatched(reuse)) == 4 * 4 - 2 * 2
    assert "choice of one seed" not in texts(figure)
    assert [consistency.ONE_SEED in text for text in texts(figure)].count(True) == 1
    assert not any(consistency.ONE_SEED in text for text in texts(drawn("consistency")[0]))


def test_consistency_of_one_capacity_has_no_matrices(drawn):
    figure, _, _ = drawn("consistency", "one_capacity")
    assert len(figure.get_axes()) == 1


def test_consistency_shows_weights_that_the_paper_reports(drawn):
    _, summary, metadata = drawn("consistency")
    ranges = {"low width": (0.3, 0.4), "larger models": (0.1, 0.3), "always": (0.2, 0.4)}
    reported = pd.DataFrame([{"where": where, "low": low, "high": high} for where, (low, high) in ranges.items()])
    reported = reported.assign(part="reported", benchmark="digits", task="optdigits")
    summary = pd.concat([summary.astype(object), reported.astype(object)], ignore_index=True)
    summary = summary.astype({"weight": float, "low": float, "high": float, "mean": float, "std": float})
    with warnings.catch_warnings(action="error"):
        figure = figures.draw("consistency", summary, metadata)
    strip = figure.get_axes()[0]
    bars = [tuple(line.get_ydata()) for line in strip.lines if line.get_linewidth() == 4]
    assert bars == list(ranges.values())
    assert words(strip) == list(ranges)
    assert "reported in the paper" in texts(figure)


# --- affinity ---


def test_affinity_shows_gains_and_accuracies(drawn):
    figure, summary, _ = drawn("affinity")
    near, diverse = figure.get_axes()[:2]
    benefit = summary[summary["part"] == "benefit"]
    for ax, name in ((near, "affinity_mean"), (diverse, "diversity_mean")):
        points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() in "os"}
        assert points == set(zip(benefit[name], benefit["mean"], strict=True))
    matrix = axes_of(figure, "width 24", "depth 1")[0]
    accuracy = summary.query("part == 'evaluation' and architecture == 'vit_d1_w24'").set_index(["task", "evaluated"])
    values = accuracy["mean"]
    domains = ["mnist", "optdigits", "mfeat"]
    expected = [[values[task, domain] for domain in domains] for task in domains[:2]]
    assert matrix.collections[0].get_array().tolist() == expected
    assert words(matrix)[1] == f"{expected[0][1]:.0f}"
    assert [t.get_text() for t in matrix.get_yticklabels()] == domains[:2]
    assert {"gain of mnist", "gain of optdigits", "depth 3", "width 48"} <= set(texts(figure))


def test_affinity_marks_capacities_that_were_not_run(drawn):
    figure, _, _ = drawn("affinity", "one_seed_absent")
    panels = figure.get_axes()[2:6]
    assert ["not run" in words(ax) for ax in panels] == [False, True, True, False]


# --- files ---


def test_files_are_equal_for_equal_summaries_and_embed_their_fonts(drawn, tmp_path):
    _, summary, metadata = drawn("figure_b", "one_capacity")
    contents = []
    for name in ("first", "second"):
        figure = figures.draw("figure_b", summary, metadata)
        pdf, png = tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"
        style.save(figure, pdf, png)
        contents.append((pdf.read_bytes(), png.read_bytes()))
    assert contents[0] == contents[1]
    pdf, png = contents[0]
    assert b"CreationDate" not in pdf
    assert b"/CIDFontType2" in pdf and b"/Type3" not in pdf
    assert int.from_bytes(png[16:20], "big") == round(200 * style.TEXT_WIDTH)
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("kind", KINDS)
def test_captions_name_both_splits_and_the_source(root, kind):
    caption = (root / "workflow" / "report" / f"{kind}.rst").read_text()
    assert re.search(r"\*\*validation\*\*", caption) and re.search(r"\*\*test\*\*|test split", caption)
    assert "appendix" in caption
