"""What a preset costs before anything runs: cells, runs, steps and estimated time, as text and as Parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from scalarization.disk import originals, store
from scalarization.experiments import Plan
from scalarization.storage import write_table


def cost_table(plan: Plan) -> pa.Table:
    """One row per selected cell or search: its identity, its kind of job, and what all its runs cost.

    Returns:
        Runs, steps, images, FLOPs of training and estimated hours.
    """
    rows = [
        {
            "cell": cell.name,
            "benchmark": cell.benchmark,
            "task_set": cell.task_set,
            "architecture": cell.architecture.name,
            "method": cell.method,
            "variant": cell.variant,
            "kind": "conflicts" if cell.counts_conflicts else "training",
            "runs": len(cell.members),
            "steps_per_run": cell.steps,
            "steps": len(cell.members) * cell.steps,
            "images": len(cell.members) * plan.images(cell),
            "training_flops": float(len(cell.members) * plan.flops(cell)),
            "hours": len(cell.members) * plan.seconds(cell) / 3600,
            "done": plan.run_file(cell).is_file(),
        }
        for cell in (*plan.cells.values(), *plan.counted.values())
    ]
    rows += [
        {
            "cell": f"search {search.name}",
            "benchmark": search.cell.benchmark,
            "task_set": search.cell.task_set,
            "architecture": search.cell.architecture.name,
            "method": search.method,
            "variant": "search",
            "kind": "searches",
            "runs": search.population,
            "steps_per_run": search.cell.steps,
            "steps": search.population * search.cell.steps,
            "images": search.population * plan.images(search.cell),
            "training_flops": float(search.population * plan.flops(search.cell)),
            "hours": plan.search_seconds(search) / 3600,
            "done": plan.search_file(search).is_file(),
        }
        for search in plan.searches.values()
    ]
    return pa.Table.from_pylist(rows)


def print_plan(plan: Plan) -> Path:
    """Print one line per cell, sums per benchmark and disk; write the table to ``<results>/<preset>/plan.parquet``."""
    table = cost_table(plan)
    throughput = plan.config.preset["throughput"]
    unit = f"{throughput['hardware']} hours"
    shown = Table(title=f"preset {plan.config.preset_name}: {plan.config.preset['description']}", title_justify="left")
    shown.add_column("cell", overflow="fold")
    for column in ("runs", "steps/run", unit, "done"):
        shown.add_column(column, justify="right")
    for row in table.to_pylist():
        done = "yes" if row["done"] else ""
        name = f"{row['cell']}, conflicts" if row["kind"] == "conflicts" else row["cell"]
        shown.add_row(name, str(row["runs"]), f"{row['steps_per_run']:,}", f"{row['hours']:.3g}", done)
    console = Console(width=None if Console().is_terminal else 140)
    console.print(shown)
    console.print(_sums(plan, table, unit))
    jobs = len(plan.jobs()) + len(plan.conflict_jobs()) + len(plan.search_sessions())
    startup = jobs * throughput["seconds_per_job"] / 3600
    total = sum(table["hours"].to_pylist())
    console.print(
        f"in all {sum(table['runs'].to_pylist()):,} runs in {jobs} jobs, about {_hours(total + startup)} {unit} with "
        f"{_hours(startup)} for their start"
    )
    console.print(
        f"estimated from {throughput['flops_per_second']:.3g} FLOP/s and {throughput['seconds_per_step']:g} s "
        f"per step, {throughput['seconds_per_job']:g} s per job, but for {len(throughput['images_per_second'])} "
        "architectures with measured images_per_second; evaluation and measurements of costs not counted"
    )
    file = plan.config.results / "plan.parquet"
    write_table(file, table)
    console.print(f"written to {file}")
    return file


def _sums(plan: Plan, table: pa.Table, unit: str) -> Table:
    """Runs, steps, images and hours per benchmark and kind of job, and the disk that data take."""
    shown = Table(title="in all", title_justify="left")
    shown.add_column("benchmark")
    shown.add_column("what")
    for column in ("cells", "runs", "steps", "images", unit, "originals", "store"):
        shown.add_column(column, justify="right")
    rows = table.to_pylist()
    preset = plan.config.preset["benchmarks"]
    disk = {
        benchmark: (
            originals(benchmark, preset[benchmark]["domains"]),
            store(benchmark, plan.info(benchmark), preset[benchmark]["domains"], preset[benchmark]["tasks"]),
        )
        for benchmark in dict.fromkeys(row["benchmark"] for row in rows)
    }
    for benchmark, sizes in disk.items():
        texts = [_bytes(size) for size in sizes]
        for kind in dict.fromkeys(row["kind"] for row in rows if row["benchmark"] == benchmark):
            of = [row for row in rows if (row["benchmark"], row["kind"]) == (benchmark, kind)]
            shown.add_row(benchmark, kind, *_counts(of), *texts)
            texts = ["", ""]
    shown.add_section()
    shown.add_row("all", "", *_counts(rows), *(_bytes(sum(sizes)) for sizes in zip(*disk.values(), strict=True)))
    return shown


def _counts(rows: list[dict]) -> list[str]:
    sums = {name: sum(row[name] for row in rows) for name in ("runs", "steps", "images", "hours")}
    hours = sums.pop("hours")
    return [str(len(rows)), *(f"{count:,}" for count in sums.values()), _hours(hours)]


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _bytes(size: float) -> str:
    """Two digits or more, in GB or MB; nothing for nothing."""
    number, unit = (size / 1e9, "GB") if size >= 1e9 else (size / 1e6, "MB")
    return f"{number:,.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}" if size else ""
