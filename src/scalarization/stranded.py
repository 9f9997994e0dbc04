"""Slurm jobs that would never run again are brought back to the queue: Snakemake would wait for them for ever.

One that was preempted by cancelling stays in state PREEMPTED; Snakemake's plugin expects Slurm to resume it.
One that Slurm began again on a node where its old processes still lived is held as "launch failed requeued held".
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

HELD = "launch failed requeued held"


def bring_back(directory: Path, tell: Callable[[str], None], seconds: float = 30) -> None:
    """As long as this process lives, bring back this user's jobs that strand from now on.

    Args:
        directory: Working directory of the jobs meant. Those that are stranded already are left as they are: whoever
            waited for them is gone.
        tell: Called with a line about every job.
        seconds: From one look to the next. Slurm forgets a job ``MinJobAge`` seconds after its end.
    """
    left = _stranded(directory)
    told: set[str] = set()

    def look() -> None:
        while True:
            time.sleep(seconds)
            for job, why in sorted(_stranded(directory) - left):
                command = ["scontrol", "release" if why == HELD else "requeue", job]
                done = subprocess.run(command, capture_output=True, text=True)
                said = f"Slurm job {job} was {why}: " + (done.stderr.strip() or "back in the queue")
                if done.returncode == 0 or said not in told:  # a refusal is repeated at every look
                    told.add(said)
                    tell(said)

    threading.Thread(target=look, daemon=True).start()


def _stranded(directory: Path) -> set[tuple[str, str]]:
    """Number of each job, and why; none where Slurm does not answer now."""
    command = ["squeue", "--me", "--states=PREEMPTED,PENDING", "--noheader", "--format=%i|%T|%r|%Z"]
    found = set()
    for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
        job, state, reason, place = line.strip().split("|", 3)
        why = "preempted" if state == "PREEMPTED" else reason.replace("_", " ")
        if Path(place) == directory and why in ("preempted", HELD):
            found.add((job, why))
    return found
