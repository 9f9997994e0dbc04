"""The measurements in performance/, at tiny sizes: only that they work."""

import os
import re
import subprocess
import sys

import pytest

NAMES = ("conflicts", "harness", "loader", "encoded", "methods", "startup", "workflow")


def measured(root, *arguments):
    """Output of `python performance`."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    command = [sys.executable, "performance", *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_each_measurement_yields_numbers(name, root):
    title, *lines = measured(root, "--tiny", name).splitlines()
    assert title.startswith(f"== {name}: ")
    assert lines and all(re.search(r"\d|not measured", line) for line in lines)


def test_an_unknown_measurement_is_named(root):
    done = subprocess.run([sys.executable, "performance", "harnes"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 2 and "unknown measurement harnes" in done.stderr
