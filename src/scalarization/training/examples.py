"""What dense models predict for a few test images: kept with each run, gathered into one file per cell. No torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scalarization.experiments import Cell, Plan, Share
from scalarization.storage import EXAMPLE_SCHEMA, write_table
from scalarization.training.records import RunRecord

logger = logging.getLogger(__name__)
#: The columns that a run itself knows; the others say which run it is.
OWN = ("example", "content", "task", "shape", "values")


def write_examples(record: RunRecord, rows: list[dict[str, Any]]) -> None:
    """Keep a run's predictions, as ``DenseObjective.examples`` returns them; nothing if there are none."""
    if rows:
        schema = pa.schema([EXAMPLE_SCHEMA.field(name) for name in OWN])
        write_table(record.examples_file, pa.Table.from_pylist(rows, schema))


def has_examples(record: RunRecord) -> bool:
    """Whether a run's predictions are there and readable."""
    try:
        pq.read_metadata(record.examples_file)
    except FileNotFoundError:
        return False
    except (pa.ArrowInvalid, OSError) as error:
        logger.warning("%s: not readable (%s), the run is trained again", record.examples_file, error)
        return False
    return True


def share_examples(plan: Plan, share: Share, records: Sequence[tuple[dict[str, Any], RunRecord]]) -> None:
    """Gather the predictions of a share's runs; images and targets, which all have in common, once.

    Args:
        plan: The preset.
        share: Of a cell; nothing is done if it has no maps.
        records: Identity (the columns of a run file that tell runs apart) and record of every run.
    """
    file = plan.examples_file(share)
    if file is None:
        return
    tables = []
    for number, (identity, record) in enumerate(records):
        own = pq.read_table(record.examples_file)
        if number:
            own = _predictions(own)
        columns = {
            name: own[name] if name in OWN else pa.array([identity[name]] * len(own), EXAMPLE_SCHEMA.field(name).type)
            for name in EXAMPLE_SCHEMA.names
        }
        tables.append(pa.table(columns, EXAMPLE_SCHEMA))
    write_table(file, pa.concat_tables(tables))


def merge_examples(plan: Plan, cell: Cell) -> None:
    """Put the predictions of a cell's shares together into the cell's own file; nothing if it has no maps."""
    file = plan.examples_file(Share(cell))
    if file is None:
        return
    tables = [pq.read_table(plan.examples_file(share)) for share in plan.shares(cell)]
    write_table(file, pa.concat_tables([tables[0], *(_predictions(table) for table in tables[1:])]))


def _predictions(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["content"], "prediction"))
