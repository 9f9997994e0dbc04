"""The class of Nash-MTL, see nash_mtl.py. It is a module of its own because it imports torch at the top."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchjd.aggregation import NashMTL

from scalarization.methods.base import GradientMethod


class Bargaining(GradientMethod):
    """TorchJD's Nash-MTL for any number of gradients, with a state that can be saved.

    TorchJD solves a problem of fixed size, so this class holds one problem for each number of gradients that occurs.
    The solution does not depend on the common scale of the gradients, but TorchJD's solver fails if the scale is small.
    Therefore the solver gets a matrix with the same Gramian divided by its trace: T x T, on the CPU, in float64.
    Gradients that are all 0 or not finite give the mean. If the solver fails nevertheless, TorchJD uses the last
    weights again.

    Args:
        max_norm: Upper bound of the result's norm; 0: no bound.
        update_weights_every: Number of steps after which the weights are computed again.
        optim_niter: Maximum number of iterations of the solver.
        include_heads: See :class:`GradientMethod`.
    """

    def __init__(self, max_norm: float, update_weights_every: int, optim_niter: int, include_heads: bool) -> None:
        super().__init__(include_heads)
        self.settings = (max_norm, update_weights_every, optim_niter)
        self.problems: dict[int, NashMTL] = {}

    @torch.no_grad()
    def forward(self, jacobian: Tensor) -> Tensor:
        """From task gradients [T, P] to one gradient [P]."""
        count = len(jacobian)
        if count == 1:
            return jacobian[0].clone()
        gramian = (jacobian @ jacobian.T).to("cpu", torch.float64)
        trace = gramian.trace()
        if not 0 < trace < torch.inf:
            return jacobian.mean(0)
        values, vectors = torch.linalg.eigh(gramian / trace)
        alpha = self._problem(count).weighting(vectors * values.clamp(min=0).sqrt())
        return (alpha / trace.sqrt()).to(jacobian) @ jacobian

    def _problem(self, count: int) -> NashMTL:
        if count not in self.problems:
            self.problems[count] = NashMTL(count, *self.settings)
        return self.problems[count]

    def extra_state(self) -> dict[str, Any]:
        """For each number of gradients that occurred: number of calls, last weights."""
        weightings = {count: problem.weighting for count, problem in self.problems.items()}
        return {"problems": {n: [w.step, torch.from_numpy(w.prvs_alpha).clone()] for n, w in weightings.items()}}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`extra_state` returned."""
        self.problems = {}
        for count, (step, alpha) in state["problems"].items():
            weighting = self._problem(count).weighting
            weighting.prvs_alpha = alpha.cpu().numpy().copy()
            weighting._init_optim_problem()  # TorchJD does this at its very first step only
            weighting.step = step
