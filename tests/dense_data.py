"""Random images with maps, so small that a training step takes a hundredth of a second."""

import numpy as np

from scalarization.benchmarks.base import DenseData, MapFormat
from scalarization.data.dense_store import write_dense_store
from scalarization.data.store import Store

SIZE = 32
SPLITS = {"train": 12, "validation": 3, "test": 4}
MAPS = {
    "copy": MapFormat(3, "uint8"),
    "deep": MapFormat(1, "uint16", invalid=65535),
    "plain": MapFormat(2, "float16"),
    "signed": MapFormat(2, "float16", mirrored={0: 0.25}),
    "image": MapFormat(3, "uint8", image=True),
}


def arrays(number):
    """An image and its maps; red grows with the column, which shows whether an image was flipped."""
    generator = np.random.default_rng(number)
    image = generator.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    image[..., 0] = np.arange(SIZE) * 7
    deep = generator.integers(0, 65535, (SIZE, SIZE, 1), dtype=np.uint16)
    deep[generator.random((SIZE, SIZE)) < 0.05 * number] = 65535
    plain = generator.normal(1, 2, (SIZE, SIZE, 2)).astype(np.float16)
    plain[:number, 3] = np.nan
    return {"images": image, "copy": image.copy(), "deep": deep, "plain": plain, "signed": plain.copy()}


def write(directory, maps=MAPS):
    """Prepared store of random images."""
    ends = np.cumsum([0, *SPLITS.values()]).tolist()
    splits = {split: list(range(a, b)) for split, a, b in zip(SPLITS, ends, ends[1:], strict=False)}
    data = DenseData(splits, lambda number: {k: a for k, a in arrays(number).items() if k == "images" or k in maps})
    write_dense_store(directory, "random", "random", data, maps, {"setting": "mtl", "classes": [], "attributes": []})
    return Store(directory / "dataset.json")


def standardised(store, task, values):
    """Maps [..., C] standardised by the definition, in float64; NaN where unknown."""
    described = store.maps[task]
    known = np.ones(values.shape, bool) if described["invalid"] is None else values != described["invalid"]
    return (np.where(known, values.astype(float), np.nan) - np.array(described["mean"])) / np.array(described["std"])
