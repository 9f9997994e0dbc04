"""Ray Tune's PBT and PB2 on the simplex, reproducible from a seed.

What is changed of Ray's schedulers: first weights are ours, weights are renormalised after every change, and all that
is drawn in a round of copying comes from a state seeded by (search, interval). So, in synchronous mode, the decisions
are a function of the scores, in whatever order members report them.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from ray.train._internal.session import _TrainingResult
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, PopulationBasedTraining
from ray.tune.schedulers.pb2 import PB2

from scalarization import seeds
from scalarization.search.first import first_weights, normalised
from scalarization.searches import Search
from scalarization.training.interval import Lineage

# Ray tells of every copy; the history does.
logging.getLogger("ray.tune").setLevel(logging.WARNING)
#: What trials report; schedulers compare it.
SCORE = "score"


def keys(search: Search) -> list[str]:
    """Names of the weights in a trial's configuration."""
    return [f"p{number}" for number in range(len(search.cell.tasks))]


def weights_of(search: Search, config: dict[str, Any]) -> tuple[float, ...]:
    """The weights in a trial's configuration."""
    return tuple(float(config[k]) for k in keys(search))


class _Population:
    """What both schedulers need beyond Ray's: first weights, seeded draws, and who copied whom."""

    search: Search

    def follow(self, search: Search) -> None:
        """Take a search as one's own."""
        self.search = search
        self._first = first_weights(search)
        #: Member -> the member whose state it goes on from, and that one's weights.
        self.parents: dict[int, tuple[int, tuple[float, ...]]] = {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Give a new member its first weights."""
        trial.config.update(zip(keys(self.search), self._first[trial.config["member"]], strict=True))
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Ray's decision; the last member of an interval to report makes all copy and explore."""
        with _drawing(self.search, result["training_iteration"]):
            return super().on_trial_result(tune_controller, trial, result)

    def _exploit(self, tune_controller: Any, trial: Trial, trial_to_clone: Trial) -> None:
        before = weights_of(self.search, trial_to_clone.config)
        super()._exploit(tune_controller, trial, trial_to_clone)
        self.parents[trial.config["member"]] = (trial_to_clone.config["member"], before)


class _PBT(_Population, PopulationBasedTraining):
    def _get_new_config(self, trial: Trial, trial_to_clone: Trial) -> tuple[dict, dict]:
        config, operations = super()._get_new_config(trial, trial_to_clone)
        return {**config, "member": trial.config["member"]}, operations


class _PB2(_Population, PB2):
    def _get_new_config(self, trial: Trial, trial_to_clone: Trial) -> tuple[dict, dict]:
        # Rows come in the order in which members reported; the Gaussian process would differ in its last bits.
        self.data = self.data.sort_values(["Time", "Trial"], kind="stable").reset_index(drop=True)
        known = len(self.data)
        config, operations = super()._get_new_config(trial, trial_to_clone)
        weights = list(weights_of(self.search, config))
        if len(self.data) > known:
            # Ray notes the weights as the Gaussian process proposed them. Left so, the next score, under the
            # renormalised ones, would seem to belong to another setting and never be learnt from.
            self.data.loc[self.data.index[-1], keys(self.search)] = weights
            self.current[-1] = weights
        else:
            # A copy that does not explore is not noted at all, and nothing would be learnt from it, or from its
            # copies, until it has kept its weights for two intervals.
            last = self.data[self.data["Trial"] == str(trial_to_clone)].iloc[-1]
            noted = {"Trial": str(trial), "Time": last["Time"], "Reward": last["Reward"]}
            row = pd.DataFrame([noted | dict(zip(keys(self.search), weights, strict=True))], columns=self.data.columns)
            self.data = pd.concat([self.data, row], ignore_index=True)
        return {**config, "member": trial.config["member"]}, operations


class _Constant(_Population, FIFOScheduler):
    """Nobody copies: members train to the end with their first weights."""


def population_scheduler(search: Search) -> FIFOScheduler:
    """The scheduler of one search: Ray's PBT or PB2, or, where nobody copies, first come, first served."""
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
        # Of a vector that is uniform on the simplex, each weight has this distribution.
        others = len(search.cell.tasks) - 1
        scheduler = _PBT(
            **common,
            hyperparam_mutations={k: (lambda: random.betavariate(1, others)) for k in keys(search)},
            resample_probability=search.resample_probability,
            perturbation_factors=search.perturbation_factors,
        )
    elif search.method == "pb2":
        scheduler = _PB2(**common, hyperparam_bounds={k: [0.0, 1.0] for k in keys(search)})
    else:
        scheduler = _Constant()
    scheduler.follow(search)
    return scheduler


class Population:
    """The members of one search, as Ray's schedulers see them: trials that wait, run or are finished.

    It stands in for Tune's own loop, which ends a worker whenever all members wait for each other, and so would import
    torch anew in every interval (measured: half a minute each on two cores). Decisions are Ray's all the same.

    Args:
        search: The search.
    """

    search_alg = None

    def __init__(self, search: Search) -> None:
        self.search = search
        self._scheduler = population_scheduler(search)
        self._trials = [
            Trial("scalarization", stub=True, trial_id=f"{search.name}/{member:04d}", config={"member": member})
            for member in range(len(first_weights(search)))
        ]
        for trial in self._trials:
            trial.set_status(Trial.PENDING)
            self._scheduler.on_trial_add(self, trial)

    def get_trials(self) -> list[Trial]:
        """All members (asked for by Ray's schedulers)."""
        return self._trials

    def get_live_trials(self) -> set[Trial]:
        """Members that are not finished (asked for by Ray's schedulers)."""
        return {t for t in self._trials if not t.is_finished()}

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self._trials)

    @property
    def progress(self) -> float:
        """Finished part of all intervals."""
        intervals = [len(_lineage(t)) if not t.is_finished() else len(self.search.ends) for t in self._trials]
        return sum(intervals) / (len(self._trials) * len(self.search.ends))

    @property
    def finished(self) -> bool:
        """Whether no member has anything left to train."""
        return all(t.is_finished() for t in self._trials)

    def start(self) -> tuple[int, Lineage] | None:
        """A member that can be trained now, with the weights of its intervals up to the one to train; or None."""
        trial = self._scheduler.choose_trial_to_run(self)
        if trial is None:
            return None
        trial.set_status(Trial.RUNNING)
        return trial.config["member"], (*_lineage(trial), weights_of(self.search, trial.config))

    def report(self, member: int, lineage: Lineage, score: float) -> tuple[int, tuple[float, ...]] | None:
        """Tell the result of an interval; the last member to do so makes all copy and explore.

        Args:
            member: The member.
            lineage: As :meth:`start` returned it.
            score: The higher the better.

        Returns:
            The member from whose state this interval went on, and the weights of that one; None: from its own.
        """
        trial = self._trials[member]
        parent = self._scheduler.parents.pop(member, None)
        result = {"training_iteration": len(lineage), SCORE: score}
        trial.run_metadata.checkpoint_manager._latest_checkpoint_result = _TrainingResult(lineage, result)
        trial.update_last_result(result)
        if len(lineage) == len(self.search.ends):
            trial.set_status(Trial.TERMINATED)
            self._scheduler.on_trial_complete(self, trial, result)
        else:
            # Ray's schedulers copy from, and into, members that are paused with a checkpoint. Theirs is the lineage.
            trial.set_status(Trial.PAUSED)
            self._scheduler.on_trial_result(self, trial, result)
        return parent


def _lineage(trial: Trial) -> Lineage:
    return trial.checkpoint or ()


def _on_simplex(search: Search, config: dict[str, Any]) -> dict[str, Any]:
    weights = normalised([config[k] for k in keys(search)])
    return {**config, **dict(zip(keys(search), weights, strict=True))}


@contextlib.contextmanager
def _drawing(search: Search, interval: int) -> Iterator[None]:
    """Python's and NumPy's global random states, from which Ray draws, are seeded inside and as before afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    first, second = seeds.integers(
        search.cell.specification["root_seed"], search.seed, "search_round", interval, size=2
    )
    random.seed(first)
    np.random.seed(second % 2**32)
    try:
        # PB2's Gaussian process tells at every fit that a parameter is at its bound, and SciPy that an option is old.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
