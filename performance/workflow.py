"""Snakemake with nothing to do in the finished demo, and the dry run of the paper's preset."""

import statistics
import subprocess
import sys
import time

from scalarization.config import ROOT


def measure():
    """Lines of results."""
    trivial = _median(["--version"])
    for name, arguments in {
        "demo, nothing to do": ["--cores", "all"],
        "paper, dry run": ["--cores", "all", "--dry-run", "--quiet", "all", "--config", "preset=paper"],
    }.items():
        seconds = _median(arguments)
        yield f"{name}: {seconds:.1f} s, {seconds / trivial:.1f} times `snakemake --version` ({trivial:.1f} s)"


def _median(arguments):
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        run = subprocess.run([sys.executable, "-m", "snakemake", *arguments], cwd=ROOT, capture_output=True, text=True)
        seconds.append(time.perf_counter() - began)
        if run.returncode:
            raise SystemExit(run.stderr)
    return statistics.median(seconds)
