"""Disk that data take, for the plan: original files as they are published, and prepared stores."""

from __future__ import annotations

from dataclasses import dataclass

from scalarization.benchmarks import BenchmarkInfo


@dataclass(frozen=True)
class Published:
    """What is published of one domain.

    Attributes:
        size: Bytes of its original files.
        images: Images of all splits.
    """

    size: float
    images: int


#: (benchmark, domain) -> what is published; sizes are approximate. Of Taskonomy's tiny split, whose maps have archives
#: of their own, the size is an assumption: 0.5 MB for the files of a view.
PUBLISHED = {
    ("cifar_stl", "cifar10"): Published(170e6, 60_000),
    ("cifar_stl", "stl10"): Published(2.64e9, 13_000),
    ("celeba", "celeba"): Published(1.47e9, 202_599),
    ("domainnet", "clipart"): Published(1.27e9, 48_129),
    ("domainnet", "infograph"): Published(4.03e9, 51_605),
    ("domainnet", "painting"): Published(3.68e9, 72_266),
    ("domainnet", "quickdraw"): Published(460e6, 172_500),
    ("domainnet", "real"): Published(5.99e9, 172_947),
    ("domainnet", "sketch"): Published(2.65e9, 69_128),
    ("taskonomy", "taskonomy"): Published(0.5e6 * 275_000, 275_000),
}
#: Bytes of a stored image that is decoded while training: a JPEG of 256 pixels on its shorter side (an assumption).
ENCODED = 30e3


def originals(benchmark: str, domains: list[str]) -> float:
    """Bytes of a benchmark's original files; 0 of one that comes with this package."""
    return sum(PUBLISHED[benchmark, domain].size for domain in domains if (benchmark, domain) in PUBLISHED)


def store(benchmark: str, info: BenchmarkInfo, domains: list[str], tasks: list[str] | None) -> float:
    """Bytes of a benchmark's prepared store; of one that comes with this package those of its training images."""
    known = (PUBLISHED.get((benchmark, domain)) for domain in domains)
    images = sum(p.images if p else info.domains[d] for d, p in zip(domains, known, strict=True))
    if info.encoded:
        return images * ENCODED
    maps = [info.maps[task] for task in tasks or info.maps if not info.maps[task].image]
    per_pixel = info.channels + sum(m.channels * (1 if m.dtype == "uint8" else 2) for m in maps)
    return images * info.image_size**2 * per_pixel
