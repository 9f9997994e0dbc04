"""What a job's code digest reacts to, which way imports go, and what planning imports."""

import ast
import json
import os
import shutil
import subprocess
import sys

import pytest

from scalarization import digests

MODULES = sorted(
    ".".join(f.relative_to(digests.PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")
    for f in digests.PACKAGE.rglob("*.py")
)
MODULES = [m for m in MODULES if m]

# Part of the package -> parts that it must not import, directly or not. Imports go downward only (design.md):
# figures -> analysis -> experiments; training -> methods, models, data -> benchmarks.
COMPUTING = {"training", "data", "models"}
DRAWING = {"figures", "tables"}
FORBIDDEN = {
    "figures": COMPUTING | {"cli", "conflicts", "search"},
    "tables": COMPUTING | {"cli", "conflicts", "search"},
    "analysis": COMPUTING | DRAWING | {"cli"},
    "experiments": COMPUTING | DRAWING | {"analysis", "cli", "costs", "storage"},
    "search": DRAWING | {"cli", "costs"},
    "training": DRAWING | {"analysis", "cli", "costs", "search"},
    "data": DRAWING | {"analysis", "cli", "costs", "training", "methods", "models", "experiments"},
    "models": DRAWING | {"analysis", "cli", "costs", "training", "methods", "data", "experiments", "benchmarks"},
    "methods": DRAWING | {"analysis", "cli", "costs", "training", "data", "models", "experiments", "benchmarks"},
    "benchmarks": DRAWING | COMPUTING | {"analysis", "cli", "costs", "methods", "experiments"},
    "config": DRAWING | COMPUTING | {"analysis", "cli", "costs", "methods", "experiments", "benchmarks"},
}


def everything_imported(module):
    found, pending = set(), [module]
    while pending:
        for name in digests.imports(pending.pop()) - found:
            found.add(name)
            pending.append(name)
    return found


@pytest.mark.parametrize("module", [m for m in MODULES if m.split(".")[0] in FORBIDDEN])
def test_imports_go_downward_only(module):
    upward = {m for m in everything_imported(module) if m.split(".")[0] in FORBIDDEN[module.split(".")[0]]}
    assert not upward


def test_every_part_of_the_package_has_a_layer():
    # A new part must be put into the table above (or stay a single module at the top or bottom of it).
    packages = {m.split(".")[0] for m in MODULES if "." in m}
    assert packages <= set(FORBIDDEN)


@pytest.mark.parametrize("module", MODULES)
def test_digests_see_every_import(module):
    """Digests follow absolute imports; what is imported by name at run time must be given to them by their caller."""
    for node in ast.walk(ast.parse(digests.module_file(module).read_bytes())):
        assert not (isinstance(node, ast.ImportFrom) and node.level), "a relative import"
        if isinstance(node, ast.Attribute) and node.attr == "import_module":
            assert digests.module_file(module).name == "__init__.py", "only registries import by name"


def test_training_core_is_found_by_its_imports():
    found = digests.closure(("training.loop", "models.vit", "methods.grid"))
    assert {
        "data.sampling",
        "data.augmentation",
        "data.device",
        "data.encoded",
        "models",
        "seeds",
        "training.gradients",
        "training.objectives",
        "methods._base",
        "training.schedule",
    } <= found
    assert not {m for m in found if m.split(".")[0] in DRAWING | {"analysis", "cli"}}
    assert not {"methods.uniform", "methods.cagrad", "methods._rotograd", "benchmarks.digits"} & found


# --- What changes a digest: real edits of a copy of the package ---

DIGESTS = """
import json
from scalarization.digests import code_digest, counting_digest, training_digest
print(json.dumps({
    "grid": training_digest("vit", "grid"),
    "uniform": training_digest("vit", "uniform"),
    "conflicts": counting_digest("vit"),
    "prepare": code_digest(*PREPARE),
    "query": code_digest("analysis", "analysis.figure_b"),
    "drawing": code_digest("figures", "figures.figure_b"),
}))
"""


@pytest.fixture(scope="module")
def prepare_roots(root):
    """What the workflow itself gives to `code_digest` for the rule `prepare` of digits."""
    text = (root / "workflow/rules/data.smk").read_text()
    (call,) = [line for line in text.splitlines() if "code_digest(" in line]
    return eval(call.split("code_digest")[1].rstrip(",").replace("wildcards.benchmark", "'digits'"))


@pytest.fixture
def package(tmp_path, root):
    """A copy of the package that may be edited."""
    shutil.copytree(root / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "src" / "scalarization"


def digests_of(package, prepare_roots):
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    code = DIGESTS.replace("PREPARE", repr(prepare_roots))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def replace(package, file, old, new):
    text = (package / file).read_text()
    assert text.count(old) == 1, f"{file} holds {text.count(old)} times: {old}"
    (package / file).write_text(text.replace(old, new))


LOSS = "return functional.cross_entropy(logits, labels)\n"
TRAINING = {"grid", "uniform", "conflicts"}
# (file, text, its replacement) -> digests that change.
EDITS = {
    "loss": ("training/objectives.py", LOSS, LOSS.replace("labels)", "labels, label_smoothing=0.1)"), TRAINING),
    "optimiser": ("training/schedule.py", "torch.optim.AdamW(groups", "torch.optim.Adam(groups", TRAINING),
    "schedule": ("training/schedule.py", "peak * 0.5 *", "peak * 0.4 *", TRAINING),
    "evaluation": ("training/objectives.py", "BATCH = 500", "BATCH = 501", TRAINING),
    "sampler": ("data/sampling.py", '"order", domain, p', '"order", p, domain', TRAINING),
    "augmentation": ("data/augmentation.py", "< 0.5\n            images", "< 0.4\n            images", TRAINING),
    "backbone": ("models/vit.py", "mlp_ratio=options", "qkv_bias=False, mlp_ratio=options", TRAINING),
    "seeds": ("seeds.py", "digest()[:4]", "digest()[:5]", TRAINING),
    "own method": ("methods/grid.py", "from __future__", "HERE = 1\nfrom __future__", {"grid"}),
    "counting": ("training/conflicts.py", "COLUMNS = 1 << 14", "COLUMNS = 1 << 13", {"conflicts"}),
    "splits": ("benchmarks/digits/__init__.py", "SPLIT_SEED = 0", "SPLIT_SEED = 1", {"prepare"}),
    "splitting": ("benchmarks/_splits.py", "+ generator.random()) / len", "+ 0.5) / len", {"prepare"}),
    "store": ("data/prepare.py", "np.arange(256) / 255", "np.arange(256) / 256", {"prepare"}),
    "downloading": ("data/fetch.py", "ATTEMPTS = 5", "ATTEMPTS = 6", set()),
    "query": ("analysis/figure_b.py", "from __future__", "HERE = 1\nfrom __future__", {"query"}),
    "drawing": ("figures/figure_b.py", "from __future__", "HERE = 1\nfrom __future__", {"drawing"}),
    "style": ("figures/_style.py", "from __future__", "HERE = 1\nfrom __future__", {"drawing"}),
    "other query": ("analysis/figure_d.py", "from __future__", "HERE = 1\nfrom __future__", set()),
    "other drawing": ("figures/figure_d.py", "from __future__", "HERE = 1\nfrom __future__", set()),
    "command line": ("cli.py", "EXIT_ERROR = 2", "EXIT_ERROR = 3", set()),
    "comment": ("training/objectives.py", LOSS, f"# the loss\n        {LOSS.rstrip()}  # here\n", set()),
    "docstring": ("training/loop.py", '"""One run in progress.', '"""A run in progress.', set()),
    "no docstring": ("methods/uniform.py", '    """One setting, equal weights."""\n', "", set()),
    "layout": ("training/objectives.py", LOSS, LOSS.replace(", labels)", ",\n            labels\n        )"), set()),
}


@pytest.mark.parametrize("name", EDITS)
def test_edit_changes_the_digests_of_what_it_concerns(name, package, prepare_roots):
    file, old, new, concerned = EDITS[name]
    before = digests_of(package, prepare_roots)
    assert len(set(before.values())) == len(before)
    replace(package, file, old, new)
    after = digests_of(package, prepare_roots)
    assert {key for key in before if before[key] != after[key]} == concerned


@pytest.mark.parametrize(
    "file", ["methods/another.py", "figures/another.py", "models/another.py", "benchmarks/another.py"]
)
def test_new_file_changes_no_digest(file, package, prepare_roots):
    before = digests_of(package, prepare_roots)
    (package / file).write_text('"""Another one."""\n\nVALUE = 1\n')
    assert digests_of(package, prepare_roots) == before


def test_digest_does_not_depend_on_the_place_of_the_package(package, prepare_roots, root):
    assert digests_of(package, prepare_roots) == digests_of(root / "src" / "scalarization", prepare_roots)


# --- What Snakemake processes import ---

HEAVY = {"torch", "torchvision", "timm", "pandas", "matplotlib", "seaborn", "scipy", "sklearn", "ray", "pyarrow"}


def imported_by(code, root):
    code += "\nimport json, sys\nprint(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_planning_imports_nothing_heavy(root):
    used = [line for line in (root / "workflow/rules/common.smk").read_text().splitlines() if "scalarization" in line]
    imports = "\n".join(line for line in used if line.startswith(("from ", "import ")))
    assert "Plan" in imports
    code = (
        imports
        + """
for preset in ("smoke", "paper"):
    plan = Plan(load_config("config.yaml", {"preset": preset}))
    [share.fingerprint() for job in plan.jobs() for share in job.shares]
    [plan.artifact_fingerprint(a) for a in plan.artifacts()]
    [drawing_digest(plan.artifact_kind(a)) for a in plan.artifacts()]
"""
    )
    assert not imported_by(code, root) & HEAVY


@pytest.mark.parametrize("part", sorted(DRAWING))
def test_drawing_imports_no_torch(part, root):
    files = [f.stem for f in (root / "src/scalarization" / part).glob("*.py") if not f.stem.startswith("_")]
    assert files
    code = "from scalarization import cli\n" + "\n".join(f"import scalarization.{part}.{f}" for f in files)
    assert not imported_by(code, root) & {"torch", "torchvision", "timm", "ray"}


def test_finished_jobs_import_no_torch(root):
    code = "import scalarization.training.job, scalarization.training.records, scalarization.data.store"
    assert not imported_by(code, root) & {"torch", "torchvision", "timm"}
