"""A copy of the checkout in which the documentation's commands run, with tiny presets in place of the shipped ones."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scalarization.config import load_preset

#: What the commands need of the checkout.
PARTS = (
    "Snakefile",
    "config.yaml",
    "docs",
    "envs",
    "performance",
    "profiles",
    "pyproject.toml",
    "slurm",
    "src",
    "tools",
    "workflow",
    "tests/archives.py",
)
#: Preset -> the experiments and artifacts that are left of it. What is left is one job of a second or two.
KEPT = {
    "demo": (["digits_pair"], ["figure_b"]),
    "paper": (["cifar_stl_pair", "celeba_depth6", "domainnet_sweep"], ["figure_b", "table_c", "sweep"]),
    "paper_tiny": (["cifar_stl_pair", "celeba_depth6"], ["figure_b", "table_c"]),
}
DEMO_RECIPE = {"batch_size": 20, "epochs": 2, "warmup_epochs": 1, "steps_per_epoch": 1, "eval_every": 2}


def shrink(preset, name):
    """A shipped preset's plain values with what :data:`KEPT` names."""
    experiments, kept = KEPT[name]
    preset["experiments"] = {key: preset["experiments"][key] for key in experiments}
    used = [experiment["benchmark"] for experiment in preset["experiments"].values()]
    preset["benchmarks"] = {key: preset["benchmarks"][key] for key in dict.fromkeys(used)}
    preset["artifacts"] = {key: _only(preset["artifacts"][key], experiments) for key in kept}
    for section in ("searches", "conflicts", "profiles"):
        preset.pop(section, None)
    for experiment in preset["experiments"].values():
        grid = experiment["architectures"]
        grid["depth"] = grid["depth"][:1]
    if name == "demo":
        preset["benchmarks"]["digits"]["recipe"] |= DEMO_RECIPE
        preset["experiments"]["digits_pair"]["methods"]["grid"] = {"p1": [0.3, 0.7]}
        preset["experiments"]["digits_pair"]["seeds"] = 1
    return preset


def _only(artifact, experiments):
    if "experiments" in artifact:
        artifact["experiments"] = [name for name in artifact["experiments"] if name in experiments]
    return artifact


class Checkout:
    """A copy of the checkout.

    Args:
        directory: Where it is.
    """

    def __init__(self, directory):
        self.directory = directory

    def run(self, command, status=0, seconds=300, **environment):
        """Run a command line as it is written in the documentation; what it printed."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SCALARIZATION_", "PYTHON", "COV"))}
        # The environment of these tests, in which nothing is installed; the code is that of the copy.
        kept |= {"SCALARIZATION_VENV": sys.prefix, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment}
        process = subprocess.Popen(
            ["sh", "-c", command],
            cwd=self.directory,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        assert process.returncode == status, f"{command}\n{output}"
        return output

    def write(self, file, text):
        path = self.directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="session")
def make_copy(root):
    """(directory) -> a fresh copy of the checkout with the shipped presets."""

    def make_copy(directory):
        for part in PARTS:
            source, target = root / part, directory / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
                shutil.copytree(source, target, ignore=ignored, symlinks=True)
            else:
                shutil.copy2(source, target)
        return Checkout(directory)

    return make_copy


@pytest.fixture(scope="session")
def tiny_copy(make_copy, root, tmp_path_factory):
    """A copy with tiny presets. The tests that use it run the commands of the pages in order, so it is shared."""
    checkout = make_copy(tmp_path_factory.mktemp("docs") / "checkout")
    folder = Path("workflow") / "presets"
    for name in KEPT:
        preset = load_preset(root / folder / f"{name}.yaml").model_dump(exclude_unset=True)
        checkout.write(folder / f"{name}.yaml", yaml.safe_dump(shrink(preset, name), sort_keys=False))
    shutil.copytree(checkout.directory / "slurm", checkout.directory / "slurm_mine")
    return checkout
