"""Compare the values in every Parquet file of two results folders, column by column.

``envs/run python tools/compare_results.py OLD NEW [--rename member=weight_setting ...]``

Times, and what follows from them, differ between any two runs: such columns are compared by presence only. Folders and
columns that were renamed are given as OLD=NEW. Ends with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

#: Columns that hold measured times or memory, or follow from them.
MEASURED = frozenset(
    {
        "seconds",
        "startup_cpu_seconds",
        "evaluation_seconds",
        "images_per_second",
        "seconds_per_step",
        "time_ratio",
        "peak_bytes",
        "peak_mib",
        "memory_ratio",
        "session_seconds",
        "startup_seconds",
        "trained_seconds",
        "overhead_seconds",
        "search_seconds",
        "workers",
        "images",
    }
)


def main() -> int:
    """Compare two folders; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rename", nargs="*", default=[], metavar="OLD=NEW", help="renamed columns")
    parser.add_argument("--move", nargs="*", default=[], metavar="OLD=NEW", help="renamed folders")
    parser.add_argument("--skip", nargs="*", default=[], metavar="FOLDER", help="folders that are not compared")
    options = parser.parse_args()
    columns, folders = (dict(pair.split("=") for pair in pairs) for pairs in (options.rename, options.move))
    skipped = set(options.skip)
    names = {path: _moved(path, folders) for path in _files(options.old, skipped)}
    missing = sorted(set(names.values()) ^ set(_files(options.new, skipped)))
    for path in missing:
        print(f"only in one folder: {path}")
    differing = values = 0
    for old, new in names.items():
        if new in missing:
            continue
        problems, compared = _compare(options.old / old, options.new / new, columns)
        values += compared
        differing += bool(problems)
        for problem in problems:
            print(f"{new}: {problem}")
    print(
        f"{len(names)} files, {values:,} values compared, {differing} files differ, {len(missing)} only in one folder"
    )
    return int(bool(differing or missing))


def _files(folder: Path, skipped: set[str]) -> list[Path]:
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*.parquet"))
    return [path for path in paths if path.parts[0] not in skipped]


def _moved(path: Path, folders: dict[str, str]) -> Path:
    return Path(folders.get(path.parts[0], path.parts[0]), *path.parts[1:])


def _compare(old: Path, new: Path, columns: dict[str, str]) -> tuple[list[str], int]:
    """What differs between two files, and how many values were compared."""
    before, after = (pq.read_table(path).to_pydict() for path in (old, new))
    # In some files a name keeps its meaning, so that only what is gone is looked up under the new one.
    before = {name if name in after else columns.get(name, name): values for name, values in before.items()}
    if list(before) != list(after):
        return [f"columns {sorted(set(before) ^ set(after)) or 'in another order'}"], 0
    problems, compared = [], 0
    for name, values in before.items():
        if len(values) != len(after[name]):
            problems.append(f"{name}: {len(values)} and {len(after[name])} rows")
            continue
        if name in MEASURED:
            continue
        compared += len(values)
        rows = [row for row, pair in enumerate(zip(values, after[name], strict=True)) if not _equal(*pair)]
        if rows:
            first = f"{values[rows[0]]!r} and {after[name][rows[0]]!r}"
            problems.append(f"{name}: {len(rows)} of {len(values)} rows differ, first {first}")
    return problems, compared


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_equal, first, second))
    if isinstance(first, float) and isinstance(second, float):
        return first == second or (math.isnan(first) and math.isnan(second))
    return first == second


if __name__ == "__main__":
    sys.exit(main())
