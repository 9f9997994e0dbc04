"""Taskonomy from small files in the official layout and formats."""

import shutil

import numpy as np
import pytest
from PIL import Image

from scalarization.benchmarks import taskonomy
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.errors import DataError

from ..archives import VIEWS, write_taskonomy

TASKS = ["segmentation_2d", "depth", "normals", "occlusion_edges", "autoencoding"]
SIZE = 512


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Directory of the files, and (building, view) -> written arrays."""
    downloads = tmp_path_factory.mktemp("archives")
    written = write_taskonomy(downloads, SIZE, lambda b: VIEWS[: 2 if b in ("allensville", "ihlen") else 1])
    return downloads, written


def test_buildings_are_those_of_the_tiny_split():
    sizes = {split: len(set(buildings)) for split, buildings in taskonomy.BUILDINGS.items()}
    assert sizes == {"train": 25, "validation": 5, "test": 5}
    assert len({b for buildings in taskonomy.BUILDINGS.values() for b in buildings}) == 35


def test_views_are_split_by_building_and_read_exactly(archives):
    downloads, written = archives
    data = taskonomy.read(TASKS, downloads)
    for split, buildings in taskonomy.BUILDINGS.items():
        assert sorted(data.splits[split]) == sorted(key for key in written if key[0] in buildings)
    for key, arrays in written.items():
        loaded = data.load(key)
        assert set(loaded) == {"images", *TASKS} - {"autoencoding"}
        assert all(loaded[task].shape[:2] == (256, 256) for task in loaded)
        image = arrays["rgb"].astype(float).reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(loaded["images"], image, atol=0.5)
        np.testing.assert_array_equal(loaded["depth"][..., 0], arrays["depth_zbuffer"][::2, ::2])
        np.testing.assert_array_equal(loaded["segmentation_2d"][..., 0], arrays["segment_unsup2d"][::2, ::2])
        hole = arrays["depth_zbuffer"][::2, ::2] == 65535
        np.testing.assert_array_equal(loaded["normals"][~hole], arrays["normal"][::2, ::2][~hole])
        # 65535 is also the largest value of an edge, which must not count as a hole.
        edges = np.minimum(arrays["edge_occlusion"][::2, ::2], 65534)
        np.testing.assert_array_equal(loaded["occlusion_edges"][~hole, 0], edges[~hole])
        assert (loaded["normals"][hole] == 65535).all() and (loaded["occlusion_edges"][hole] == 65535).all()


def test_store_holds_statistics_of_known_training_values(archives, tmp_path):
    downloads, written = archives
    prepare(tmp_path, "taskonomy", ["taskonomy"], downloads, ["depth", "normals"])
    store = Store(tmp_path / "dataset.json")
    store.verify()
    assert set(store.maps) == {"depth", "normals"}
    assert store.array("taskonomy", "depth").dtype == np.uint16  # 16 bits a value on disk
    train = [arrays for key, arrays in written.items() if key[0] in taskonomy.BUILDINGS["train"]]
    known = np.stack([a["depth_zbuffer"][::2, ::2] for a in train]) != 65535
    depth = np.stack([a["depth_zbuffer"][::2, ::2] for a in train])[known].astype(float)
    described = store.maps["depth"]
    assert described["mean"] == [pytest.approx(depth.mean())] and described["std"] == [pytest.approx(depth.std())]
    assert described["known"] == [pytest.approx(0.75)]
    normals = np.stack([a["normal"][::2, ::2] for a in train])[known].astype(float)
    assert store.maps["normals"]["mean"] == pytest.approx(normals.mean(0).tolist())
    assert store.maps["normals"]["mirrored"] == {"0": 127.0}


def test_missing_archives_are_named_with_their_directory(archives, tmp_path):
    with pytest.raises(DataError) as caught:
        taskonomy.read(TASKS, tmp_path)
    for word in (str(tmp_path / "taskonomy"), "allensville_rgb", "licence", "segment_unsup2d", "data_dir"):
        assert word in str(caught.value)
    shutil.copytree(archives[0], tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "taskonomy" / "uvalda_normal")
    with pytest.raises(DataError, match=r"no uvalda_normal. "):
        taskonomy.read(TASKS, tmp_path / "copy")
    assert taskonomy.read(["segmentation_2d"], tmp_path / "copy").splits["test"]


def test_folders_of_the_authors_tool_are_read_alike(archives, tmp_path):
    for tool in (True, False):
        write_taskonomy(tmp_path / str(tool), 32, lambda building: VIEWS[:1], tool)
    from_tool, unpacked = (taskonomy.read(TASKS, tmp_path / str(tool)) for tool in (True, False))
    assert from_tool.splits == unpacked.splits
    for key in (("allensville", VIEWS[0]), ("uvalda", VIEWS[0])):
        one, other = from_tool.load(key), unpacked.load(key)
        assert all(np.array_equal(one[task], other[task]) for task in other)


def test_incomplete_and_wrong_files(archives, tmp_path, caplog):
    shutil.copytree(archives[0], tmp_path / "copy")
    root = tmp_path / "copy" / "taskonomy"
    (root / "ihlen_depth_zbuffer" / "point_0_view_0_domain_depth_zbuffer.png").unlink()
    data = taskonomy.read(TASKS, tmp_path / "copy")
    assert [key for key in data.splits["test"] if key[0] == "ihlen"] == [("ihlen", "point_12_view_3")]
    assert "ihlen: 1 of 2 images lack" in caplog.text
    broken = root / "mcdade_rgb" / "point_0_view_0_domain_rgb.png"
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(DataError, match=r"mcdade_rgb.*is not readable as an image"):
        data.load(("mcdade", "point_0_view_0"))
    labels = "segment_unsup2d/point_0_view_0_domain_segment_unsup2d.png"
    Image.fromarray(np.full((SIZE, SIZE), 300, dtype=np.uint16)).save(root / f"uvalda_{labels}")
    with pytest.raises(DataError, match=r"uvalda_segment_unsup2d.*up to 255"):
        data.load(("uvalda", "point_0_view_0"))
