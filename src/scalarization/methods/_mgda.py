"""The solver of MGDA, see mgda.py. It is a module of its own because it imports NumPy at the top."""

from __future__ import annotations

import numpy as np

from scalarization.methods._least_squares import non_negative
from scalarization.methods.jacobian import Gradients


def shortest(gradients: Gradients) -> np.ndarray:
    """Coefficients of the shortest convex combination of the gradients.

    With weights w, lengths d and directions u, the x = w d that minimises |sum_t x_t u_t|^2 where sum_t x_t / d_t = 1
    is a multiple of the x >= 0 that minimises |sum_t x_t u_t|^2 + (sum_t x_t / d_t - 1)^2, which an active set
    algorithm finds exactly. The Frank-Wolfe algorithm, which is usual for MGDA, stops percents away.

    A gradient of 0 is a convex combination itself, so the result is 0.

    Args:
        gradients: The gradients.

    Returns:
        Coefficients [n] of the directions.
    """
    directions, norms = gradients.directions, gradients.norms
    if len(norms) < gradients.num_tasks:
        return np.zeros(len(norms))
    levels = norms.min() / norms
    target = np.zeros(directions.shape[1] + 1)
    target[-1] = 1
    solution = non_negative(np.vstack([directions.T, levels]), target)
    return solution * norms.min() / (levels @ solution)
