"""``python -m scalarization VERB``: every rule of the workflow calls one verb, so every job can be run by hand."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

from scalarization.config import Benchmark, load_config, parse_value, suggestion
from scalarization.errors import ConfigError, StoppedError, UserError
from scalarization.plan import Plan, artifacts, load_plan

#: Exit status of a job that saved its state and can be resumed (EX_TEMPFAIL of sysexits).
EXIT_STOPPED = 75
EXIT_ERROR = 2
Verb = Callable[[Plan, argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0 on success, 75 when the job stopped with its state saved, 2 on an error that the user can correct.
    """
    options = _parser().parse_args(arguments)
    try:
        _log_to(options.log)
        if options.log:  # `status` reads from this line that a failed job was started again
            logging.getLogger(__name__).info("started as process %d on %s", os.getpid(), platform.node())
        # The workflow passes on what its command line changed; see workflow/rules/common.smk.
        overrides = json.loads(os.environ.get("SCALARIZATION_OVERRIDES", "{}"))
        overrides.update(_assignment(text) for text in options.set)
        if options.preset:
            overrides["preset"] = options.preset
        plan = load_plan(load_config(options.config, overrides))
        options.run(plan, options)
    except UserError as error:
        stopped = isinstance(error, StoppedError)
        level = logging.WARNING if stopped else logging.ERROR  # stopping when asked to is no failure
        logging.getLogger(__name__).log(level, "%s", error, extra={"terminal": True})
        return EXIT_STOPPED if stopped else EXIT_ERROR
    except Exception:
        logging.getLogger(__name__).exception("unexpected error", extra={"terminal": True})
        raise
    return 0


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
    compare = verb("compare", _compare, "print our numbers and those of the paper, from the summaries of tables")
    compare.add_argument("--artifact", action="append", default=[], help="only this table; repeatable (default: all)")
    draw = verb("draw", _draw, "draw an artifact from its summary, as PDF and PNG")
    draw.add_argument("--artifact", required=True)
    return parser


def _add_time_limit(parser: argparse.ArgumentParser) -> None:
    help_text = "save the state and exit before this many minutes have passed"
    parser.add_argument("--time-limit", type=float, metavar="MINUTES", help=help_text)


def _add_search_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--search", action="append", help="a search's name, as `plan` prints it; repeatable")
    source.add_argument("--benchmark", help="search on a benchmark of the preset, retrain, and print the gain")
    parser.add_argument("--workers", type=int, help="members trained at the same time (default: one per CPU core)")
    parser.add_argument("--nodes", type=int, default=1, help="nodes of this Slurm job, all of which are used")
    _add_time_limit(parser)
    own = parser.add_argument_group("with --benchmark")
    own.add_argument("--budget", type=float, default=8, help="in trainings of one model (default: %(default)s)")
    own.add_argument("--method", default="pbt", help="pbt, pb2, search_grid or search_random (default: %(default)s)")
    own.add_argument("--tasks", help="tasks or domains, separated by commas (default: all groups, all domains)")
    own.add_argument("--architecture", help="such as vit_d2_w48 (default: the first that the preset trains there)")
    own.add_argument("--epochs-ready", type=int, help="epochs of an interval (default: a tenth of all)")
    own.add_argument("--seeds", type=int, default=2, help="number of trainings with the policy (default: %(default)s)")


def _assignment(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: expected KEY=VALUE")
    return key, parse_value(value)


class _TerminalFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "terminal", False) or record.levelno >= logging.WARNING


def _log_to(file: Path | None) -> None:
    """Everything to the log file and little to the terminal; everything to the terminal if there is no file."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    terminal = logging.StreamHandler()
    terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s" if file is None else "%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if file is not None:
        terminal.addFilter(_TerminalFilter())
        file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(file, mode="a"))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root.handlers = handlers
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs every glyph of a PDF


def _benchmark(plan: Plan, name: str) -> Benchmark:
    """The benchmark of the preset that a command line names."""
    known = plan.preset.benchmarks
    if name not in known:
        raise ConfigError(f"{plan.config.preset_file}: no benchmark {name}; {suggestion(name, known)}")
    return known[name]


def _artifact(plan: Plan, name: str) -> str:
    """The artifact of the preset that a command line names."""
    known = plan.preset.artifacts
    if name not in known:
        raise ConfigError(f"{plan.config.preset_file}: no artifact {name}; {suggestion(name, known)}")
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

    benchmark = _benchmark(plan, options.benchmark)
    directory = plan.paths.store_file(options.benchmark).parent
    prepare(directory, options.benchmark, benchmark.domains, plan.paths.downloads, benchmark.tasks)


def _train(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.search.policies import resolve_policies
    from scalarization.training.job import train_shards

    train_shards(plan, resolve_policies(plan, [plan.shard(name) for name in options.cell]), _seconds(options))


def _conflicts(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.training.job import count_conflicts

    count_conflicts(plan, [plan.counted_cell(name) for name in options.cell], _seconds(options))


def _search(plan: Plan, options: argparse.Namespace) -> None:
    if options.search:
        from scalarization.search.session import run_searches

        searches = [plan.search(name) for name in options.search]
        run_searches(plan, searches, options.workers, _seconds(options), options.nodes)
        return
    from scalarization.reports.search import report_ad_hoc_search
    from scalarization.search.adhoc import SearchRequest

    request = SearchRequest(
        benchmark=options.benchmark,
        budget=options.budget,
        method=options.method,
        tasks=options.tasks.split(",") if options.tasks else None,
        architecture=options.architecture,
        epochs_ready=options.epochs_ready,
        seeds=options.seeds,
        workers=options.workers,
    )
    report_ad_hoc_search(plan, request)


def _merge(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.training.job import merge_shards

    merge_shards(plan, plan.cell(options.cell))


def _profile(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.training.profile import measure_profile

    measure_profile(plan, options.profile)


def _summarize(plan: Plan, options: argparse.Namespace) -> None:
    import pyarrow as pa

    from scalarization import analysis
    from scalarization.storage import write_table

    artifact = _artifact(plan, options.artifact)
    table = pa.Table.from_pandas(analysis.summarize(plan, artifact), preserve_index=False)
    write_table(plan.paths.summary_file(artifact), table, analysis.metadata(plan, artifact))


def _compare(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.reports.compare import print_comparison

    print_comparison(plan, options.artifact)


def _draw(plan: Plan, options: argparse.Namespace) -> None:
    import pyarrow.parquet as pq

    from scalarization.plotting.style import save
    from scalarization.storage import read_metadata, write_bytes

    artifact = _artifact(plan, options.artifact)
    source = plan.paths.summary_file(artifact)
    metadata = read_metadata(source)
    summary = pq.read_table(source).to_pandas()
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
