"""Copies of the checkout in which snakemake runs."""

import copy
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import yaml

#: The parts of the checkout that a run needs.
PARTS = ("Snakefile", "config.yaml", "workflow", "src", "profiles")

#: One training job for everything, and a cell that is merged from two shards.
PRESET = {
    "description": "A few steps, one job.",
    "jobs": {"minutes": 100, "runs_per_job": 3},
    "benchmarks": {
        "digits": {
            "domains": ["mnist", "optdigits"],
            "reference": "optdigits",
            "model": {"patch": 8, "heads": 2, "mlp_ratio": 2, "drop_path": 0.1},
            "recipe": {"lr": 3e-3, "batch_size": 200, "epochs": 2, "warmup_epochs": 1, "eval_every": 2},
        }
    },
    "experiments": {
        "pair": {
            "benchmark": "digits",
            "task_sets": {"mnist+optdigits": ["mnist", "optdigits"]},
            "architectures": {"family": "vit", "depth": [1], "width": [8, 16]},
            "methods": {"single": {}, "grid": {"p1": [0.3, 0.7]}},
            "seeds": 2,
        }
    },
    "artifacts": {
        "figure_2_digits": {"kind": "figure_2", "experiment": "pair"},
        "figure_b": {"experiment": "pair"},
        "consistency": {"experiment": "pair"},
    },
}


class Checkout:
    """A copy of the parts that a run needs, with a preset of its own."""

    def __init__(self, directory):
        self.directory = directory
        self.results = directory / "results" / "mine"
        self.figures = directory / "reports" / "mine" / "figures"

    def write(self, preset, name="mine"):
        (self.directory / f"{name}.yaml").write_text(yaml.safe_dump(preset, sort_keys=False))

    def replace(self, file, old, new):
        """Replace a text that occurs once in a file."""
        path = self.directory / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has {text.count(old)} times: {old}"
        path.write_text(text.replace(old, new))

    def start(self, *arguments, cores=1):
        """Start snakemake in a process group of its own."""
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SCALARIZATION_OVERRIDES")}
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", str(cores), *arguments],
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def snakemake(self, *arguments, status=0, cores=1, seconds=300):
        """Run snakemake, check its exit status, and return its output."""
        process = self.start(*arguments, cores=cores)
        try:
            output, _ = process.communicate(timeout=seconds)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        assert process.returncode == status, output
        return output

    def planned(self, *arguments):
        """Rule -> number of jobs that would run."""
        return jobs(self.snakemake("--dry-run", *arguments))

    def clone(self, directory):
        """Another copy in the same state; modification times are kept."""
        shutil.copytree(self.directory, directory, symlinks=True)
        return Checkout(directory)


def jobs(output):
    """Rule -> number of jobs, from the output of snakemake; empty if there is nothing to be done."""
    if "Nothing to be done" in output:
        return {}
    table = output.split("Job stats:")[1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\S+)\s+(\d+)$", table, re.MULTILINE)}


@pytest.fixture(scope="session")
def make_checkout(root):
    """(directory) -> a fresh copy of the checkout."""

    def make_checkout(directory):
        directory.mkdir()
        for part in PARTS:
            if (root / part).is_dir():
                shutil.copytree(root / part, directory / part, ignore=shutil.ignore_patterns("__pycache__"))
            elif (root / part).exists():
                shutil.copy2(root / part, directory / part)
        return Checkout(directory)

    return make_checkout


@pytest.fixture(scope="session")
def finished(make_checkout, tmp_path_factory):
    """A checkout in which everything of PRESET was made, and the output of snakemake; not to be changed."""
    checkout = make_checkout(tmp_path_factory.mktemp("finished") / "checkout")
    checkout.write(PRESET)
    checkout.replace("config.yaml", "preset: demo", "preset: mine.yaml")
    return checkout, checkout.snakemake()


@pytest.fixture
def checkout(finished, tmp_path):
    """A copy of the finished checkout that may be changed."""
    return finished[0].clone(tmp_path / "checkout")


@pytest.fixture
def preset():
    """The finished checkout's preset, free to be changed."""
    return copy.deepcopy(PRESET)
