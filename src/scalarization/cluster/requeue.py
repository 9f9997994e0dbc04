"""Requeues Slurm jobs that would never run again, and for which Snakemake would wait forever.

A job that was preempted by cancelling stays in state PREEMPTED, because Snakemake's plugin expects Slurm to resume it.
A job that Slurm restarted on a node where its old processes still lived is held as "launch failed requeued held".
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

HELD = "launch failed requeued held"
PREEMPTED = "preempted"


def requeue_stuck_jobs(directory: Path, report: Callable[[str], None], seconds: float = 30) -> None:
    """As long as this process lives, requeue or release jobs of this user that get stuck from now on.

    Args:
        directory: Working directory of the jobs. Jobs that are stuck already are left alone: the process that waited
            for them has ended.
        report: Called with a line about every job.
        seconds: Time between two checks. Slurm forgets a job ``MinJobAge`` seconds after its end.
    """
    ignored = _stuck_jobs(directory)
    reported: set[str] = set()

    def watch() -> None:
        while True:
            time.sleep(seconds)
            for job, reason in sorted(_stuck_jobs(directory) - ignored):
                command = ["scontrol", "release" if reason == HELD else "requeue", job]
                done = subprocess.run(command, capture_output=True, text=True)
                message = f"Slurm job {job} was {reason}: " + (done.stderr.strip() or "it is in the queue again")
                if done.returncode == 0 or message not in reported:  # a refusal is repeated at every check
                    reported.add(message)
                    report(message)

    threading.Thread(target=watch, daemon=True).start()


def _stuck_jobs(directory: Path) -> set[tuple[str, str]]:
    """Number of each stuck job, and the reason; empty while Slurm does not answer."""
    command = ["squeue", "--me", "--states=PREEMPTED,PENDING", "--noheader", "--format=%i|%T|%r|%Z"]
    stuck = set()
    for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
        job, state, slurm_reason, job_directory = line.strip().split("|", 3)
        reason = PREEMPTED if state == "PREEMPTED" else slurm_reason.replace("_", " ")
        if Path(job_directory) == directory and reason in (PREEMPTED, HELD):
            stuck.add((job, reason))
    return stuck
