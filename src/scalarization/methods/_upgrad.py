"""The solver of UPGrad, see upgrad.py. It is a module of its own because it imports NumPy at the top."""

from __future__ import annotations

import numpy as np

from scalarization.methods._least_squares import non_negative
from scalarization.methods.jacobian import Gradients


def mean_projection(gradients: Gradients) -> np.ndarray:
    """Coefficients of the mean of the gradients, each projected onto the vectors that conflict with no gradient.

    The projection of a vector v is v + sum_t y_t u_t, with the y >= 0 that makes it shortest; u are the directions. It
    is proportional to the length of v.

    Args:
        gradients: The gradients.

    Returns:
        Coefficients [n] of the directions.
    """
    directions, norms = gradients.directions, gradients.norms
    total = norms.copy()
    for direction, norm in zip(directions, norms, strict=True):
        if (directions @ direction).min() < 0:
            total += norm * non_negative(directions.T, -direction)
    return total / gradients.num_tasks
