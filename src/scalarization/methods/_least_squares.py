"""Least squares problems that several gradient-based methods are reduced to."""

from __future__ import annotations

import numpy as np
import scipy.optimize

from scalarization.methods.base import SolverError

#: Iterations of the active set algorithm, per unknown; it rarely needs more than one.
ITERATIONS = 30


def non_negative(matrix: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The x >= 0 with the least ``|matrix @ x - target|``, by the algorithm of Lawson and Hanson.

    Args:
        matrix: [m, n].
        target: [m].

    Returns:
        [n]; the columns of the matrix at which it is positive are linearly independent.

    Raises:
        SolverError: The algorithm does not end.
    """
    try:
        return scipy.optimize.nnls(matrix, target, maxiter=ITERATIONS * matrix.shape[1])[0]
    except RuntimeError as error:
        raise SolverError(f"non-negative least squares: {error}") from None


def coefficients(directions: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """The shortest x with ``x @ directions == vector``.

    Args:
        directions: [n, m].
        vector: [m], a combination of the directions.

    Returns:
        [n].
    """
    return np.linalg.lstsq(directions.T, vector, rcond=None)[0]
