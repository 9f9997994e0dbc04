"""What happens to jobs on a cluster, one fault for each of several jobs of one run; the results are a local run's.

One of them is a search on two nodes: Ray's head and a worker of it inside of one Slurm job.
"""

import contextlib
import math
import os
import re
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from scalarization.config import load_config
from scalarization.experiments import Plan

from . import cluster

#: Processes with this folder on their PYTHONPATH stop when they have saved a state.
PAUSING = cluster.HERE / "pausing"
#: A cell, and so a job, for each fault. Each run stops itself midway, until its fault has come.
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
    "artifacts": {"figure_b": {"experiment": "pair"}, "figure_e": {"searches": ["evolved"]}},
}
#: Fault -> partition; some nodes are hit themselves.
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
#: Those that come together; the last one takes Snakemake with it.
FAULTS = tuple(fault for fault in PARTITIONS if fault != "restarts")


class Run:
    """One run of a workflow in which every job meets with its fault."""

    def __init__(self, checkout, faults):
        self.checkout, self.slurm = checkout, checkout.slurm
        self.others = set(self.slurm.jobs())
        PRESET["experiments"]["pair"]["variants"] = {fault: {} for fault in faults if fault != "search"}
        checkout.write(PRESET)
        (checkout.directory / "paused").mkdir()
        overrides = {"preset": str(checkout.directory / "mine.yaml"), "checkpoint_seconds": 0.1}
        overrides["results"] = str(checkout.directory / "results")
        self.plan = Plan(load_config(checkout.directory / "config.yaml", overrides))
        self.rules = {job.shares[0].cell.variant: f"train_{job.name}" for job in self.plan.jobs()}
        self.cells = {cell.variant: cell for cell in self.plan.cells.values()}
        (self.search,) = self.plan.searches.values()
        if "search" in faults:
            self.rules["search"] = f"search_{self.search.session}"

    def local(self):
        """Results of the same runs without Slurm; of the search, on a Ray that is there already."""
        train = ("train", *(part for cell in self.cells.values() for part in ("--cell", cell.name)))
        if "search" not in self.rules:
            return self.checkout.locally("mine", train)
        with self.checkout.ray() as settings:
            searches = [("--search", self.search.name, "--workers", "2")]
            return self.checkout.locally("mine", train, searches=searches, settings=settings)

    def file(self, fault):
        """What the job is about to write."""
        return self.plan.search_file(self.search) if fault == "search" else self.plan.run_file(self.cells[fault])

    def start(self):
        where = [f"{rule}:slurm_partition={PARTITIONS[fault]}" for fault, rule in self.rules.items()]
        return self.checkout.snakemake(
            *("--seconds-between-status-checks=2", "--set-resources", *where),
            *("--config", "preset=mine.yaml", "checkpoint_seconds=0.1"),
            *("--", *(str(self.file(fault).relative_to(self.checkout.directory)) for fault in self.rules)),
            path=[PAUSING],
        )

    def wait_until(self, condition, process, seconds=900):
        """Wait for something to come about while Snakemake runs."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert process.poll() is None and time.monotonic() < end, process.said()
            time.sleep(0.2)
        return found

    def attempts(self, fault):
        """Slurm's jobs for one of the workflow's, in order."""
        return {
            number: facts
            for number, facts in self.slurm.jobs().items()
            if number not in self.others and facts.get("Comment") == f"rule_{self.rules[fault]}"
        }

    def paused(self, fault):
        """The process that trains a fault's cell, or leads the search, once it has stopped itself; None before."""
        what = ("search", self.search.name) if fault == "search" else ("train", self.cells[fault].name)
        return next((p for p in self.slurm.processes_of(*what) if status(p).get("State", "").startswith("T")), None)

    def strike(self, fault):
        """Let a fault happen to a running job."""
        ask = self.slurm.ask
        ((number, facts),) = self.attempts(fault).items()
        if fault == "time_limit":
            # Between 30 and 90 seconds are left: less than what Slurm gives notice of, enough to save a state.
            hours, minutes, seconds = map(int, facts["RunTime"].split(":"))
            limit = math.ceil((hours * 3600 + minutes * 60 + seconds + 30) / 60)
            ask("scontrol", "update", f"JobId={number}", f"TimeLimit={limit}")
        elif fault in ("cancel", "search"):
            ask("scancel", number)
        elif fault == "requeue":
            ask("scontrol", "requeue", number)
        elif fault == "node_down":
            self.slurm.crash(facts["NodeList"])
        elif fault == "node_lost":
            ask("scontrol", "update", f"NodeName={facts['NodeList']}", "State=DOWN", "Reason=lost")
            ask("scontrol", "update", f"NodeName={facts['NodeList']}", "State=RESUME", check=False)
        elif fault == "twice":
            command = f"python -m scalarization train --preset mine.yaml --cell {self.cells[fault].name}"
            where = (f"--chdir={self.checkout.directory}", "--output=second.log", "--comment=second")
            ask("sbatch", *where, f"--wrap={command}")
        else:
            ask("sbatch", "--partition=urgent", f"--nodelist={facts['NodeList']}", "--exclusive", "--wrap=sleep 1")


def status(process):
    """What the kernel tells of a process; nothing if it has ended."""
    try:
        return dict(line.split(":\t") for line in Path(f"/proc/{process}/status").read_text().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return {}


def has_come(run, fault, process):
    """Whether a paused process has got what it waits for: the signal to leave, or a second copy of it."""
    facts = status(process)
    if not facts:
        return True
    if fault == "node_lost":
        (job,) = run.attempts(fault).values()
        return job["Reason"] == "launch_failed_requeued_held"
    if fault in ("twice", "restarts"):
        return "waiting for it" in log(run, fault)
    return int(facts["ShdPnd"], 16) & 1 << signal.SIGTERM - 1 or not facts["State"].startswith("T")


def go_on(process):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


@pytest.fixture(scope="module")
def run(make_checkout):
    run = Run(make_checkout(), FAULTS)
    snakemake = run.start()
    pending, hit = set(FAULTS), {}

    def all_over():
        for fault in sorted(pending):
            if process := run.paused(fault):
                run.strike(fault)
                pending.remove(fault)
                hit[fault] = process
        for fault, process in list(hit.items()):
            if has_come(run, fault, process):
                go_on(process)
                del hit[fault]
        return not pending and not hit

    run.wait_until(all_over, snakemake)
    run.checkout.finish(snakemake)
    run.locally = run.local()
    return run


@pytest.mark.parametrize("fault", FAULTS)
def test_ends_with_the_values_of_a_local_run(run, fault):
    file = run.file(fault)
    made, expected = (pq.read_table(f) for f in (file, run.locally / file.relative_to(run.plan.config.results)))
    if fault == "search":
        made, expected = made.drop_columns("seconds"), expected.drop_columns("seconds")
    assert expected.num_rows and made.equals(expected)


def states(run, fault):
    return [facts["JobState"] for facts in run.attempts(fault).values()]


def log(run, fault):
    """What all attempts wrote: Snakemake removes the log of a failed one, but not what Slurm caught."""
    caught = sorted(run.checkout.directory.glob(f".snakemake/slurm_logs/rule_{run.rules[fault]}/*.log"))
    others = [run.plan.config.results / f"logs/{run.rules[fault]}.log"]
    others += [run.checkout.directory / "second.log"] if fault == "twice" else []
    return "".join(file.read_text() for file in (*caught, *others) if file.exists())


def test_job_saves_its_state_before_the_time_limit(run):
    assert states(run, "time_limit") == ["FAILED", "COMPLETED"]
    saved, went_on = re.findall(r"(?:state saved at|goes on from) step (\d+)", log(run, "time_limit"))
    assert "received SIGTERM" in log(run, "time_limit") and saved == went_on


@pytest.mark.parametrize("fault", ["cancel", "preempt_cancel", "preempt_requeue"])
def test_job_that_was_sent_away_goes_on_in_another(run, fault):
    """Never in state PREEMPTED, at the end of which Snakemake waits for ever."""
    first, *others = states(run, fault)
    assert first in ("FAILED", "CANCELLED") and others == ["COMPLETED"] or (first, others) == ("COMPLETED", [])
    assert "goes on from step" in log(run, fault)


@pytest.mark.parametrize("fault", ["requeue", "node_down", "node_lost", "preempt_cut"])
def test_requeued_job_goes_on_itself(run, fault):
    (facts,) = run.attempts(fault).values()
    assert facts["JobState"] == "COMPLETED" and int(facts["Restarts"]) >= 1
    assert "goes on from step" in log(run, fault)


def test_search_on_two_nodes_goes_on_in_another_job(run):
    first, second = run.attempts("search").values()
    assert first["JobState"] in ("CANCELLED", "FAILED") and second["JobState"] == "COMPLETED"
    assert first["NumNodes"] == second["NumNodes"] == "2"


def test_of_two_copies_one_trains(run):
    (second,) = [facts for facts in run.slurm.jobs().values() if facts.get("Comment") == "second"]
    assert second["JobState"] == "COMPLETED" and states(run, "twice") == ["COMPLETED"]
    assert log(run, "twice").count("| epoch 40/40 |") == 1


def test_nothing_is_left_behind(run):
    assert not list(run.plan.config.results.rglob("*.part")) and not list(run.plan.config.results.rglob("*.ckpt*"))


def test_controller_and_submitting_process_die_and_begin_again(make_checkout):
    """A job goes on meanwhile; the new Snakemake submits a copy of it, which waits and takes over its results."""
    run = Run(make_checkout(), ("restarts",))
    snakemake = run.start()
    process = run.wait_until(lambda: run.paused("restarts"), snakemake)
    run.slurm.restart_controller()
    run.slurm.ask("pkill", "-KILL", "-f", "--", "--profile slurm")
    assert snakemake.wait(30) != 0
    assert states(run, "restarts") == ["RUNNING"]
    run.checkout.finish(run.checkout.snakemake("--unlock", "--config", "preset=mine.yaml"))
    snakemake = run.start()
    run.wait_until(lambda: has_come(run, "restarts", process), snakemake)
    go_on(process)
    run.checkout.finish(snakemake)
    assert states(run, "restarts") == ["COMPLETED", "COMPLETED"]
    file = run.file("restarts")
    assert pq.read_table(file).equals(pq.read_table(run.local() / file.relative_to(run.plan.config.results)))
