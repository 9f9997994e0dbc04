"""RotoGrad (Javaloy and Valera 2022): task gradients on the shared features get a common norm and learned rotations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS = {"rotation_lr": 0.1, "orthogonal_map": "cayley", "reduction": "mean"}


def build(options: dict, tasks: int) -> Method:
    """Ours; TorchJD has none.

    Args:
        options: ``rotation_lr``, as a fraction of the network's learning rate (choice; published: smaller than the
            network's); ``orthogonal_map``, from skew-symmetric matrices to rotations, ``cayley`` (choice: about ten
            times cheaper) or ``matrix_exp`` (as published); ``reduction`` over tasks, ``mean`` (choice: comparable with
            uniform scalarization) or ``sum`` (as published).
        tasks: Number of tasks.
    """
    from scalarization.methods._rotograd import RotoGrad

    return RotoGrad(tasks, **options)
