"""Faults on a cluster, one for each of several jobs of one run; the results equal those of a local run.

One of the jobs is a search on two nodes: Ray's head and a worker of it inside one Slurm job.
"""

import contextlib
import math
import os
import re
import signal
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from scalarization.config import load_config
from scalarization.plan import load_plan, packing

from . import cluster

#: Processes with this folder on their PYTHONPATH stop when they have saved a state.
PAUSING = cluster.HERE / "pausing"
#: Each fault has a cell, and therefore a job, of its own. Each run stops itself midway until its fault happens.
PRESET = {
    "description": "One run per job.",
    "jobs": {"minutes": 0, "memory_mb": 1000, "search_nodes": 2},
    "benchmarks": {
        "digits": {
            "domains": ["mnist", "optdigits"],
            "reference": "optdigits",
            "model": {"patch": 4, "heads": 2, "mlp_ratio": 2, "drop_path": 0.1},
            "recipe": {"lr": 3e-3, "batch_size": 100, "epochs": 40, "warmup_epochs": 1, "eval_every": 20},
        }
    },
    "experiments": {
        "pair": {
            "benchmark": "digits",
            "task_sets": {"mnist+optdigits": ["mnist", "optdigits"]},
            "architectures": {"family": "vit", "depth": [1], "width": [24]},
            "methods": {"uniform": {}},
            "variants": {},
            "seeds": 1,
        }
    },
    "searches": {
        "evolved": {
            "benchmark": "digits",
            "task_set": {"mnist+optdigits": ["mnist", "optdigits"]},
            "architectures": {"family": "vit", "depth": [1], "width": [16]},
            "method": "pbt",
            "population": 4,
            "epochs_ready": 2,
            "quantile": 0.25,
            "changes": {"recipe": {"epochs": 12, "eval_every": 6}},
        }
    },
    "artifacts": {"table_methods": {"experiment": "pair"}, "figure_e": {"searches": ["evolved"]}},
}
#: Fault -> partition; some faults concern a whole node.
PARTITIONS = {
    "time_limit": "calm",
    "cancel": "calm",
    "requeue": "calm",
    "twice": "calm",
    "search": "calm",
    "node_down": "fragile",
    "node_lost": "shaky",
    "preempt_cancel": "cancelled",
    "preempt_cut": "cut",
    "preempt_requeue": "requeued",
    "restarts": "calm",
}
#: Faults that happen in one run; the last one also kills Snakemake.
FAULTS = tuple(fault for fault in PARTITIONS if fault != "restarts")


class Run:
    """One run of a workflow in which every job meets with its fault."""

    def __init__(self, checkout, faults):
        self.checkout, self.slurm = checkout, checkout.slurm
        self.others = set(self.slurm.jobs())
        # Variants that train the same are refused.
        PRESET["experiments"]["pair"]["variants"] = {
            fault: {"recipe": {"weight_decay": number / 100}}
            for number, fault in enumerate(faults)
            if fault != "search"
        }
        checkout.write(PRESET)
        (checkout.directory / "paused").mkdir()
        overrides = {"preset": str(checkout.directory / "mine.yaml"), "checkpoint_seconds": 0.1}
        overrides["results"] = str(checkout.directory / "results")
        self.plan = load_plan(load_config(checkout.directory / "config.yaml", overrides))
        self.rules = {job.shards[0].cell.variant: f"train_{job.name}" for job in packing.training_jobs(self.plan)}
        self.cells = {cell.variant: cell for cell in self.plan.cells.values()}
        (self.search,) = self.plan.searches.values()
        if "search" in faults:
            self.rules["search"] = f"search_{self.search.session}"

    def local(self):
        """Results of the same runs without Slurm; the search runs on a Ray that was started before."""
        train = ("train", *(part for cell in self.cells.values() for part in ("--cell", cell.name)))
        if "search" not in self.rules:
            return self.checkout.locally("mine", train)
        with self.checkout.ray() as settings:
            searches = [("--search", self.search.name, "--workers", "2")]
            return self.checkout.locally("mine", train, searches=searches, settings=settings)

    def file(self, fault):
        """The file that the job of a fault writes."""
        return (
            self.plan.paths.search_file(self.search)
            if fault == "search"
            else self.plan.paths.run_file(self.cells[fault])
        )

    def start(self):
        where = [f"{rule}:slurm_partition={PARTITIONS[fault]}" for fault, rule in self.rules.items()]
        return self.checkout.snakemake(
            *("--seconds-between-status-checks=2", "--set-resources", *where),
            *("--config", "preset=mine.yaml", "checkpoint_seconds=0.1"),
            *("--", *(str(self.file(fault).relative_to(self.checkout.directory)) for fault in self.rules)),
            path=[PAUSING],
        )

    def wait_until(self, condition, process, seconds=900):
        """Wait until a condition holds while Snakemake runs, and return its value."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            assert process.poll() is None and time.monotonic() < end, process.output()
            time.sleep(0.2)
        return value

    def attempts(self, fault):
        """Number -> properties of the Slurm jobs that were submitted for the job of a fault, in order."""
        return {
            number: properties
            for number, properties in self.slurm.jobs().items()
            if number not in self.others and properties.get("Comment") == f"rule_{self.rules[fault]}"
        }

    def paused(self, fault):
        """The process of the training or of the search of a fault, once it has stopped itself; None before."""
        words = ("search", self.search.name) if fault == "search" else ("train", self.cells[fault].name)
        return next((p for p in self.slurm.processes_of(*words) if status(p).get("State", "").startswith("T")), None)

    def strike(self, fault):
        """Let a fault happen to a running job."""
        ask = self.slurm.ask
        ((number, job),) = self.attempts(fault).items()
        if fault == "time_limit":
            # Between 30 and 90 seconds remain: less than the notice that Slurm gives, and enough to save a state.
            hours, minutes, seconds = map(int, job["RunTime"].split(":"))
            limit = math.ceil((hours * 3600 + minutes * 60 + seconds + 30) / 60)
            ask("scontrol", "update", f"JobId={number}", f"TimeLimit={limit}")
        elif fault in ("cancel", "search"):
            ask("scancel", number)
        elif fault == "requeue":
            ask("scontrol", "requeue", number)
        elif fault == "node_down":
            self.slurm.crash(job["NodeList"])
        elif fault == "node_lost":
            ask("scontrol", "update", f"NodeName={job['NodeList']}", "State=DOWN", "Reason=lost")
            ask("scontrol", "update", f"NodeName={job['NodeList']}", "State=RESUME", check=False)
        elif fault == "twice":
            code = f"PYTHONPATH={self.checkout.directory / 'src'} {sys.executable} -m scalarization"
            command = f"{code} train --preset mine.yaml --cell {self.cells[fault].name}"
            where = (f"--chdir={self.checkout.directory}", "--output=second.log", "--comment=second")
            ask("sbatch", *where, f"--wrap={command}")
        else:
            ask("sbatch", "--partition=urgent", f"--nodelist={job['NodeList']}", "--exclusive", "--wrap=sleep 1")


def status(process):
    """Status of a process as the kernel reports it; empty if it has ended."""
    try:
        return dict(line.split(":\t") for line in Path(f"/proc/{process}/status").read_text().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return {}


def has_happened(run, fault, process):
    """Whether a fault has reached a paused process: a signal is pending, or a second copy of it waits."""
    fields = status(process)
    if not fields:
        return True
    if fault == "node_lost":
        (job,) = run.attempts(fault).values()
        return job["Reason"] == "launch_failed_requeued_held"
    if fault in ("twice", "restarts"):
        return "waiting for it" in log(run, fault)
    return int(fields["ShdPnd"], 16) & 1 << signal.SIGTERM - 1 or not fields["State"].startswith("T")


def resume(process):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


@pytest.fixture(scope="module")
def run(make_checkout):
    run = Run(make_checkout(), FAULTS)
    snakemake = run.start()
    pending, struck = set(FAULTS), {}

    def all_happened():
        for fault in sorted(pending):
            if process := run.paused(fault):
                run.strike(fault)
                pending.remove(fault)
                struck[fault] = process
        for fault, process in list(struck.items()):
            if has_happened(run, fault, process):
                resume(process)
                del struck[fault]
        return not pending and not struck

    run.wait_until(all_happened, snakemake)
    run.checkout.finish(snakemake)
    run.locally = run.local()
    return run


@pytest.mark.parametrize("fault", FAULTS)
def test_values_are_those_of_a_local_run(run, fault):
    file = run.file(fault)
    made, expected = (pq.read_table(f) for f in (file, run.locally / file.relative_to(run.plan.paths.results)))
    if fault == "search":
        made, expected = made.drop_columns("seconds"), expected.drop_columns("seconds")
    assert expected.num_rows and made.equals(expected)


def states(run, fault):
    return [job["JobState"] for job in run.attempts(fault).values()]


def log(run, fault):
    """The logs of all attempts: Snakemake removes the log of a failed attempt, but not the output that Slurm caught."""
    caught = sorted(run.checkout.directory.glob(f".snakemake/slurm_logs/rule_{run.rules[fault]}/*.log"))
    others = [run.plan.paths.log_file(run.rules[fault])]
    others += [run.checkout.directory / "second.log"] if fault == "twice" else []
    return "".join(file.read_text() for file in (*caught, *others) if file.exists())


def test_job_saves_its_state_before_the_time_limit(run):
    assert states(run, "time_limit") == ["FAILED", "COMPLETED"]
    saved, resumed = re.findall(r"(?:state saved at|resuming from) step (\d+)", log(run, "time_limit"))
    assert "received SIGTERM" in log(run, "time_limit") and saved == resumed


@pytest.mark.parametrize("fault", ["cancel", "preempt_cancel", "preempt_requeue"])
def test_another_job_resumes_a_cancelled_or_preempted_one(run, fault):
    """No job ends in state PREEMPTED, after which Snakemake waits forever."""
    first, *others = states(run, fault)
    assert (first in ("FAILED", "CANCELLED") and others == ["COMPLETED"]) or (first, others) == ("COMPLETED", [])
    assert "resuming from step" in log(run, fault)


@pytest.mark.parametrize("fault", ["requeue", "node_down", "node_lost", "preempt_cut"])
def test_a_requeued_job_resumes_itself(run, fault):
    (job,) = run.attempts(fault).values()
    assert job["JobState"] == "COMPLETED" and int(job["Restarts"]) >= 1
    assert "resuming from step" in log(run, fault)


def test_another_job_resumes_a_search_on_two_nodes(run):
    first, second = run.attempts("search").values()
    assert first["JobState"] in ("CANCELLED", "FAILED") and second["JobState"] == "COMPLETED"
    assert first["NumNodes"] == second["NumNodes"] == "2"


def test_of_two_copies_one_trains(run):
    (second,) = [job for job in run.slurm.jobs().values() if job.get("Comment") == "second"]
    assert second["JobState"] == "COMPLETED" and states(run, "twice") == ["COMPLETED"]
    assert log(run, "twice").count("| epoch 40/40 |") == 1


def test_no_temporary_file_is_left(run):
    assert not list(run.plan.paths.results.rglob("*.part")) and not list(run.plan.paths.results.rglob("*.ckpt*"))


def test_controller_and_submitting_process_die_and_are_started_again(make_checkout):
    """The job keeps running; the new Snakemake submits a copy of it, which waits and uses the results of the first."""
    run = Run(make_checkout(), ("restarts",))
    snakemake = run.start()
    process = run.wait_until(lambda: run.paused("restarts"), snakemake)
    run.slurm.restart_controller()
    run.slurm.ask("pkill", "-KILL", "-f", "--", "--profile slurm")
    assert snakemake.wait(30) != 0
    assert states(run, "restarts") == ["RUNNING"]
    run.checkout.finish(run.checkout.snakemake("--unlock", "--config", "preset=mine.yaml"))
    snakemake = run.start()
    run.wait_until(lambda: has_happened(run, "restarts", process), snakemake)
    resume(process)
    run.checkout.finish(snakemake)
    assert states(run, "restarts") == ["COMPLETED", "COMPLETED"]
    file = run.file("restarts")
    assert pq.read_table(file).equals(pq.read_table(run.local() / file.relative_to(run.plan.paths.results)))
