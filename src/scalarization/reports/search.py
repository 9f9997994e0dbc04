"""What ``python -m scalarization search --benchmark`` prints: progress, the best policy, and the gain over uniform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from scalarization.analysis.result_files import difference_limits, limits
from scalarization.analysis.searches import test_quality
from scalarization.analysis.statistics import UNLIMITED, Limits, spread
from scalarization.plan import Plan
from scalarization.plan.cells import Cell, Search
from scalarization.plotting.labels import DIVERGED, diverged_count
from scalarization.search.adhoc import FRACTION, AdHocSearch, Observer, SearchRequest, run_ad_hoc_search
from scalarization.search.history import Row
from scalarization.search.policies import Policy, read_search
from scalarization.search.scores import ranked
from scalarization.storage import read_metadata

if TYPE_CHECKING:
    import numpy as np


def report_ad_hoc_search(plan: Plan, request: SearchRequest) -> None:
    """Run an ad hoc search; print the best policy, its gain over uniform weights with the uncertainty, and the budget.

    Raises:
        UserError, DataError, StoppedError: As :func:`run_ad_hoc_search`.
    """
    console = Console()
    progress = _Progress(console, request.seeds)
    try:
        ad_hoc = run_ad_hoc_search(plan, request, progress)
    finally:
        progress.stop()
    rows, policy = read_search(ad_hoc.plan.paths.search_file(ad_hoc.search), ad_hoc.search)
    if policy is not None:  # otherwise the retraining was refused
        console.print(_policy_table(ad_hoc.search, policy))
    console.print(_result_table(ad_hoc, rows))


class _Progress(Observer):
    """A live table of the members on a terminal; elsewhere the log has one line per interval."""

    def __init__(self, console: Console, seeds: int) -> None:
        self._console, self._seeds = console, seeds
        self._rows: dict[int, Row] = {}
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def search_started(self, search: Search) -> None:
        epochs, intervals = search.cell.specification.epochs, len(search.interval_ends)
        self._console.print(
            f"{search.method.upper()} of {search.population} members on {', '.join(search.cell.tasks)}: "
            f"{search.cell.architecture.name}, {epochs} epochs in {intervals} intervals"
        )
        if self._live:
            self._live.start()

    def interval_finished(self, search: Search, row: Row) -> None:
        self._rows[row["member"]] = row
        if self._live:
            self._live.update(self._table(search), refresh=True)

    def search_finished(self) -> None:
        self.stop()
        self._console.print(f"training with the policy, and with uniform weights, {self._seeds} seeds each")

    def stop(self) -> None:
        """Remove the live table."""
        if self._live:
            self._live.stop()

    def _table(self, search: Search) -> Group:
        intervals = len(search.interval_ends)
        varied = "learning rate" if search.varies_lr else "weights"
        table = Table(title=f"{search.method.upper()}: {varied} and validation score of every member")
        for column in ("member", "interval", "score", "from", *_varied_heads(search)):
            table.add_column(column, justify="right")
        for row in sorted(self._rows.values(), key=lambda r: -ranked(r["score"])):
            table.add_row(
                str(row["member"]),
                f"{row['interval']}/{intervals}",
                DIVERGED if ranked(row["score"]) == -math.inf else f"{row['score']:.2f}",
                str(row["parent"]) if row["copied"] else "",
                *_varied(search, row["weights"], row["lr"]),
            )
        finished = sum(row["interval"] for row in self._rows.values())
        return Group(table, f"{finished} of {search.population * intervals} intervals trained")


def _policy_table(search: Search, policy: Policy) -> Table:
    table = Table(title=f"best policy: member {policy.member}, validation score {policy.score:.2f}")
    for column in ("epochs", *_varied_heads(search)):
        table.add_column(column, justify="right")
    first = 1
    for end, weights in zip(policy.interval_ends, policy.weights, strict=True):
        table.add_row(f"{first}-{end}", *_varied(search, weights, policy.lr))
        first = end + 1
    return table


def _varied_heads(search: Search) -> tuple[str, ...]:
    """Heads of the columns of what members differ in."""
    return ("learning rate",) if search.varies_lr else search.cell.tasks


def _varied(search: Search, weights: Sequence[float], lr: float) -> list[str]:
    return [f"{lr:.3g}"] if search.varies_lr else [f"{w:.3f}" for w in weights]


def _result_table(ad_hoc: AdHocSearch, rows: list[Row]) -> Group:
    search, paths = ad_hoc.search, ad_hoc.plan.paths
    by_method = {cell.method: _test_values(ad_hoc.plan, cell) for cell in ad_hoc.cells}
    metric, searched = by_method[search.method]
    _, uniform = by_method["uniform"]
    table = Table(title=f"test {metric} at the last epoch, mean over seeds (95 % t interval)")
    table.add_column("")
    for column in ("uniform", search.method, f"{search.method} - uniform, by seed"):
        table.add_column(column, justify="right")
    for task in ("average", *search.cell.tasks):
        values = (with_interval(of_method[task], limits=limits(metric)) for of_method in (uniform, searched))
        gain = with_interval(searched[task] - uniform[task], "+", difference_limits(metric))
        table.add_row(task, *values, gain)
    session = read_metadata(paths.search_file(search))["session"]
    steps, steps_of_one = sum(row["steps"] for row in rows), ad_hoc.cells[0].steps
    budget = (
        f"budget: {steps:,} steps of search, {steps / steps_of_one:.1f} times one training of {steps_of_one:,} "
        f"(expected N r = {search.population * FRACTION:.1f}), and one training with the policy; "
        f"{sum(row['seconds'] for row in rows):,.0f} s of training on {session['workers']} workers"
    )
    return Group(table, budget, f"history: {paths.search_file(search)}")


def _test_values(plan: Plan, cell: Cell) -> tuple[str, dict[str, np.ndarray]]:
    """Metric of quality, and its values by seed for every task and their average; NaN of runs that diverged."""
    metric, values = test_quality(plan, cell)
    return metric, {"average": values.mean(axis=1), **dict(zip(cell.tasks, values.T, strict=True))}


def with_interval(values: np.ndarray, sign: str = "", limits: Limits = UNLIMITED) -> str:
    """Mean, and its interval within limits if there are several seeds; ``diverged`` if one of the runs did."""
    summary = spread(values, limits)
    if summary["diverged"]:
        return f"{DIVERGED} {diverged_count(summary['diverged'], summary['seeds'])}".rstrip()
    mean, low, high = (format(summary[key], f"{sign}.2f") for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})" if len(values) > 1 else mean
