"""The solver of PCGrad, see pcgrad.py. It is a module of its own because it imports torch at the top."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torchjd.aggregation import PCGradWeighting

from scalarization.methods.jacobian import Gradients


def projected(gradients: Gradients, scale: Callable[[int], float]) -> np.ndarray:
    """Coefficients of the sum of the gradients, each projected off those it conflicts with, in random order.

    TorchJD draws an order of all tasks for each task. A gradient of 0 conflicts with none.

    Args:
        gradients: The gradients.
        scale: Factor on the sum over tasks, as a function of T.

    Returns:
        Coefficients [n] of the directions.
    """
    rows = np.zeros((gradients.num_tasks, gradients.directions.shape[1]))
    rows[gradients.present] = gradients.directions * gradients.norms[:, None]
    weights = PCGradWeighting()(torch.from_numpy(rows @ rows.T)).numpy()
    return weights[gradients.present] * gradients.norms * scale(gradients.num_tasks)
