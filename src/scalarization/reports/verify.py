"""What the verb ``verify`` does: reads every result file and every byte of prepared stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scalarization.data.store import Store
from scalarization.errors import DataError
from scalarization.plan import Plan
from scalarization.reports import new_console
from scalarization.storage import checksum_of


def damages(plan: Plan) -> Iterator[tuple[Path, str | None]]:
    """Every Parquet and JSON file of a preset's results -> what is wrong with it; None if it is undamaged.

    Of a prepared store, ``dataset.json`` stands for all its files.
    """
    stores = {plan.paths.store_file(benchmark) for benchmark in plan.benchmarks}
    for file in sorted(plan.paths.results.rglob("*")):
        if file.suffix not in (".parquet", ".json"):
            continue
        try:
            if file in stores:
                Store(file).verify()
            else:
                checksum_of(file)
        except DataError as error:
            yield file, str(error)
        else:
            yield file, None


def print_verification(plan: Plan) -> None:
    """Print how many files are undamaged.

    Raises:
        DataError: Some are damaged; the message has a line for each.
    """
    problems = dict(damages(plan))
    lines = [problem for problem in problems.values() if problem]
    if lines:
        raise DataError("\n".join([f"{len(lines)} of {len(problems)} files are damaged", *lines]))
    new_console().print(f"{len(problems)} files in {plan.paths.results} are undamaged")
