"""Where everything of a preset lies. Nothing here looks at the disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scalarization.config.names import DOWNLOADS, LONGEST_NAME, folded, same_file
from scalarization.plan.cells import Cell, Search, Shard
from scalarization.plan.problems import Problems
from scalarization.specification import DenseOutputs

#: Formats of each kind of output.
FORMATS = {"figure": ("pdf", "png"), "table": ("pdf", "png", "md", "tex")}
#: Bytes of a cell's slug, so that names of files which contain it are possible: 32 bytes are for what is added in
#: :meth:`Paths.timings_file`, and 32 for temporary names.
LONGEST_SLUG = LONGEST_NAME - 64


@dataclass(frozen=True)
class Paths:
    """Files of one preset.

    Attributes:
        results: ``<results>/<preset>``.
        reports: ``<reports>/<preset>``.
        data_dir: Directory of original files that are already there; None: they are fetched.
    """

    results: Path
    reports: Path
    data_dir: Path | None

    @property
    def downloads(self) -> Path:
        """Directory where original archives are looked for: ``data_dir`` if given, else shared by all presets."""
        return self.data_dir if self.data_dir is not None else self.results.parent / DOWNLOADS

    @property
    def records(self) -> Path:
        """Directory of what is remembered of original files, wherever they lie; shared by all presets."""
        return self.results.parent / DOWNLOADS / "records"

    @property
    def checkpoints(self) -> Path:
        """Directory of what runs and searches leave while they train, and of finished runs."""
        return self.results / "checkpoints"

    @property
    def plan_file(self) -> Path:
        """Where the verb ``plan`` writes its table."""
        return self.results / "plan.parquet"

    def manifest(self, benchmark: str) -> Path:
        """The file that tells which original files a benchmark's store is made of."""
        return self.results / "downloads" / f"{benchmark}.json"

    def store_file(self, benchmark: str) -> Path:
        """The file that completes a benchmark's prepared store."""
        return self.results / "data" / benchmark / "dataset.json"

    def log_file(self, rule: str) -> Path:
        """Log of a rule's job."""
        return self.results / "logs" / f"{rule}.log"

    def run_file(self, cell: Cell) -> Path:
        """Where a cell's runs, or the conflicts that were counted in them, are."""
        return self.results / ("conflicts" if cell.counts_conflicts else "runs") / f"{cell.name}.parquet"

    def shard_file(self, shard: Shard) -> Path:
        """Where the runs of a shard are; the run file itself if the cell is not split."""
        if shard.num_shards == 1:
            return self.run_file(shard.cell)
        return self.results / "shards" / shard.cell.name / f"{shard.shard_index}of{shard.num_shards}.parquet"

    def examples_file(self, shard: Shard) -> Path | None:
        """Where a dense cell's predictions for a few test images are; None for other cells."""
        if not isinstance(shard.cell.specification.outputs, DenseOutputs):
            return None
        if shard.num_shards == 1:
            return self.results / "examples" / f"{shard.cell.name}.parquet"
        return self.shard_file(shard).with_suffix(".examples.parquet")

    def shard_outputs(self, shard: Shard) -> list[Path]:
        """All files that training a shard makes."""
        return [file for file in (self.shard_file(shard), self.examples_file(shard)) if file]

    def timings_file(self, shard: Shard) -> Path:
        """Where the time that each run of a shard took is."""
        prefix = "conflicts." if shard.cell.counts_conflicts else ""
        suffix = "" if shard.num_shards == 1 else f".{shard.shard_index}of{shard.num_shards}"
        return self.results / "timings" / f"{prefix}{shard.cell.slug}{suffix}.parquet"

    def search_file(self, search: Search) -> Path:
        """Where the history of a search is."""
        return self.results / "searches" / f"{search.name}.parquet"

    def profile_file(self, name: str) -> Path:
        """Where a measurement of time and memory is."""
        return self.results / "profiles" / f"{name}.parquet"

    def summary_file(self, artifact: str) -> Path:
        """The few numbers from which an artifact is drawn."""
        return self.results / "summary" / f"{artifact}.parquet"

    def drawing_record(self, artifact: str) -> Path:
        """Where it is recorded from what an artifact was drawn, with the checksums of its files."""
        return self.results / "drawn" / f"{artifact}.json"

    @property
    def page_file(self) -> Path:
        """The front page."""
        return self.reports / "index.html"

    @property
    def page_record(self) -> Path:
        """Where it is recorded from what the front page was made; no artifact has this name."""
        return self.drawing_record("page")

    def artifact_files(self, artifact: str, output: str) -> dict[str, Path]:
        """Format -> file of an artifact.

        Args:
            artifact: Its name.
            output: ``figure`` (PDF and PNG) or ``table`` (Markdown and LaTeX as well).
        """
        return {f: self.reports / f"{output}s" / f"{artifact}.{f}" for f in FORMATS[output]}


def check_names(section: str, cells_of: Mapping[str, Sequence[Cell]], problems: Problems) -> None:
    """Note cells whose files have impossible names, or the names of another cell's files.

    Args:
        section: ``experiments`` or ``conflicts``.
        cells_of: Key of the section -> its cells.
        problems: Collects mistakes.
    """
    names: dict[str, str] = {}  # slug -> name
    for key, cells in cells_of.items():
        for cell in cells:
            if len(cell.slug.encode()) > LONGEST_SLUG:
                problems.add(f"{section}.{key}", f"{cell.name} has over {LONGEST_SLUG} bytes; shorten a name in it")
            other = names.setdefault(folded(cell.slug), cell.name)
            if other != cell.name:
                message = f"{cell.name} and {other} are the same file, at least on some file systems; rename one"
                problems.add(f"{section}.{key}", message)


def check_sessions(searches: Iterable[Search], problems: Problems) -> None:
    """Note sessions of searches whose logs are the same file on some file systems."""
    if twins := same_file(search.session for search in searches):
        message = f"sessions {twins[0]} and {twins[1]} are the same file on some file systems; rename one"
        problems.add("searches", message)
