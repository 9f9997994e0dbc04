"""Target maps of the motorcycle: geometry from its measured disparity, all others from the photo alone.

Every function sees only one rectangle of the photo, so that no pixel of one split influences a target of another. Maps
are float32 [H, W] or [H, W, C]; NaN is an unknown value.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage import color, feature, segmentation

#: Left camera at this size (741 x 500), from the documentation of ``skimage.data.stereo_motorcycle``: focal length and
#: principal point in pixels, baseline in mm, difference of the principal points' columns in pixels.
FOCAL_LENGTH = 994.978
PRINCIPAL_POINT = (311.193, 254.877)
BASELINE = 193.001
OFFSET = 31.086

#: Normals take differences between pixels so far to either side (choice: neighbouring pixels are noisy).
NORMAL_REACH = 2
#: Two surfaces meet where disparity changes by more than so many pixels within that reach: no normal there (choice).
NORMAL_JUMP = 1.0
#: Window and largest value of occlusion edges, pixels of disparity (choice).
OCCLUSION_WINDOW = 5
OCCLUSION_LARGEST = 4.0
#: Blur of edges, in pixels, so that a prediction close to an edge is partly right (choice).
EDGE_BLUR = 1.0
#: Scale of keypoints, in pixels (choice).
KEYPOINT_SCALE = 2.0


def depth(disparity: np.ndarray) -> np.ndarray:
    """Depth in metres from disparity in pixels (Middlebury: Z = baseline f / (d + offset))."""
    known = np.isfinite(disparity)
    return np.where(known, BASELINE * FOCAL_LENGTH / (np.where(known, disparity, 0.0) + OFFSET) / 1000, np.nan)


def normals(disparity: np.ndarray, left: int) -> np.ndarray:
    """Unit surface normals towards the camera; x to the right, y down, z away from the camera.

    Pixels are projected back to points in space. A normal has the direction of the cross product of two differences:
    between the points to the right and left, and between the points below and above.

    Args:
        disparity: Disparity in pixels, [H, W].
        left: Column of the photo at which the rectangle begins; its rows begin at 0.

    Returns:
        [H, W, 3].
    """
    z = depth(disparity)
    rows, columns = np.indices(z.shape)
    x, y = columns + left - PRINCIPAL_POINT[0], rows - PRINCIPAL_POINT[1]
    points = np.stack([x * z / FOCAL_LENGTH, y * z / FOCAL_LENGTH, z], axis=2)
    across, down = (_difference(points, axis) for axis in (1, 0))
    normal = np.cross(across, down)
    with np.errstate(invalid="ignore", divide="ignore"):
        normal /= np.linalg.norm(normal, axis=2, keepdims=True)
        away = (normal * points).sum(axis=2, keepdims=True) > 0
        jump = np.maximum(*(abs(_difference(disparity[..., None], axis)) for axis in (0, 1))) > NORMAL_JUMP
    return np.where(jump | np.isnan(z)[..., None], np.nan, np.where(away, -normal, normal))


def occlusion_edges(disparity: np.ndarray) -> np.ndarray:
    """Range of the known disparities around each pixel, at most ``OCCLUSION_LARGEST``."""
    known = np.isfinite(disparity)
    high = ndimage.maximum_filter(np.where(known, disparity, -np.inf), OCCLUSION_WINDOW, mode="nearest")
    low = ndimage.minimum_filter(np.where(known, disparity, np.inf), OCCLUSION_WINDOW, mode="nearest")
    return np.where(known, np.minimum(high - low, OCCLUSION_LARGEST), np.nan)


def texture_edges(image: np.ndarray) -> np.ndarray:
    """Canny edges of the grey image (sigma 1), blurred."""
    return ndimage.gaussian_filter(feature.canny(color.rgb2gray(image)).astype(np.float32), EDGE_BLUR)


def keypoints(image: np.ndarray) -> np.ndarray:
    """Blob strength: square root of the Hessian's determinant by box filters, as in SURF; 0 where it is negative."""
    strength = feature.hessian_matrix_det(color.rgb2gray(image), sigma=KEYPOINT_SCALE, approximate=True)
    return np.sqrt(np.maximum(strength, 0))


def segmentation_2d(image: np.ndarray) -> np.ndarray:
    """Felzenszwalb's segments, each filled with its mean grey value, 0 to 1, so that L1 distances are meaningful."""
    labels = segmentation.felzenszwalb(image, scale=100, sigma=0.8, min_size=50)
    grey = color.rgb2gray(image)
    means = np.bincount(labels.ravel(), grey.ravel()) / np.bincount(labels.ravel())
    return means[labels]


def all_targets(image: np.ndarray, disparity: np.ndarray, left: int) -> dict[str, np.ndarray]:
    """Task -> map [H, W, C] of a rectangle that begins at column ``left``, as float16 (NaN: unknown)."""
    maps = {
        "depth": depth(disparity),
        "normals": normals(disparity, left),
        "occlusion_edges": occlusion_edges(disparity),
        "texture_edges": texture_edges(image),
        "keypoints_2d": keypoints(image),
        "segmentation_2d": segmentation_2d(image),
    }
    return {task: (m if m.ndim == 3 else m[..., None]).astype(np.float16) for task, m in maps.items()}


def _difference(values: np.ndarray, axis: int) -> np.ndarray:
    """Value ``NORMAL_REACH`` pixels after each pixel minus the one before it, along an axis; NaN at the border."""
    padding = [(0, 0)] * values.ndim
    padding[axis] = (NORMAL_REACH, NORMAL_REACH)
    padded = np.pad(values, padding, constant_values=np.nan)
    count = values.shape[axis]
    with np.errstate(invalid="ignore"):
        return np.take(padded, np.arange(count) + 2 * NORMAL_REACH, axis) - np.take(padded, np.arange(count), axis)
