"""One job: trains some cells, or shares of cells, and writes their run files."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scalarization.config import Config, suggestion
from scalarization.data.store import Store
from scalarization.errors import DataError, StoppedError, UserError
from scalarization.experiments import Cell, Member, Plan, Share
from scalarization.locks import locked
from scalarization.policies import read_policy
from scalarization.storage import CONFLICT_SCHEMA, read_metadata, read_run_file, write_run_file, write_table
from scalarization.training.examples import has_examples, merge_examples, share_examples, write_examples
from scalarization.training.records import RunRecord
from scalarization.training.stop import Stop

if TYPE_CHECKING:
    import torch

    from scalarization.data.dense import DenseDeviceData
    from scalarization.data.device import DeviceData
    from scalarization.data.encoded import EncodedData
    from scalarization.training.loop import Trainer

    Data = DeviceData | EncodedData | DenseDeviceData

logger = logging.getLogger(__name__)
LOG_SECONDS = 15
Row = dict[str, Any]


def train_shares(plan: Plan, shares: Sequence[Share], time_limit: float | None) -> None:
    """Train what is not yet trained, and write one run file per share.

    Args:
        plan: The preset.
        shares: What to train, all of one benchmark.
        time_limit: Seconds after which the job must have left; it saves its state some time before.

    Raises:
        UserError: Shares of several benchmarks, or CUDA was asked for and is not there.
        DataError: The prepared store or a search is missing or damaged, or an output cannot be written.
        StoppedError: The job was asked to stop; its state is saved, and the same call goes on from there.
    """
    _run(_Job, plan, [with_policy(plan, share) for share in shares], time_limit)


def count_conflicts(plan: Plan, cells: Sequence[Cell], time_limit: float | None) -> None:
    """Train cells with uniform weights, count gradient conflicts meanwhile, and write one file of counts per cell.

    Args:
        plan: The preset.
        cells: What to train, all of one benchmark.
        time_limit: As in :func:`train_shares`.

    Raises:
        UserError, DataError, StoppedError: As in :func:`train_shares`.
    """
    _run(_CountingJob, plan, [Share(cell) for cell in cells], time_limit)


def _run(kind: type[_Job], plan: Plan, shares: Sequence[Share], time_limit: float | None) -> None:
    found = {s.cell.benchmark for s in shares}
    if len(found) != 1:
        raise UserError(f"one job trains cells of one benchmark, here are {', '.join(sorted(found))}")
    stop = Stop(time_limit)
    store = Store(plan.store_file(found.pop()))
    job = kind(plan, shares, store, stop)
    for share in shares:
        began = time.monotonic()
        job.train(share)
        logger.info(
            "%s: %d runs in %s",
            share.name,
            len(share.members),
            _clock(time.monotonic() - began),
            extra={"terminal": True},
        )


def merge_shares(plan: Plan, cell: Cell) -> None:
    """Put the run files of a cell's shares together into the cell's own.

    Raises:
        DataError: A share's file is missing or damaged.
    """
    files = [plan.share_file(s) for s in plan.shares(cell)]
    tables = [read_run_file(f) for f in files]
    table = pa.concat_tables(tables).sort_by([("member", "ascending"), ("seed", "ascending"), ("epoch", "ascending")])
    write_run_file(plan.run_file(cell), table.to_pylist(), read_metadata(files[0]))
    merge_examples(plan, cell)


def measure_costs(plan: Plan, name: str) -> None:
    """Make a measurement of cost of the preset and write its table.

    Raises:
        UserError: There is no such measurement, or CUDA was asked for and is not there.
        DataError: The prepared store is missing or damaged, or the output cannot be written.
        StoppedError: The job was asked to stop; the same call begins again.
    """
    if name not in plan.costs():
        raise UserError(f"{plan.config.preset_file}: no costs '{name}'; {suggestion(name, plan.costs())}")
    cell = plan.costs_cell(name)
    job = _Job(plan, [Share(cell)], Store(plan.store_file(cell.benchmark)), Stop())
    device, data = job.prepare()

    from scalarization.training.bench import measure

    def after_step() -> None:
        if job.stop.reason:
            raise StoppedError(f"{name}: {job.stop.reason}; the same command measures again from the beginning")

    tasks, rounds = cell.specification["tasks"], cell.specification["rounds"]
    logger.info("%s: measures steps with %s tasks, %d rounds", name, ", ".join(map(str, tasks)), rounds)
    rows = measure(cell, data, device, tasks, rounds, after_step)
    metadata = {"specification": cell.describe(), "environment": environment(device)}
    write_table(plan.costs_file(name), pa.Table.from_pylist(rows), metadata)


class _Job:
    """What the shares of a job have in common: the device, the images, and how far the job is."""

    #: Before the names of files that another kind of job has for a cell of the same name.
    prefix = ""

    def __init__(self, plan: Plan, shares: Sequence[Share], store: Store, stop: Stop) -> None:
        self.plan, self.shares, self.store, self.stop = plan, shares, store, stop
        self._device: torch.device | None = None
        self._data: Data | None = None
        self._startup: float | None = None
        self._total = sum(len(s.members) for s in shares)
        self._done = 0

    def record(self, cell: Cell, member: Member) -> RunRecord:
        return RunRecord(
            self.plan.config.results / "checkpoints",
            cell,
            member,
            self.store.digest,
            cell.code,
        )

    def train(self, share: Share) -> None:
        """Train the runs of one share that are not finished, then write its run file and timings."""
        rows, timings, records = [], [], []
        facts: dict[str, Any] = {}
        for member in share.members:
            record = self.record(share.cell, member)
            finished = self._finished(share, record)
            if finished is None:
                with locked(record.directory, "trains this run", lambda: self.stop.reason):
                    finished = self._finished(share, record) or self._train_member(share.cell, member, record)
            self._done += 1
            records.append((_identity(share.cell, member), record))
            rows += self._rows(share.cell, member, finished["rows"])
            timings.append({"cell": share.cell.name, "member": member.index, "seed": member.seed, **finished["timing"]})
            facts = finished["environment"]
        metadata = {
            "specification": share.cell.describe(),
            "code": share.cell.code,
            "data": self.store.digest,
            "environment": facts,
        }
        self._write(share, rows, metadata, records)
        part = "" if share.parts == 1 else f".{share.part}of{share.parts}"
        timings_file = self.plan.config.results / "timings" / f"{self.prefix}{share.cell.slug}{part}.parquet"
        write_table(timings_file, pa.Table.from_pylist(timings))

    def _finished(self, share: Share, record: RunRecord) -> dict[str, Any] | None:
        """What a finished run left; None if it is to be trained."""
        if self.plan.examples_file(share) and not has_examples(record):
            return None
        return record.finished()

    def _kind_of_trainer(self) -> type[Trainer]:
        from scalarization.training.loop import Trainer

        return Trainer

    def _rows(self, cell: Cell, member: Member, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A finished run's part of the file."""
        return [{**_identity(cell, member), **row} for row in found]

    def _write(
        self, share: Share, rows: list[Row], metadata: dict[str, Any], records: list[tuple[Row, RunRecord]]
    ) -> None:
        write_run_file(self.plan.share_file(share), rows, metadata)
        share_examples(self.plan, share, records)

    def _train_member(self, cell: Cell, member: Member, record: RunRecord) -> dict[str, Any]:
        trainer_of = self._kind_of_trainer()
        began = time.perf_counter()
        device, data = self.prepare()
        trainer = trainer_of(cell, member, data, device)
        for file, payload in record.checkpoints():
            try:
                trainer.load_state(payload)
            except ValueError:
                record.set_aside_foreign(file)
                trainer = trainer_of(cell, member, data, device)  # that one is half loaded
                continue
            logger.info("%s: goes on from step %d", self._label(cell, member), trainer.step)
            break
        startup, self._startup = self._startup or 0.0, 0.0
        resumed = trainer.step
        self._progress(trainer, record, began)
        seconds = time.perf_counter() - began
        images = (trainer.step - resumed) * trainer.recipe["batch_size"]
        timing = {
            "startup_cpu_seconds": startup,
            "seconds": seconds,
            "evaluation_seconds": trainer.evaluation_seconds,
            "images": images,
            "images_per_second": images / max(1e-9, seconds - trainer.evaluation_seconds),
        }
        write_examples(record, trainer.examples())
        record.finish(trainer.rows, {"timing": timing, "environment": environment(device)})
        return {"rows": trainer.rows, "timing": timing, "environment": environment(device)}

    def _progress(self, trainer: Any, record: RunRecord, began: float) -> None:
        """Train to the end, with checkpoints, log lines, and leaving when asked to."""
        cell, first = trainer.cell, trainer.step
        saved = logged = time.monotonic()

        def after_step() -> None:
            nonlocal saved
            reason = self.stop.reason
            if reason:
                record.save(trainer.step, trainer.state())
                raise StoppedError(
                    f"{self._label(cell, trainer.member)}: {reason}; state saved at step {trainer.step} of {cell.steps}"
                    ", the same command goes on from there"
                )
            if time.monotonic() - saved >= self.plan.config.checkpoint_seconds:
                record.save(trainer.step, trainer.state())
                saved = time.monotonic()

        while trainer.epoch < cell.specification["epochs"]:
            trainer.train_epoch(after_step)
            loss = trainer.mean_loss
            evaluated = len(trainer.rows)
            trainer.evaluate_epoch()
            if trainer.step < cell.steps:
                after_step()
            if len(trainer.rows) > evaluated or time.monotonic() - logged >= LOG_SECONDS:
                logged = time.monotonic()
                seconds = time.perf_counter() - began
                rate = (trainer.step - first) / seconds
                logger.info(
                    "%s | epoch %d/%d | loss %.4f | %s images/s | %s left in this run",
                    self._label(cell, trainer.member),
                    trainer.epoch,
                    cell.specification["epochs"],
                    loss,
                    f"{rate * trainer.recipe['batch_size']:,.0f}",
                    _clock((cell.steps - trainer.step) / rate),
                )

    def _label(self, cell: Cell, member: Member) -> str:
        weights = ",".join(f"{w:.3g}" for w in member.weights)
        return f"{cell.name} run {self._done + 1}/{self._total} (p {weights}, seed {member.seed})"

    def prepare(self) -> tuple[torch.device, Data]:
        """The device and the images on it; made at the first call, from when on signals are taken note of."""
        if self._device is None or self._data is None:
            self._device, self._data = open_data(self.plan.config, [s.cell for s in self.shares], self.store)
            self._startup = time.process_time()
            self.stop.listen()
        return self._device, self._data


class _CountingJob(_Job):
    prefix = "conflicts."

    def _kind_of_trainer(self) -> type[Trainer]:
        from scalarization.training.conflicts import CountingTrainer

        return CountingTrainer

    def _finished(self, share: Share, record: RunRecord) -> dict[str, Any] | None:
        return record.finished()

    def _rows(self, cell: Cell, member: Member, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One row per epoch and pair."""
        identity = _identity(cell, member)
        del identity["weights"]
        pairs = list(itertools.combinations(range(len(cell.tasks)), 2))
        return [
            {
                **identity,
                **{key: row[key] for key in ("epoch", "train_loss", "metric", "validation")},
                **{key: row[key][number] for key in ("conflicts", "steps", "zero", "mean_cosine")},
                "task_i": cell.tasks[i],
                "task_j": cell.tasks[j],
                "norm_i": row["norm"][i],
                "norm_j": row["norm"][j],
            }
            for row in found
            for number, (i, j) in enumerate(pairs)
        ]

    def _write(
        self, share: Share, rows: list[Row], metadata: dict[str, Any], records: list[tuple[Row, RunRecord]]
    ) -> None:
        write_table(self.plan.share_file(share), pa.Table.from_pylist(rows, CONFLICT_SCHEMA), metadata)


def open_data(config: Config, cells: Sequence[Cell], store: Store) -> tuple[torch.device, Data]:
    """The device, and for it the images of all domains, or with the maps of all tasks, that some cells need.

    Raises:
        UserError: CUDA was asked for and is not there.
        DataError: The store lacks a domain, or maps of a task.
    """
    import torch

    from scalarization.data.dense import DenseDeviceData
    from scalarization.data.device import DeviceData

    wanted = config.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device = cuda, but torch finds no CUDA device; set device: auto or cpu in config.yaml")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(config.threads)
    device = torch.device(wanted)
    needed = sorted({d for cell in cells for d in cell.specification["evaluated"]})
    tasks = sorted({t for cell in cells for t in cell.specification.get("maps", {})})
    for kind, wanted_names in (("domain", needed), ("map", tasks)):
        missing = set(wanted_names) - set(store.facts.get(f"{kind}s", {}))
        if missing:
            found = ", ".join(sorted(missing))
            raise DataError(f"{store.directory}: holds no {kind} {found}; delete it and run again")
    if tasks:
        return device, DenseDeviceData(store, tasks, device)
    if "encoding" in store.facts:
        from scalarization.data.encoded import EncodedData

        return device, EncodedData(store, needed, device, config.workers)
    return device, DeviceData(store, needed, device)


def with_policy(plan: Plan, share: Share) -> Share:
    """A share whose weights a search found: the policy in its specification, the last weights in its members."""
    search = plan.search_of(share.cell)
    if search is None:
        return share
    found = read_policy(plan.search_file(search))
    specification = dict(share.cell.specification)
    last_only = specification["search"]["policy"] == "last"
    specification["policy"] = found.by_epoch(specification["epochs"], last_only)
    members = tuple(replace(m, weights=found.weights[-1]) for m in share.cell.members)
    return replace(share, cell=replace(share.cell, specification=specification, members=members))


def _identity(cell: Cell, member: Member) -> dict[str, Any]:
    architecture = cell.architecture
    return {
        "benchmark": cell.benchmark,
        "task_set": cell.task_set,
        "architecture": architecture.name,
        "depth": architecture.depth,
        "width": architecture.width,
        "shared_layers": architecture.shared_layers,
        "method": cell.method,
        "variant": cell.variant,
        "member": member.index,
        "seed": member.seed,
        "weights": list(member.weights),
    }


def environment(device: torch.device) -> dict[str, Any]:
    """Device, threads and versions that a run was made with."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    versions = {}
    for package in ("torch", "torchvision", "timm", "numpy", "pyarrow", "scalarization"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"device": name, "threads": torch.get_num_threads(), "versions": versions}


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
