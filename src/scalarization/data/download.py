"""Original files of a benchmark: missing ones are fetched, checksums are compared, and a manifest is written.

A user's directory of original files (``data_dir``) is never written to. If no checksum of a file is published, the
checksum at its first use is recorded in ``<results>/downloads/records``, and later uses must have the same one.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalarization import benchmarks
from scalarization.benchmarks.images import listed
from scalarization.benchmarks.originals import SUMS, Original, check, digests, read_sums
from scalarization.data.fetch import NotFetchedError, Report, fetch
from scalarization.data.sources import version_of
from scalarization.errors import DataError
from scalarization.storage import read_json, write_json

if TYPE_CHECKING:
    from scalarization.config import Benchmark
    from scalarization.plan.paths import Paths

#: Seconds between two lines about progress in the log.
LOG_SECONDS = 30.0
log = logging.getLogger(__name__)


def download(paths: Paths, benchmark: str, section: Benchmark, show: bool = False) -> None:
    """Fetch the original files of a benchmark if they are missing, and write their manifest.

    The manifest has path, address, bytes, SHA-256 and time of the first use of every file. It stays the same while the
    files do, so that comparing them once more does not prepare data anew.

    Args:
        paths: Directories of original files and of records.
        benchmark: Benchmark's name.
        section: Section of the preset with the domains, or tasks, to prepare.
        show: Whether to draw progress, if standard error is a terminal.

    Raises:
        DataError: A file is missing and cannot be fetched, or it differs from its published or recorded checksum. The
            message says which files to put into which directory.
    """
    info = benchmarks.load(benchmark)
    directory, records = paths.downloads, paths.records
    if info.require is not None:
        info.require(section.tasks, directory)
    if info.files is None:
        log.info("%s: nothing to fetch", benchmark)
        return
    originals = info.files(section.domains)
    sums = read_sums(directory)
    if sums:
        log.warning("%s: its own %s replaces the published checksums", directory, SUMS)
        if unknown := [path for path in sums if not (directory / path).exists()]:
            log.warning("%s: %s names files that do not exist: %s", directory, SUMS, listed(unknown))
    missing = [original for original in originals if not original.existing(directory)]
    if missing and paths.data_dir is not None:
        reason = f"{benchmark} is not complete, and data_dir is never written to (without it files are fetched)"
        raise DataError(_instructions(info.page, missing, directory, f"{directory}: {reason}"))
    for number, original in enumerate(missing):
        try:
            _fetch(original, directory, records, show)
        except NotFetchedError as error:
            reason = f"{benchmark}: {original.url}: {error}"
            raise DataError(_instructions(info.page, missing[number:], directory, reason)) from None
    entries = [
        _verify(original, path, directory, records, sums)
        for original in originals
        for path in original.existing(directory)
    ]
    write_json(paths.manifest(benchmark), {"benchmark": benchmark, "files": entries})


def _fetch(original: Original, directory: Path, records: Path, show: bool) -> None:
    record = _read_record(_record_file(records, original.path))
    expected, origin = _expected_checksum(original, original.path, records, record, {})

    def verify(part: Path) -> None:
        if expected:
            actual = digests(part, [expected.partition(":")[0]])
            way_out = "the fetched file was deleted; run again, or fetch it by hand if the server's file has changed"
            check(directory / original.path, actual, expected, origin, way_out)

    log.info("%s: fetching from %s", original.path, original.url)
    with _progress(original.path, show and sys.stderr.isatty()) as report:
        fetch(original.url, directory / original.path, verify, report, expected is not None)


def _expected_checksum(
    original: Original, path: str, records: Path, record: dict[str, Any], sums: dict[str, str]
) -> tuple[str | None, str]:
    """Checksum that a file must have (None: no checksum is known), and its origin for messages."""
    if path in sums:
        return sums[path], SUMS
    if published := original.published_checksum(path):
        return published, "published"
    if record:
        file = _record_file(records, path)
        return f"sha256:{record['sha256']}", f"recorded at its first use, {record['time']}, in {file}"
    return None, ""


def _verify(original: Original, path: str, directory: Path, records: Path, sums: dict[str, str]) -> dict[str, Any]:
    """Compare a file with its checksum, record it, and return its entry of the manifest."""
    entry: dict[str, Any] = {"path": path, "url": original.url}
    if path.endswith("/"):  # an unpacked archive, whose content its reader checks
        return entry
    file, record_file = directory / path, _record_file(records, path)
    record, version = _read_record(record_file), version_of(file)
    expected, origin = _expected_checksum(original, path, records, record, sums)
    # A record is of the checksum that the file was compared with, which another SHA256SUMS may have replaced since.
    state = {**version, "compared": origin in (SUMS, "published") and expected}
    if not record or any(record.get(key) != value for key, value in state.items()):
        algorithms = {"sha256", *([expected.partition(":")[0]] if expected else [])}
        log.info("%s: comparing with its checksum", file)
        actual = digests(file, algorithms)
        if expected:
            check(file, actual, expected, origin, _way_out(origin, record_file))
        first_use = record["time"] if record else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        record = {"url": original.url, "sha256": actual["sha256"], "time": first_use, **state}
        write_json(record_file, record)
    published = original.published_checksum(path)
    return {
        **entry,
        "bytes": version["bytes"],
        "sha256": record["sha256"],
        **({"published": published} if published and origin != SUMS else {}),
        "time": record["time"],
    }


def _way_out(origin: str, record_file: Path) -> str:
    if origin == SUMS:
        return f"it is damaged, or {SUMS} is of other files"
    way_out = "it is damaged or another file: delete it and fetch it again"
    return way_out if origin == "published" else f"{way_out}; if it was replaced on purpose, delete {record_file}"


def _record_file(records: Path, path: str) -> Path:
    return records / f"{path}.json"


def _read_record(file: Path) -> dict[str, Any]:
    """What was recorded of a file; empty at its first use."""
    if not file.is_file():
        return {}
    try:
        record = read_json(file)
        return {key: record[key] for key in ("sha256", "time", "file", "bytes", "modified_ns", "compared")}
    except DataError as error:
        raise DataError(f"{error}; delete it, which forgets the checksum of its file") from None
    except KeyError as error:
        raise DataError(f"{file}: has no {error}; delete it, which forgets the checksum of its file") from None


def _instructions(page: str, originals: list[Original], directory: Path, reason: str) -> str:
    """Message that says which files to put into which directory, and which page offers them."""
    lines = [f"{reason}. Put the missing files there by hand:"]
    for original in originals:
        checksum = (original.checksum or "no published checksum").replace(":", " ")
        lines.append(f"  {directory.absolute() / original.path} ({checksum}) from {original.url}")
        if original.folder:
            lines.append(f"    or, unpacked, {directory.absolute() / original.folder}/")
    return "\n".join([*lines, f"They are offered at {page}. Or set data_dir in config.yaml to a directory with them."])


@contextmanager
def _progress(name: str, terminal: bool) -> Iterator[Report]:
    """A function that reports the progress of a file, as a bar on the terminal or as lines of the log."""
    if not terminal:
        yield _LogProgress(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(name, total=None)
        yield lambda received, total: bars.update(task, completed=received, total=total)


class _LogProgress:
    """Progress as lines of the log."""

    def __init__(self, name: str) -> None:
        self._name, self._logged = name, time.monotonic()
        self._logged_bytes: int | None = None

    def __call__(self, received: int, total: int | None) -> None:
        now = time.monotonic()
        if self._logged_bytes is None or received < self._logged_bytes:
            self._logged_bytes = received
        if now - self._logged >= LOG_SECONDS:
            speed = (received - self._logged_bytes) / (now - self._logged) / 1e6
            whole = f" of {total / 1e6:,.0f}" if total else ""
            log.info("%s: %s%s MB, %.1f MB/s", self._name, f"{received / 1e6:,.0f}", whole, speed)
            self._logged, self._logged_bytes = now, received
