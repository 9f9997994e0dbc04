"""Imported by every Python process that has this folder on its PYTHONPATH: training and searches stop themselves.

The process gets SIGSTOP when a state of a run or a search is there and the next one is about to be. So whatever is to
happen to a job meets it midway, however slow or fast the machine is. A run or search stops once: who goes on with it
finds that out from a file in `paused`, in the current folder.
"""

import os
import signal
import sys
from pathlib import Path


def pause(event, arguments):
    if event != "os.rename":
        return
    file = Path(os.fsdecode(arguments[1]))
    next_state = file.match("step_*.ckpt") and any(file.parent.glob("step_*.ckpt"))
    if next_state or file.name == "history.parquet" and file.exists():
        try:
            (Path("paused") / file.parent.name).touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGSTOP)


sys.addaudithook(pause)
