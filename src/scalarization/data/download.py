"""Original files of a benchmark: fetched where they are missing, compared with their checksums, and written down.

A directory of the user's own (``data_dir``) is never written to. A checksum that nobody published is recorded at the
first use, in ``<results>/downloads/records``, and must be the same ever after.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scalarization import benchmarks
from scalarization.benchmarks._originals import SUMS, Original, check, digests, read_sums
from scalarization.config import Config
from scalarization.data.fetch import Refused, Report, fetch
from scalarization.errors import DataError
from scalarization.storage import write_json

#: Seconds between two lines about progress where there is no terminal.
EVERY = 30.0
log = logging.getLogger(__name__)


def download(config: Config, benchmark: str, spec: dict[str, Any], show: bool = False) -> None:
    """Have the original files of a benchmark, and write the manifest of them.

    The manifest tells of every file path, address, bytes, SHA-256 and the time of its first use. It is the same as long
    as the files are, so that nothing is prepared anew because they were looked at again.

    Args:
        config: Knows the directories.
        benchmark: Benchmark's name.
        spec: What the preset says of it: the domains, or tasks, of which the files are wanted.
        show: Whether to draw progress on the terminal, if there is one.

    Raises:
        DataError: A file is not there and cannot be fetched, or is not what was published or used before; the message
            says which files have to be put where.
    """
    module = benchmarks.load(benchmark)
    place = config.downloads
    if not hasattr(module, "files"):
        if hasattr(module, "require"):  # fetched by nobody but the user
            module.require(spec["tasks"], place)
        log.info("%s: nothing to fetch", benchmark)
        return
    originals = module.files(spec["domains"])
    sums = read_sums(place)
    if sums:
        log.warning("%s: checksums are those of its own %s, not the published ones", place, SUMS)
    absent = [original for original in originals if not original.found(place)]
    if absent and config.data_dir is not None:
        reason = f"{benchmark} is not complete there, and data_dir is never written to"
        raise DataError(_by_hand(module.PAGE, absent, place, f"{place}: {reason}"))
    for number, original in enumerate(absent):
        try:
            _fetch(original, place, config.records, show)
        except Refused as error:
            raise DataError(
                _by_hand(module.PAGE, absent[number:], place, f"{benchmark}: {original.url}: {error}")
            ) from None
    entries = [
        _look_at(original, path, place, config.records, sums)
        for original in originals
        for path in original.found(place)
    ]
    write_json(config.manifest(benchmark), {"benchmark": benchmark, "files": entries})


def _fetch(original: Original, place: Path, records: Path, show: bool) -> None:
    expected, origin = _expected(original, original.path, records)

    def accept(part: Path) -> None:
        if expected:
            found = digests(part, [expected.partition(":")[0]])
            way_out = "what arrived was deleted; run again, or fetch it by hand if the server has another file now"
            check(place / original.path, found, expected, origin, way_out)

    log.info("%s: fetched from %s", original.path, original.url)
    with _progress(original.path, show and sys.stderr.isatty()) as report:
        fetch(original.url, place / original.path, accept, report, expected is not None)


def _expected(original: Original, path: str, records: Path) -> tuple[str | None, str]:
    """Checksum that a file must have, if any is known, and where it comes from."""
    if published := original.expected(path):
        return published, "published"
    file = _record_file(records, path)
    record = _read_record(file)
    if record:
        return f"sha256:{record['sha256']}", f"recorded at its first use, {record['time']}, in {file}"
    return None, ""


def _look_at(original: Original, path: str, place: Path, records: Path, sums: dict[str, str]) -> dict[str, Any]:
    """Compare one file with its checksum, record it, and return its entry of the manifest."""
    entry = {"path": path, "url": original.url}
    if path.endswith("/"):  # unpacked: what it has to hold is known to whoever reads it
        return entry
    file = place / path
    state = file.stat()
    entry["bytes"] = state.st_size
    if path in sums:
        check(file, digests(file, ["sha256"]), sums[path], SUMS, f"it is damaged, or {SUMS} is of other files")
        return {**entry, "sha256": sums[path].removeprefix("sha256:")}
    record_file = _record_file(records, path)
    record = _read_record(record_file)
    seen = {"file": str(file.resolve()), "bytes": state.st_size, "modified_ns": state.st_mtime_ns}
    if not record or any(record.get(key) != value for key, value in seen.items()):
        expected, origin = _expected(original, path, records)
        algorithms = {"sha256", *([expected.partition(":")[0]] if expected else [])}
        log.info("%s: compared with its checksum", file)
        found = digests(file, algorithms)
        if expected:
            way_out = "it is damaged or another file: delete it and fetch it again"
            if not original.expected(path):
                way_out += f"; if it was replaced on purpose, delete {record_file}"
            check(file, found, expected, origin, way_out)
        first = record["time"] if record else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        record = {"url": original.url, "sha256": found["sha256"], "time": first, **seen}
        write_json(record_file, record)
    published = original.expected(path)
    return {
        **entry,
        "sha256": record["sha256"],
        **({"published": published} if published else {}),
        "time": record["time"],
    }


def _record_file(records: Path, path: str) -> Path:
    return records / f"{path}.json"


def _read_record(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return {key: record[key] for key in ("sha256", "time", "file", "bytes", "modified_ns")}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: damaged ({error!r}); delete it, which forgets the checksum of its file") from None


def _by_hand(page: str, originals: list[Original], place: Path, reason: str) -> str:
    """Message that says which files have to be put where, and where they are offered."""
    lines = [f"{reason}. Put there by hand what is missing:"]
    for original in originals:
        checksum = (original.checksum or "no published checksum").replace(":", " ")
        lines.append(f"  {place.absolute() / original.path} ({checksum}) from {original.url}")
        if folders := {path[: path.rindex("/") + 1] for path in original.unpacked}:
            lines.append(f"    or, unpacked, {place.absolute() / folders.pop()}/")
    return "\n".join(
        [*lines, f"They are offered at {page}. Or set data_dir in config.yaml to a directory that has them."]
    )


@contextmanager
def _progress(name: str, terminal: bool) -> Iterator[Report]:
    if not terminal:
        yield _Lines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(name, total=None)
        yield lambda there, total: bars.update(task, completed=there, total=total)


class _Lines:
    """Progress as lines of the log."""

    def __init__(self, name: str) -> None:
        self._name, self._said, self._before = name, time.monotonic(), None

    def __call__(self, there: int, total: int | None) -> None:
        now = time.monotonic()
        self._before = there if self._before is None or there < self._before else self._before
        if now - self._said >= EVERY:
            speed = (there - self._before) / (now - self._said) / 1e6
            whole = f" of {total / 1e6:,.0f}" if total else ""
            log.info("%s: %s%s MB, %.1f MB/s", self._name, f"{there / 1e6:,.0f}", whole, speed)
            self._said, self._before = now, there
