"""Opening a prepared store: its own metadata decide how, and what it lacks is named."""

import dense_data
import numpy as np
import pytest
import torch

from scalarization.data.dense import DenseDeviceData
from scalarization.data.device import DeviceData
from scalarization.data.encoded import EncodedData
from scalarization.data.loading import load
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.errors import DataError

from ..archives import write_domainnet

CPU = torch.device("cpu")


def test_small_images_are_loaded_into_memory(digits_store):
    data = load(digits_store, ["optdigits", "mnist", "optdigits"], ["optdigits", "mnist"], CPU, 1)
    assert isinstance(data, DeviceData)
    assert len(data.images) == sum(
        data.size(d, s) for d in ("mnist", "optdigits") for s in ("train", "validation", "test")
    )
    assert data.start("mnist", "train") == 0  # domains are in alphabetical order, whatever the order of cells
    with pytest.raises(KeyError):
        data.start("mfeat", "train")


def test_attributes_need_no_names_of_tasks(tmp_path):
    prepare(tmp_path, "emoji_people", ["people"], tmp_path / "downloads")
    data = load(Store(tmp_path / "dataset.json"), ["people"], ["gender", "hand"], CPU, 1)
    assert isinstance(data, DeviceData) and data.labels.shape[1] == 23 and data.only(["gender"]) is data


def test_encoded_images_are_decoded_while_training(tmp_path):
    sizes = {"real": ((12, 9, 8, 11), (3, 2, 2, 3))}
    write_domainnet(tmp_path, np.random.default_rng(0), sizes)
    prepare(tmp_path / "store", "domainnet", ["real"], tmp_path)
    store = Store(tmp_path / "store" / "dataset.json")
    assert store.is_encoded and store.domains == ["real"] and store.maps == {}
    assert isinstance(load(store, ["real"], ["real"], CPU, 2), EncodedData)


def test_maps_of_the_tasks_are_loaded(tmp_path):
    store = dense_data.write(tmp_path)
    data = load(store, ["random"], ["signed", "deep"], CPU, 1)
    assert isinstance(data, DenseDeviceData) and data.tasks == ["deep", "signed"]
    assert data.only(["signed"]).tasks == ["signed"] and data.tasks == ["deep", "signed"]
    with pytest.raises(DataError, match=f"{tmp_path}: holds no map corners, edges; delete it and run again"):
        load(store, ["random"], ["edges", "deep", "corners"], CPU, 1)


def test_missing_domain_is_named(digits_store):
    with pytest.raises(DataError, match="digits: holds no domain svhn, usps; delete it and run again"):
        load(digits_store, ["usps", "mnist", "svhn"], [], CPU, 1)
