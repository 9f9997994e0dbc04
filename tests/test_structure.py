"""The source itself: sizes, which way imports go, and what planning, drawing and the package's own import pull in."""

import ast
import functools
import json
import os
import subprocess
import sys

import pytest

from scalarization import digests

#: Longest file, class and function, in lines.
LIMITS = {"file": 450, "class": 250, "function": 60}
#: Packages and modules at the top of the package, bottom up. Each may import itself and what is in lower lines.
LAYERS = [
    {"errors"},
    {"seeds", "locks", "storage", "digests", "weights"},
    {"config"},
    {"specification", "architectures"},
    {"benchmarks", "methods"},
    {"plan"},
    {"data", "models"},
    {"provenance", "completeness"},
    {"training"},
    {"search"},
    {"analysis"},
    {"plotting"},
    {"figures", "tables"},
    {"reports", "cluster"},
    {"cli"},
    {"", "__main__"},
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
#: What trains: whatever summarises or draws results reads the files that it wrote instead.
TRAINING = {"data", "models", "training"}
DRAWING = {"analysis", "plotting", "figures", "tables"}


def files():
    return sorted(digests.PACKAGE.rglob("*.py"))


def name_of(file):
    """Name of a module below the package; empty for the package itself."""
    parts = file.relative_to(digests.PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in files()}


def layer(module):
    return module.split(".")[0]


def without_type_checking(tree):
    """All nodes of a tree but those below `if TYPE_CHECKING`."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending += node.orelse
        else:
            pending += ast.iter_child_nodes(node)


@functools.cache
def imports(module):
    """Modules of the package that a module imports when it runs, inside of functions too: module -> line."""
    lines = {}
    for node in without_type_checking(ast.parse(MODULES[module].read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{MODULES[module]}:{node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("scalarization.") in MODULES else node.module for name in names]
        else:
            continue
        for name in names:
            if name == "scalarization" or name.startswith("scalarization."):
                lines.setdefault(name.removeprefix("scalarization").removeprefix("."), node.lineno)
    return lines


def all_imports(module):
    """Modules that a module imports, directly or not."""
    imported, pending = set(), [module]
    while pending:
        new = set(imports(pending.pop())) - imported
        imported |= new
        pending += new
    return imported


# --- Sizes ---


def sizes():
    """(kind, place, number of lines) of every file, class and function."""
    for file in files():
        text = file.read_text()
        place = file.relative_to(digests.PACKAGE)
        yield "file", str(place), len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                kind = "class" if isinstance(node, ast.ClassDef) else "function"
                yield kind, f"{place}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("kind", LIMITS)
def test_nothing_is_too_long_to_be_read(kind):
    long = [f"{place}: {lines} lines" for k, place, lines in sizes() if k == kind and lines > LIMITS[kind]]
    assert not long, "\n".join(long)


# --- Imports ---


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward_only(module):
    """A new package must be put into LAYERS."""
    upward = [
        f"line {line}: {name}"
        for name, line in imports(module).items()
        if layer(name) != layer(module) and LAYER[layer(name)] >= LAYER[layer(module)]
    ]
    assert not upward


def test_no_modules_import_each_other():
    done, active = set(), []

    def visit(module):
        if module in active:
            return [*active[active.index(module) :], module]
        if module not in done:
            active.append(module)
            for name in imports(module):
                if circle := visit(name):
                    return circle
            active.pop()
            done.add(module)
        return None

    for module in MODULES:
        circle = visit(module)
        assert not circle, " -> ".join(circle)


@pytest.mark.parametrize("module", [module for module in MODULES if layer(module) in DRAWING])
def test_what_summarises_or_draws_trains_nothing(module):
    assert not {name for name in all_imports(module) if layer(name) in TRAINING}


def test_a_package_s_underscored_modules_are_its_own():
    foreign = [
        f"{module} imports {name}"
        for module in MODULES
        for name in imports(module)
        if any(part.startswith("_") for part in name.split(".")) and layer(name) != layer(module)
    ]
    assert not foreign


def test_nothing_is_probed_for_its_attributes():
    """What something can do is declared by its type; what an operating system has is not."""
    probing = [
        f"{file.relative_to(digests.PACKAGE)}:{node.lineno}"
        for file in files()
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr" and ast.unparse(node.args[0]) != "os"
    ]
    assert not probing


# --- What is imported at run time ---

HEAVY = {"torch", "torchvision", "timm", "pandas", "matplotlib", "seaborn", "scipy", "sklearn", "ray", "pyarrow"}


def imported_by(code, root):
    """Top-level packages that a new process has imported after some code."""
    code += "\nimport json, sys\nprint(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_planning_imports_nothing_heavy(root):
    """Each Snakemake process plans; the names are those that the rules import."""
    lines = (root / "workflow/rules/common.smk").read_text().splitlines()
    code = "\n".join(line for line in lines if line.startswith("from scalarization"))
    assert "load_plan" in code and "packing" in code
    code += """
from scalarization.plan import fingerprints
for preset in ("smoke", "paper"):
    plan = load_plan(load_config("config.yaml", {"preset": preset}))
    [fingerprints.of_shard(shard) for job in packing.training_jobs(plan) for shard in job.shards]
    [fingerprints.of_search(search) for search in plan.searches.values()]
    [fingerprints.of_profile(profile) for profile in plan.profiles.values()]
    [fingerprints.of_store(benchmark, plan.preset.benchmarks[benchmark]) for benchmark in plan.benchmarks]
    for artifact in artifacts.selected(plan):
        fingerprints.of_summary(plan, artifact)
        fingerprints.of_drawing(artifacts.kind_of(plan, artifact))
"""
    assert not imported_by(code, root) & HEAVY


def test_the_package_imports_nothing_heavy(root):
    assert not imported_by("import scalarization", root) & (HEAVY | {"numpy", "pydantic"})


@pytest.mark.parametrize("package", ["figures", "tables"])
def test_drawing_imports_no_torch(package, root):
    modules = [name for name in MODULES if layer(name) == package]
    assert len(modules) > 5
    code = "from scalarization import cli\n" + "\n".join(f"import scalarization.{name}" for name in modules)
    assert not imported_by(code, root) & {"torch", "torchvision", "timm", "ray"}


def test_finished_jobs_import_no_torch(root):
    code = "import scalarization.training.job, scalarization.training.records, scalarization.data.store"
    assert not imported_by(code, root) & {"torch", "torchvision", "timm"}
