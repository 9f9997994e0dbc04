"""``python -m scalarization VERB``: every rule of the workflow calls one verb, so every job can be run by hand."""

from __future__ import annotations

import argparse
import errno
import io
import json
import logging
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from scalarization.config import (
    Benchmark,
    Count,
    Positive,
    Section,
    checked,
    limits,
    load_config,
    parse_value,
    suggestion,
)
from scalarization.config.messages import one_line, shortened
from scalarization.errors import ConfigError, StoppedError, UserError, not_written
from scalarization.plan import Plan, artifacts, load_plan

#: Exit status of a job that saved its state and can be resumed (EX_TEMPFAIL of sysexits).
EXIT_STOPPED = 75
EXIT_ERROR = 2
Verb = Callable[[Plan, argparse.Namespace], None]


#: Exit status of a process whose output nobody reads any more, as shells report it (128 + SIGPIPE).
EXIT_UNREAD = 141
#: What a machine refuses, whatever the code does: full, read-only, not permitted, broken.
REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE}
REFUSALS |= {errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ENOMEM}


class Limits(Section):
    """Options of verbs that train."""

    time_limit: Positive | None = Field(None, le=limits.MINUTES, description="minutes")
    workers: Count | None = Field(None, le=limits.THREADS, description="members trained at the same time")
    nodes: Count | None = Field(None, le=limits.THREADS, description="nodes of the Slurm job")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0 on success, 75 when the job stopped with its state saved, 2 on an error that the user can correct, 141 when
        nobody reads the output (``| head``).
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack characters
    os.environ["MPLBACKEND"] = "agg"  # figures become files, whatever the shell (of a notebook, say) asks for
    options = _parser().parse_args(arguments)
    log = logging.getLogger(__name__)
    terminal = {"terminal": True}
    try:
        _log_to(options.log)
        if options.log:  # `status` reads from this line that a failed job was started again
            log.info("started as process %d on %s", os.getpid(), platform.node())
        given = {name: value for name, value in vars(options).items() if name in Limits.model_fields}
        checked(Limits, given, "command line")
        options.run(load_plan(load_config(options.config, _overrides(options))), options)
        sys.stdout.flush()
    except UserError as error:
        stopped = isinstance(error, StoppedError)
        log.log(logging.WARNING if stopped else logging.ERROR, "%s", error, extra=terminal)  # stopping is no failure
        return EXIT_STOPPED if stopped else EXIT_ERROR
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_UNREAD
    except Exception as error:
        if not isinstance(error, MemoryError) and not (isinstance(error, OSError) and error.errno in REFUSALS):
            log.exception("unexpected error", extra=terminal)
            raise
        message = "the machine refuses: %s; make room or check permissions, then run the same command again"
        log.error(message, str(error) or "not enough memory", extra=terminal)
        return EXIT_ERROR
    return 0


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    """Keys of the configuration that the workflow and the command line replace, the latter last."""
    name = "SCALARIZATION_OVERRIDES"  # what the command line of Snakemake changed; see workflow/rules/common.smk
    text = os.environ.get(name) or "{}"
    try:
        overrides = json.loads(text)
    except (ValueError, RecursionError):
        overrides = None
    if not isinstance(overrides, dict):
        problem = "expected keys and values as JSON; unset this environment variable, the workflow sets it for its jobs"
        raise ConfigError(f"{name} = {shortened(text)}: {problem}")
    overrides.update(_assignment(text) for text in options.set)
    return {**overrides, "preset": options.preset} if options.preset is not None else overrides


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", default="config.yaml", help="configuration file (default: %(default)s)")
    common.add_argument("--preset", help="short for --set preset=PRESET")
    common.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace a key of the configuration"
    )
    common.add_argument("--log", type=Path, help="file for messages and progress (default: terminal)")
    description = "Every rule of the workflow calls one verb, so every job can be run by hand."
    parser = argparse.ArgumentParser(prog="python -m scalarization", description=description)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Verb, description: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, parents=[common], help=description, description=description)
        sub.set_defaults(run=run)
        return sub

    verb("plan", _plan, "print cells, runs, steps and estimated hours, and write them to plan.parquet")
    verb("status", _status, "print what is done, running, waiting and failed, and the estimated time that remains")
    download = verb("download", _download, "fetch the original files of a benchmark, or check those in data_dir")
    download.add_argument("--benchmark", required=True)
    prepare = verb("prepare", _prepare, "make the prepared store of a benchmark")
    prepare.add_argument("--benchmark", required=True)
    train = verb("train", _train, "train cells or shards of cells, and write their run files")
    train.add_argument("--cell", action="append", required=True, help="a cell's name, as `plan` prints it; repeatable")
    _add_time_limit(train)
    conflicts = verb("conflicts", _conflicts, "train cells with uniform weights, and count gradient conflicts")
    conflicts.add_argument("--cell", action="append", required=True, help="a cell's name; repeatable")
    _add_time_limit(conflicts)
    search = verb("search", _search, "search task weights: a search of the preset, or a search of your own")
    _add_search_arguments(search)
    merge = verb("merge", _merge, "merge the shards of a cell into its run file")
    merge.add_argument("--cell", required=True)
    profile = verb("profile", _profile, "measure time and peak memory of a training step of every method")
    profile.add_argument("--profile", required=True, help="a key of the preset's `profiles`")
    summarize = verb("summarize", _summarize, "query run files and write the summary of an artifact")
    summarize.add_argument("--artifact", required=True)
    verb("verify", _verify, "compare every result file and every byte of prepared stores with its checksum")
    compare = verb("compare", _compare, "print our numbers and those of the paper, from the summaries of tables")
    compare.add_argument("--artifact", action="append", default=[], help="only this table; repeatable (default: all)")
    draw = verb("draw", _draw, "draw an artifact from its summary, as PDF and PNG")
    draw.add_argument("--artifact", required=True)
    verb("page", _page, "make the front page: verdicts, and every figure and table that is drawn")
    return parser


def _add_time_limit(parser: argparse.ArgumentParser) -> None:
    help_text = "save the state and exit before this many minutes have passed"
    parser.add_argument("--time-limit", type=float, metavar="MINUTES", help=help_text)


def _add_search_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--search", action="append", help="a search's name, as `plan` prints it; repeatable")
    source.add_argument("--benchmark", help="search on a benchmark of the preset, retrain, and print the gain")
    parser.add_argument("--workers", type=int, help="members trained at the same time (default: one per CPU core)")
    parser.add_argument("--nodes", type=int, help="nodes of this Slurm job, all of which are used (default: 1)")
    _add_time_limit(parser)
    own = parser.add_argument_group("with --benchmark")
    own.add_argument("--budget", type=float, help="in trainings of one model (default: 8)")
    own.add_argument("--method", help="pbt, pb2, search_grid, search_random or search_lr (default: pbt)")
    own.add_argument("--tasks", help="tasks or domains, separated by commas (default: all groups, all domains)")
    own.add_argument("--architecture", help="such as vit_d2_w48 (default: the first that the preset trains there)")
    own.add_argument("--epochs-ready", type=int, help="epochs of an interval (default: a tenth of all)")
    own.add_argument("--seeds", type=int, help="number of trainings with the policy (default: 2)")


def _assignment(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {one_line(text)}: expected KEY=VALUE")
    try:
        return key, parse_value(value)
    except ConfigError as error:
        raise ConfigError(f"--set {one_line(text)}: {error}") from None


class _TerminalFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "terminal", False) or record.levelno >= logging.WARNING


class _LogFile(logging.FileHandler):
    """A log that ends, with a line on the terminal, when the file system refuses more of it; the job continues."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        logging.getLogger().removeHandler(self)
        logging.getLogger(__name__).warning("%s: could not be written, the log ends here: %s", self.baseFilename, error)


def _log_to(file: Path | None) -> None:
    """Everything to the log file and little to the terminal; everything to the terminal if there is no file."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    terminal = logging.StreamHandler()
    terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s" if file is None else "%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if file is not None:
        terminal.addFilter(_TerminalFilter())
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(_LogFile(file, mode="a", encoding="utf-8", errors="backslashreplace"))
        except OSError as error:
            raise not_written(file, error) from None
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root.handlers = handlers
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs every glyph of a PDF


def _benchmark(plan: Plan, name: str) -> Benchmark:
    """The benchmark of the preset that a command line names."""
    known = plan.preset.benchmarks
    if name not in known:
        raise ConfigError(f"{plan.config.preset_file}: no benchmark {one_line(name)}; {suggestion(name, known)}")
    return known[name]


def _artifact(plan: Plan, name: str) -> str:
    """The artifact of the preset that a command line names."""
    known = plan.preset.artifacts
    if name not in known:
        raise ConfigError(f"{plan.config.preset_file}: no artifact {one_line(name)}; {suggestion(name, known)}")
    if name not in artifacts.selected(plan):
        raise ConfigError(f"{plan.config.source}: only = {plan.config.only.describe()}: nothing of {name} is left")
    return name


def _seconds(options: argparse.Namespace) -> float | None:
    """The time limit in seconds."""
    return None if options.time_limit is None else options.time_limit * 60


def _plan(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.reports.plan import print_plan

    print_plan(plan)


def _status(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.reports.status import print_status

    print_status(plan)


def _download(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.data.download import download

    benchmark = _benchmark(plan, options.benchmark)
    download(plan.paths, options.benchmark, benchmark, show=options.log is None)


def _prepare(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.data.prepare import prepare
    from scalarization.provenance import Provenance

    benchmark = _benchmark(plan, options.benchmark)
    store = plan.paths.store_file(options.benchmark)
    origin = Provenance(plan).origin(store)
    arguments = (benchmark.domains, plan.paths.downloads, benchmark.tasks, origin, benchmark.limited_domains)
    prepare(store.parent, options.benchmark, *arguments)


def _train(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.search import retraining
    from scalarization.training.merging import merge_shards

    shards = dict.fromkeys(shard for name in options.cell for shard in plan.shards_named(name))
    retraining.train(plan, list(shards), _seconds(options))
    for cell in dict.fromkeys(plan.cells[name] for name in options.cell if name in plan.cells):
        if len(plan.shards(cell)) > 1:
            merge_shards(plan, cell)


def _conflicts(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.training.job import count_conflicts

    count_conflicts(plan, [plan.counted_cell(name) for name in dict.fromkeys(options.cell)], _seconds(options))


def _search(plan: Plan, options: argparse.Namespace) -> None:
    request = {
        key: vars(options)[key] for key in ("budget", "method", "tasks", "architecture", "epochs_ready", "seeds")
    }
    request = {key: value for key, value in request.items() if value is not None}
    if options.search:
        from scalarization.search.session import run_searches

        _refuse(request, "--search")
        searches = [plan.search(name) for name in dict.fromkeys(options.search)]
        run_searches(plan, searches, options.workers, _seconds(options), options.nodes or 1)
        return
    from scalarization.search.adhoc import SearchRequest

    _refuse([key for key in ("time_limit", "nodes") if vars(options)[key] is not None], "--benchmark")
    if "tasks" in request:
        request["tasks"] = request["tasks"].split(",")
    request |= {"benchmark": options.benchmark, "workers": options.workers}
    checked_request = checked(SearchRequest, request, "search")
    from scalarization.reports.search import report_ad_hoc_search

    report_ad_hoc_search(plan, checked_request)


def _refuse(given: Iterable[str], option: str) -> None:
    """Refuse options that have no meaning with another one."""
    for key in given:
        raise ConfigError(f"search: --{key.replace('_', '-')} cannot be given with {option}; leave it out")


def _merge(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.training.merging import merge_shards

    merge_shards(plan, plan.cell(options.cell))


def _profile(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.training.profile import measure_profile

    measure_profile(plan, options.profile)


def _summarize(plan: Plan, options: argparse.Namespace) -> None:
    import pyarrow as pa

    from scalarization import analysis
    from scalarization.provenance import Provenance
    from scalarization.storage import write_table

    artifact = _artifact(plan, options.artifact)
    file, provenance = plan.paths.summary_file(artifact), Provenance(plan)
    provenance.require(artifacts.inputs_of(plan, artifact))
    origin = provenance.origin(file)
    table = pa.Table.from_pandas(analysis.summarize(plan, artifact), preserve_index=False)
    write_table(file, table, {**analysis.metadata(plan, artifact), **origin})


def _compare(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.provenance import Provenance
    from scalarization.reports.compare import print_comparison

    summaries = map(plan.paths.summary_file, options.artifact or artifacts.selected(plan))
    Provenance(plan).require(file for file in summaries if file.is_file())
    print_comparison(plan, options.artifact)


def _verify(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.reports.verify import print_verification

    print_verification(plan)


def _draw(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.plotting.style import save
    from scalarization.provenance import Provenance, record_drawing
    from scalarization.storage import read_metadata, read_table, write_bytes

    artifact = _artifact(plan, options.artifact)
    source, provenance = plan.paths.summary_file(artifact), Provenance(plan)
    provenance.require([source])
    record = plan.paths.drawing_record(artifact)
    origin = provenance.origin(record)
    metadata = read_metadata(source)
    summary = read_table(source, "summary").to_pandas()
    kind, files = artifacts.kind_of(plan, artifact), artifacts.files_of(plan, artifact)
    if kind.output == "table":
        from scalarization import tables

        figure, texts = tables.draw(kind.name, summary, metadata)
        for name, text in texts.items():
            write_bytes(files[name], text.encode())
    else:
        from scalarization import figures

        figure = figures.draw(kind.name, summary, metadata)
    save(figure, files["pdf"], files["png"])
    record_drawing(record, files.values(), origin)


def _page(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.reports.page import make_page

    line = make_page(plan)
    if options.log:  # the workflow prints it at the end (workflow/rules/page.smk)
        logging.getLogger(__name__).info("%s", line)
    else:
        print(line)
