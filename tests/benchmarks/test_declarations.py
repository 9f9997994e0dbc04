"""What benchmarks declare: complete, light to import, and with the sizes that plans estimate disk and memory from."""

import subprocess
import sys

import pytest

from scalarization import benchmarks
from scalarization.benchmarks.base import AttributeLabels, ClassLabels, MapLabels
from scalarization.errors import ConfigError
from scalarization.specification import AttributeOutputs, DenseOutputs, DomainOutputs

HEAVY = ("torch", "torchvision", "PIL", "pandas", "pyarrow", "scipy", "skimage", "cv2", "matplotlib")


PAPER = {"celeba", "cifar_stl", "domainnet", "taskonomy"}
BUNDLED = {"digits", "emoji_people", "emoji_styles", "motorcycle"}


@pytest.mark.parametrize("name", benchmarks.names())
def test_every_module_declares_a_benchmark(name):
    info = benchmarks.load(name)
    assert info.domains and info.provenance["source"] and info.provenance["licence"]
    assert info.files is None or info.page  # people are told where to fetch the files


def test_benchmarks_of_the_paper_have_original_files_and_bundled_ones_have_none():
    assert set(benchmarks.names()) >= PAPER | BUNDLED
    for name in PAPER | BUNDLED:
        info = benchmarks.load(name)
        assert (info.original_bytes(list(info.domains)) > 0) == (name in PAPER)
        assert (info.files is not None or info.require is not None) == (name in PAPER)


def test_unknown_benchmark_is_named_with_a_suggestion():
    with pytest.raises(ConfigError, match="benchmark 'digit' is unknown; did you mean 'digits'"):
        benchmarks.load("digit")


def test_importing_every_benchmark_is_light():
    code = (
        "import sys; from scalarization import benchmarks; [benchmarks.load(name) for name in benchmarks.names()];"
        f"print(*sorted(set({HEAVY}) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize(
    ("benchmark", "domains", "tasks", "original", "store"),
    [
        ("cifar_stl", ["cifar10", "stl10"], None, 2.81e9, 224_256_000),
        ("celeba", ["celeba"], None, 1.47e9, 622_384_128),
        (
            "domainnet",
            ["clipart", "infograph", "painting", "quickdraw", "real", "sketch"],
            None,
            18.08e9,
            17_597_250_000,
        ),
        ("domainnet", ["real", "sketch"], None, 8.64e9, 7_262_250_000),
        # The image is stored once: autoencoding adds nothing.
        ("taskonomy", ["taskonomy"], None, 137.5e9, 324_403_200_000),
        ("taskonomy", ["taskonomy"], ["segmentation_2d", "autoencoding"], 137.5e9, 72_089_600_000),
        # Only training images count for bundled benchmarks, which state no other number.
        ("digits", ["mnist", "optdigits"], None, 0, 8_800 * 16 * 16),
        ("emoji_people", ["people"], None, 0, 5_371 * 32 * 32 * 3),
        ("motorcycle", ["motorcycle"], ["depth", "normals"], 0, 122 * 64 * 64 * (3 + 2 + 6)),
    ],
)
def test_disk_estimates(benchmark, domains, tasks, original, store):
    info = benchmarks.load(benchmark)
    assert info.original_bytes(domains) == pytest.approx(original, rel=1e-12)
    assert info.store_bytes(domains, tasks) == store


@pytest.mark.parametrize(
    ("benchmark", "megabytes"), [("digits", 5), ("emoji_people", 32), ("cifar_stl", 323), ("motorcycle", 21)]
)
def test_memory_estimates_are_twice_the_training_images_with_all_maps(benchmark, megabytes):
    info = benchmarks.load(benchmark)
    assert info.memory_mb(list(info.domains)) == megabytes
    assert info.stays_on_disk == (benchmark == "motorcycle")
    assert benchmarks.load("domainnet").stays_on_disk


# --- Labels ---


def test_classes_are_predicted_on_the_trained_domains_and_alone_on_all():
    labels = ClassLabels(("cat", "dog", "owl"))
    assert labels.known(["a", "b"], None) == ["a", "b"] and labels.named("groups") == []
    assert labels.outputs(["a"], ["a", "b"], single=False) == DomainOutputs(3, ("a",))
    assert labels.outputs(["a"], ["a", "b"], single=True) == DomainOutputs(3, ("a", "b"))
    assert labels.describe() == {"setting": "mdl", "classes": ["cat", "dog", "owl"], "attributes": []}


def test_attributes_are_predicted_in_groups_or_alone():
    labels = AttributeLabels({"hair": ("black", "blond"), "age": ("young",)}, ("hat",))
    assert labels.attributes == ("black", "blond", "young", "hat")
    assert labels.named("groups") == ["hair", "age"] and labels.named("attributes") == list(labels.attributes)
    assert labels.known(["faces"], None) == ["hair", "age", "black", "blond", "young", "hat"]
    outputs = labels.outputs(["hair", "hat"], ["faces"], single=False)
    assert outputs == AttributeOutputs(labels.attributes, {"hair": ("black", "blond"), "hat": ("hat",)}, ("faces",))
    assert labels.describe() == {"setting": "mtl", "classes": [], "attributes": list(labels.attributes)}


def test_maps_are_predicted_per_task():
    labels = benchmarks.load("motorcycle").labels
    assert isinstance(labels, MapLabels) and labels.known(["m"], ["depth"]) == ["depth"]
    assert labels.known(["m"], None) == list(labels.formats)
    assert labels.outputs(["normals", "depth"], ["m"], single=True) == DenseOutputs({"normals": 3, "depth": 1}, ("m",))
    assert labels.describe() == {"setting": "mtl", "classes": [], "attributes": []}
