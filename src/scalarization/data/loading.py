"""Opening a prepared store for training."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch

from scalarization.data.base import Data
from scalarization.data.dense import DenseDeviceData
from scalarization.data.device import DeviceData
from scalarization.data.store import Store
from scalarization.errors import DataError


def load(store: Store, domains: Iterable[str], tasks: Iterable[str], device: torch.device, workers: int) -> Data:
    """The images of some domains with their labels, in the form that the store's own metadata asks for.

    Args:
        store: Prepared store.
        domains: Domains to load, in any order.
        tasks: Tasks whose labels are needed, in any order; without maps, images carry the labels of all tasks.
        device: Device of all batches.
        workers: Threads that decode images, if the store's images are encoded.

    Raises:
        DataError: The store lacks a domain, or the maps of a task.
    """
    names = _checked(store, "domain", domains, store.domains)
    if store.maps:
        return DenseDeviceData(store, _checked(store, "map", tasks, store.maps), device)
    if store.is_encoded:
        from scalarization.data.encoded import EncodedData  # its decoders are not needed for other stores

        return EncodedData(store, names, device, workers)
    return DeviceData(store, names, device)


def _checked(store: Store, kind: str, needed: Iterable[str], stored: Collection[str]) -> list[str]:
    """The needed names, sorted, after checking that the store has all of them."""
    names = sorted(set(needed))
    if missing := [name for name in names if name not in stored]:
        raise DataError(f"{store.directory}: holds no {kind} {', '.join(missing)}; delete it and run again")
    return names
