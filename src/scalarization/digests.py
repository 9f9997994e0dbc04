"""Digest of the code that a job runs, found by following its imports. Snakemake does not see imports; this does."""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
#: Modules whose whole effect on a job is in what it is given (its specification) or in how files are written: a change
#: of theirs must not train anything again, so imports are not followed into them.
PLANNING = frozenset(
    {"architectures", "benchmarks", "config", "digests", "errors", "experiments", "methods", "searches", "storage"}
)


@functools.cache
def code_digest(*roots: str) -> str:
    """Digest of some modules of this package and of all that they import from it, but for :data:`PLANNING`.

    Comments, docstrings and layout do not count: only what is executed.

    Args:
        roots: Names below the package, such as ``training.job`` or ``methods.grid``. What is imported by name at run
            time (a benchmark, a model, a method) is not found by following imports and must be given here.

    Returns:
        Hexadecimal digest.
    """
    content = hashlib.sha256()
    for module in sorted(closure(roots) - PLANNING):
        content.update(f"{module}\n{_read(module)[1]}\n".encode())
    return content.hexdigest()[:16]


def training_digest(family: str, method: str) -> str:
    """Digest of the code that trains a cell: the training core, one backbone family, one method."""
    return code_digest("training.loop", f"models.{family}", f"methods.{method}")


def counting_digest(family: str) -> str:
    """Digest of the code that trains a cell with uniform weights and counts gradient conflicts."""
    return code_digest("training.conflicts", f"models.{family}", "methods.uniform")


def drawing_digest(kind: str) -> str:
    """Digest of the code that draws a kind of artifact."""
    package = "tables" if "table" in kind.split("_") else "figures"
    return code_digest(package, f"{package}.{kind}")


def closure(roots: tuple[str, ...]) -> set[str]:
    """All modules of this package that the given ones import, directly or not, and they themselves."""
    found: set[str] = set()
    pending = list(roots)
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            if module not in PLANNING:
                pending.extend(imports(module))
    return found


def imports(module: str) -> frozenset[str]:
    """Modules of this package that one module imports anywhere in its code, functions included."""
    return _read(module)[0]


@functools.cache
def _read(module: str) -> tuple[frozenset[str], str]:
    """What a module imports of this package, and its code without comments, docstrings and layout."""
    tree = ast.parse(module_file(module).read_bytes())
    found = set()
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
                found.add(name.removeprefix("scalarization."))
    return frozenset(found), ast.unparse(tree)


def module_file(module: str) -> Path:
    """File of a module named below the package."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _exists(module: str) -> bool:
    return module_file(module).is_file()
