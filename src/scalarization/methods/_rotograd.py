"""RotoGrad as a method, see rotograd.py; apart from it because it needs torch when it is imported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scalarization.errors import ConfigError
from scalarization.methods._base import FeatureMethod, reduction_scale


class RotoGrad(FeatureMethod):
    """Norms and directions of task gradients made alike (Javaloy and Valera, ICLR 2022, section 4, algorithm 1).

    Head t sees R_t z_n, with R_t in SO(m), the identity at the start. With g~_tn the gradient of L_t on R_t z_n, the
    rows of G_t (one for each sample n) are g_tn = R_t^T g~_tn, the gradient on z_n; U_t = G_t / |G_t| in the Frobenius
    norm. Then

    - alpha_t = (|G_t| / |G_t at the first step|) / sum_i (|G_i| / |G_i at the first step|), C = sum_t alpha_t |G_t|;
    - the backbone gets the gradient C sum_t U_t (divided by T with ``reduction: mean``);
    - R_t goes down the gradient of -sum_n <R_t^T g~_tn, v_n>, v_n = sum_t u_tn / T, in which g~ and v are constants.

    So the norm of a task that converges slowly counts for more. Its authors' code differs in places: the first step's
    norms are taken anew after 20 steps, and the rotations minimise mean_n |R_t v_n - g~_tn|^2 with a rescaled v.

    Costs: a step is one pass through the backbone and T through the heads; R's table says T backward passes, counted
    for gradients on all shared parameters, but these are needed on the features only. On top: T rotations of m x m,
    T m^2 numbers of storage (and as many for each of the optimiser's moments).

    One task: the rotation stays the identity, and the gradient is its own. Under multi-domain learning, where each
    sample has one task, v_n is along g_tn and the rotations' gradient is 0 up to rounding: only norms are made alike.

    Args:
        tasks: Number of tasks T.
        rotation_lr: Learning rate of the rotations, as a fraction of the network's.
        orthogonal_map: ``cayley`` or ``matrix_exp``, of a skew-symmetric matrix that is learned.
        reduction: ``mean`` or ``sum``, see :mod:`scalarization.methods.rotograd`.
    """

    def __init__(self, tasks: int, rotation_lr: float, orthogonal_map: str, reduction: str) -> None:
        super().__init__()
        if orthogonal_map not in ("cayley", "matrix_exp"):
            raise ConfigError(f"rotograd.orthogonal_map = {orthogonal_map}: must be cayley or matrix_exp")
        self.tasks, self.rate, self.map, self.scale = tasks, rotation_lr, orthogonal_map, reduction_scale(reduction)
        self.register_buffer("first_norms", torch.zeros(tasks))

    def set_features(self, features: int) -> None:
        """Start from T identities for ``features`` (m); see :class:`FeatureMethod`."""
        self.generator = nn.Parameter(torch.zeros(self.tasks, features, features))

    def rotations(self) -> Tensor:
        """Current rotations [T, m, m]; what is above the diagonal of the parameter counts."""
        upper = self.generator.triu(1)
        skew = upper - upper.mT
        with torch.autocast(skew.device.type, enabled=False):
            if self.map == "matrix_exp":
                return torch.linalg.matrix_exp(skew)
            identity = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
            return torch.linalg.solve(identity - skew / 2, identity + skew / 2)

    @torch.no_grad()
    def combine(self, gradients: Tensor, rotations: Tensor) -> Tensor:
        """From task gradients [T, N, m] on rotated features to the one gradient [N, m] on features.

        The first call fixes the norms that later ones are compared with; a task of gradient 0 (absent) is left out.
        """
        found, norms = self._on_features(gradients, rotations)
        self.first_norms.copy_(torch.where(self.first_norms == 0, norms, self.first_norms))
        speeds = torch.where(norms == 0, norms, norms / self.first_norms)
        alphas = speeds / speeds.sum().clamp(min=torch.finfo(speeds.dtype).tiny)
        common = (alphas * norms).sum()
        factors = torch.where(norms == 0, norms, common / norms)
        factors = factors * self.scale((norms != 0).sum().clamp(min=1))
        return (factors[:, None, None] * found).sum(0).to(gradients.dtype)

    def rotation_loss(self, gradients: Tensor, rotations: Tensor) -> Tensor:
        """Scalar whose gradient trains the rotations: sum over tasks of -sum_n <R_t^T g~_tn, v_n>."""
        with torch.no_grad():
            found, norms = self._on_features(gradients, rotations)
            units = torch.where((norms == 0)[:, None, None], found, found / norms[:, None, None])
            target = units.sum(0) / (norms != 0).sum().clamp(min=1)
            # sum_n <R^T g~_n, v_n> = sum_ij R_ij (sum_n g~_n v_n^T)_ij
            outer = gradients.to(found.dtype).mT @ target
        # Of one task the gradient is 0; were it only rounded to 0, Adam would blow it up.
        return -(rotations * outer).sum() * (self.tasks > 1)

    def _on_features(self, gradients: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients on features [T, N, m], and their norms [T]."""
        found = gradients.to(rotations.dtype) @ rotations.detach()
        return found, torch.linalg.vector_norm(found, dim=(1, 2))
