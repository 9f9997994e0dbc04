"""Snakemake with nothing to do in the finished demo, and the dry run of the paper's preset."""

import statistics
import subprocess
import sys
import time

from scalarization.config import ROOT

CALLS = {
    "demo, nothing to do": ["--cores", "all"],
    "paper, dry run": ["--cores", "all", "--dry-run", "--quiet", "all", "--config", "preset=paper"],
}
#: The same without running anything.
TINY_CALLS = {"smoke, dry run": ["--cores", "all", "--dry-run", "--quiet", "all", "--config", "preset=smoke"]}


def measure(tiny=False):
    """Lines of results."""
    rounds = 1 if tiny else 3
    trivial = _median(["--version"], rounds)
    for name, arguments in (TINY_CALLS if tiny else CALLS).items():
        seconds = _median(arguments, rounds)
        yield f"{name}: {seconds:.1f} s, {seconds / trivial:.1f} times `snakemake --version` ({trivial:.1f} s)"


def _median(arguments, rounds):
    """Median seconds of some calls of snakemake."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run = subprocess.run([sys.executable, "-m", "snakemake", *arguments], cwd=ROOT, capture_output=True, text=True)
        seconds.append(time.perf_counter() - start)
        if run.returncode:
            raise SystemExit(run.stdout + run.stderr)
    return statistics.median(seconds)
