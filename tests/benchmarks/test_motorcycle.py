"""The motorcycle: exact geometry, targets that depend on pixels of their own split only, and the documented patches."""

import itertools

import numpy as np
import pytest

from scalarization.benchmarks import SPLITS, motorcycle
from scalarization.benchmarks.motorcycle import targets
from scalarization.errors import DataError

TASKS = list(motorcycle.FORMATS)


@pytest.fixture(scope="module")
def photo():
    return motorcycle.photo()


@pytest.fixture(scope="module")
def data():
    return motorcycle.read(TASKS, None)


def test_depth_is_middleburys_formula(photo):
    _, disparity = photo
    depth = targets.depth(disparity)
    known = np.isfinite(disparity)
    assert (np.isnan(depth) == ~known).all() and 0.9 < known.mean() < 0.95
    expected = 193.001 * 994.978 / (disparity[known].astype(float) + 31.086) / 1000
    np.testing.assert_allclose(depth[known], expected, rtol=1e-6)
    assert 2.1 < np.nanmin(depth) < np.nanmax(depth) < 5.1  # metres of a garage


@pytest.mark.parametrize("normal", [(0, 0, -1), (0.3, -0.5, -0.8), (-0.6, 0.1, -0.7)])
@pytest.mark.parametrize("left", [0, 300])
def test_normals_of_a_plane(normal, left):
    """The input is the disparity of the points of a plane n.P = d in front of the camera."""
    normal = np.array(normal) / np.linalg.norm(normal)
    rows, columns = np.indices((500, 40))
    rays = np.stack([(columns + left - 311.193) / 994.978, (rows - 254.877) / 994.978, np.ones(rows.shape)], axis=2)
    depth = -3000 / (rays @ normal)  # mm
    assert (depth > 0).all()
    normals = targets.normals(193.001 * 994.978 / depth - 31.086, left)
    inside = normals[2:-2, 2:-2]
    assert np.isfinite(inside).all()
    np.testing.assert_allclose(inside, np.broadcast_to(normal, inside.shape), atol=1e-6)
    border = np.ones(rows.shape, dtype=bool)
    border[2:-2, 2:-2] = False
    assert np.isnan(normals[border]).all()


def test_no_normal_where_two_surfaces_meet():
    disparity = np.full((20, 30), 20.0)
    disparity[:, 15:] = 40
    disparity[10, 5] = np.inf
    unknown = np.isnan(targets.normals(disparity, 0)).all(axis=2)
    assert unknown[5:15, 13:17].all() and not unknown[5:15, 17:28].any()
    assert unknown[10, 3] and unknown[10, 5] and unknown[10, 7] and unknown[8, 5] and not unknown[9, 6]


def test_occlusion_edges_are_where_disparity_jumps():
    disparity = np.full((20, 30), 20.0)
    assert (targets.occlusion_edges(disparity) == 0).all()
    disparity[:, 15:] = 22
    disparity[3, 3] = np.inf
    edges = targets.occlusion_edges(disparity)
    assert (edges[:, 13:17] == 2).all() and np.isnan(edges[3, 3])
    edges[3, 3] = 0
    assert (edges[:, :13] == 0).all() and (edges[:, 17:] == 0).all()
    disparity[:, 15:] = 60
    assert np.nanmax(targets.occlusion_edges(disparity)) == targets.OCCLUSION_LARGEST


def test_segments_keep_the_mean_grey_value(photo):
    from skimage.color import rgb2gray

    image = np.ascontiguousarray(photo[0][:200, :300])
    segments = targets.segmentation_2d(image)
    assert segments.mean() == pytest.approx(rgb2gray(image).mean(), rel=1e-9)
    assert 20 < len(np.unique(segments)) < 2000  # segments of one value each


def test_patches_are_disjoint_and_as_many_as_documented(data):
    assert len(data.splits["train"]) == motorcycle.BENCHMARK.train_sizes["motorcycle"]
    assert len(data.splits["validation"]) >= 20 and len(data.splits["test"]) >= 20
    covered = {}
    for split in SPLITS:
        left, right = motorcycle.COLUMNS[split]
        covered[split] = {left + c + x for _, _, c in data.splits[split] for x in range(motorcycle.PATCH)}
        assert covered[split] <= set(range(left, right))
        for key in data.splits[split]:
            maps = data.load(key)
            assert maps["images"].shape == (64, 64, 3) and maps["images"].dtype == np.uint8
            assert np.isfinite(maps["depth"]).mean() >= 0.9
            for task, form in motorcycle.FORMATS.items():
                if not form.image:
                    assert maps[task].shape == (64, 64, form.channels) and maps[task].dtype == form.dtype
    edges = sorted((min(c), max(c)) for c in covered.values())
    assert all(after[0] - before[1] > 16 for before, after in itertools.pairwise(edges))


def test_targets_do_not_depend_on_pixels_of_other_splits(data, photo, monkeypatch):
    """Train targets stay the same when the columns of other splits are replaced: segments and filters are wide."""
    image, disparity = (a.copy() for a in photo)
    left, right = motorcycle.COLUMNS["train"]
    generator = np.random.default_rng(0)
    image[:, right:] = generator.integers(0, 256, image[:, right:].shape)
    disparity[:, right:] = generator.uniform(10, 50, disparity[:, right:].shape)
    assert left == 0
    monkeypatch.setattr(motorcycle, "photo", lambda: (image, disparity))
    other = motorcycle.read(TASKS, None)
    assert other.splits["train"] == data.splits["train"]
    for key in data.splits["train"]:
        one, two = data.load(key), other.load(key)
        assert all(np.array_equal(one[kind], two[kind], equal_nan=one[kind].dtype.kind == "f") for kind in one)


def test_another_photo_is_refused(monkeypatch):
    monkeypatch.setitem(motorcycle.FILES, "motorcycle_disp.npz", "0" * 64)
    with pytest.raises(DataError, match=r"motorcycle_disp\.npz.*scikit-image 0\.26.*requirements"):
        motorcycle.photo()
