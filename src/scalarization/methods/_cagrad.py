"""The solver of CAGrad, see cagrad.py. It is a module of its own because it imports NumPy at the top."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalarization.methods._least_squares import coefficients, non_negative
from scalarization.methods.base import SolverError
from scalarization.methods.jacobian import Gradients

#: Width of an interval of levels, relative to the levels (or to 1, if they are less), that counts as one level.
PRECISION = 1e-15
#: Levels that need an offset of more than 1 / sqrt(OUT_OF_REACH) may be out of reach altogether.
OUT_OF_REACH = 1e-13
ITERATIONS = 300


def conflict_averse(gradients: Gradients, c: float) -> np.ndarray:
    """Coefficients of the d that maximises min_t <g_t, d> where |d - g_0| <= c |g_0|; g_0 is the mean of the gradients.

    A gradient of 0 counts in g_0 but not in the minimum: it improves by 0 whatever d is. If 0 is a convex combination
    of the gradients (a Pareto-stationary point), no d improves all of them. If some d in the ball then worsens none,
    the result is the one that is nearest to g_0.

    Args:
        gradients: The gradients.
        c: Radius of the ball, relative to the norm of g_0.

    Returns:
        Coefficients [n] of the directions.

    Raises:
        SolverError: The search does not end.
    """
    directions, norms = gradients.directions, gradients.norms
    mean = norms / gradients.num_tasks
    centre = mean @ directions
    radius = c * np.linalg.norm(centre)
    if radius == 0:
        return mean
    offset = _Offsets(directions, norms.min() / norms, directions @ centre / radius).of_length_one()
    result = mean.copy()
    if offset.active.any():
        result[offset.active] += radius * coefficients(directions[offset.active], offset.vector)
    return result


@dataclass(frozen=True)
class _Offset:
    """A vector [m], and the constraints that hold with equality [n], of whose directions it is a combination."""

    vector: np.ndarray
    active: np.ndarray


@dataclass(frozen=True)
class _Offsets:
    """The shortest offsets v from g_0 at which all gradients improve by some level, in units of the ball's radius.

    For all t, <u_t, v> >= level * slopes_t - products_t. The length of the shortest v grows with the level. Between
    levels with the same active constraints, v is a linear function of the level.

    Attributes:
        directions: u [n, m].
        slopes: Inverse norms of the gradients, relative to that of the shortest gradient [n].
        products: <u_t, g_0> [n].
    """

    directions: np.ndarray
    slopes: np.ndarray
    products: np.ndarray

    def of_length_one(self) -> _Offset:
        """The offset of length 1, or the longest one if all are shorter.

        Raises:
            SolverError: It is not found.
        """
        low, high = (self.products / self.slopes).min(), ((1 + self.products) / self.slopes).min()
        offset = self._at(low)
        if low < 0 < high:
            # Positive levels may be out of reach, and length 1 with them.
            without_loss = self._at(0.0)
            if without_loss is None or np.linalg.norm(without_loss.vector) > 1:
                high = 0.0
            else:
                low, offset = 0.0, without_loss
        level = high
        for _ in range(ITERATIONS):
            at_level = self._at(level)
            guess = None
            if at_level is None or np.linalg.norm(at_level.vector) > 1:
                high = level
            else:
                low, offset = level, at_level
            if at_level is not None:
                guess = self._level_of_length_one(at_level.active)
                if guess is not None and abs(guess - level) <= PRECISION * max(1.0, abs(level)):
                    return self._with_active(at_level.active, guess)
            if high - low <= PRECISION * max(1.0, abs(low)) and offset is not None:
                return offset
            level = guess if guess is not None and low < guess < high else (low + high) / 2
        raise SolverError(f"no offset of length 1 between the levels {low} and {high}")

    def _at(self, level: float) -> _Offset | None:
        """The shortest offset for a level; None if the level is, or may be, out of reach."""
        bounds = level * self.slopes - self.products
        target = np.zeros(self.directions.shape[1] + 1)
        target[-1] = 1
        multipliers = non_negative(np.vstack([self.directions.T, bounds]), target)
        remainder = 1 - bounds @ multipliers
        if remainder <= OUT_OF_REACH:
            return None
        return _Offset(multipliers @ self.directions / remainder, multipliers > 0)

    def _level_of_length_one(self, active: np.ndarray) -> float | None:
        """The largest level whose offset has length 1 if these constraints are active; None if there is none."""
        if not active.any():
            return None
        rise, fall = self._line(active)
        quadratic, linear, constant = rise @ rise, rise @ fall, fall @ fall - 1
        discriminant = linear**2 - quadratic * constant
        return None if discriminant < 0 else float((linear + np.sqrt(discriminant)) / quadratic)

    def _with_active(self, active: np.ndarray, level: float) -> _Offset:
        rise, fall = self._line(active)
        return _Offset(level * rise - fall, active)

    def _line(self, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Two vectors [m]: with these active constraints, the offset is level * first - second."""
        bounds = np.stack([self.slopes[active], self.products[active]], axis=1)
        rise, fall = np.linalg.lstsq(self.directions[active], bounds, rcond=None)[0].T
        return rise, fall
