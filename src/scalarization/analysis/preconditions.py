"""Checks of what a kind of artifact requires of a preset.

Each returns what is wrong, ready to follow ``artifacts.NAME: ``, or None. They run in the order in which a kind lists
them, up to the first that fails; so a check may assume what those before it have checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from scalarization.analysis import runs
from scalarization.benchmarks.base import Labels
from scalarization.plan.artifacts import Precondition, Source
from scalarization.plan.cells import Cell


def benchmark_with(labels: type[Labels], message: str) -> Precondition:
    """The benchmark of the one experiment has labels of a type.

    Args:
        labels: The type.
        message: What is wrong if it has others; ``{benchmark}`` stands for the benchmark's name.
    """

    def check(source: Source) -> str | None:
        (experiment,) = source.experiments
        name = source.preset.experiments[experiment].benchmark
        return None if isinstance(source.benchmarks[name].labels, labels) else message.format(benchmark=name)

    return check


def single_baselines(source: Source) -> str | None:
    """The one experiment trains SD baselines."""
    ((name, cells),) = source.experiments.items()
    if any(cell.method == "single" for cell in cells):
        return None
    return f"experiment '{name}' has no SD baselines; add single to experiments.{name}.methods"


def constant_weights(source: Source) -> str | None:
    """The one experiment trains jointly with constant weights."""
    ((name, cells),) = source.experiments.items()
    methods = runs.constant_methods()
    if any(cell.method in methods for cell in cells):
        return None
    return (
        f"experiment '{name}' trains nothing jointly with constant weights, so there is nothing to compare with the SD "
        f"baselines; add at least one of {', '.join(methods)} to experiments.{name}.methods"
    )


def joint_training(source: Source) -> str | None:
    """The experiments train something jointly."""
    if any(cell.method != "single" for cell in source.cells):
        return None
    return f"nothing is trained jointly in {', '.join(source.experiments)}; add methods other than single"


def searches_listed(cells_of: Callable[[Source], Iterable[Cell]]) -> Precondition:
    """The artifact lists the searches that its models take their weights from.

    Args:
        cells_of: From the source to the models.
    """

    def check(source: Source) -> str | None:
        listed = {search.name for search in source.searches}
        for cell in cells_of(source):
            reference = cell.specification.search
            if reference and reference.name not in listed:
                return f"{cell.name} takes its weights from search '{reference.name}'; add its key to 'searches'"
        return None

    return check


#: What a comparison of constant weights with SD baselines requires.
JOINT_AND_SINGLE: tuple[Precondition, ...] = (single_baselines, constant_weights)
