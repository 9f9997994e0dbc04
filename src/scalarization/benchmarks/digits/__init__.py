"""``digits``: handwritten digits from three sources, bundled with the code; stands in for ``cifar_stl``.

MNIST is the large domain, UCI optdigits the small one, UCI mfeat an optional third. All have the same ten classes and
one 16 x 16 grey format; ``bundled/README.md`` tells where they come from and how they were changed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from scalarization.benchmarks import BenchmarkInfo, DomainData
from scalarization.benchmarks._splits import stratified_split
from scalarization.errors import DataError

BUNDLED = Path(__file__).resolve().parent / "bundled"
#: Sizes of the splits (choice: train 10 to 1 as CIFAR-10 to STL-10, a test part large enough to tell methods apart).
SPLIT_SIZES = {
    "mnist": {"train": 8000, "validation": 1000, "test": 1000},
    "optdigits": {"train": 800, "validation": 300, "test": 697},
    "mfeat": {"train": 800, "validation": 300, "test": 894},
}
SPLIT_SEED = 0

INFO = BenchmarkInfo(
    setting="mdl",
    domains={name: sizes["train"] for name, sizes in SPLIT_SIZES.items()},
    classes=tuple("0123456789"),
    image_size=16,
    channels=1,
    reported=False,
)


PROVENANCE = {
    "source": "bundled with the code, see src/scalarization/benchmarks/digits/bundled/README.md",
    "licence": {"mnist": "CC BY-SA 3.0", "optdigits": "CC BY 4.0", "mfeat": "CC BY 4.0"},
    "split_seed": SPLIT_SEED,
}


def read(domains: list[str], downloads: Path) -> dict[str, DomainData]:
    """Images, labels and splits of the wanted domains.

    Args:
        domains: Names of domains.
        downloads: Not used, nothing is downloaded.

    Raises:
        DataError: A bundled file is missing or differs from its checksum.
    """
    expected = dict(reversed(line.split()) for line in (BUNDLED / "SHA256SUMS").read_text().splitlines())
    data = {}
    for number, name in enumerate(INFO.domains):
        if name in domains:
            images, labels = (_bundled(f"{name}_{kind}.npy", expected) for kind in ("images", "labels"))
            splits = stratified_split(labels, SPLIT_SIZES[name], np.random.default_rng([SPLIT_SEED, number]))
            data[name] = DomainData(images[..., None], labels, splits)
    return data


def _bundled(name: str, expected: dict[str, str]) -> np.ndarray:
    path = BUNDLED / name
    if not path.is_file():
        raise DataError(f"{path}: missing; restore it with git checkout, or see {BUNDLED / 'README.md'}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != expected.get(name):
        raise DataError(f"{path}: differs from SHA256SUMS; restore it with git checkout")
    return np.load(path)
