"""Slurm jobs that were preempted by cancelling go back to the queue, as if their partition requeued them.

Such a job stays in state PREEMPTED, at the end of which Snakemake's plugin waits for ever: it takes every preempted job
for one that Slurm resumes.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path


def bring_back(directory: Path, tell: Callable[[str], None], seconds: float = 30) -> None:
    """As long as this process lives, requeue this user's jobs that are preempted from now on.

    Args:
        directory: Working directory of the jobs meant. Those that were preempted before are left as they are: whoever
            waited for them is gone.
        tell: Called with a line about every job.
        seconds: From one look to the next. Slurm forgets a job ``MinJobAge`` seconds after its end.
    """
    left = _preempted(directory)
    told: set[str] = set()

    def look() -> None:
        while True:
            time.sleep(seconds)
            for job in sorted(_preempted(directory) - left):
                done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
                said = f"Slurm job {job} was preempted: " + (done.stderr.strip() or "back in the queue")
                if done.returncode == 0 or said not in told:  # a refusal is repeated at every look
                    told.add(said)
                    tell(said)

    threading.Thread(target=look, daemon=True).start()


def _preempted(directory: Path) -> set[str]:
    """Numbers of jobs; none where Slurm does not answer now."""
    command = ["squeue", "--me", "--states=PREEMPTED", "--noheader", "--format=%i|%Z"]
    done = subprocess.run(command, capture_output=True, text=True)
    jobs = [line.strip().split("|", 1) for line in done.stdout.splitlines()]
    return {job for job, place in jobs if Path(place) == directory}
