"""Forest plot of claims: what is drawn where, in which colour, and that texts neither overlap nor leave the page."""

import pytest
import synthetic_claims
from matplotlib.colors import to_hex

from scalarization.analysis import claims, summaries
from scalarization.analysis.claims.base import difference
from scalarization.figures import draw
from scalarization.plotting import style

METADATA = dict.fromkeys(summaries.COMMON_KEYS) | {"artifact": "claims_forest", "kind": "claims_forest"}
COLOURS = {"supported": style.COLOURS[0].lower(), "contradicted": style.COLOURS[1].lower(), "undecided": "#595959"}


@pytest.fixture(scope="module")
def summary():
    return synthetic_claims.summary()


@pytest.fixture(scope="module")
def figure(summary):
    return draw("claims_forest", summary, METADATA)


def markers(ax):
    """(estimate, colour, shape, filling) of the drawn estimates from top to bottom."""
    found = [line for line in ax.lines if line.get_marker() in ("o", "D")]
    found.sort(key=lambda line: -line.get_ydata()[0])
    return [
        (line.get_xdata()[0], to_hex(line.get_color()), line.get_marker(), line.get_markerfacecolor()) for line in found
    ]


def test_no_text_overlaps_or_leaves_the_page(figure, check_page):
    check_page(figure)


def test_long_lists_and_names_fit(summary, check_page):
    rows = summary[summary["claim"] == "C6"].copy()
    rows["comparison"] = rows["comparison"] + ", minus a method whose name is of more than usual length"
    rows["task_set"] = rows["task_set"] + "+another_task+and_a_third_task+and_a_fourth_task"
    rows["sentence"] = rows["sentence"] + " And so on, in a sentence that takes several lines of the page, as some do."
    long = rows.loc[rows.index.repeat(8)].reset_index(drop=True)
    assert len(long) > 80
    check_page(draw("claims_forest", long, METADATA))


def test_units_and_claims_and_origins_have_panels_of_their_own(figure):
    labels = [ax.get_xlabel() for ax in figure.axes]
    points = "test average, points"
    assert labels == [points, "test average, % of l1", points, points, points]


def test_estimates_have_place_and_look_of_their_verdict(figure, summary):
    rows = summary[(summary["claim"] == "C6") & (summary["task_set"] == "pair") & summary["estimate"].notna()]
    drawn = markers(figure.axes[0])
    assert [x for x, *_ in drawn] == pytest.approx(rows["estimate"].tolist())
    assert [colour for _, colour, *_ in drawn] == [COLOURS[verdict] for verdict in rows["verdict"]]
    assert {"supported", "contradicted", "undecided"} == set(rows["verdict"])
    looks = {
        verdict: (shape, str(filling)) for verdict, (*_, shape, filling) in zip(rows["verdict"], drawn, strict=True)
    }
    assert len(set(looks.values())) == 3  # without colour, too


def test_intervals_are_drawn_and_those_too_long_end_with_arrows(figure, summary):
    ax = figure.axes[0]
    low, high = ax.get_xlim()
    rows = summary[(summary["claim"] == "C6") & (summary["task_set"] == "pair") & summary["low"].notna()]
    bars = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2 and line.get_ydata()[0] % 1 == 0.5]
    expected = [(max(a, low), min(b, high)) for a, b in zip(rows["low"], rows["high"], strict=True)]
    assert [end for bar in bars for end in bar] == pytest.approx([end for ends in expected for end in ends])
    noisy = rows[rows["comparison"] == "noisy, undecided"].iloc[0]
    assert noisy["low"] < low and noisy["high"] > high
    assert sorted(line.get_marker() for line in ax.lines if line.get_marker() in ("<", ">")) == ["<", ">"]


def test_lines_at_zero_and_at_the_margins(figure):
    def uprights(ax):
        whole = ([0, 1], [0, ax.get_ylim()[1]])
        return sorted({float(line.get_xdata()[0]) for line in ax.lines if list(line.get_ydata()) in whole})

    margin = synthetic_claims.MARGIN
    by_claim = {"equivalent": [-margin, 0, margin], "not_worse": [-margin, 0], "positive": [0]}
    assert [uprights(figure.axes[n]) for n in (0, 3, 4)] == list(by_claim.values())


def test_comparisons_of_other_hypotheses_have_regions_of_their_own(summary):
    rows = summary[(summary["claim"] == "C6") & (summary["task_set"] == "pair")].iloc[:2].reset_index(drop=True)
    rows.loc[1, ["hypothesis", "margin"]] = ["positive", None]
    (ax,) = draw("claims_forest", rows, METADATA).axes
    _, high = ax.get_xlim()
    regions = {(patch.get_y(), patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches}
    margin = synthetic_claims.MARGIN
    assert regions == {(1, -margin, margin), (0, 0, high)}  # from the bottom: the second line, the first, the heading


def test_the_region_is_where_the_claim_holds(figure):
    margin = synthetic_claims.MARGIN
    for number, expected in ((0, (-margin, margin)), (3, (-margin, None)), (4, (0, None))):
        (patch,) = figure.axes[number].patches
        ends = patch.get_x(), patch.get_x() + patch.get_width()
        assert ends == pytest.approx((expected[0], figure.axes[number].get_xlim()[1] if number else expected[1]))
        assert patch.get_height() == figure.axes[number].get_ylim()[1]


def test_seeds_notes_and_what_was_not_run_are_written(figure, summary):
    texts = [text.get_text() for text in figure.texts]
    count = summary["estimate"].notna().sum()
    assert sum(text.startswith("n = ") for text in texts) == count
    assert texts.count("n = 5") == (summary["seeds"] == 5).sum()
    assert texts.count("diverged in 1 of 3 seeds") == 2
    (absent,) = (text for text in texts if text.startswith("Not run: "))
    assert "C6" not in absent.split(": ")[1].split(", ") and set(absent[9:].split(", ")) <= set(summary["claim"])


def test_nothing_but_claims_that_were_not_run(summary, check_page):
    absent = summary[summary["verdict"] == "not run"]
    figure = draw("claims_forest", absent[absent["comparison"].isna()].reset_index(drop=True), METADATA)
    check_page(figure)
    assert not figure.axes


def noisy(unit, values=0.1 + 2.0 * synthetic_claims.SPREAD):
    """A comparison that is undecided."""
    place = {"benchmark": "digits", "task_set": "pair", "statistic": "test average, points", "margin": 0.5}
    return difference(values, **place, comparison=f"of {unit}", unit=unit)


@pytest.mark.parametrize(
    ("comparisons", "remarks", "title"),
    [
        ([noisy("conditions")], ["n = 5"], "; n is the number of conditions"),
        ([noisy("seeds")], ["n = 5"], ""),
        ([noisy("seeds"), noisy("searches")], ["5 seeds", "5 searches"], ""),
    ],
)
def test_the_forest_plot_says_what_it_counts(comparisons, remarks, title, check_page):
    table = claims.table(lambda claim: comparisons if claim.number == 6 else ())
    figure = draw("claims_forest", table, METADATA)
    texts = [text.get_text() for text in figure.texts]
    assert [text for text in texts if text in remarks] == remarks
    check_page(figure)
    whole = " ".join(texts)
    assert ("n is the number" in whole) == bool(title) and title in whole


def test_the_forest_plot_names_claims_without_an_estimate():
    table = claims.table(lambda claim: [noisy("seeds", [0.1, float("nan")])] if claim.number == 6 else ())
    figure = draw("claims_forest", table, METADATA)
    texts = [text.get_text() for text in figure.texts]
    assert "No estimate: C6 (diverged in 1 of 2 seeds)" in texts
    assert not any("C6" in text for text in texts if text.startswith("Not run"))
