"""What every process that trains opens first: the device and, on it, the images. Torch is imported when needed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from scalarization.config import Config
from scalarization.data.store import Store
from scalarization.errors import UserError
from scalarization.plan.cells import Cell

if TYPE_CHECKING:
    import torch

    from scalarization.data.base import Data

#: Packages whose versions may change numbers.
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pyarrow", "scalarization")


def open_data(config: Config, cells: Sequence[Cell], store: Store) -> tuple[torch.device, Data]:
    """The device, and on it the images of all domains, or with the maps of all tasks, that some cells need.

    Args:
        config: Device, compute threads (set for the whole process), and threads that decode images.
        cells: Cells of one benchmark.
        store: The benchmark's prepared store.

    Raises:
        UserError: CUDA is asked for and not available.
        DataError: The store lacks a domain, or maps of a task.
    """
    import torch

    from scalarization.data.loading import load

    name = config.device
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device = cuda, but torch finds no CUDA device; set device: auto or cpu in config.yaml")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(config.threads)
    device = torch.device(name)
    domains = sorted({domain for cell in cells for domain in cell.specification.outputs.evaluated})
    tasks = sorted({task for cell in cells for task in cell.tasks})
    return device, load(store, domains, tasks, device, config.workers)


def environment(device: torch.device) -> dict[str, Any]:
    """Device, threads and versions that a run is trained with."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"device": name, "threads": torch.get_num_threads(), "versions": versions}
