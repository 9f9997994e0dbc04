"""What a job's code digest reacts to: real edits of a copy of the package."""

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
MODULES = [module for module in MODULES if module]
#: What imports by name at run time; whoever computes a digest must give what is imported so.
REGISTRIES = {"analysis.claims", "benchmarks", "methods", "models", "figures", "tables", "plan.artifacts"}


@pytest.mark.parametrize("module", MODULES)
def test_digests_see_every_import(module):
    """Digests follow absolute imports; what is imported by name at run time must be given to them by their caller."""
    for node in ast.walk(ast.parse(digests.module_file(module).read_bytes())):
        assert not (isinstance(node, ast.ImportFrom) and node.level), "a relative import"
        if isinstance(node, ast.Attribute) and node.attr == "import_module":
            assert module in REGISTRIES, "only registries import by name"


def test_the_training_core_is_reached_by_its_imports():
    modules = digests.closure(("training.loop", "data.loading", "models.vit", "methods.grid"))
    assert {
        "data.sampling",
        "data.augmentation",
        "data.randaugment",
        "data.device",
        "data.encoded",
        "data.dense",
        "models",
        "seeds",
        "weights",
        "training.gradients",
        "training.objectives",
        "training.objectives.domains",
        "training.steps",
        "training.optimization",
        "methods.base",
    } <= modules
    packages = {module.split(".")[0] for module in modules}
    assert not {"figures", "tables", "plotting", "analysis", "search", "reports", "cluster", "cli"} & packages
    assert not {"methods.uniform", "methods.cagrad", "methods._rotograd", "benchmarks.digits"} & modules


def test_planning_counts_for_nothing():
    for module in ("config.models", "plan", "plan.cells", "specification", "methods", "methods.info", "storage"):
        assert digests.is_planning(module)
        assert digests.code_digest("seeds", module) == digests.code_digest("seeds")
    for module in ("weights", "seeds", "architectures.resnet", "methods.grid", "benchmarks.splits", "data.store"):
        assert not digests.is_planning(module)


# --- What changes a digest ---

DIGESTS = """
import json
from types import SimpleNamespace as Namespace
from scalarization.digests import code_digest
from scalarization.plan import fingerprints

def cell(method, counts_conflicts=False):
    architecture = Namespace(family="vit")
    return Namespace(method=method, architecture=architecture, counts_conflicts=counts_conflicts, describe=dict)

search = Namespace(cell=cell("uniform"), describe=dict)
profile = Namespace(cell=cell("uniform"), describe=dict, methods=["uniform", "cagrad"])
print(json.dumps({
    "grid": fingerprints.cell_code(cell("grid")),
    "uniform": fingerprints.cell_code(cell("uniform")),
    "pbt": fingerprints.cell_code(cell("pbt")),
    "conflicts": fingerprints.cell_code(cell("uniform", counts_conflicts=True)),
    "members": fingerprints.search_code(search),
    "search": fingerprints.of_search(search),
    "profile": fingerprints.of_profile(profile),
    "prepare": fingerprints.of_store("digits", Namespace(domains=["mnist"], tasks=None, limited_domains={})),
    "query": code_digest("analysis", "analysis.figure_b"),
    "drawing": fingerprints.of_drawing(Namespace(output="figure", drawing="figures.figure_b")),
}))
"""


def only_code(directory, names):
    """For `copytree`: what to leave out."""
    return [name for name in names if ("." in name and not name.endswith(".py")) or name == "__pycache__"]


@pytest.fixture
def package(tmp_path, root):
    """A copy of the package that may be edited."""
    shutil.copytree(root / "src", tmp_path / "src", ignore=only_code)
    return tmp_path / "src" / "scalarization"


def digests_of(package):
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", DIGESTS], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def unchanged(root):
    """The digests of the package as it is."""
    return digests_of(root / "src" / "scalarization")


def replace(package, file, old, new):
    text = (package / file).read_text()
    assert text.count(old) == 1, f"{file} holds {text.count(old)} times: {old}"
    (package / file).write_text(text.replace(old, new))


LOSS = "return functional.cross_entropy(logits, labels)\n"
TOP = "from __future__ import annotations\n"
MARK = f"{TOP}HERE = 1\n"
TRAINING = {"grid", "uniform", "pbt", "conflicts", "members", "search", "profile"}
# Methods, and what is trained with them: a search trains with uniform weights, a profile compares uniform and cagrad.
UNIFORM = {"uniform", "conflicts", "members", "search", "profile"}
# (file, text, its replacement) -> digests that change.
EDITS = {
    "loss": ("training/objectives/domains.py", LOSS, LOSS.replace("labels)", "labels, label_smoothing=0.1)"), TRAINING),
    "optimiser": ("training/optimization.py", "torch.optim.AdamW(groups", "torch.optim.Adam(groups", TRAINING),
    "learning rate": ("training/optimization.py", "peak * 0.5 *", "peak * 0.4 *", TRAINING),
    "evaluation": ("training/objectives/domains.py", "BATCH = 500", "BATCH = 501", TRAINING),
    "sampler": ("data/sampling.py", '"order", domain, p', '"order", p, domain', TRAINING),
    "augmentation": ("data/augmentation.py", "< 0.5).long()", "< 0.4).long()", TRAINING),
    "decoding": ("data/encoded.py", TOP, MARK, TRAINING),
    "maps": ("data/dense.py", TOP, MARK, TRAINING),
    "weights over epochs": ("weights.py", "self.weights[epoch] if", "self.weights[epoch - 1] if", TRAINING),
    "backbone": ("models/vit.py", "mlp_ratio=options", "qkv_bias=False, mlp_ratio=options", TRAINING),
    "other backbone": ("models/resnet.py", TOP, MARK, set()),
    "seeds": ("seeds.py", "digest()[:4]", "digest()[:5]", TRAINING | {"prepare"}),
    "methods in common": ("methods/base.py", TOP, MARK, TRAINING),
    "own method": ("methods/uniform.py", TOP, MARK, UNIFORM),
    "other method": ("methods/rlw.py", TOP, MARK, set()),
    "label of a method": ("methods/uniform.py", 'label="Uniform"', 'label="Equal"', set()),
    "default of an option": ("methods/cagrad.py", "        0.5, le=10,", "        0.4, le=10,", set()),
    "counting": ("training/conflicts.py", "self.counted += 1", "self.counted += 2", {"conflicts"}),
    "searching": ("search/schedulers.py", TOP, MARK, {"search"}),
    "intervals": ("search/intervals.py", TOP, MARK, {"search"}),
    "profiling": ("training/profile.py", TOP, MARK, {"profile"}),
    "splits": ("benchmarks/digits/__init__.py", "SPLIT_SEED = 0", "SPLIT_SEED = 1", {"prepare"}),
    "splitting": ("benchmarks/splits.py", "+ generator.random()) / len", "+ 0.5) / len", {"prepare"}),
    "store": ("data/prepare.py", "np.arange(256) / 255", "np.arange(256) / 256", {"prepare"}),
    "downloading": ("data/fetch.py", "ATTEMPTS = 5", "ATTEMPTS = 6", set()),
    "query": ("analysis/figure_b.py", TOP, MARK, {"query"}),
    "drawing": ("figures/figure_b.py", TOP, MARK, {"drawing"}),
    "style": ("plotting/style.py", TOP, MARK, {"drawing"}),
    "other query": ("analysis/figure_d.py", TOP, MARK, set()),
    "other drawing": ("figures/figure_d.py", TOP, MARK, set()),
    "planning": ("plan/packing.py", TOP, MARK, set()),
    "configuration": ("config/models.py", TOP, MARK, set()),
    "command line": ("cli.py", "EXIT_ERROR = 2", "EXIT_ERROR = 3", set()),
    "comment": ("training/objectives/domains.py", LOSS, f"# the loss\n        {LOSS.rstrip()}  # here\n", set()),
    "docstring": ("training/loop.py", '"""One run in progress.', '"""A run in progress.', set()),
    "no docstring": ("methods/uniform.py", '    """One setting, equal weights."""\n', "", set()),
    "layout": (
        "training/objectives/domains.py",
        LOSS,
        LOSS.replace(", labels)", ",\n            labels\n        )"),
        set(),
    ),
}


def test_every_job_has_a_digest_of_its_own(unchanged):
    # Members of a search train as a run with uniform weights does.
    assert unchanged["members"] == unchanged["uniform"]
    assert len(set(unchanged.values())) == len(unchanged) - 1


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_the_digests_of_what_it_concerns(name, package, unchanged):
    file, old, new, concerned = EDITS[name]
    replace(package, file, old, new)
    after = digests_of(package)
    assert {key for key in unchanged if unchanged[key] != after[key]} == concerned


@pytest.mark.parametrize(
    "file", ["methods/another.py", "figures/another.py", "models/another.py", "benchmarks/another.py"]
)
def test_a_new_file_changes_no_digest(file, package, unchanged):
    (package / file).write_text('"""Another one."""\n\nVALUE = 1\n')
    assert digests_of(package) == unchanged


def test_a_digest_does_not_depend_on_the_place_of_the_package(package, unchanged):
    assert digests_of(package) == unchanged
