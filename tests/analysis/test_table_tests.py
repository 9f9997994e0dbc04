"""Tests behind tables of methods: against other formulas, and in simulated tables of which the truth is known."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from scalarization.analysis import inference
from scalarization.analysis.table_tests import (
    Column,
    LineValues,
    analyse,
    benjamini_hochberg,
    p_value,
    welch,
)

LINES, TASKS = 8, 6


def column(values, sign=1.0):
    return Column([LineValues(tuple(range(len(of_line))), np.array(of_line, dtype=float)) for of_line in values], sign)


def draw(rng, seeds, deviations=(1.0,) * LINES, shared=0.0):
    """Lines with equal means; ``shared``: deviation of what a seed adds to all of them."""
    own = np.array(deviations)[:, None] * rng.normal(size=(len(deviations), seeds))
    return own + shared * rng.normal(size=seeds)


def simulated(seeds, runs=1000, **changes):
    rng = np.random.default_rng([seeds, runs])
    return [draw(rng, seeds, **changes) for _ in range(runs)]


def covers(estimate):
    low, high = inference.interval(estimate)
    return low <= 0 <= high


# --- against other formulas ---


@pytest.mark.parametrize("seeds", [2, 3])
def test_mean_squares_are_those_of_a_regression_on_lines_and_seeds(seeds):
    values = draw(np.random.default_rng(0), seeds, shared=1.0) + np.arange(LINES)[:, None]
    of_line, of_seed = (grid.ravel() for grid in np.indices(values.shape))
    lines_only = np.eye(LINES)[of_line]
    both = np.hstack([lines_only, np.eye(seeds)[of_seed]])
    left = [
        float(np.sum((values.ravel() - d @ np.linalg.lstsq(d, values.ravel(), rcond=None)[0]) ** 2))
        for d in (lines_only, both)
    ]
    pool = analyse(values)
    assert pool.residual_dof == LINES * seeds - np.linalg.matrix_rank(both)
    assert pool.residual == pytest.approx(left[1] / pool.residual_dof, rel=1e-9)
    assert pool.between == pytest.approx((left[0] - left[1]) / (seeds - 1), rel=1e-9)
    # The error of a mean is the root of the mean of the lines' own variances.
    error, dof = pool.error_and_dof()
    assert error**2 * seeds == pytest.approx(values.var(axis=1, ddof=1).mean(), rel=1e-9)
    shared = scipy.stats.f.sf(pool.between / pool.residual, seeds - 1, pool.residual_dof) < 0.15
    assert dof == seeds - 1 if shared else seeds - 1 < dof <= LINES * (seeds - 1)


def test_errors_of_means_and_gains_come_from_all_lines_below_four_seeds():
    values = draw(np.random.default_rng(1), 3, shared=20.0)
    lines = column(values, sign=-1.0)
    mean, pooled = lines.mean(2)
    assert pooled == LINES and mean.value == pytest.approx(values[2].mean())
    gain = lines.gain(2, 0)
    centred = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    assert gain.value == pytest.approx(values[0].mean() - values[2].mean())  # of a loss less is better
    assert gain.error == pytest.approx(math.sqrt(2 / 3 * (centred**2).sum() / 14), rel=1e-9) and gain.dof == 14


def test_from_four_seeds_on_every_line_has_its_own_error():
    values = draw(np.random.default_rng(2), 4)
    lines = column(values)
    mean, pooled = lines.mean(3)
    assert pooled == 1 and mean.error == pytest.approx(scipy.stats.sem(values[3]), rel=1e-12) and mean.dof == 3
    paired = scipy.stats.ttest_rel(values[3], values[0])
    assert p_value(lines.gain(3, 0)) == pytest.approx(paired.pvalue, rel=1e-9)


def test_seeds_that_move_all_lines_leave_as_many_degrees_of_freedom_as_one_line_has():
    alike = column(draw(np.random.default_rng(0), 3))
    together = column(draw(np.random.default_rng(0), 3, shared=20.0))
    assert alike.mean(0)[0].dof > 10 and together.mean(0)[0].dof == 2
    # Paired differences are free of what a seed adds.
    assert together.gain(1, 0).dof == alike.gain(1, 0).dof == 14


def test_lines_that_cannot_be_pooled_are_left_out():
    values = draw(np.random.default_rng(4), 3)
    values[1, 2] = np.nan
    twice = [*values, values[0]]
    mean, pooled = column(twice).mean(0)
    assert pooled == LINES - 1 and math.isfinite(mean.error)
    assert math.isnan(column(twice).mean(1)[0].value) and math.isnan(column(twice).gain(1, 0).value)
    assert (column(twice).diverged(2, 1), column(twice).diverged(2, 0)) == (1, 0)
    same = column(twice).gain(0, LINES)
    assert same.value == 0 and not same.is_testable  # they are the same runs
    other_seeds = Column([LineValues((0, 1), values[0, :2]), *(LineValues((0, 1, 2), v) for v in values[2:])], 1.0)
    assert other_seeds.mean(0)[1] == 1 and other_seeds.mean(1)[1] == LINES - 2
    assert other_seeds.gain(1, 0).units == 2 and other_seeds.gain(1, 0).dof == 1


@given(st.lists(st.floats(1e-12, 1), min_size=1, max_size=30))
def test_benjamini_hochberg_is_that_of_scipy(p_values):
    np.testing.assert_allclose(benjamini_hochberg(p_values), scipy.stats.false_discovery_control(p_values), rtol=1e-9)


def test_nothing_to_correct():
    assert benjamini_hochberg([]) == []


@pytest.mark.parametrize("count", [2, 3, 5])
def test_welch_is_that_of_scipy_for_samples_of_equal_size(count):
    expected = scipy.stats.ttest_ind_from_stats(88.5, 0.3, count, 88.1, 0.12, count, equal_var=False)
    assert p_value(welch(88.5, 0.3, count, 88.1, 0.12, count)) == pytest.approx(expected.pvalue, rel=1e-9)


def test_welch_has_no_more_degrees_of_freedom_than_twice_the_smaller_sample():
    assert welch(1.0, 0.3, 8, 0.0, 0.01, 3).dof == 4
    alone = welch(1.0, 0.3, 8, 0.0, 0.3, 3)
    parts = 0.3**2 / 8, 0.3**2 / 3
    assert alone.dof == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 7 + parts[1] ** 2 / 2)) and alone.dof < 4
    assert not welch(1.0, math.nan, 1, 0.0, 0.3, 3).is_testable and not welch(1.0, 0.0, 3, 0.0, 0.0, 3).is_testable
    assert welch(1.0, 0.3, 3, 0.0, 0.0, 3).dof == pytest.approx(2)
    assert not welch(math.nan, math.nan, 3, 0.0, 0.3, 3).is_testable


# --- which lines are best ---


def test_best_are_the_best_mean_and_what_is_not_separated_from_it():
    noise = 0.1 * draw(np.random.default_rng(5), 3)
    values = noise + np.array([90, 90, 90, 80, 80, 70, 70, 60.0])[:, None]
    best = column(values).best(range(LINES))
    assert best.lines == {0, 1, 2}
    assert min(best.p[line] for line in (0, 1, 2) if line in best.p) > 0.05 > max(best.p[line] for line in range(3, 8))
    assert column(values, sign=-1.0).best(range(LINES)).lines == {7}
    assert column(values).best(range(3, LINES)).lines == {3, 4}
    # The pairs, corrected by hand: the first line against the fourth.
    pairs = list(itertools.combinations(range(LINES), 2))
    raw = {pair: p_value(column(values).gain(*pair)) for pair in pairs}
    first = int(values.mean(axis=1).argmax())
    rank = sorted(raw, key=raw.get).index((first, 3))
    assert best.p[3] >= raw[first, 3] * (len(pairs) - rank) * (1 - 1e-9)


@pytest.mark.parametrize(
    "values",
    [
        [[90.0], [80.0]],  # one seed
        [[90.0, 91.0]],  # one line
        [[90.0, math.nan], [80.0, 81.0]],  # one that finished
        [[90.0, 91.0], [90.0, 91.0]],  # the same runs
    ],
)
def test_where_nothing_can_be_separated_nothing_is_best(values):
    assert column(values).best(range(len(values))).lines == set()


def test_a_diverged_line_is_not_best_and_keeps_none_from_being_best():
    values = np.array([90, 70, 99.0])[:, None] + 0.1 * draw(np.random.default_rng(6), 5, (1.0,) * 3)
    values[2, 0] = np.nan
    best = column(values).best(range(3))
    assert best.lines == {0} and set(best.p) == {1}


# --- simulations: the true mean is 0 ---


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("shared", [0.0, 0.7, 3.0])
def test_pooled_intervals_cover_the_true_mean(seeds, shared):
    covered = [covers(column(v).mean(line)[0]) for v in simulated(seeds, shared=shared) for line in range(LINES)]
    # What seeds share makes the intervals of an experiment cover together, so that 1,000 of them say less.
    assert (0.93 if shared < 1 else 0.92) <= np.mean(covered) <= (0.97 if shared < 0.5 else 0.985)


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("shared", [0.0, 3.0])
def test_intervals_of_differences_cover_the_true_one(seeds, shared):
    covered = [covers(column(v).gain(line, 0)) for v in simulated(seeds, shared=shared) for line in range(1, LINES)]
    assert 0.93 <= np.mean(covered) <= 0.97


def test_intervals_are_narrower_than_those_of_two_seeds_alone():
    widths = {"pooled": [], "own": []}
    for values in simulated(2, runs=200):
        for line in range(LINES):
            low, high = inference.interval(column(values).mean(line)[0])
            widths["pooled"].append(high - low)
            low, high = inference.interval(inference.mean_of(values[line]))
            widths["own"].append(high - low)
    assert np.median(widths["pooled"]) < 4 and np.median(widths["own"]) > 8


def test_a_line_that_varies_more_than_the_others_is_covered_less():
    """The price of pooling, as docs/reproducing.md says: the others are covered more, that line less."""
    deviations = (1.0,) * (LINES - 1) + (3.0,)
    covered = np.array(
        [[covers(column(v).mean(line)[0]) for line in range(LINES)] for v in simulated(3, deviations=deviations)]
    ).mean(axis=0)
    assert covered[-1] < 0.8 and covered[:-1].min() > 0.95 and 0.92 <= covered.mean() <= 0.97


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("shared", [0.0, 2.0])
def test_at_most_five_percent_of_columns_of_equal_lines_have_a_best_one(seeds, shared):
    found = [bool(column(v).best(range(LINES)).lines) for v in simulated(seeds, runs=500, shared=shared)]
    assert np.mean(found) <= 0.05


def test_comparisons_with_the_best_alone_would_find_one_too_often():
    """Why all pairs are corrected for: the data say which line is the best."""

    def any_below(values):
        lines, first = column(values), int(values.mean(axis=1).argmax())
        p = [p_value(lines.gain(line, first)) for line in range(LINES) if line != first]
        return min(inference.holm(p)) < 0.05

    assert np.mean([any_below(v) for v in simulated(3, runs=500)]) > 0.06


def paper_and_ours(rng, ours, theirs, together):
    """p-values of 24 cells with equal truth: tasks and their average, whose deviation takes tasks to be independent."""
    p = []
    for _ in range(24):
        samples = []
        for count in (ours, theirs):
            tasks = math.sqrt(1 - together) * rng.normal(size=(TASKS, count)) + math.sqrt(together) * rng.normal(
                size=count
            )
            variances = tasks.var(axis=1, ddof=1)
            of_average = math.sqrt(variances.sum()) / TASKS
            samples.append((tasks.mean(axis=1), np.sqrt(variances), of_average, tasks.mean(axis=0).std(ddof=1)))
        (mean, std, of_average, actual), (other_mean, other_std, other_of_average, _) = samples
        excess = max(1.0, actual / of_average)
        columns = np.array([mean, std, other_mean, other_std]).T
        p += [p_value(welch(a, b, ours, c, d, theirs)) for a, b, c, d in columns]
        p.append(
            p_value(welch(mean.mean(), excess * of_average, ours, other_mean.mean(), excess * other_of_average, theirs))
        )
    return p


@pytest.mark.parametrize(("ours", "theirs"), [(2, 2), (3, 3), (3, 2), (8, 3)])
@pytest.mark.parametrize("together", [0.0, 0.9])
def test_at_most_five_percent_of_tables_with_equal_numbers_have_a_mark(ours, theirs, together):
    rng = np.random.default_rng([ours, theirs])
    marked = [min(benjamini_hochberg(paper_and_ours(rng, ours, theirs, together))) < 0.05 for _ in range(150)]
    assert np.mean(marked) <= 0.05


def test_numbers_that_differ_far_beyond_the_deviations_are_marked():
    rng = np.random.default_rng(7)
    p = [p_value(welch(20 + rng.normal(), 1.0, 3, rng.normal(), 1.0, 3)) for _ in range(50)]
    assert max(benjamini_hochberg(p)) < 0.05
