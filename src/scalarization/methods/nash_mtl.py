"""Nash-MTL (Navon et al. 2022): the bargaining solution alpha of G alpha = 1 / alpha, G the gradients' Gramian."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS = {"max_norm": 1.0, "update_weights_every": 1, "optim_niter": 20, "include_heads": False}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's NashMTL, which starts from the last step's alpha.

    Its result does not shrink with the gradients: by the definition its norm is sqrt(T), or ``max_norm`` if that is
    less.

    Args:
        options: ``max_norm`` of the result (0: no bound), ``update_weights_every`` so many steps, ``optim_niter`` of
            the solver (all as in its authors' code); ``include_heads``.
        tasks: Number of tasks.

    Raises:
        ImportError: TorchJD's extra ``nash-mtl`` is not installed.
    """
    import cvxpy  # noqa: F401  TorchJD only looks for its file

    from scalarization.methods._nash_mtl import Bargaining

    return Bargaining(**options)
