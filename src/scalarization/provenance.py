"""What every file of results was made from, and whether it would be made from the same today.

A file records a ``fingerprint`` (of the slice of the preset and of the code that made it) and ``sources`` (checksums of
the files that it was made from). It is current if it is undamaged, its fingerprint is that of the plan, and its sources
are current and still have these checksums. Existence and time of a file say nothing about that: failures, killed jobs,
copied folders and edited files must not make old results pass for new ones.
"""

from __future__ import annotations

import functools
import hashlib
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalarization.data.sources import CHANGED, changed_originals, originals_state
from scalarization.data.store import Store
from scalarization.errors import DataError
from scalarization.plan import Plan, artifacts, fingerprints
from scalarization.plan.cells import Cell, Shard
from scalarization.storage import checksum_of, read_json, read_metadata, write_json

MISSING = "missing"
#: Most names in one message.
MAX_NAMES = 3


@dataclass(frozen=True)
class Problem:
    """Why a file is not current.

    Attributes:
        reason: In words.
        source: The source that is not current, if that is why.
    """

    reason: str
    source: Path | None = None

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Product:
    """A Parquet file that a rule makes.

    Attributes:
        path: The file.
        fingerprint: Computes the fingerprint that it should have.
        sources: The files that it is made from.
        is_dispensable: Whether it may be missing while everything that was made from it is there.
    """

    path: Path
    fingerprint: Callable[[], str]
    sources: tuple[Path, ...]
    is_dispensable: bool = False

    @property
    def outputs(self) -> list[Path]:
        """The files that the rule declares."""
        return [self.path]

    def recorded(self) -> dict[str, Any]:
        """What the file says of itself; DataError if it is damaged."""
        return read_metadata(self.path)

    def checksum(self) -> str:
        """Checksum of the file; DataError if it is missing or damaged."""
        return checksum_of(self.path)

    def origin(self) -> dict[str, Any]:
        """What the file records in addition to fingerprint and sources."""
        return {}


@dataclass(frozen=True)
class StoreProduct(Product):
    """A prepared store; ``path`` is its ``dataset.json``.

    Attributes:
        originals: Returns the state of the original files, see :func:`scalarization.data.sources.originals_state`.
    """

    originals: Callable[..., dict[str, str]] = dict

    def recorded(self) -> dict[str, Any]:
        """Content of ``dataset.json``; DataError if any file of the store is damaged, or an original has changed."""
        metadata = Store(self.path).metadata
        if changed := changed_originals(metadata.get("originals", {}), self.originals()):
            raise DataError(f"made from {', '.join(changed[:MAX_NAMES])} before they changed")
        return metadata

    def origin(self) -> dict[str, Any]:
        """What the store records in addition to fingerprint and sources."""
        return {"originals": self.originals(remember=True)}

    def checksum(self) -> str:
        """Digest of the store, as run files record it."""
        return Store(self.path).digest


@dataclass(frozen=True)
class Manifest(Product):
    """The list of a benchmark's original files; the verb ``download`` compares them with their checksums.

    Attributes:
        originals: As of :class:`StoreProduct`.
    """

    originals: Callable[..., dict[str, str]] = dict

    def recorded(self) -> dict[str, Any]:
        """An empty origin; DataError if the list is damaged, or a file has changed since it was compared."""
        changed = [name for name, state in self.originals().items() if state.startswith(CHANGED)]
        if changed:
            raise DataError(f"{', '.join(changed[:MAX_NAMES])} changed since checksums were compared")
        return {"fingerprint": self.fingerprint(), "sources": {}}


@dataclass(frozen=True)
class Drawing(Product):
    """A drawn artifact, or the front page; ``path`` is the record of its files, which :func:`record_drawing` writes.

    Attributes:
        files: The drawn files.
    """

    files: tuple[Path, ...] = ()

    @property
    def outputs(self) -> list[Path]:
        """The drawn files."""
        return list(self.files)

    def recorded(self) -> dict[str, Any]:
        """Content of the record; DataError if a drawn file is missing or not the one that was drawn."""
        content = read_json(self.path)
        for file in self.files:
            if not file.is_file():
                raise DataError(f"{file}: {MISSING}")
            if content["files"].get(file.name) != _sha256(file):
                raise DataError(f"{file}: not as it was drawn")
        return content


class Provenance:
    """Compares the files of a plan with what they should be made from; every file is read once.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._results = plan.paths.results
        self._products = {product.path: product for product in _products(plan)}
        self._problems: dict[Path, Problem | None] = {}
        self._checksums: dict[Path, str] = {}

    def problem(self, path: Path) -> Problem | None:
        """Why a file is not current; None if it is.

        Args:
            path: File of a product. Any other file is an original and taken as it is.
        """
        if path not in self._problems:
            self._problems[path] = self._compare(self._products[path]) if path in self._products else None
        return self._problems[path]

    def outdated(self) -> list[Path]:
        """Declared outputs of all rules that must run again."""
        products = (product for path, product in self._products.items() if self._must_be_made(path))
        return [output for product in products for output in product.outputs]

    def causes(self) -> dict[Path, Problem]:
        """Files for which others that were finished must be made again, or they themselves -> why."""
        causes: dict[Path, Problem] = {}
        for path in filter(self._must_be_made, self._products):
            problem = self.problem(path)
            if path.is_file() and problem:
                cause = problem.source or path
                while (problem := self.problem(cause)) and problem.source:
                    cause = problem.source
                if problem:
                    causes[cause] = problem
        return causes

    def require(self, paths: Iterable[Path]) -> None:
        """Check files that are about to be read.

        Raises:
            DataError: Some are not current; the message names the first.
        """
        problems = {path: problem for path in paths if (problem := self.problem(path))}
        for path, problem in problems.items():
            others = f", and {len(problems) - 1} others like it" if len(problems) > 1 else ""
            raise DataError(f"{path}: {problem}{others}; make it with: snakemake --cores all {shlex.quote(str(path))}")

    def origin(self, path: Path, sources: Iterable[Path] | None = None) -> dict[str, Any]:
        """What a file that is going to be written records: its ``fingerprint`` and its ``sources``.

        To be called before the sources are read: should they change meanwhile, the file is not current.

        Args:
            path: File of a product.
            sources: Those of its sources that it is made from; a file that is not made from all of them is not
                current. None: all.

        Raises:
            DataError: A source is missing or damaged.
        """
        product = self._products[path]
        used = product.sources if sources is None else tuple(sources)
        return {
            "fingerprint": product.fingerprint(),
            "sources": {self._name(source): self._checksum(source) for source in used},
            **product.origin(),
        }

    def _must_be_made(self, path: Path) -> bool:
        problem = self.problem(path)
        return problem is not None and not (self._products[path].is_dispensable and problem.reason == MISSING)

    def _compare(self, product: Product) -> Problem | None:
        if not product.path.is_file():
            return Problem(MISSING)
        try:
            recorded = product.recorded()
        except DataError as error:
            return Problem(str(error).removeprefix(f"{product.path}: ").partition("; ")[0])
        if recorded.get("fingerprint") != product.fingerprint():
            return Problem("made from other settings or by other code")
        for source in product.sources:
            if problem := self.problem(source):
                if self._must_be_made(source):
                    return Problem(f"made from {source} ({problem})", source)
                continue
            if recorded["sources"].get(self._name(source)) != self._checksum(source):
                return Problem(f"made from {source} as it was before")
        return None if len(recorded["sources"]) == len(product.sources) else Problem("made from other files")

    def _checksum(self, path: Path) -> str:
        if path not in self._checksums:
            product = self._products.get(path)
            self._checksums[path] = product.checksum() if product else checksum_of(path)
        return self._checksums[path]

    def _name(self, path: Path) -> str:
        return path.relative_to(self._results).as_posix()


def record_drawing(record: Path, files: Iterable[Path], origin: dict[str, Any]) -> None:
    """Record that an artifact was drawn, or the front page made.

    Args:
        record: Where to.
        files: What was drawn.
        origin: What :meth:`Provenance.origin` returned before the sources were read.
    """
    write_json(record, {**origin, "files": {file.name: _sha256(file) for file in files}})


def _products(plan: Plan) -> Iterator[Product]:
    """All products of a plan."""
    paths = plan.paths
    for benchmark, info in plan.benchmarks.items():
        options = plan.preset.benchmarks[benchmark]
        originals = functools.partial(originals_state, paths, benchmark, options)
        fingerprint = _of(fingerprints.of_store, benchmark, options)
        manifest = paths.manifest(benchmark)
        # Whoever has the run files needs no data to draw figures.
        if info.files:
            yield Manifest(manifest, str, (), is_dispensable=True, originals=originals)
        sources = (manifest,) if info.files else ()
        yield StoreProduct(paths.store_file(benchmark), fingerprint, sources, is_dispensable=True, originals=originals)
    for cell in plan.cells.values():
        yield from _training_products(plan, cell)
    for cell in plan.counted.values():
        shard, store = Shard(cell), paths.store_file(cell.benchmark)
        yield Product(paths.shard_file(shard), _of(fingerprints.of_shard, shard), (store,))
    for search in plan.searches.values():
        store = paths.store_file(search.cell.benchmark)
        yield Product(paths.search_file(search), _of(fingerprints.of_search, search), (store,))
    for profile in plan.profiles.values():
        store = paths.store_file(profile.cell.benchmark)
        yield Product(paths.profile_file(profile.name), _of(fingerprints.of_profile, profile), (store,))
    for artifact in artifacts.selected(plan):
        summary = paths.summary_file(artifact)
        yield Product(summary, _of(fingerprints.of_summary, plan, artifact), tuple(artifacts.inputs_of(plan, artifact)))
        fingerprint = _of(fingerprints.of_drawing, artifacts.kind_of(plan, artifact))
        files = tuple(artifacts.files_of(plan, artifact).values())
        yield Drawing(paths.drawing_record(artifact), fingerprint, (summary,), files=files)
    drawings = tuple(map(paths.drawing_record, artifacts.selected(plan)))
    yield Drawing(paths.page_record, _of(fingerprints.of_page, plan), drawings, files=(paths.page_file,))


def _training_products(plan: Plan, cell: Cell) -> Iterator[Product]:
    """The files of a cell and, if it is split, of its shards."""
    sources = (plan.paths.store_file(cell.benchmark), *map(plan.paths.search_file, plan.searches_of(cell)))
    shards = plan.shards(cell)
    for shard in shards if len(shards) == 1 else [Shard(cell), *shards]:
        for file in plan.paths.shard_outputs(shard):
            # Shards may be missing once they are merged.
            yield Product(file, _of(fingerprints.of_shard, shard), sources, shard.num_shards > 1)


def _of(function: Callable[..., str], *arguments: Any) -> Callable[[], str]:
    return lambda: function(*arguments)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
