"""Every kind of artifact, whichever there are: what it declares, and that planning can import it."""

import subprocess
import sys

import pytest

from scalarization.plan import artifacts

#: None of these may be imported by a module of ``analysis``: every Snakemake process imports all of them.
SLOW = ("pandas", "pyarrow", "scipy", "matplotlib", "torch", "ray", "timm")
IMPORT_ALL = f"""
import importlib, pkgutil, sys
for name in {SLOW}:
    sys.modules[name] = None  # an import of it raises an error that names the module which imports it
import scalarization.analysis
for module in pkgutil.iter_modules(scalarization.analysis.__path__):
    importlib.import_module("scalarization.analysis." + module.name)
"""


def test_modules_are_importable_without_slow_packages():
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", artifacts.kind_names())
def test_a_kind_is_complete(name):
    """Its caption and drawing exist (else ``load_kind`` raises), and its name is that of its module."""
    assert artifacts.load_kind(name).name == name
