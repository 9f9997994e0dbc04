"""``digits``: handwritten digits from three sources, bundled with the code; stands in for ``cifar_stl``.

MNIST is the large domain, UCI optdigits the small one, UCI mfeat an optional third. All have the same ten classes and
grey images of 16 x 16 pixels; ``bundled/README.md`` documents their sources and how they were changed.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from scalarization.benchmarks.base import BenchmarkInfo, ClassLabels, DomainData, DomainInfo
from scalarization.benchmarks.bundled import bundled_files, read_bundled
from scalarization.benchmarks.splits import stratified_split

BUNDLED = Path(__file__).resolve().parent / "bundled"
#: Domain -> split -> number of images (choice: training sets have the ratio 10 to 1 of CIFAR-10 and STL-10, and test
#: sets are large enough to tell methods apart).
SPLIT_SIZES = {
    "mnist": {"train": 8000, "validation": 1000, "test": 1000},
    "optdigits": {"train": 800, "validation": 300, "test": 697},
    "mfeat": {"train": 800, "validation": 300, "test": 894},
}
SPLIT_SEED = 0


def read(domains: list[str], downloads: Path) -> dict[str, DomainData]:
    """Images, labels and splits of some domains.

    Args:
        domains: Names of domains.
        downloads: Not used: no file is downloaded.

    Raises:
        DataError: A bundled file is missing or differs from its checksum.
    """
    data = {}
    for number, name in enumerate(SPLIT_SIZES):
        if name in domains:
            images, labels = (_read_array(f"{name}_{kind}.npy") for kind in ("images", "labels"))
            splits = stratified_split(labels, SPLIT_SIZES[name], np.random.default_rng([SPLIT_SEED, number]))
            data[name] = DomainData(images[..., None], labels, splits)
    return data


def _read_array(name: str) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(read_bundled(BUNDLED, name)), allow_pickle=False)


BENCHMARK = BenchmarkInfo(
    labels=ClassLabels(tuple("0123456789")),
    domains={name: DomainInfo(sizes["train"]) for name, sizes in SPLIT_SIZES.items()},
    image_size=16,
    channels=1,
    provenance={
        "source": "bundled with the code, see src/scalarization/benchmarks/digits/bundled/README.md",
        "licence": {"mnist": "CC BY-SA 3.0", "optdigits": "CC BY 4.0", "mfeat": "CC BY 4.0"},
        "split_seed": SPLIT_SEED,
    },
    read=read,
    sources=lambda tasks, downloads: bundled_files(BUNDLED),
)
