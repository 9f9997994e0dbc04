"""What the original files of a benchmark are now, so that changed ones remake the prepared store. No torch.

The state of an original is a checksum. That of a file is of its content, which is read again only if its size or times
have changed since it was last read. A folder has one state: of the contents of its files or, of a folder with more than
:data:`MANY` files, of their names and sizes, which are listed again only if a folder in it has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalarization import benchmarks
from scalarization.benchmarks.images import is_companion, listed
from scalarization.benchmarks.originals import digests
from scalarization.data.files import settled
from scalarization.errors import DataError
from scalarization.storage import read_json, write_json

if TYPE_CHECKING:
    from scalarization.config import Benchmark
    from scalarization.plan.paths import Paths

#: Files of a folder beyond which only names and sizes are compared, because a plan must not take long.
MANY = 2_000
#: How the state of a file begins that is not the one that was compared with its checksum.
CHANGED = "changed: "


def originals_state(paths: Paths, benchmark: str, section: Benchmark, remember: bool = False) -> dict[str, str]:
    """State of every original of a benchmark that is there now.

    Originals that are no longer there are left out: a prepared store does not need them.

    Args:
        paths: Directories of original files, records and manifests.
        benchmark: The benchmark's name.
        section: Section of the preset with the domains, or tasks, that are prepared.
        remember: For whoever prepares data: what is read is written down, so that it need not be read again, and files
            that have changed are refused.

    Returns:
        Path (below the directory of downloads, if it is there) -> state. Of a benchmark whose files are fetched, these
        are the files of its manifest, with the checksums that the manifest has; a file that has changed since has
        another state, and the verb ``download`` compares it with its checksum. Without a manifest there are none.

    Raises:
        DataError: The manifest or an original cannot be read, or ``remember`` and a file has changed.
    """
    known = _Known(paths.records / f"{benchmark}.originals.json")
    try:
        states = _states(paths, benchmark, section, known)
    except OSError as error:
        raise DataError(f"{error.filename}: not readable ({error.strerror}); check its permissions") from None
    if remember:
        if changed := [name for name, state in states.items() if state.startswith(CHANGED)]:
            raise DataError(
                f"{paths.downloads}: changed since their checksums were compared: {listed(changed)}; compare them: "
                f"python -m scalarization download --benchmark {benchmark}"
            )
        known.write()
    return states


def _states(paths: Paths, benchmark: str, section: Benchmark, known: _Known) -> dict[str, str]:
    info, downloads = benchmarks.load(benchmark), paths.downloads
    states = {}
    if info.files:
        for entry in _manifest(paths, benchmark):
            path = downloads / entry["path"]
            if path.exists():
                states[entry["path"]] = known.folder(path) if path.is_dir() else _file_of_manifest(paths, entry)
        return states
    for path in info.sources(section.tasks, downloads) if info.sources else [downloads / benchmark]:
        if path.exists():
            states[_name(path, downloads)] = known.folder(path) if path.is_dir() else known.file(path)
    return states


def changed_originals(recorded: Mapping[str, str], state: Mapping[str, str]) -> list[str]:
    """Names of the originals that are not as they were when a store was prepared.

    Args:
        recorded: Their state then.
        state: Their state now, see :func:`originals_state`.
    """
    return [name for name, checksum in state.items() if recorded.get(name) != checksum]


def version_of(file: Path) -> dict[str, Any]:
    """What tells whether a file is still the one that was read: where it is, its size, and when it was modified."""
    status = settled(file)
    return {"file": str(file.resolve()), "bytes": status.st_size, "modified_ns": status.st_mtime_ns}


def _manifest(paths: Paths, benchmark: str) -> list[dict[str, Any]]:
    file = paths.manifest(benchmark)
    return read_json(file)["files"] if file.is_file() else []


def _file_of_manifest(paths: Paths, entry: Mapping[str, Any]) -> str:
    version = version_of(paths.downloads / entry["path"])
    try:
        record = read_json(paths.records / f"{entry['path']}.json")
    except DataError:
        record = {}
    if record.get("sha256") == entry["sha256"] and all(record.get(key) == value for key, value in version.items()):
        return f"sha256:{entry['sha256']}"
    return f"{CHANGED}{version['bytes']} bytes, {version['modified_ns']} ns"


def _name(path: Path, downloads: Path) -> str:
    if path.is_relative_to(downloads):
        return path.relative_to(downloads).as_posix()
    return f"{path.parent.name}/{path.name}"


class _Known:
    """Checksums of files and folders that have been read before.

    Args:
        file: Where they are written down; what is damaged there is read again.
    """

    def __init__(self, file: Path) -> None:
        self._path, self._changed = file, False
        self._used: dict[str, Any] = {}
        try:
            self._entries: dict[str, Any] = read_json(file)["entries"]
        except (DataError, KeyError):
            self._entries = {}

    def file(self, path: Path) -> str:
        """State of a file."""
        status = settled(path)
        version = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        entry = self._entries.get(str(path), {})
        if entry.get("version") != version:
            entry = {"version": version, "state": f"sha256:{digests(path, ['sha256'])['sha256']}"}
            self._changed = True
        self._used[str(path)] = entry
        return entry["state"]

    def folder(self, path: Path) -> str:
        """State of a folder."""
        entry = self._entries.get(f"{path}/")
        if entry and all(_modified(folder) == time for folder, time in entry["folders"].items()):
            return entry["state"]
        folders, files = _walk(path)
        if len(files) <= MANY:
            return _digest((name, self.file(file)) for name, file in files)
        state = _digest((name, file.stat().st_size) for name, file in files)
        self._used[f"{path}/"] = {"folders": folders, "state": state}
        self._changed = True
        return state

    def write(self) -> None:
        """Write down what has been read."""
        if self._changed:
            write_json(self._path, {"entries": {**self._entries, **self._used}})


def _walk(folder: Path) -> tuple[dict[str, int], list[tuple[str, Path]]]:
    """Folder -> time of change, of a folder and all below it; relative path and path of every file, sorted."""
    folders, files = {}, []
    for root, below, names in os.walk(folder):
        below[:] = [name for name in below if not is_companion(name)]
        folders[root] = settled(Path(root)).st_mtime_ns
        files += [Path(root) / name for name in names if not is_companion(name)]
    return folders, sorted((file.relative_to(folder).as_posix(), file) for file in files if file.is_file())


def _modified(folder: str) -> int | None:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None


def _digest(content: Iterable[Any]) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(list(content)).encode()).hexdigest()}"
