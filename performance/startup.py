"""From starting Python to the first training step of one job, and the share of start-up in a finished demo."""

import statistics
import subprocess
import sys
import time

import pyarrow.parquet as pq

from scalarization.config import ROOT

PIECES = ("torch", "torchvision", "timm", "scalarization.experiments", "scalarization.training.loop")


def measure():
    """Lines of results."""
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"}
    bare = _median([sys.executable, "-c", "import torch"], environment)
    for piece in PIECES:
        seconds = _median([sys.executable, "-c", f"import {piece}"], environment)
        yield f"import {piece}: {seconds:.1f} s, {seconds / bare:.2f} of `import torch`"
    timings = sorted((ROOT / "results" / "demo" / "timings").glob("*.parquet"))
    if not timings:
        yield "share of start-up in the demo: not measured, run the demo first"
        return
    rows = [row for file in timings for row in pq.read_table(file).to_pylist()]
    startup = sum(row["startup_cpu_seconds"] for row in rows)
    training = sum(row["seconds"] for row in rows)
    evaluation = sum(row["evaluation_seconds"] for row in rows)
    jobs = sum(row["startup_cpu_seconds"] > 0 for row in rows)
    yield (
        f"demo: {jobs} jobs started for {startup:.0f} s of CPU, runs took {training:.0f} s "
        f"(evaluation {evaluation:.0f} s): start-up is {startup / (startup + training):.1%} of the compute"
    )


def _median(command, environment):
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, check=True, env=environment)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
