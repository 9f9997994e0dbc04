"""From the run files of a cell's shards to the cell's own. No torch."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from scalarization.completeness import problem_of_shard
from scalarization.errors import DamagedError
from scalarization.plan.cells import Cell, Shard
from scalarization.provenance import Provenance
from scalarization.storage import read_metadata, read_run_file, write_run_file
from scalarization.training.examples import merge_examples
from scalarization.training.records import NOTES

if TYPE_CHECKING:
    from scalarization.plan import Plan


def merge_shards(plan: Plan, cell: Cell) -> None:
    """Join the run files of a cell's shards into the cell's own.

    Raises:
        DataError: A shard's file is missing, damaged, of other settings or code, or not of all its runs, each once; or
            the cell's own file cannot be written.
    """
    provenance, file, shards = Provenance(plan), plan.paths.run_file(cell), plan.shards(cell)
    shard_files = [plan.paths.shard_file(shard) for shard in shards]
    provenance.require(file for shard in shards for file in plan.paths.shard_outputs(shard))
    rows = [row for shard in shards for row in _rows(plan, shard)]
    rows.sort(key=lambda row: (row["weight_setting"], row["seed"], row["epoch"]))
    of_shards = [read_metadata(shard_file) for shard_file in shard_files]
    notes = {
        name: sorted(
            (note for m in of_shards for note in m[name]), key=lambda note: (note["weight_setting"], note["seed"])
        )
        for name in NOTES
    }
    metadata = {**of_shards[0], **notes, **provenance.origin(file)}
    write_run_file(file, rows, metadata)
    merge_examples(plan, cell, metadata)


def _rows(plan: Plan, shard: Shard) -> list[dict[str, Any]]:
    """Rows of a shard's run file."""
    file = plan.paths.shard_file(shard)
    rows = read_run_file(file).to_pylist()
    if problem := problem_of_shard(shard, rows):
        raise DamagedError(
            file, problem, f"delete it and train it again: snakemake --cores all {shlex.quote(str(file))}"
        )
    return rows
