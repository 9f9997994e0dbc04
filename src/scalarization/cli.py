"""``python -m scalarization VERB``: every rule of the workflow calls one verb, so every job can be run by hand."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from scalarization.config import load_config, parse_value
from scalarization.errors import ConfigError, StoppedError, UserError
from scalarization.experiments import Plan

#: Exit status of a job that saved its state and wants to be run again (sysexits' EX_TEMPFAIL).
EXIT_STOPPED = 75
EXIT_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0 on success, 75 when stopped with its state saved, 2 on an error that the user can mend.
    """
    options = _parser().parse_args(arguments)
    try:
        _log_to(options.log)
        if options.log:  # so that `status` knows that a job which failed was begun again
            logging.getLogger(__name__).info("begins as process %d on %s", os.getpid(), platform.node())
        # The workflow hands on what its command line changed; see workflow/rules/common.smk.
        overrides = json.loads(os.environ.get("SCALARIZATION_OVERRIDES", "{}"))
        overrides.update(_assignment(text) for text in options.set)
        if options.preset:
            overrides["preset"] = options.preset
        plan = Plan(load_config(options.config, overrides))
        options.run(plan, options)
    except UserError as error:
        stopped = isinstance(error, StoppedError)
        level = logging.WARNING if stopped else logging.ERROR  # leaving when asked to is no failure
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
    parser = argparse.ArgumentParser(prog="python -m scalarization", description=__doc__.split(":", 1)[1].strip())
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run, description: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, parents=[common], help=description, description=description)
        sub.set_defaults(run=run)
        return sub

    verb("plan", _plan, "print cells, runs, steps and estimated cost, and write them to plan.parquet")
    verb("status", _status, "tell what is done, running, waiting and failed, and what time it will take")
    download = verb("download", _download, "fetch the original files of a benchmark, or check those in data_dir")
    download.add_argument("--benchmark", required=True)
    prepare = verb("prepare", _prepare, "make the prepared store of a benchmark")
    prepare.add_argument("--benchmark", required=True)
    train = verb("train", _train, "train cells (or parts of cells) and write their run files")
    train.add_argument("--cell", action="append", required=True, help="a cell's name, as `plan` prints it; repeatable")
    train.add_argument(
        "--time-limit", type=float, metavar="MINUTES", help="save and leave before so many minutes have passed"
    )
    conflicts = verb("conflicts", _conflicts, "train cells with uniform weights and count gradient conflicts meanwhile")
    conflicts.add_argument("--cell", action="append", required=True, help="a cell's name; repeatable")
    conflicts.add_argument("--time-limit", type=float, metavar="MINUTES", help="as for train")
    search = verb("search", _search, "search weights: of the preset, or for a problem of your own")
    of = search.add_mutually_exclusive_group(required=True)
    of.add_argument("--search", action="append", help="a search's name, as `plan` prints it; repeatable")
    of.add_argument("--benchmark", help="search on a benchmark of the preset, retrain, and tell what it brought")
    search.add_argument("--workers", type=int, help="members trained at the same time (default: one per CPU core)")
    search.add_argument("--nodes", type=int, default=1, help="nodes of this Slurm job to use together")
    search.add_argument("--time-limit", type=float, metavar="MINUTES", help="leave before so many minutes have passed")
    own = search.add_argument_group("with --benchmark")
    own.add_argument("--budget", type=float, default=8, help="in trainings of one model (default: %(default)s)")
    own.add_argument("--method", default="pbt", help="pbt, pb2, search_grid or search_random (default: %(default)s)")
    own.add_argument("--tasks", help="tasks or domains, separated by commas (default: all groups, all domains)")
    own.add_argument("--architecture", help="such as vit_d2_w48 (default: the first that the preset trains there)")
    own.add_argument("--epochs-ready", type=int, help="epochs of an interval (default: a tenth of all)")
    own.add_argument("--seeds", type=int, default=2, help="trainings with the policy (default: %(default)s)")
    merge = verb("merge", _merge, "put the parts of a cell together into its run file")
    merge.add_argument("--cell", required=True)
    bench = verb("bench", _bench, "measure time and peak memory of a training step of every method")
    bench.add_argument("--costs", required=True, help="a key of the preset's `costs`")
    summarize = verb("summarize", _summarize, "query run files and write an artifact's summary")
    summarize.add_argument("--artifact", required=True)
    compare = verb("compare", _compare, "print our numbers beside the paper's, from the summaries of tables")
    compare.add_argument("--artifact", action="append", default=[], help="only this table; repeatable (default: all)")
    draw = verb("draw", _draw, "draw an artifact from its summary, as PDF and PNG")
    draw.add_argument("--artifact", required=True)
    return parser


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
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # which tells of every glyph of a PDF


def _plan(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.costs import print_plan

    print_plan(plan)


def _status(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.status import print_status

    print_status(plan)


def _download(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.data.download import download

    download(plan.config, options.benchmark, plan.benchmark(options.benchmark), show=options.log is None)


def _prepare(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.data.prepare import prepare

    spec = plan.benchmark(options.benchmark)
    directory = plan.store_file(options.benchmark).parent
    prepare(directory, options.benchmark, spec["domains"], plan.config.downloads, spec["tasks"])


def _train(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.training.job import train_shares

    limit = None if options.time_limit is None else options.time_limit * 60
    train_shares(plan, [plan.share(name) for name in options.cell], limit)


def _conflicts(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.training.job import count_conflicts

    limit = None if options.time_limit is None else options.time_limit * 60
    count_conflicts(plan, [plan.counted_cell(name) for name in options.cell], limit)


def _search(plan: Plan, options: argparse.Namespace) -> None:
    if options.search:
        from scalarization.search.session import make_searches

        limit = None if options.time_limit is None else options.time_limit * 60
        make_searches(plan, [plan.search(name) for name in options.search], options.workers, limit, options.nodes)
        return
    from scalarization.search.own import Wish, search_own

    wish = Wish(
        options.benchmark,
        options.budget,
        options.method,
        options.tasks.split(",") if options.tasks else None,
        options.architecture,
        options.epochs_ready,
        options.seeds,
        options.workers,
    )
    search_own(plan, wish)


def _merge(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.training.job import merge_shares

    merge_shares(plan, plan.cell(options.cell))


def _summarize(plan: Plan, options: argparse.Namespace) -> None:
    import pyarrow as pa

    from scalarization import analysis
    from scalarization.storage import write_table

    summary = analysis.summarize(plan, options.artifact)
    facts = analysis.facts(plan, options.artifact)
    write_table(plan.summary_file(options.artifact), pa.Table.from_pandas(summary, preserve_index=False), facts)


def _compare(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.compare import print_comparison

    print_comparison(plan, options.artifact)


def _draw(plan: Plan, options: argparse.Namespace) -> None:
    import pyarrow.parquet as pq

    from scalarization.figures._style import save
    from scalarization.storage import read_metadata, write_bytes

    source = plan.summary_file(options.artifact)
    facts = read_metadata(source)
    summary = pq.read_table(source).to_pandas()
    files = plan.artifact_files(options.artifact)
    if "md" in files:
        from scalarization import tables

        figure, texts = tables.draw(facts["kind"], summary, facts)
        for name, text in texts.items():
            write_bytes(files[name], text.encode())
    else:
        from scalarization import figures

        figure = figures.draw(facts["kind"], summary, facts)
    save(figure, files["pdf"], files["png"])


def _bench(plan: Plan, options: argparse.Namespace) -> None:
    from scalarization.training.job import measure_costs

    measure_costs(plan, options.costs)


if __name__ == "__main__":
    sys.exit(main())
