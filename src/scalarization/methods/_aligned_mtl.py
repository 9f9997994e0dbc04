"""The solver of Aligned-MTL, see aligned_mtl.py. It is a module of its own because it imports NumPy at the top."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from scalarization.methods._least_squares import coefficients
from scalarization.methods.base import SolverError
from scalarization.methods.jacobian import Gradients

EPS = np.finfo(np.float64).eps
SWEEPS = 60


def aligned(gradients: Gradients, scale_mode: Literal["min", "median", "rmse"]) -> np.ndarray:
    """Coefficients of the mean of the gradients after all singular values of their matrix are made equal.

    Args:
        gradients: The gradients.
        scale_mode: The value that they get, see :mod:`scalarization.methods.aligned_mtl`. Singular values of 0 stay 0.

    Returns:
        Coefficients [n] of the directions.

    Raises:
        SolverError: The singular values are not found.
    """
    norms = gradients.norms
    left, rows = orthogonalised(gradients.directions * norms[:, None])
    lengths = np.linalg.norm(rows, axis=1)
    kept = np.sort(lengths[lengths > 0])
    if scale_mode == "rmse":
        scale = np.linalg.norm(kept) / np.sqrt(len(kept))
    else:
        scale = kept[0 if scale_mode == "min" else (len(kept) - 1) // 2]
    right = np.divide(rows, lengths[:, None], out=np.zeros_like(rows), where=lengths[:, None] > 0)
    return coefficients(gradients.directions, left.sum(0) @ right * scale / gradients.num_tasks)


def orthogonalised(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An orthogonal matrix [n, n] and orthogonal rows [n, m] whose product is a matrix.

    The one-sided algorithm of Jacobi: unlike that of LAPACK's SVD, its error is small relative to each row, not only
    to the longest one, so that gradients whose norms differ by many orders of magnitude keep their directions.
    Rows that are 0 up to rounding are returned as 0.

    Args:
        matrix: [n, m].

    Raises:
        SolverError: The rows are not orthogonal after many sweeps.
    """
    count = len(matrix)
    order = np.argsort(-np.linalg.norm(matrix, axis=1), kind="stable")
    rows = matrix[order]
    rotation = np.eye(count)[order]
    noise = 10 * count * EPS * np.linalg.norm(rows, axis=1)
    for _ in range(SWEEPS):
        cosine = 0.0
        for first, second in _pairs(count):
            cosine = max(cosine, _rotate(rows, rotation, noise, first, second))
        if cosine <= 10 * count * EPS:
            return rotation.T, rows
    raise SolverError(f"the singular values are not found in {SWEEPS} sweeps")


def _rotate(rows: np.ndarray, rotation: np.ndarray, noise: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Make pairs of rows orthogonal, in place.

    Args:
        rows: [n, m].
        rotation: [n, n]; rotated with the rows.
        noise: Rounding in each row [n]; a row that is no longer is set to 0.
        first: Numbers of the first rows of the pairs.
        second: Numbers of the second rows.

    Returns:
        The largest cosine between the rows of a pair, before.
    """
    a, b = rows[first], rows[second]
    lengths_a, lengths_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    products = (a * b).sum(1)
    scale = lengths_a * lengths_b
    cosines = np.divide(np.abs(products), scale, out=np.zeros_like(scale), where=scale > 0)
    turned = cosines > EPS
    safe = np.where(turned, products, 1.0)
    zeta = np.where(turned, (lengths_b - lengths_a) * (lengths_b + lengths_a) / (2 * safe), np.inf)
    tangent = np.copysign(1.0, zeta) / (np.abs(zeta) + np.hypot(1.0, zeta))
    cos = 1 / np.hypot(1.0, tangent)
    sin = cos * tangent
    for array in (rows, rotation):
        a, b = array[first], array[second]
        array[first], array[second] = cos[:, None] * a - sin[:, None] * b, sin[:, None] * a + cos[:, None] * b
    a, b = noise[first], noise[second]
    noise[first], noise[second] = cos * a + np.abs(sin) * b, np.abs(sin) * a + cos * b
    rows[np.linalg.norm(rows, axis=1) <= noise] = 0
    return float(cosines.max(initial=0.0))


def _pairs(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of rows in rounds; in each round, every row is in one pair at most."""
    size = count + count % 2
    seats = np.arange(size)
    for _ in range(size - 1):
        first, second = seats[: size // 2], seats[size // 2 :][::-1]
        real = np.maximum(first, second) < count
        yield np.minimum(first, second)[real], np.maximum(first, second)[real]
        seats = np.concatenate([seats[:1], seats[-1:], seats[1:-1]])
