"""Search task weights for a problem that the preset does not search: search, then retrain with the policy."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from scalarization.architectures import Architecture
from scalarization.config import (
    Count,
    Experiment,
    NotNegative,
    Preset,
    SearchOptions,
    Section,
    UniqueList,
    checked,
    limits,
    suggestion,
)
from scalarization.config.names import LONGEST_WORD
from scalarization.errors import UserError
from scalarization.methods.searched import METHODS
from scalarization.plan import Plan, load_plan
from scalarization.plan.cells import Cell, Search
from scalarization.provenance import Provenance
from scalarization.search.history import Row
from scalarization.search.policies import resolve_policies
from scalarization.search.session import run_searches

#: Key of the search and of the experiment in the ad hoc preset.
NAME = "own"
#: Fraction Q of the members that exploit others, as in tables C and D (appendix 5.3).
QUANTILE = 0.4
#: Fraction r of the training set that members see.
FRACTION: float = SearchOptions.model_fields["fraction"].default
#: Number of intervals of a training unless the request says otherwise (the paper has 6 to 17).
INTERVALS = 10


class SearchRequest(Section):
    """A search that a user asks for."""

    benchmark: str = Field(description="A key of the preset's benchmarks.")
    budget: NotNegative = Field(
        8,
        le=limits.MEMBERS,
        description="In trainings of one model: N members on the fraction r and one training with the policy take N r "
        "+ 1.",
    )
    method: str = Field("pbt", description="pbt, pb2, search_grid, search_random or search_lr.")
    tasks: UniqueList[str] | None = Field(None, description="Tasks or domains; null: all groups, or all domains.")
    architecture: str | None = Field(
        None,
        description="Name of a backbone at one capacity; null: the first that the preset trains on the benchmark.",
    )
    epochs_ready: Count | None = Field(
        None, le=limits.EPOCHS, description="Epochs of an interval; null: a tenth of all."
    )
    seeds: Count = Field(
        2,
        le=limits.RUNS,
        description="Number of trainings with the policy, and with uniform weights, from which the gain is estimated.",
    )
    workers: Count | None = Field(
        None, le=limits.THREADS, description="Members trained at the same time; null: one per CPU core."
    )


@dataclass(frozen=True)
class AdHocSearch:
    """A search that was requested, and what is retrained after it.

    Attributes:
        plan: A preset of this search alone.
        search: The search.
        cells: The cell with uniform weights, and the cell with the policy.
    """

    plan: Plan
    search: Search
    cells: tuple[Cell, ...]


class Observer:
    """Is called while an ad hoc search proceeds; a subclass shows the progress."""

    def search_started(self, search: Search) -> None:
        """The data are prepared, and the search starts."""

    def interval_finished(self, search: Search, row: Row) -> None:
        """A member has finished an interval."""

    def search_finished(self) -> None:
        """The search is finished, and the retraining starts."""


def run_ad_hoc_search(plan: Plan, request: SearchRequest, observer: Observer) -> AdHocSearch:
    """Prepare the data, search, and train with the policy and with uniform weights.

    Args:
        plan: The preset that has the benchmark and its recipe.
        request: What to search.
        observer: Is called while the search proceeds.

    Raises:
        UserError: The request does not fit the preset.
        DataError: The prepared store is damaged, an output cannot be written, or all members of the search diverged.
        StoppedError: The process was asked to stop; the same call resumes.
    """
    from scalarization.training.job import train_shards

    ad_hoc = plan_ad_hoc_search(plan, request)
    _prepare(ad_hoc.plan, request.benchmark)
    observer.search_started(ad_hoc.search)
    run_searches(ad_hoc.plan, [ad_hoc.search], request.workers, on_row=observer.interval_finished)
    shards = [shard for cell in ad_hoc.cells for shard in ad_hoc.plan.shards(cell)]
    resolved = resolve_policies(ad_hoc.plan, shards)
    observer.search_finished()
    train_shards(ad_hoc.plan, resolved, None)
    return ad_hoc


def plan_ad_hoc_search(plan: Plan, request: SearchRequest) -> AdHocSearch:
    """The search, and the cells that are retrained after it.

    Raises:
        UserError: The request does not fit the preset.
    """
    own_plan = load_plan(replace(plan.config, preset=_preset(plan, request)))
    (search,) = own_plan.searches.values()
    return AdHocSearch(own_plan, search, tuple(own_plan.cells.values()))


def _prepare(plan: Plan, benchmark: str) -> None:
    """Fetch the original files and prepare the store, unless it is current."""
    from scalarization.data.download import download
    from scalarization.data.prepare import prepare

    store = plan.paths.store_file(benchmark)
    provenance = Provenance(plan)
    if provenance.problem(store) is None:
        return
    options = plan.preset.benchmarks[benchmark]
    if plan.benchmarks[benchmark].files:
        download(plan.paths, benchmark, options, show=True)
    origin = provenance.origin(store)
    prepare(store.parent, benchmark, options.domains, plan.paths.downloads, options.tasks, origin)


def _preset(plan: Plan, request: SearchRequest) -> Preset:
    """The preset with one search, and one experiment that trains with its policy and with uniform weights."""
    preset = plan.preset
    if request.benchmark not in preset.benchmarks:
        word = suggestion(request.benchmark, preset.benchmarks)
        raise UserError(f"--benchmark {request.benchmark}: not in {plan.config.preset_file}; {word}")
    if request.method not in METHODS:
        raise UserError(f"--method {request.method}: unknown; {suggestion(request.method, METHODS)}")
    benchmark = preset.benchmarks[request.benchmark]
    common = {"benchmark": request.benchmark, "architectures": _capacity_grid(plan, request)}
    task_set = _task_set(plan, request)
    experiment = {
        **common,
        "task_sets": task_set,
        "methods": {"uniform": {}, request.method: {"search": NAME}},
        "seeds": request.seeds,
    }
    search = {
        **common,
        "task_set": task_set,
        "method": request.method,
        "population": _population(request.budget),
        "epochs_ready": request.epochs_ready or max(1, round(benchmark.recipe.epochs / INTERVALS)),
        "quantile": QUANTILE,
    }
    source = f"search --benchmark {request.benchmark}"
    changes = {
        "experiments": {NAME: checked(Experiment, experiment, source)},
        "searches": {NAME: checked(SearchOptions, search, source)},
    }
    return preset.model_copy(update={**changes, "artifacts": {}, "profiles": {}, "conflicts": {}})


def _population(budget: float) -> int:
    """The largest number of members whose search and one training with the policy fit the budget."""
    population = math.floor((budget - 1) / FRACTION + 1e-9)
    if population < 2:
        minimum = 2 * FRACTION + 1
        raise UserError(f"--budget {budget:g}: allows {max(population, 0)} members; two need {minimum:g} trainings")
    return population


def _task_set(plan: Plan, request: SearchRequest) -> dict[str, list[str]]:
    if request.tasks:
        name = "_".join(request.tasks)
        return {name if len(name) <= LONGEST_WORD else f"{len(request.tasks)}_tasks_{_digest(name)}": request.tasks}
    options, labels = plan.preset.benchmarks[request.benchmark], plan.benchmarks[request.benchmark].labels
    return {"all": labels.named("groups") or labels.known(options.domains, options.tasks)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _capacity_grid(plan: Plan, request: SearchRequest) -> dict[str, Any]:
    """The capacity grid of one architecture."""
    if request.architecture is not None:
        try:
            architecture = Architecture.parse(request.architecture)
        except ValueError as error:
            raise UserError(f"--architecture {request.architecture}: {error}") from None
    else:
        trained = [c.architecture for c in plan.cells.values() if c.benchmark == request.benchmark]
        if not trained:
            raise UserError("--architecture: the preset trains nothing on this benchmark; name one, such as vit_d2_w48")
        architecture = trained[0]
    grid = {"family": architecture.family, "depth": [architecture.depth], "width": [architecture.width]}
    return grid if architecture.shared_layers is None else {**grid, "shared_layers": [architecture.shared_layers]}
