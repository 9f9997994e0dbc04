"""What a preset costs before anything runs: cells, runs, steps and estimated time, as text and as Parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute
from rich.console import Console
from rich.table import Table

from scalarization.experiments import Plan
from scalarization.storage import write_table


def cost_table(plan: Plan) -> pa.Table:
    """One row per selected cell or search: its identity, whether conflicts are counted, and what all its runs cost.

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
            "conflicts": cell.counts_conflicts,
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
            "conflicts": False,
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
    """Print one line per cell and sums per benchmark; write the table to ``<results>/<preset>/plan.parquet``."""
    table = cost_table(plan)
    throughput = plan.config.preset["throughput"]
    unit = f"{throughput['hardware']} hours"
    shown = Table(title=f"preset {plan.config.preset_name}: {plan.config.preset['description']}", title_justify="left")
    shown.add_column("cell", overflow="fold")
    for column in ("runs", "steps/run", unit, "done"):
        shown.add_column(column, justify="right")
    for row in table.to_pylist():
        done = "yes" if row["done"] else ""
        name = f"{row['cell']}, conflicts" if row["conflicts"] else row["cell"]
        shown.add_row(name, str(row["runs"]), f"{row['steps_per_run']:,}", f"{row['hours']:.3g}", done)
    console = Console(width=None if Console().is_terminal else 140)
    console.print(shown)
    jobs = len(plan.jobs()) + len(plan.conflict_jobs()) + len(plan.search_sessions())
    startup = jobs * throughput["seconds_per_job"] / 3600
    for benchmark in plan.benchmarks():
        of = table.filter(pa.compute.equal(table["benchmark"], benchmark))
        sums = {name: sum(of[name].to_pylist()) for name in ("runs", "steps", "images", "hours")}
        console.print(
            f"{benchmark}: {of.num_rows} cells and searches, {sums['runs']:,} runs, {sums['steps']:,} steps, "
            f"{sums['images']:,} training images, about {sums['hours']:.3g} {unit}"
        )
    total = sum(table["hours"].to_pylist())
    console.print(f"in all {sum(table['runs'].to_pylist()):,} runs in {jobs} jobs, about {total + startup:.3g} {unit}")
    console.print(
        f"estimated from {throughput['flops_per_second']:.3g} FLOP/s and {throughput['seconds_per_step']:g} s "
        f"per step, {throughput['seconds_per_job']:g} s per job; evaluation not counted"
    )
    file = plan.config.results / "plan.parquet"
    write_table(file, table)
    console.print(f"written to {file}")
    return file
