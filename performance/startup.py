"""From the start of Python to the first training step of one job, and the part of start-up in a finished demo."""

import statistics
import subprocess
import sys
import time

from scalarization.config import ROOT
from scalarization.storage import read_table

MODULES = (
    "torch",
    "torchvision",
    "timm",
    "scalarization",
    "scalarization.cli",
    "scalarization.plan",
    "scalarization.training.loop",
)


def measure(tiny=False):
    """Lines of results."""
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"}
    rounds = 1 if tiny else 3
    torch_seconds = _median([sys.executable, "-c", "import torch"], environment, rounds)
    for module in MODULES[-3:] if tiny else MODULES:
        seconds = _median([sys.executable, "-c", f"import {module}"], environment, rounds)
        yield f"import {module}: {seconds:.2f} s, {seconds / torch_seconds:.2f} of `import torch`"
    timings = sorted((ROOT / "results" / "demo" / "timings").glob("*.parquet"))
    if not timings:
        yield "part of start-up in the demo: not measured, run the demo first"
        return
    rows = [row for file in timings for row in read_table(file).to_pylist()]
    startup = sum(row["startup_cpu_seconds"] for row in rows)
    training = sum(row["seconds"] for row in rows)
    evaluation = sum(row["evaluation_seconds"] for row in rows)
    jobs = sum(row["startup_cpu_seconds"] > 0 for row in rows)
    yield (
        f"demo: {jobs} jobs took {startup:.0f} s of CPU time to start, their runs took {training:.0f} s "
        f"({evaluation:.0f} s of it evaluation): start-up is {startup / (startup + training):.1%} of the total"
    )


def _median(command, environment, rounds):
    """Median seconds of some calls of a command."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(command, check=True, env=environment)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
