"""What a preset would train: cells, runs, steps and estimated hours, as text and as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.table import Table

from scalarization.plan import Plan, estimates, packing
from scalarization.plan.cells import Cell, Search
from scalarization.provenance import Provenance
from scalarization.reports import new_console
from scalarization.storage import write_table


def estimate_table(plan: Plan) -> pa.Table:
    """One row per selected cell or search: its identity, the kind of its job, and the estimates for all its runs.

    Returns:
        Runs, steps, images, FLOPs of training, estimated hours, and whether a current file has the results.
    """
    provenance = Provenance(plan)
    rows = [_cell_row(plan, cell, provenance) for cell in (*plan.cells.values(), *plan.counted.values())]
    rows += [_search_row(plan, search, provenance) for search in plan.searches.values()]
    return pa.Table.from_pylist(rows)


def print_plan(plan: Plan) -> Path:
    """Print one line per cell, sums per benchmark and disk use; write the table to ``<results>/<preset>/plan.parquet``.

    Returns:
        The file.
    """
    table = estimate_table(plan)
    throughput = plan.preset.throughput
    unit = f"{throughput.hardware} hours"
    console = new_console()
    console.print(_cells_table(plan, table, unit))
    console.print(_sums_table(plan, table, unit))
    jobs = len(packing.training_jobs(plan)) + len(packing.conflict_jobs(plan)) + len(packing.search_sessions(plan))
    startup = jobs * throughput.seconds_per_job / 3600
    total = sum(table["hours"].to_pylist())
    console.print(
        f"in all {sum(table['runs'].to_pylist()):,} runs in {jobs} jobs, about {_hours(total + startup)} {unit}, of "
        f"which the start of the jobs takes {_hours(startup)}"
    )
    console.print(
        f"estimated from {throughput.flops_per_second:.3g} FLOP/s, {throughput.seconds_per_step:g} s per step and "
        f"{throughput.seconds_per_job:g} s per job; {len(throughput.images_per_second)} architectures have measured "
        "images_per_second instead; evaluation and profiles are not counted"
    )
    file = plan.paths.plan_file
    write_table(file, table)
    console.print(f"written to {file}")
    return file


def _cell_row(plan: Plan, cell: Cell, provenance: Provenance) -> dict[str, Any]:
    runs = len(cell.runs)
    return {
        "cell": cell.name,
        "benchmark": cell.benchmark,
        "task_set": cell.task_set,
        "architecture": cell.architecture.name,
        "method": cell.method,
        "variant": cell.variant,
        "kind": "conflicts" if cell.counts_conflicts else "training",
        "runs": runs,
        "steps_per_run": cell.steps,
        "steps": runs * cell.steps,
        "images": runs * estimates.images(cell),
        "training_flops": float(runs * estimates.flops(plan, cell)),
        "hours": runs * estimates.seconds(plan, cell) / 3600,
        "done": provenance.problem(plan.paths.run_file(cell)) is None,
    }


def _search_row(plan: Plan, search: Search, provenance: Provenance) -> dict[str, Any]:
    cell, members = search.cell, search.population
    return {
        "cell": f"search {search.name}",
        "benchmark": cell.benchmark,
        "task_set": cell.task_set,
        "architecture": cell.architecture.name,
        "method": search.method,
        "variant": "search",
        "kind": "searches",
        "runs": members,
        "steps_per_run": cell.steps,
        "steps": members * cell.steps,
        "images": members * estimates.images(cell),
        "training_flops": float(members * estimates.flops(plan, cell)),
        "hours": estimates.search_seconds(plan, search) / 3600,
        "done": provenance.problem(plan.paths.search_file(search)) is None,
    }


def _cells_table(plan: Plan, table: pa.Table, unit: str) -> Table:
    """One line per cell or search."""
    title = f"preset {plan.config.preset_name}: {plan.preset.description}"
    printed = Table(title=title, title_justify="left")
    printed.add_column("cell", overflow="fold")
    for column in ("runs", "steps/run", unit, "done"):
        printed.add_column(column, justify="right")
    for row in table.to_pylist():
        name = f"{row['cell']}, conflicts" if row["kind"] == "conflicts" else row["cell"]
        done = "yes" if row["done"] else ""
        printed.add_row(name, str(row["runs"]), f"{row['steps_per_run']:,}", f"{row['hours']:.3g}", done)
    return printed


def _sums_table(plan: Plan, table: pa.Table, unit: str) -> Table:
    """Runs, steps, images and hours per benchmark and kind of job, and the disk space that data take."""
    printed = Table(title="in all", title_justify="left")
    printed.add_column("benchmark")
    printed.add_column("what")
    for column in ("cells", "runs", "steps", "images", unit, "originals", "store"):
        printed.add_column(column, justify="right")
    rows = table.to_pylist()
    disk = {benchmark: _disk_bytes(plan, benchmark) for benchmark in dict.fromkeys(row["benchmark"] for row in rows)}
    for benchmark, sizes in disk.items():
        texts = [_bytes(size) for size in sizes]
        label = _with_limits(plan, benchmark)
        for kind in dict.fromkeys(row["kind"] for row in rows if row["benchmark"] == benchmark):
            of_kind = [row for row in rows if (row["benchmark"], row["kind"]) == (benchmark, kind)]
            printed.add_row(label, kind, *_sums(of_kind), *texts)
            texts = ["", ""]
    printed.add_section()
    printed.add_row("all", "", *_sums(rows), *(_bytes(sum(sizes)) for sizes in zip(*disk.values(), strict=True)))
    return printed


def _with_limits(plan: Plan, benchmark: str) -> str:
    """A benchmark, and its domains whose training images are limited."""
    domains = plan.benchmarks[benchmark].domains
    limited = [f"{d}: {domains[d].train_images:,}" for d in plan.preset.benchmarks[benchmark].limited_domains]
    return f"{benchmark} (training images: {', '.join(limited)})" if limited else benchmark


def _disk_bytes(plan: Plan, benchmark: str) -> tuple[float, float]:
    """Bytes of the original files of a benchmark, and of its prepared store."""
    info, options = plan.benchmarks[benchmark], plan.preset.benchmarks[benchmark]
    return info.original_bytes(options.domains), info.store_bytes(options.domains, options.tasks)


def _sums(rows: list[dict[str, Any]]) -> list[str]:
    counts = [sum(row[name] for row in rows) for name in ("runs", "steps", "images")]
    return [str(len(rows)), *(f"{count:,}" for count in counts), _hours(sum(row["hours"] for row in rows))]


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _bytes(size: float) -> str:
    """A size in GB or MB with at least two digits; empty for 0."""
    number, unit = (size / 1e9, "GB") if size >= 1e9 else (size / 1e6, "MB")
    return f"{number:,.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}" if size else ""
