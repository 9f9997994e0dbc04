"""Ray Tune's PBT and PB2 on the simplex, reproducible from a seed.

Five things differ from Ray's schedulers. The initial settings are ours. Weights are renormalised after every change. A
member that diverged is always replaced, and never copied. A member that exploits always explores: its weights differ
from those of every other member. All draws of a round of exploitation come from a state that is seeded by search and
interval. In synchronous mode the decisions are therefore a function of the scores, in whatever order the members report
them.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from ray.train._internal.session import _TrainingResult
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, PopulationBasedTraining
from ray.tune.schedulers.pb2 import PB2
from ray.tune.schedulers.pbt import _explore, _PBTTrialState

from scalarization.plan.cells import Search
from scalarization.search import draws
from scalarization.search.intervals import Lineage
from scalarization.search.scores import DIVERGED, ranked
from scalarization.search.settings import Setting, initial_settings, normalised

# Ray logs every exploitation; the history has them.
logging.getLogger("ray.tune").setLevel(logging.WARNING)
#: Key of the score in what trials report; schedulers compare its values.
SCORE = "score"
#: Weights are the same if none differs by more than this: they were renormalised after different operations.
TOLERANCE = 1e-9
#: Attempts to perturb the weights of a copied member until they differ from those of every other member.
ATTEMPTS = 20


def setting_keys(search: Search) -> list[str]:
    """Names of a setting's numbers in the configuration of a trial: the weights, or the learning rate."""
    return ["lr"] if search.varies_lr else [f"p{number}" for number in range(len(search.cell.tasks))]


def setting_of(search: Search, config: dict[str, Any]) -> Setting:
    """The setting in the configuration of a trial."""
    return tuple(float(config[key]) for key in setting_keys(search))


#: What comes after :class:`_SearchScheduler` in the bases of a class is one of Ray's schedulers, which have no types.
_Scheduler: Any = object


class _SearchScheduler(_Scheduler):
    """What all schedulers need beyond Ray's: initial settings, seeded draws, and the parents of exploiting members."""

    search: Search

    def bind(self, search: Search) -> None:
        """Schedule the members of this search."""
        self.search = search
        self._initial_settings = initial_settings(search)
        #: Member -> the member whose state it resumes from, and the setting of that member.
        self.parents: dict[int, tuple[int, Setting]] = {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Give a new member its initial setting."""
        setting = self._initial_settings[trial.config["member"]]
        trial.config.update(zip(setting_keys(self.search), setting, strict=True))
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Ray's decision; when the last member of an interval reports, all members exploit and explore."""
        with _seeded(self.search, result["training_iteration"]):
            return super().on_trial_result(tune_controller, trial, result)


class _ExploitingScheduler(_SearchScheduler):
    """What PBT and PB2 have in common: which members exploit which, and that none copies another one's weights."""

    _trial_state: dict[Trial, _PBTTrialState]

    def _quantiles(self) -> tuple[list[Trial], list[Trial]]:
        """Members that exploit and members that are copied, each from the worst to the best, as Ray's are.

        Ray leaves members without a score out of both, so that they would be trained to the end (Ray's issues 8671,
        11670 and 57160). Here all members that diverged exploit. If all have, nobody can be copied.
        """
        trials = sorted(self._trial_state, key=lambda t: self._trial_state[t].last_score)
        diverged = sum(self._trial_state[t].last_score == DIVERGED for t in trials)
        if diverged == len(trials):
            return [], []
        count = self.search.num_exploiting
        return trials[: max(count, diverged)], trials[max(len(trials) - count, diverged) :]

    def _exploit(self, tune_controller: Any, trial: Trial, trial_to_clone: Trial) -> None:
        before = setting_of(self.search, trial_to_clone.config)
        super()._exploit(tune_controller, trial, trial_to_clone)
        self.parents[trial.config["member"]] = (trial_to_clone.config["member"], before)

    def _explored(self, trial: Trial, trial_to_clone: Trial, proposed: tuple[float, ...]) -> tuple[float, ...]:
        """Weights for a member that exploits, which no other member has.

        With the weights of the member whose state it copies it would be trained for an interval in vain, because
        training is deterministic.

        Args:
            trial: The member.
            trial_to_clone: The member whose state it copies.
            proposed: What the scheduler proposes. If another member has these weights, those of ``trial_to_clone`` are
                perturbed as PBT does; if that does not help, such as for factors that cancel in the renormalisation,
                weights are drawn uniformly from the simplex.
        """
        others = np.array([setting_of(self.search, t.config) for t in self._trial_state if t is not trial])
        weights, attempts = proposed, 0
        while np.abs(others - weights).max(axis=1).min() <= TOLERANCE:
            weights = self._perturbed(trial_to_clone) if attempts < ATTEMPTS else _uniform_draw(len(proposed))
            attempts += 1
        return weights

    def _perturbed(self, trial: Trial) -> tuple[float, ...]:
        """The weights of a member, changed as PBT does."""
        search, explore = self.search, functools.partial(_on_simplex, self.search)
        factors = search.perturbation_factors
        config, _ = _explore(trial.config, _mutations(search), search.resample_probability, factors, explore)
        return setting_of(search, config)

    def _config(self, trial: Trial, weights: tuple[float, ...]) -> dict[str, Any]:
        return {**trial.config, **dict(zip(setting_keys(self.search), weights, strict=True))}


class _PBT(_ExploitingScheduler, PopulationBasedTraining):
    def _get_new_config(self, trial: Trial, trial_to_clone: Trial) -> tuple[dict, dict]:
        config, operations = super()._get_new_config(trial, trial_to_clone)
        weights = self._explored(trial, trial_to_clone, setting_of(self.search, config))
        return self._config(trial, weights), operations


class _PB2(_ExploitingScheduler, PB2):
    data: pd.DataFrame
    current: Any

    def _save_trial_state(self, state: _PBTTrialState, time: int, result: dict[str, Any], trial: Trial) -> None:
        """Record a score for the Gaussian process, unless the member diverged."""
        before = self.data
        super()._save_trial_state(state, time, result, trial)
        if state.last_score == DIVERGED:
            self.data = before

    def _get_new_config(self, trial: Trial, trial_to_clone: Trial) -> tuple[dict, dict]:
        # Rows are in the order in which members reported, and the last bits of the Gaussian process depend on it.
        self.data = self.data.sort_values(["Time", "Trial"], kind="stable").reset_index(drop=True)
        rows_before = len(self.data)
        config, operations = super()._get_new_config(trial, trial_to_clone)
        # After the first interval there is no difference of two scores to learn from, and Ray proposes what the copied
        # member has.
        weights = self._explored(trial, trial_to_clone, setting_of(self.search, config))
        # Ray records the weights as the Gaussian process proposed them, and none without a proposal. The next score,
        # under other weights, would seem to belong to another setting, and PB2 would never learn from it.
        if len(self.data) == rows_before:
            last = self.data[self.data["Trial"] == str(trial_to_clone)].iloc[-1]
            record = pd.DataFrame([{"Trial": str(trial), "Time": last["Time"], "Reward": last["Reward"]}])
            self.data = pd.concat([self.data, record], ignore_index=True)
        self.data.loc[self.data.index[-1], setting_keys(self.search)] = weights
        self.current[-1] = weights
        return self._config(trial, weights), operations


class _Constant(_SearchScheduler, FIFOScheduler):
    """No exploitation: all members are trained to the end with their initial settings."""


def population_scheduler(search: Search) -> FIFOScheduler:
    """The scheduler of one search: Ray's PBT or PB2; without exploitation, first come, first served."""
    common = {
        "time_attr": "training_iteration",
        "metric": SCORE,
        "mode": "max",
        "perturbation_interval": 1,
        "quantile_fraction": search.quantile,
        "custom_explore_fn": functools.partial(_on_simplex, search),
        "log_config": False,
        "synch": True,
    }
    if search.method == "pbt":
        scheduler = _PBT(
            **common,
            hyperparam_mutations=_mutations(search),
            resample_probability=search.resample_probability,
            perturbation_factors=search.perturbation_factors,
        )
    elif search.method == "pb2":
        scheduler = _PB2(**common, hyperparam_bounds={key: [0.0, 1.0] for key in setting_keys(search)})
    else:
        scheduler = _Constant()
    scheduler.bind(search)
    return scheduler


class Population:
    """The members of one search, as Ray's schedulers see them: trials that are waiting, running or finished.

    It replaces Tune's own loop. That loop ends a worker whenever all members wait for each other, and the next worker
    would import torch in every interval (measured: half a minute each on two cores). All decisions are Ray's.

    Args:
        search: The search.
    """

    search_alg = None

    def __init__(self, search: Search) -> None:
        self.search = search
        self._scheduler = population_scheduler(search)
        self._trials = [
            Trial("scalarization", stub=True, trial_id=f"{search.name}/{member:04d}", config={"member": member})
            for member in range(len(initial_settings(search)))
        ]
        for trial in self._trials:
            trial.set_status(Trial.PENDING)
            self._scheduler.on_trial_add(self, trial)

    def get_trials(self) -> list[Trial]:
        """All members (called by Ray's schedulers)."""
        return self._trials

    def get_live_trials(self) -> set[Trial]:
        """Members that are not finished (called by Ray's schedulers)."""
        return {t for t in self._trials if not t.is_finished()}

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self._trials)

    @property
    def progress(self) -> float:
        """Fraction of all intervals that are finished."""
        count = len(self.search.interval_ends)
        intervals = [count if t.is_finished() else len(_lineage(t)) for t in self._trials]
        return sum(intervals) / (len(self._trials) * count)

    @property
    def finished(self) -> bool:
        """Whether all members are trained to the end."""
        return all(t.is_finished() for t in self._trials)

    def start(self) -> tuple[int, Lineage] | None:
        """A member that can be trained now, with the settings of its intervals up to the next; None: no member."""
        trial = self._scheduler.choose_trial_to_run(self)
        if trial is None:
            return None
        trial.set_status(Trial.RUNNING)
        return trial.config["member"], (*_lineage(trial), setting_of(self.search, trial.config))

    def report(self, member: int, lineage: Lineage, score: float) -> tuple[int, Setting] | None:
        """Report the result of an interval; the report of the last member makes all exploit and explore.

        Args:
            member: The member.
            lineage: As :meth:`start` returned it.
            score: Higher is better; of a member that diverged it is not finite.

        Returns:
            The member whose state this interval resumed from, and the setting of that member; None: its own state.
        """
        trial = self._trials[member]
        parent = self._scheduler.parents.pop(member, None)
        result = {"training_iteration": len(lineage), SCORE: ranked(score)}
        trial.run_metadata.checkpoint_manager._latest_checkpoint_result = _TrainingResult(lineage, result)
        trial.update_last_result(result)
        if len(lineage) == len(self.search.interval_ends):
            trial.set_status(Trial.TERMINATED)
            self._scheduler.on_trial_complete(self, trial, result)
        else:
            # Ray's schedulers copy between members that are paused with a checkpoint. The checkpoint is the lineage.
            trial.set_status(Trial.PAUSED)
            self._scheduler.on_trial_result(self, trial, result)
        return parent


def _lineage(trial: Trial) -> Lineage:
    return trial.checkpoint or ()


def _mutations(search: Search) -> dict[str, Callable[[], float]]:
    """Weight -> draws it anew: each weight of a vector that is uniform on the simplex has this distribution."""
    other_tasks = len(search.cell.tasks) - 1
    return {key: (lambda: random.betavariate(1, other_tasks)) for key in setting_keys(search)}


def _uniform_draw(num_tasks: int) -> tuple[float, ...]:
    return normalised([random.expovariate(1) for _ in range(num_tasks)])


def _on_simplex(search: Search, config: dict[str, Any]) -> dict[str, Any]:
    keys = setting_keys(search)
    weights = normalised([config[key] for key in keys])
    return {**config, **dict(zip(keys, weights, strict=True))}


@contextlib.contextmanager
def _seeded(search: Search, interval: int) -> Iterator[None]:
    """Seed the global random states of Python and NumPy, from which Ray draws; they are restored at the end."""
    python, numpy = random.getstate(), np.random.get_state()
    first, second = draws.of_round(search, interval, size=2)
    random.seed(first)
    np.random.seed(second % 2**32)
    try:
        # At every fit PB2's Gaussian process warns of a parameter at its bound, SciPy of a deprecated option.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
