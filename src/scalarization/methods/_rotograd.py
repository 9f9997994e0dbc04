"""The class of RotoGrad, see rotograd.py. It is a module of its own because it imports torch at the top."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from scalarization.methods.base import FeatureMethod, reduction_scale


class RotoGrad(FeatureMethod):
    """Gives task gradients similar norms and directions (Javaloy and Valera, ICLR 2022, section 4, algorithm 1).

    The input of head t is R_t z_n, with R_t in SO(m), the identity at the start. With g~_tn the gradient of L_t on
    R_t z_n, the rows of G_t (one for each sample n) are g_tn = R_t^T g~_tn, the gradient on z_n; U_t = G_t / |G_t| in
    the Frobenius norm. Then

    - alpha_t = (|G_t| / |G_t at the first step|) / sum_i (|G_i| / |G_i at the first step|), C = sum_t alpha_t |G_t|;
    - the backbone gets the gradient C sum_t U_t (divided by T with ``reduction: mean``);
    - R_t descends the gradient of -sum_n <R_t^T g~_tn, v_n>, v_n = sum_t u_tn / T, in which g~ and v are constants.

    So the norm of a task that converges slowly counts for more. The authors' code differs in two places: it takes the
    norms of the first step anew after 20 steps, and its rotations minimise mean_n |R_t v_n - g~_tn|^2 with a rescaled
    v.

    Costs: a step is one pass through the backbone and T passes through the heads. Rebuttal table 1b states T backward
    passes, for gradients on all shared parameters, but RotoGrad needs them on the features only. In addition it
    computes T rotations of m x m and stores T m^2 numbers (and as many for each of the optimiser's moments).

    The part of v_n that is parallel to g_tn itself does not turn R_t, because R_t^T g~_tn is longest in its own
    direction. It is left out of v_n, so that rounding does not bring it back: an optimiser such as Adam enlarges any
    gradient that is not exactly 0. One task, and multi-domain learning, where each sample has one task, thus keep the
    rotations at the identity bit for bit. Only the norms then change; one task gets its own gradient.

    Args:
        num_tasks: Number of tasks T.
        rotation_lr: Learning rate of the rotations, as a fraction of the network's.
        orthogonal_map: ``cayley`` or ``matrix_exp``, applied to a learned skew-symmetric matrix.
        reduction: Reduction over tasks, see :mod:`scalarization.methods.rotograd`.
    """

    first_norms: Tensor

    def __init__(
        self,
        num_tasks: int,
        rotation_lr: float,
        orthogonal_map: Literal["cayley", "matrix_exp"],
        reduction: Literal["mean", "sum"],
    ) -> None:
        super().__init__()
        self.num_tasks, self.lr_scale = num_tasks, rotation_lr
        self.map, self.scale = orthogonal_map, reduction_scale(reduction)
        self.register_buffer("first_norms", torch.zeros(num_tasks))

    def set_features(self, features: int) -> None:
        """Start from T identities for ``features`` (m); see :class:`FeatureMethod`."""
        self.generator = nn.Parameter(torch.zeros(self.num_tasks, features, features))

    def rotations(self) -> Tensor:
        """Current rotations [T, m, m]. Only the parameter's entries above the diagonal have an effect."""
        upper = self.generator.triu(1)
        skew = upper - upper.mT
        with torch.autocast(skew.device.type, enabled=False):
            if self.map == "matrix_exp":
                return torch.linalg.matrix_exp(skew)
            identity = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
            return torch.linalg.solve(identity - skew / 2, identity + skew / 2)

    @torch.no_grad()
    def combine(self, gradients: Tensor, rotations: Tensor) -> Tensor:
        """From task gradients [T, N, m] on rotated features to one gradient [N, m] on features.

        The first call fixes the norms that later norms are compared with. A task of gradient 0 (absent) is left out.
        """
        on_features, norms = self._on_features(gradients, rotations)
        self.first_norms.copy_(torch.where(self.first_norms == 0, norms, self.first_norms))
        speeds = torch.where(norms == 0, norms, norms / self.first_norms)
        alphas = speeds / speeds.sum().clamp(min=torch.finfo(speeds.dtype).tiny)
        common = (alphas * norms).sum()
        factors = torch.where(norms == 0, norms, common / norms)
        factors = factors * self.scale((norms != 0).sum().clamp(min=1))
        return (factors[:, None, None] * on_features).sum(0).to(gradients.dtype)

    def rotation_loss(self, gradients: Tensor, rotations: Tensor) -> Tensor:
        """Scalar whose gradient trains the rotations: sum over tasks of -sum_n <R_t^T g~_tn, v_n>, see the class."""
        with torch.no_grad():
            on_features, norms = self._on_features(gradients, rotations)
            units = torch.where((norms == 0)[:, None, None], on_features, on_features / norms[:, None, None])
            # v_n without the part of the task itself, [T, N, m]. Where no other task has a gradient it is exactly 0.
            targets = (units.sum(0) - units) / (norms != 0).sum().clamp(min=1)
            # sum_n <R^T g~_n, v_n> = sum_ij R_ij (sum_n g~_n v_n^T)_ij
            outer = gradients.to(on_features.dtype).mT @ targets
        return -(rotations * outer).sum()

    def _on_features(self, gradients: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients on features [T, N, m] and their norms [T]."""
        on_features = gradients.to(rotations.dtype) @ rotations.detach()
        # In float32 the squares of small gradients would be 0.
        norms = torch.linalg.vector_norm(on_features, dim=(1, 2), dtype=torch.float64)
        return on_features, norms.to(on_features.dtype)
