"""The class and the solver of Nash-MTL, see nash_mtl.py. A module of its own because it imports torch at the top."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalarization.methods._least_squares import coefficients
from scalarization.methods._mgda import shortest
from scalarization.methods.base import SolvedMethod, SolverError
from scalarization.methods.jacobian import Gradients

#: Length of the shortest convex combination of the directions below which it counts as 0.
STATIONARY = 1e-10
#: Newton decrement below which full steps converge quadratically.
NEAR = 0.25
#: Newton decrement at which the iteration ends; the error is about its square.
PRECISION = 1e-9


def bargain(gradients: Gradients, max_steps: int) -> np.ndarray:
    """Coefficients of the bargaining solution: the v = sum_t g_t / <g_t, v>, whose weights are 1 / <g_t, v>.

    It minimises |v|^2 / 2 - sum_t log <u_t, v>, with directions u: lengths of gradients do not matter. Newton's method
    with damped steps finds it from any point at which this function is defined, because the function is
    self-concordant. It starts from a multiple of the shortest convex combination of the directions. A gradient of 0 has
    weight 0.

    Args:
        gradients: The gradients.
        max_steps: Maximum number of Newton steps.

    Returns:
        Coefficients [n] of the directions.

    Raises:
        SolverError: 0 is a convex combination of the directions (a Pareto-stationary point), so there is no solution;
            or the solution is not found.
    """
    directions = gradients.directions
    count = len(directions)
    start = shortest(Gradients(directions, np.ones(count), np.ones(count, bool))) @ directions
    length = np.linalg.norm(start)
    if length <= STATIONARY:
        raise SolverError("the gradients are Pareto-stationary, so there is no bargaining solution")
    solution = start * np.sqrt(count) / length
    for _ in range(max_steps):
        # The Hessian is scaled^T scaled + 1, the slope is solution - scaled^T 1.
        scaled = directions / (directions @ solution)[:, None]
        system = np.vstack([scaled, np.eye(len(solution))])
        step = np.linalg.lstsq(system, np.concatenate([np.ones(count), -solution]), rcond=None)[0]
        decrement = float(np.linalg.norm(system @ step))
        if decrement < NEAR:
            solution = solution + step
        else:
            solution = solution + step * _step_length(directions, solution, step, decrement)
        if decrement <= PRECISION:
            weights = 1 / (directions @ solution)
            return weights + coefficients(directions, solution - weights @ directions)
    raise SolverError(f"no bargaining solution after {max_steps} Newton steps")


def _step_length(directions: np.ndarray, point: np.ndarray, step: np.ndarray, decrement: float) -> float:
    """How much of a Newton step to take: as much as lowers the function well, at least 1 / (1 + decrement).

    Args:
        directions: [n, m].
        point: Where the step begins [m].
        step: The step [m].
        decrement: Its Newton decrement.
    """

    def value(length: float) -> float:
        moved = point + length * step
        products = directions @ moved
        return moved @ moved / 2 - np.log(products).sum() if products.min() > 0 else np.inf

    damped = 1 / (1 + decrement)
    steepest = (-(directions @ step) / (directions @ point)).max()
    length = min(1.0, 0.9 / steepest) if steepest > 0 else 1.0
    while length > damped and value(length) > value(0.0) - 0.1 * length * decrement**2:
        length /= 2
    return max(length, damped)


class Bargaining(SolvedMethod):
    """Nash-MTL, for any number of gradients.

    The norm of the solution is the square root of the number of gradients. Weights are kept for each number of
    gradients that occurs.

    Args:
        max_norm: Upper bound of the result's norm, that of the mean after a failure, too; 0: no bound.
        update_weights_every: Number of steps after which the weights are computed again.
        optim_niter: Maximum number of Newton steps.
        include_heads: See :class:`GradientMethod`.
    """

    def __init__(self, max_norm: float, update_weights_every: int, optim_niter: int, include_heads: bool) -> None:
        super().__init__(lambda gradients: bargain(gradients, optim_niter), include_heads=include_heads)
        self.max_norm, self.update_weights_every = max_norm, update_weights_every
        #: Number of gradients -> steps since the weights were computed; the weights.
        self._kept: dict[int, tuple[int, Tensor]] = {}

    @torch.no_grad()
    def forward(self, jacobian: Tensor) -> Tensor:
        """From task gradients [T, P] to one gradient [P]."""
        result = super().forward(jacobian)
        if len(jacobian) == 1 or not self.max_norm:
            return result
        norm = torch.linalg.vector_norm(result, dtype=torch.float64)
        return result * (self.max_norm / norm.clamp(min=self.max_norm)).to(result.dtype)

    def weights(self, jacobian: Tensor) -> Tensor | None:
        """From task gradients [T, P] to the weights of their sum; see :class:`SolvedMethod`."""
        age, weights = self._kept.get(len(jacobian), (self.update_weights_every, None))
        if age >= self.update_weights_every:
            age, weights = 0, super().weights(jacobian)
        if weights is None:
            self._kept.pop(len(jacobian), None)
        else:
            self._kept[len(jacobian)] = age + 1, weights
        return weights

    def extra_state(self) -> dict[str, Any]:
        """Numbers of calls and failures; for each number of gradients, the steps since its weights, and the weights."""
        return {**super().extra_state(), "kept": dict(self._kept)}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`extra_state` returned."""
        super().load_extra_state(state)
        self._kept = {count: (age, weights.cpu()) for count, (age, weights) in state["kept"].items()}
