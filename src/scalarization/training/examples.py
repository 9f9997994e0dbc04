"""Predictions of dense models for a few test images: from records of runs to one file per shard and cell. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from scalarization.plan.cells import Cell, Shard
from scalarization.storage import EXAMPLE_SCHEMA, read_example_file, write_example_file
from scalarization.training.records import EXAMPLE_COLUMNS, RunRecord

if TYPE_CHECKING:
    from scalarization.plan import Plan


def gather_examples(
    plan: Plan, shard: Shard, records: Sequence[tuple[dict[str, Any], RunRecord]], metadata: dict[str, Any]
) -> None:
    """Write the predictions of a shard's runs; images and targets, which all runs have in common, only once.

    Args:
        plan: The preset.
        shard: A shard; nothing is done unless its tasks are dense.
        records: Identity (the columns of a run file that tell runs apart) and record of every run.
        metadata: What the shard's run file says of itself.
    """
    file = plan.paths.examples_file(shard)
    if file is None:
        return
    tables = []
    for number, (identity, record) in enumerate(records):
        examples = record.read_examples()
        if number:
            examples = _predictions(examples)
        columns = {
            name: examples[name]
            if name in EXAMPLE_COLUMNS
            else pa.array([identity[name]] * len(examples), EXAMPLE_SCHEMA.field(name).type)
            for name in EXAMPLE_SCHEMA.names
        }
        tables.append(pa.table(columns, EXAMPLE_SCHEMA))
    write_example_file(file, pa.concat_tables(tables), metadata)


def merge_examples(plan: Plan, cell: Cell, metadata: dict[str, Any]) -> None:
    """Join the predictions of a cell's shards into the cell's own file; nothing unless its tasks are dense.

    Args:
        plan: The preset.
        cell: The cell.
        metadata: What the cell's run file says of itself.
    """
    file = plan.paths.examples_file(Shard(cell))
    if file is None:
        return
    files = [plan.paths.examples_file(shard) for shard in plan.shards(cell)]
    first, *others = (read_example_file(file) for file in files if file)
    write_example_file(file, pa.concat_tables([first, *(_predictions(table) for table in others)]), metadata)


def _predictions(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["content"], "prediction"))
