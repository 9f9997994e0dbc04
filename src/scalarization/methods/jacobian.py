"""What gradient-based methods need to know of a Jacobian: scalar products of its rows, and sums of its rows.

Task gradients are float32, and their norms can differ by many orders of magnitude. All sums are therefore in float64,
and solvers get the rows at norm 1, with their norms beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

#: Columns of a Jacobian that are converted to float64 at once; bounds the memory, and fits a processor's cache.
COLUMNS = 1 << 14
#: The same on a GPU, where every part costs a launch.
GPU_COLUMNS = 1 << 18
#: Smallest eigenvalue of the scalar products of unit vectors, below which rounding of these products is too coarse.
NEARLY_DEPENDENT = 1e-6


def columns(jacobian: Tensor) -> tuple[Tensor, ...]:
    """Parts of a Jacobian [T, P] that are converted to float64 one after the other, as views."""
    return torch.split(jacobian, COLUMNS if jacobian.device.type == "cpu" else GPU_COLUMNS, dim=1)


def gramian(jacobian: Tensor, transform: Tensor | None = None) -> Tensor:
    """Scalar products of task gradients, summed in float64, where the Jacobian is.

    Args:
        jacobian: Task gradients [T, P].
        transform: Float64 matrix [n, T]: scalar products of ``transform @ jacobian`` instead.

    Returns:
        Float64 [T, T], or [n, n].
    """
    size = len(jacobian) if transform is None else len(transform)
    total = torch.zeros(size, size, dtype=torch.float64, device=jacobian.device)
    for part in columns(jacobian):
        part = part.double()
        if transform is not None:
            part = transform @ part
        total.addmm_(part, part.T)
    return total


def weighted_sum(weights: Tensor, jacobian: Tensor) -> Tensor:
    """Sum of task gradients with weights, added in float64 and rounded once.

    Args:
        weights: Float64 [T]. Gradients of weight 0 count, too: one that is not finite makes the sum not finite.
        jacobian: Task gradients [T, P].

    Returns:
        [P], in the Jacobian's type.
    """
    weights = weights.to(jacobian.device)
    result = torch.empty_like(jacobian[0])
    start = 0
    for part in columns(jacobian):
        result[start : start + part.shape[1]] = weights @ part.double()
        start += part.shape[1]
    return result


@dataclass(frozen=True)
class Gradients:
    """Task gradients that are not 0, in coordinates of the space that they span.

    Attributes:
        directions: The gradients at norm 1, float64 [n, n]: their scalar products are those of the real ones.
        norms: Norms of the gradients, float64 [n].
        present: Which rows of the Jacobian they are, bool [T].
    """

    directions: np.ndarray
    norms: np.ndarray
    present: np.ndarray

    @property
    def num_tasks(self) -> int:
        """Number of rows of the Jacobian T, with those that are 0."""
        return len(self.present)


def locate(jacobian: Tensor, gram: Tensor) -> Gradients:
    """Directions and norms of the task gradients that are not 0.

    The scalar products of unit vectors are known to about 1e-16. Where vectors are nearly dependent, a length that is
    computed from them is known to 1e-8 only. So a second pass over the Jacobian measures the scalar products of the
    combinations that are short.

    Args:
        jacobian: Task gradients [T, P], all finite.
        gram: Their scalar products, float64 on the CPU [T, T].
    """
    present = gram.diagonal() > 0
    norms = gram.diagonal()[present].sqrt()
    values, vectors = torch.linalg.eigh(gram[present][:, present] / norms / norms[:, None])
    lengths = values.clamp(min=torch.finfo(values.dtype).eps).sqrt()
    directions = vectors * lengths
    if values[0] < NEARLY_DEPENDENT:
        # Row k of (vectors / lengths)^T @ directions: the k-th combination at a length of about 1.
        transform = torch.zeros(len(norms), len(jacobian), dtype=torch.float64)
        transform[:, present] = (vectors / lengths).T / norms
        measured = gramian(jacobian, transform.to(jacobian.device)).to("cpu")
        values, vectors = torch.linalg.eigh(measured)
        directions = directions @ (vectors * values.clamp(min=0).sqrt())
    return Gradients(directions.numpy(), norms.numpy(), present.numpy())
