"""Cross-fitting of p*: against loops in plain NumPy, and on simulated experiments whose true gain is known."""

import math

import numpy as np
import pytest

from scalarization.analysis import cross_fitting, inference, runs

#: Correlation of validation and test values of a model, as on the bundled digits (0.71 to 0.98).
CORRELATION = 0.9
EXPERIMENTS = 2000


def condition(joint, single=None):
    """Results of candidates: split -> values [candidates, seeds]; of SD [seeds]. Both tasks have the same values."""
    count = joint["test"].shape[1]
    single = np.zeros(count) if single is None else single
    return runs.ConditionResults(
        None,
        tuple(runs.Candidate("grid", n, (0.5, 0.5)) for n in range(len(joint["test"]))),
        tuple(range(count)),
        "accuracy",
        {split: np.repeat(values[:, :, None], 2, axis=2) for split, values in joint.items()},
        {split: np.repeat(single[:, None], 2, axis=1) for split in joint},
    )


def cross_fit(validation, test):
    results = condition({"validation": validation, "test": test})
    return results.cross_fit(results.joint["test"].mean(axis=2))


def measured(validation, test):
    """Each seed at the candidate that is best for the others, in a loop."""
    values = []
    for seed in range(test.shape[1]):
        others = np.delete(validation, seed, axis=1).mean(axis=1)
        values.append(test[np.argmax(others), seed])
    return np.array(values)


def random_values(seeds, candidates=4, rng=3):
    rng = np.random.default_rng(rng)
    return rng.normal(80, 2, (candidates, seeds)), rng.normal(80, 2, (candidates, seeds))


@pytest.mark.parametrize("seeds", [2, 3, 4, 7])
def test_each_seed_is_measured_at_the_choice_of_the_others(seeds):
    validation, test = random_values(seeds)
    fitted = cross_fit(validation, test)
    np.testing.assert_allclose(fitted.values, measured(validation, test), rtol=1e-12)
    assert fitted.is_cross_fitted
    assert fitted.adjusted.mean() == pytest.approx(fitted.values.mean(), rel=1e-12)


@pytest.mark.parametrize("seeds", [3, 4, 7])
def test_interval_is_that_of_the_jackknife_over_whole_seeds(seeds):
    validation, test = random_values(seeds)
    fitted = cross_fit(validation, test)
    without = [measured(*(np.delete(v, seed, axis=1) for v in (validation, test))).mean() for seed in range(seeds)]
    variance = (seeds - 1) / seeds * np.sum((np.array(without) - np.mean(without)) ** 2)
    assert inference.mean_of(fitted.adjusted).error == pytest.approx(math.sqrt(variance), rel=1e-9)
    spread = fitted.spread()
    assert spread["mean"] == pytest.approx(measured(validation, test).mean())
    assert spread["std"] == pytest.approx(measured(validation, test).std(ddof=1))
    expected = inference.interval(inference.mean_of(fitted.adjusted))
    assert (spread["low"], spread["high"]) == pytest.approx(expected)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_choice_on_which_all_seeds_agree_adds_nothing(seeds):
    validation, test = random_values(seeds)
    validation[2] += 100
    fitted = cross_fit(validation, test)
    np.testing.assert_allclose(fitted.values, test[2])
    np.testing.assert_allclose(fitted.adjusted, test[2])


def test_two_seeds_that_choose_differently_have_a_wider_interval():
    fitted = cross_fit(np.array([[80.0, 70.0], [70.0, 80.0]]), np.array([[10.0, 1.0], [4.0, 20.0]]))
    assert fitted.values.tolist() == [4, 1]  # each at the other's choice
    assert fitted.adjusted == pytest.approx([2.5 + math.sqrt(3) * 1.5, 2.5 - math.sqrt(3) * 1.5])


def test_one_seed_chooses_and_is_measured_and_says_so():
    fitted = cross_fit(np.array([[80.0], [90.0]]), np.array([[1.0], [2.0]]))
    assert fitted.values.tolist() == [2]
    assert not fitted.is_cross_fitted
    assert not inference.mean_of(fitted.adjusted).is_testable


def test_whoever_chooses_chooses_no_candidate_with_a_diverged_run():
    validation, test = random_values(4)
    validation[1] += 100
    validation[1, 2] = test[1, 2] = np.nan  # seed 2 alone diverged, and the others would choose this candidate
    fitted = cross_fit(validation, test)
    np.testing.assert_allclose(fitted.values, measured(np.delete(validation, 1, axis=0), np.delete(test, 1, axis=0)))


def test_a_baseline_that_diverged_leaves_its_seeds_known_and_other_columns_alone():
    validation, _ = random_values(3)
    validation[0] += [1, -5, 2]
    values = np.random.default_rng(0).normal(size=(4, 3, 2))
    values[:, 1, 0] = np.nan
    results = condition({"validation": validation, "test": validation})
    fitted = results.cross_fit(values)
    assert np.isnan(fitted.adjusted[:, 0]).tolist() == np.isnan(fitted.values[:, 0]).tolist() == [False, True, False]
    np.testing.assert_allclose(fitted.adjusted[:, 1], results.cross_fit(values[:, :, 1]).adjusted)


def test_without_a_candidate_that_finished_the_fewest_diverged_runs_are_shown():
    validation = np.array([[np.nan, np.nan, 1.0], [np.nan, 1.0, 1.0]])
    fitted = cross_fit(validation, validation)
    assert fitted.spread()["diverged"] == 1


def test_adjusted_values_of_a_difference_are_the_difference_of_the_adjusted_values():
    validation, test = random_values(5)
    results = condition({"validation": validation, "test": test})
    other = np.random.default_rng(1).normal(size=test.shape)
    whole, first, second = (results.cross_fit(v).adjusted for v in (test - other, test, other))
    np.testing.assert_allclose(whole, first - second)


def simulated(candidates, seeds, effects, rng):
    """Gains of joint training over SD in one experiment: validation and test values share most of their noise."""
    noise = rng.normal(size=(candidates, seeds))
    own = rng.normal(size=(candidates, seeds))
    validation = effects[:, None] + noise
    test = effects[:, None] + CORRELATION * noise + math.sqrt(1 - CORRELATION**2) * own
    return validation, test, rng.normal(size=seeds)


#: Candidates, seeds, how far the true gains of the candidates are apart.
CASES = [(2, 2, 0), (9, 2, 0), (9, 2, 1), (2, 3, 0), (5, 3, 0), (9, 3, 1), (5, 5, 0), (9, 5, 1)]


@pytest.mark.parametrize(("candidates", "seeds", "apart"), CASES)
def test_cross_fitted_gain_is_not_biased_and_its_interval_covers_the_truth(candidates, seeds, apart):
    rng = np.random.default_rng([candidates, seeds, apart])
    effects = apart * np.linspace(-1, 1, candidates)
    true, naive_errors, plain, adjusted = [], [], [], []
    for _ in range(EXPERIMENTS):
        validation, test, single = simulated(candidates, seeds, effects, rng)
        results = condition({"validation": validation, "test": test}, single)
        fitted = results.cross_fit(results.difference("test").mean(axis=2))
        true.append(np.mean([effects[n] for n in results.other_seeds_choices]))
        naive_errors.append((test[results.optimum] - single).mean() - effects[results.optimum])
        plain.append(fitted.values)
        adjusted.append(fitted.adjusted)
    errors = np.mean(adjusted, axis=1) - true
    standard_error = np.std(errors) / math.sqrt(EXPERIMENTS)
    assert abs(np.mean(errors)) < 3 * standard_error  # of eight cases one is often beyond 2
    assert np.mean(naive_errors) > 5 * standard_error
    # What is estimated is the mean gain of the candidates that all seeds but one choose. The jackknife errs on the safe
    # side: of many equal candidates the intervals cover more than 97 percent.
    assert 0.93 < coverage(adjusted, np.mean(true)) < 0.985
    assert coverage(plain, np.mean(true)) < coverage(adjusted, np.mean(true))


def coverage(values, truth):
    """How often the t interval of simulated experiments, values [experiments, seeds], covers the truth."""
    intervals = np.array([inference.interval(inference.mean_of(of_one)) for of_one in values])
    return np.mean((intervals[:, 0] < truth) & (truth < intervals[:, 1]))


def test_plain_interval_of_cross_fitted_values_would_not_cover():
    """Why the jackknife is needed: seeds help to choose for each other."""
    rng = np.random.default_rng(7)
    simulations = [simulated(9, 5, np.zeros(9), rng) for _ in range(EXPERIMENTS)]
    assert coverage([cross_fit(validation, test).values for validation, test, _ in simulations], 0) < 0.9


def test_cross_fit_takes_any_choice():
    table = {"a": np.array([1.0, 2.0, 3.0]), "b": np.array([10.0, 20.0, 30.0])}
    fitted = cross_fitting.cross_fit(lambda seeds: "a" if 0 in seeds else "b", table.__getitem__, 3)
    assert fitted.values.tolist() == [10, 2, 3]
