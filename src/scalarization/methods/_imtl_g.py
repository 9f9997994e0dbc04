"""The solver of IMTL-G, see imtl_g.py. It is a module of its own because it imports NumPy at the top."""

from __future__ import annotations

import numpy as np

from scalarization.methods._least_squares import coefficients
from scalarization.methods.base import SolverError
from scalarization.methods.jacobian import Gradients

#: Singular values of unit vectors below which they count as linearly dependent.
DEPENDENT = 1e-13
#: Sum of weights, relative to the sum of their absolute values, that may be 0 with rounding.
SUM_OF_ZERO = 1e-9


def impartial(gradients: Gradients) -> np.ndarray:
    """Coefficients of the sum of gradients, with weights that sum to 1, whose projections on all directions are equal.

    The vector v of least norm with projections of 1 on all directions has the direction of the result. Its coefficients
    x, which are weights times lengths d, are scaled so that sum_t x_t / d_t = 1.

    Where directions are linearly dependent, there may be no such v. Then only projections of 0 are equal on all of
    them: the result is 0, which is also the limit of results for gradients that become dependent.

    Args:
        gradients: The gradients.

    Returns:
        Coefficients [n] of the directions; they may be negative.

    Raises:
        SolverError: The weights sum to 0, so they cannot be scaled.
    """
    directions, norms = gradients.directions, gradients.norms
    left, lengths, right = np.linalg.svd(directions)
    independent = lengths > DEPENDENT * lengths[0]
    ones = left.T @ np.ones(len(norms))
    if np.linalg.norm(ones[~independent]) > np.sqrt(DEPENDENT):
        solution = left[:, ~independent] @ ones[~independent]
    else:
        solution = coefficients(directions, right[independent].T @ (ones[independent] / lengths[independent]))
    weights = solution * (norms.min() / norms)
    if abs(weights.sum()) <= SUM_OF_ZERO * np.abs(weights).sum():
        raise SolverError("the weights of the impartial direction sum to 0")
    return solution * norms.min() / weights.sum()
