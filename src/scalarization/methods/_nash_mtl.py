"""Nash-MTL as a method, see nash_mtl.py; apart from it because it needs torch when it is imported."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchjd.aggregation import NashMTL

from scalarization.methods._base import GradientMethod


class Bargaining(GradientMethod):
    """TorchJD's Nash-MTL for any number of gradients, with a state that can be saved.

    TorchJD's solves a problem of fixed size, so there is one for each number of gradients that occurs. The solution
    does not depend on the gradients' common scale, but TorchJD's solver fails where it is small: it is given a matrix
    of the same Gramian divided by its trace, T x T on the CPU in float64. Gradients that are all 0 or not finite give
    the mean. If the solver fails nevertheless, TorchJD goes on with the last weights.

    Args:
        max_norm: See :mod:`scalarization.methods.nash_mtl`, also for the others.
        update_weights_every: Steps.
        optim_niter: Iterations.
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
        """Of each problem: calls so far, last weights."""
        found = {count: problem.weighting for count, problem in self.problems.items()}
        return {count: [w.step, torch.from_numpy(w.prvs_alpha).clone()] for count, w in found.items()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`extra_state` returned."""
        self.problems = {}
        for count, (step, alpha) in state.items():
            weighting = self._problem(count).weighting
            weighting.prvs_alpha = alpha.cpu().numpy().copy()
            weighting._init_optim_problem()  # TorchJD does so at its very first step only
            weighting.step = step
