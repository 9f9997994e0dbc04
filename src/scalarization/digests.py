"""Digest of the code that a job runs; imports are followed. Snakemake does not see imports; this does."""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
#: Modules whose whole effect on a job is in what it is given (its specification) or in how files are written: a change
#: of theirs must not train anything again, so imports are not followed into them.
PLANNING = frozenset(
    {
        "architectures",
        "benchmarks",
        "benchmarks.base",
        "completeness",
        "config",
        "digests",
        "errors",
        "methods",
        "methods.info",
        "provenance",
        "specification",
        "storage",
    }
)
#: Packages of which all modules are such.
PLANNING_PACKAGES = ("config.", "plan.")
#: The assignments by which a module declares methods. What they, and models of options, change of a run is in the run's
#: specification.
DECLARATIONS = frozenset({"METHOD", "METHODS"})


@functools.cache
def code_digest(*roots: str) -> str:
    """Digest of some modules of this package and of all that they import from it, but for planning.

    Comments, docstrings, layout and declarations of methods do not count: only what is executed by a job.

    Args:
        roots: Names below the package, such as ``training.job`` or ``methods.grid``. What is imported by name at run
            time (a benchmark, a model, a method) is not found by following imports and must be given here.

    Returns:
        Hexadecimal digest.
    """
    content = hashlib.sha256()
    for module in sorted(closure(roots)):
        if not is_planning(module):
            content.update(f"{module}\n{_read(module)[1]}\n".encode())
    return content.hexdigest()[:16]


def is_planning(module: str) -> bool:
    """Whether imports are not followed into a module; see :data:`PLANNING`."""
    return module == "plan" or module in PLANNING or module.startswith(PLANNING_PACKAGES)


def closure(roots: tuple[str, ...]) -> set[str]:
    """All modules of this package that the given ones import, directly or not, and they themselves."""
    modules: set[str] = set()
    pending = list(roots)
    while pending:
        module = pending.pop()
        if module not in modules:
            modules.add(module)
            if not is_planning(module):
                pending.extend(imports(module))
    return modules


def imports(module: str) -> frozenset[str]:
    """Modules of this package that one module imports anywhere in its code, functions included."""
    return _read(module)[0]


def module_file(module: str) -> Path:
    """File of a module named below the package."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def _read(module: str) -> tuple[frozenset[str], str]:
    """What a module imports of this package, and its code without comments, docstrings, layout and declarations."""
    tree = ast.parse(module_file(module).read_bytes())
    tree.body = [node for node in tree.body if not _declares(node)]
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{a.name}" for a in node.names]
            names += [node.module]
        else:
            continue
        for name in names:
            if name.startswith("scalarization.") and _exists(name.removeprefix("scalarization.")):
                imported.add(name.removeprefix("scalarization."))
    return frozenset(imported), ast.unparse(tree)


def _declares(node: ast.stmt) -> bool:
    """Whether a statement of a module only declares: a method, or a model of options."""
    if isinstance(node, ast.ClassDef):
        return any(ast.unparse(base).endswith("Options") for base in node.bases)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(ast.unparse(target) in DECLARATIONS for target in targets)


def _exists(module: str) -> bool:
    return module_file(module).is_file()
