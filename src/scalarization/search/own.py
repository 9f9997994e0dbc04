"""Search for a user's own problem: search, train beside uniform weights, tell what it brought."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from scalarization.analysis._statistics import spread
from scalarization.architectures import Architecture
from scalarization.config import suggestion
from scalarization.errors import UserError
from scalarization.experiments import Cell, Plan
from scalarization.methods._searched import METHODS
from scalarization.policies import Policy, read_history, read_policy
from scalarization.search.session import Row, make_searches
from scalarization.searches import Search
from scalarization.storage import QUALITY, read_metadata, read_run_file

#: Name of the search and of the experiment in the user's plan.
OWN = "own"
#: Members that copy, as in the paper's tables C and D (3.6).
QUANTILE = 0.4
FRACTION = 0.7
#: Intervals that a training is cut into unless the user says otherwise (the paper has 6 to 17).
INTERVALS = 10


@dataclass(frozen=True)
class Wish:
    """What a user asks for.

    Attributes:
        benchmark: Key of the preset's ``benchmarks``.
        budget: In trainings of one model: N members on the fraction r, and one training with the policy, cost N r + 1.
        method: How to search.
        tasks: Tasks or domains; None: all groups, or all domains.
        architecture: Backbone and capacity; None: the first that the preset trains on the benchmark.
        epochs_ready: Epochs of an interval; None: a tenth of all.
        seeds: Trainings with the policy, and with uniform weights, from which the gain is estimated.
        workers: Members trained at the same time; None: one per CPU core.
    """

    benchmark: str
    budget: float
    method: str
    tasks: list[str] | None
    architecture: str | None
    epochs_ready: int | None
    seeds: int
    workers: int | None


def search_own(plan: Plan, wish: Wish) -> None:
    """Search, retrain, and print the best policy, the gain over uniform weights with its uncertainty, and the cost.

    Args:
        plan: The preset that holds the benchmark and its recipe.
        wish: What to do.

    Raises:
        UserError: The wish does not fit the preset.
        DataError: The prepared store is damaged, or an output cannot be written.
        StoppedError: Asked to stop; the same call goes on.
    """
    from scalarization.data.download import download
    from scalarization.data.prepare import prepare
    from scalarization.training.job import train_shares

    console = Console()
    own = Plan(replace(plan.config, preset=_preset(plan, wish)))
    (search,) = own.searches.values()
    store = own.store_file(wish.benchmark)
    if not store.is_file():
        spec = own.benchmark(wish.benchmark)
        download(own.config, wish.benchmark, spec, show=True)
        prepare(store.parent, wish.benchmark, spec["domains"], own.config.downloads)
    console.print(
        f"{search.method.upper()} of {search.population} members on {', '.join(search.cell.tasks)}: "
        f"{search.cell.architecture.name}, {search.cell.specification['epochs']} epochs in {len(search.ends)} intervals"
    )
    with _Members(console, search) as members:
        make_searches(own, [search], wish.workers, show=members.show)
    cells = own.experiment(OWN)
    console.print(f"training with the policy, and with uniform weights, {wish.seeds} seeds each")
    train_shares(own, [share for cell in cells for share in own.shares(cell)], None)
    console.print(_policy_table(search, read_policy(own.search_file(search))))
    console.print(_result_table(own, search, cells))


def _preset(plan: Plan, wish: Wish) -> dict[str, Any]:
    preset = plan.config.preset
    if wish.benchmark not in preset["benchmarks"]:
        word = suggestion(wish.benchmark, preset["benchmarks"])
        raise UserError(f"--benchmark {wish.benchmark}: not in {plan.config.preset_file}; {word}")
    if wish.method not in METHODS:
        raise UserError(f"--method {wish.method}: unknown; {suggestion(wish.method, METHODS)}")
    population = math.floor((wish.budget - 1) / FRACTION + 1e-9)
    if population < 2:
        raise UserError(
            f"--budget {wish.budget:g}: leaves {max(population, 0)} members; two need {2 * FRACTION + 1:g} trainings"
        )
    info = plan.info(wish.benchmark)
    benchmark = preset["benchmarks"][wish.benchmark]
    every = benchmark["domains"] if info.setting == "mdl" else list(info.groups)
    tasks = {"_".join(wish.tasks) if wish.tasks else "all": wish.tasks or every}
    trained = [c.architecture for c in plan.cells.values() if c.benchmark == wish.benchmark]
    name = wish.architecture or (trained[0].name if trained else None)
    if name is None:
        raise UserError("--architecture: the preset trains nothing on this benchmark; name one, such as vit_d2_w48")
    epochs = benchmark["recipe"]["epochs"]
    common = {"benchmark": wish.benchmark, "architectures": _as_grid(name)}
    return {
        **preset,
        "experiments": {
            OWN: {
                **common,
                "task_sets": tasks,
                "methods": {"uniform": {}, wish.method: {"search": OWN}},
                "variants": {"base": {}},
                "seeds": wish.seeds,
            }
        },
        "searches": {
            OWN: {
                **common,
                "task_set": tasks,
                "method": wish.method,
                "population": population,
                "epochs_ready": wish.epochs_ready or max(1, round(epochs / INTERVALS)),
                "quantile": QUANTILE,
                "fraction": FRACTION,
                "perturbation_factors": [1.2, 0.8],
                "resample_probability": 0.25,
                "seed": 0,
                "changes": {},
            }
        },
        "artifacts": {},
        "costs": {},
    }


def _as_grid(name: str) -> dict[str, Any]:
    try:
        architecture = Architecture.parse(name)
    except ValueError as error:
        raise UserError(f"--architecture {name}: {error}") from None
    grid = {"family": architecture.family, "depth": [architecture.depth], "width": [architecture.width]}
    return grid if architecture.shared_layers is None else {**grid, "shared_layers": [architecture.shared_layers]}


class _Members:
    """A live table of members on a terminal; elsewhere one line per interval, from the log."""

    def __init__(self, console: Console, search: Search) -> None:
        self._search = search
        self._rows: dict[int, Row] = {}
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> _Members:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *failure: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, search: Search, row: Row) -> None:
        """Take in one member's interval."""
        self._rows[row["member"]] = row
        if self._live:
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Group:
        table = Table(title=f"{self._search.method.upper()}: weights and validation score of every member")
        for column in ("member", "interval", "score", "from", *self._search.cell.tasks):
            table.add_column(column, justify="right")
        for row in sorted(self._rows.values(), key=lambda r: -r["score"]):
            table.add_row(
                str(row["member"]),
                f"{row['interval']}/{len(self._search.ends)}",
                f"{row['score']:.2f}",
                str(row["parent"]) if row["copied"] else "",
                *(f"{w:.3f}" for w in row["weights"]),
            )
        done = sum(row["interval"] for row in self._rows.values())
        return Group(table, f"{done} of {self._search.population * len(self._search.ends)} intervals trained")


def _policy_table(search: Search, policy: Policy) -> Table:
    table = Table(title=f"best policy: member {policy.member}, validation score {policy.score:.2f}")
    table.add_column("epochs", justify="right")
    for task in search.cell.tasks:
        table.add_column(task, justify="right")
    first = 1
    for end, weights in zip(policy.ends, policy.weights, strict=True):
        table.add_row(f"{first}-{end}", *(f"{w:.3f}" for w in weights))
        first = end + 1
    return table


def _result_table(plan: Plan, search: Search, cells: list[Cell]) -> Group:
    by_method = {cell.method: _test_values(plan, cell) for cell in cells}
    metric, found = by_method[search.method]
    _, uniform = by_method["uniform"]
    table = Table(title=f"test {metric} at the last epoch, mean over seeds (95 % t interval)")
    table.add_column("")
    table.add_column("uniform", justify="right")
    table.add_column(search.method, justify="right")
    table.add_column(f"{search.method} - uniform, by seed", justify="right")
    for task in ("average", *search.cell.tasks):
        difference = found[task] - uniform[task]
        table.add_row(
            task, *(_with_interval(values) for values in (uniform[task], found[task])), _with_interval(difference, "+")
        )
    rows = read_history(plan.search_file(search))
    session = read_metadata(plan.search_file(search))["session"]
    steps = sum(row["steps"] for row in rows)
    one = cells[0].steps
    cost = (
        f"cost: {steps:,} steps of search, {steps / one:.1f} times one training of {one:,} "
        f"(expected N r = {search.population * FRACTION:.1f}), and one training with the policy; "
        f"{sum(row['seconds'] for row in rows):,.0f} s of training on {session['workers']} workers"
    )
    return Group(table, cost, f"history: {plan.search_file(search)}")


def _test_values(plan: Plan, cell: Cell) -> tuple[str, dict[str, np.ndarray]]:
    table = read_run_file(plan.run_file(cell)).to_pandas()
    last = table[(table["epoch"] == cell.specification["epochs"]) & (table["split"] == "test")]
    metric = next(m for m in QUALITY if m in set(last["metric"]))
    values = last[last["metric"] == metric].pivot(index="seed", columns="task", values="value")
    return metric, {"average": values.mean(axis=1).to_numpy(), **{t: values[t].to_numpy() for t in values}}


def _with_interval(values: np.ndarray, sign: str = "") -> str:
    found = {k: format(v, f"{sign}.2f") for k, v in spread(values).items() if k in ("mean", "low", "high")}
    return found["mean"] + (f" ({found['low']} to {found['high']})" if len(values) > 1 else "")
