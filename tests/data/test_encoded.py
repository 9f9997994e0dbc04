"""DomainNet's official files, the store of encoded images, and their crops."""

import dataclasses
import gc
import hashlib
import io
import json
import math
import os

import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scalarization.benchmarks import SPLITS, domainnet
from scalarization.config import AugmentationOptions
from scalarization.data import encode, encoded
from scalarization.data.augmentation import Augmentation
from scalarization.data.encoded import Crops, EncodedData, middle
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.errors import DataError
from scalarization.storage import write_json

from ..archives import encoded as content
from ..archives import picture, write_domainnet
from ..conftest import train

CPU = torch.device("cpu")
#: Domain -> images of each of the first four classes in the official train and test lists.
SIZES = {"real": ((12, 9, 8, 11), (3, 2, 2, 3)), "sketch": ((7, 6, 5, 2), (2, 2, 2, 2))}
AUGMENTATION = Augmentation(AugmentationOptions(flip=True, resized_crop=0.2))
PLAIN = Augmentation(AugmentationOptions())


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    return folder, write_domainnet(folder, np.random.default_rng(0), SIZES)


@pytest.fixture(scope="module")
def store(official, tmp_path_factory):
    directory = tmp_path_factory.mktemp("store") / "domainnet"
    prepare(directory, "domainnet", list(SIZES), official[0])
    return Store(directory / "dataset.json")


@pytest.fixture(scope="module")
def data(store):
    return EncodedData(store, list(SIZES), CPU, workers=2)


def visible(directory):
    """The files of a store, without what a host remembers of them."""
    return [file for file in directory.iterdir() if not file.name.startswith(".")]


def copied(official, tmp_path):
    """Directory with a copy of the files of one domain, which a test may damage."""
    directory = tmp_path / "domainnet"
    directory.mkdir()
    for file in (official[0] / "domainnet").glob("sketch*"):
        (directory / file.name).write_bytes(file.read_bytes())
    return directory


# --- The official files ---


def test_classes_and_sizes_are_the_published_ones():
    assert len(domainnet.CLASSES) == len(set(domainnet.CLASSES)) == 345
    assert sum(domainnet.BENCHMARK.train_sizes.values()) == 409832  # "about 410k" training images
    assert [n.lower().replace("_", "").replace("-", "") for n in domainnet.CLASSES] == sorted(
        n.lower().replace("_", "").replace("-", "") for n in domainnet.CLASSES
    )


def test_splits_are_official_with_a_tenth_held_out(official):
    for domain, original in domainnet.read(list(SIZES), official[0]).items():
        train, test = (sum(s) for s in SIZES[domain])
        sizes = {split: len(rows) for split, rows in original.splits.items()}
        assert sizes == {"train": train - round(train / 10), "validation": round(train / 10), "test": test}
        official_split = {
            split: {original.names[r].split(": ")[1].split("_")[-2] for r in rows}
            for split, rows in original.splits.items()
        }
        assert official_split == {"train": {"train"}, "validation": {"train"}, "test": {"test"}}
        assert sorted(np.concatenate(list(original.splits.values())).tolist()) == list(range(train + test))
        for row, (name, label) in enumerate(zip(original.names, original.labels, strict=True)):
            assert name.split("/")[-2] == domainnet.CLASSES[label]
            assert original.content(row) == official[1][name.split(": ")[1]]


def test_every_missing_file_is_named(tmp_path):
    (tmp_path / "domainnet").mkdir()
    (tmp_path / "domainnet" / "real_train.txt").write_text("")
    with pytest.raises(DataError) as caught:
        domainnet.read(["real", "sketch"], tmp_path)
    for name in ("real.zip", "real_test.txt", "sketch.zip", "sketch_train.txt", "sketch_test.txt", "data_dir"):
        assert name in str(caught.value)
    assert "real_train.txt" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sketch/airplane/a.jpg 0", "label 0 of sketch/airplane/a.jpg is aircraft_carrier"),
        ("sketch/airplane/a.jpg 345", "none of 345"),
        ("sketch/airplane/a.jpg", "expected a path and a label"),
        ("a.jpg 1", "expected a path and a label"),
        ("sketch/airplane/gone.jpg 1", "lacks 1 listed images, for example sketch/airplane/gone.jpg"),
    ],
)
def test_wrong_lists_are_named(official, tmp_path, line, words):
    directory = copied(official, tmp_path)
    with (directory / "sketch_test.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError, match=words):
        domainnet.read(["sketch"], tmp_path)


def test_wrong_archive_is_named(official, tmp_path):
    directory = copied(official, tmp_path)
    (directory / "sketch.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match=r"sketch\.zip: damaged"):
        domainnet.read(["sketch"], tmp_path)


def test_wrong_image_is_named(official, tmp_path):
    directory = copied(official, tmp_path)
    with (directory / "sketch_test.txt").open("a") as file:
        file.write(f"sketch/{domainnet.CLASSES[0]}/not_in_any_list.jpg 0\n")
    with pytest.raises(DataError, match=r"not_in_any_list\.jpg is not readable as an image"):
        prepare(tmp_path / "store", "domainnet", ["sketch"], tmp_path)
    assert not (tmp_path / "store" / "dataset.json").exists()


# --- Stored images ---


def test_small_jpegs_are_unchanged_and_all_others_are_bounded():
    generator = np.random.default_rng(1)
    small = content(picture(generator, 200, 300))
    assert encode.encode(small)[0] == small
    for kind, size in (("JPEG", (600, 512)), ("PNG", (300, 900)), ("PNG", (100, 40))):
        stored, _ = encode.encode(content(picture(generator, *size), kind))
        with Image.open(io.BytesIO(stored)) as image:
            assert image.format == "JPEG" and image.mode == "RGB"
            factor = min(1, 256 / min(size))
            assert image.size == tuple(round(side * factor) for side in size)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1"])
def test_every_kind_of_image_becomes_rgb(mode):
    image = Image.new("RGBA", (20, 30), (255, 255, 255, 0))
    image.paste((0, 0, 0, 255), (0, 0, 10, 30))
    kind = "JPEG" if mode == "CMYK" else "PNG"
    source = image if mode == "RGBA" else image.convert("LA") if mode == "LA" else image.convert("RGB").convert(mode)
    if mode not in ("RGBA", "LA"):
        source = Image.composite(image.convert("RGB"), Image.new("RGB", image.size, "white"), image.getchannel("A"))
        source = source.convert(mode)
    pixels = simplejpeg.decode_jpeg(encode.encode(content(source, kind))[0])
    # The left half is black; the right half is white, which transparent pixels become.
    assert pixels.shape == (30, 20, 3) and pixels[:, :8].max() < 25 and pixels[:, 12:].min() > 230


def test_store_holds_every_image_under_its_label(official, store):
    contents = official[1]
    for domain, original in domainnet.read(list(SIZES), official[0]).items():
        rows = np.concatenate([original.splits[s] for s in SPLITS])
        labels = np.concatenate([store.labels(domain, s) for s in SPLITS])
        assert np.array_equal(labels, original.labels[rows])
        for number, row in enumerate(rows):
            stored = store.encoded(domain, number)
            assert stored == encode.encode(contents[original.names[row].split(": ")[1]])[0]
    store.verify()
    assert store.metadata["encoding"] == {"format": "jpeg", "shorter_side": 256, "quality": 90}


def test_normalisation_is_over_the_stored_pixels_up_to_compression(store):
    domains = []
    for domain in SIZES:
        train = len(store.labels(domain, "train"))
        images = [np.asarray(Image.open(io.BytesIO(store.encoded(domain, row)))) / 255 for row in range(train)]
        domains.append([[(i**power).mean((0, 1)) for i in images] for power in (1, 2)])
    mean, square = (np.mean([np.mean(d[power], axis=0) for d in domains], axis=0) for power in (0, 1))
    np.testing.assert_allclose(store.metadata["normalisation"]["mean"], mean, atol=5e-4)
    np.testing.assert_allclose(store.metadata["normalisation"]["std"], np.sqrt(square - mean**2), atol=5e-4)


def test_preparing_twice_gives_the_same_bytes(official, store, tmp_path):
    prepare(tmp_path / "again", "domainnet", list(SIZES), official[0])
    for file in visible(store.directory):
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name


def test_damage_is_named(store, tmp_path):
    for file in visible(store.directory):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    opened = Store(tmp_path / "dataset.json")
    blob = tmp_path / "real_images.bin"
    start, stop = np.load(tmp_path / "real_offsets.npy")[3:5]
    damaged = bytearray(blob.read_bytes())
    damaged[start:stop] = bytes(stop - start)
    blob.write_bytes(damaged)
    data = EncodedData(opened, ["real"], CPU)
    with pytest.raises(DataError, match="image 3 of real is damaged"):
        data.batch(torch.arange(8), PLAIN, 0)
    with pytest.raises(DataError, match=r"real_images\.bin: checksum differs"):
        opened.verify()
    with pytest.raises(DataError, match=r"real_images\.bin: checksum differs"):
        Store(tmp_path / "dataset.json")
    blob.write_bytes(damaged[:-1])
    with pytest.raises(DataError, match=r"real_images\.bin: .* bytes, expected"):
        Store(tmp_path / "dataset.json")


# --- Crops ---


@given(st.integers(0, 10**6), st.integers(1, 900), st.integers(1, 900), st.floats(0.01, 1))
def test_crops_lie_inside(seed, height, width, smallest):
    crops = Crops(seed, 3, smallest, flip=True)
    for number in range(3):
        top, left, tall, wide = crops.box(number, height, width)
        assert min(top, left) >= 0 and min(tall, wide) > 0 and top + tall <= height and left + wide <= width
    top, left, side, _ = middle(height, width)
    assert min(top, left) >= 0 and top + side <= height and left + side <= width


def test_crops_are_distributed_as_published():
    count, side = 4000, 400
    crops = Crops(5, count, 0.08, flip=True)
    boxes = np.array([crops.box(n, side, side) for n in range(count)])
    area, ratio = boxes[:, 2] * boxes[:, 3] / side**2, boxes[:, 3] / boxes[:, 2]
    assert area.min() > 0.08 * 0.97 and area.max() <= 1
    assert 0.74 < ratio.min() < 0.78 and 1.28 < ratio.max() < 1.35
    assert abs(np.median(np.log(ratio))) < 0.03
    # Uniform on [0.08, 1], except that the largest crops of unequal sides do not fit into a square.
    assert 0.45 < area.mean() < 0.54
    assert abs(crops.flipped.mean() - 0.5) < 0.05
    # The position is uniform over all that fit.
    position = boxes[:, 0] / (side - boxes[:, 2] + 1)
    assert abs(position.mean() - 0.5) < 0.03 and abs(position.std() - math.sqrt(1 / 12)) < 0.03
    assert not Crops(5, count, 0.08, flip=False).flipped.any()


def test_largest_crop_of_a_square_is_the_square():
    crops = Crops(0, 1, 1.0, flip=False)
    # The whole area does not fit at any other ratio, so the crop is the middle at the nearest ratio.
    assert crops.box(0, 200, 200) == (0, 0, 200, 200)


def pixels_of(images, store):
    """Normalised images as values from 0 to 255, [B, H, W, C]."""
    mean, std = (torch.tensor(store.metadata["normalisation"][k])[:, None, None] for k in ("mean", "std"))
    return ((images * std + mean) * 255).permute(0, 2, 3, 1).numpy()


def test_evaluation_keeps_the_middle(store, data):
    start = data.start("sketch", "test")
    ((images, labels),) = data.evaluation_batches(start, 3, 5)
    assert images.shape == (3, 3, 224, 224) and images.dtype == torch.float32 and data.image_shape == (224, 224, 3)
    for number, pixels in enumerate(pixels_of(images, store)):
        row = store.metadata["domains"]["sketch"]["splits"]["test"][0] + number
        image = Image.open(io.BytesIO(store.encoded("sketch", row)))
        side = round(0.875 * min(image.size))
        left, top = (image.width - side) // 2, (image.height - side) // 2
        expected = image.resize((224, 224), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
        difference = np.abs(pixels - np.asarray(expected))
        assert difference.mean() < 1.5 and difference.max() <= 12.1
    assert labels.tolist() == store.labels("sketch", "test")[:3].tolist()


def test_evaluation_does_not_depend_on_the_batch_size(data):
    ((images, labels),) = data.evaluation_batches(2, 37, 40)
    for size in (1, 9, 37):
        batches = list(data.evaluation_batches(2, 37, size))
        assert torch.equal(torch.cat([i for i, _ in batches]), images)
        assert torch.equal(torch.cat([n for _, n in batches]), labels)
    assert labels.tolist() == data.labels[2:39].tolist()
    stream = data.evaluation_batches(0, 40, 8)
    next(stream)
    stream.close()  # leaves no thread at work on what is no longer needed
    with torch.inference_mode():
        ((again, _),) = data.evaluation_batches(2, 37, 40)
    assert torch.equal(again, images)


def test_batches_do_not_depend_on_threads_or_where_they_begin(store, data):
    generator = torch.Generator().manual_seed(0)
    rows = torch.stack([torch.randperm(40, generator=generator)[:21] for _ in range(5)])
    seeds = [11, 12, 13, 14, 15]
    expected = list(data.batches(rows, AUGMENTATION, seeds))
    one = EncodedData(store, list(SIZES), CPU, workers=1)
    batches = list(one.batches(rows, AUGMENTATION, seeds))
    for (images, labels), (again, same) in zip(expected, batches, strict=True):
        assert torch.equal(images, again) and torch.equal(labels, same)
    later = list(one.batches(rows[3:], AUGMENTATION, seeds[3:]))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(later, expected[3:], strict=True))
    assert torch.equal(one.batch(rows[2], AUGMENTATION, 13)[0], expected[2][0])
    assert not torch.equal(one.batch(rows[2], AUGMENTATION, 14)[0], expected[2][0])


def test_augmented_image_is_its_crop_mirrored_or_not(store, data):
    rows, seed = torch.arange(12), 3
    images, _ = data.batch(rows, AUGMENTATION, seed)
    crops = Crops(seed, 12, 0.2, flip=True)
    assert 0 < crops.flipped.sum() < 12
    for number, (row, pixels) in enumerate(zip(rows.tolist(), pixels_of(images, store), strict=True)):
        image = Image.open(io.BytesIO(store.encoded("real", row)))
        top, left, height, width = crops.box(number, image.height, image.width)
        crop = image.resize((224, 224), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
        crop = np.asarray(crop)[:, ::-1] if crops.flipped[number] else np.asarray(crop)
        assert np.abs(pixels - crop).mean() < 2


def test_closing_a_stream_cancels_pending_batches(data):
    stream = data.batches(torch.arange(40).reshape(4, 10), AUGMENTATION, [1, 2, 3, 4])
    next(stream)
    stream.close()
    assert torch.isfinite(data.batch(torch.arange(4), AUGMENTATION, 1)[0]).all()


# --- Training from it ---


@pytest.fixture
def preset():
    return {
        "description": "A few steps from encoded images.",
        "benchmarks": {
            "domainnet": {
                "domains": list(SIZES),
                "reference": "real",
                "model": {"stem": "deep", "channels": 4},
                "recipe": {
                    "lr": 1e-3,
                    # An epoch is a pass over the official training set: three steps.
                    "batch_size": 40500,
                    "epochs": 1,
                    "augmentation": {"resized_crop": 0.2, "flip": True},
                },
            }
        },
        "experiments": {
            "pair": {
                "benchmark": "domainnet",
                "task_sets": {"real+sketch": list(SIZES)},
                "architectures": {"family": "resnet", "depth": [14], "width": [16]},
                "methods": {"uniform": {}},
                "seeds": 1,
            }
        },
        "artifacts": {"figure_a": {"experiment": "pair"}},
    }


def test_run_resumes_in_the_middle_of_an_epoch(preset, make_plan, data, one_thread):
    from scalarization.plan.cells import Run
    from scalarization.training.loop import Trainer

    cell = make_plan(preset).cells["domainnet/real+sketch/resnet14_w16/uniform/base"]
    assert cell.specification.steps_per_epoch == 3
    recipe = cell.specification.recipe.model_copy(update={"batch_size": 9})
    cell = dataclasses.replace(cell, specification=dataclasses.replace(cell.specification, recipe=recipe))

    def fresh():
        return Trainer(cell, Run(0, 0, (0.5, 0.5)), data, CPU)

    whole = train(fresh())
    for step in (1, 2):
        resumed = fresh()
        resumed.load_state(train(fresh(), step).state())
        assert resumed.step == step
        train(resumed)
        assert json.dumps(resumed.rows) == json.dumps(whole.rows)
        for name, value in whole.network.state_dict().items():
            assert torch.equal(resumed.network.state_dict()[name], value), name


def test_resized_crop_needs_encoded_images(tiny, make_plan):
    from scalarization.errors import ConfigError

    tiny["benchmarks"]["digits"]["recipe"]["augmentation"] = {"resized_crop": 0.1}
    with pytest.raises(ConfigError, match=r"resized_crop = 0\.1: is for benchmarks whose images are decoded"):
        make_plan(tiny)


def test_few_batches_are_prepared_in_advance(data, monkeypatch):
    prepared = []
    original = encoded.PendingBatch.__init__

    def counted(self, *arguments):
        prepared.append(self)
        original(self, *arguments)

    monkeypatch.setattr(encoded.PendingBatch, "__init__", counted)
    for used, _ in enumerate(data.batches(torch.arange(40).reshape(10, 4), PLAIN, range(10))):
        assert len(prepared) <= used + 1 + encoded.PREFETCH
    prepared.clear()
    for used, _ in enumerate(data.evaluation_batches(0, 40, 4)):
        assert len(prepared) <= used + 1 + encoded.EVALUATION_PREFETCH


def test_checksums_are_those_of_the_files(store):
    for described in store.metadata["domains"].values():
        for file in described["files"].values():
            content = (store.directory / file["name"]).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])


def test_decoded_pixels_are_pillows(store, data):
    expected = np.asarray(Image.open(io.BytesIO(store.encoded("real", 0))))
    whole = data.cropped(data.start("real", "train"), lambda height, width: (0, 0, height, width))
    assert whole.shape == expected.shape and np.abs(whole.astype(int) - expected).mean() < 1


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize(("exif", "restart"), [(b"", 0), (b"Exif\0\0" + bytes(300), 2)])
def test_shortened_jpeg_keeps_its_first_rows(progressive, subsampling, exif, restart):
    generator = np.random.default_rng(5)
    for height, width in ((150, 260), (256, 257), (37, 16)):
        noise = Image.fromarray(generator.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8))
        options = {"quality": 90, "subsampling": subsampling, "progressive": progressive, "exif": exif}
        jpeg = content(noise.resize((width, height)), restart_marker_rows=restart, **options)
        whole = simplejpeg.decode_jpeg(jpeg)
        for rows in [*generator.integers(1, height, 10).tolist(), 1, height - 1, height]:
            short = encoded.shortened(jpeg, height, width, rows)
            pixels = simplejpeg.decode_jpeg(short, strict=False)
            assert len(short) == len(jpeg) and rows <= len(pixels) <= rows + 4
            assert np.array_equal(pixels[:rows], whole[:rows])


def test_image_with_a_harmless_flaw_is_read_as_pillow_does(store, tmp_path):
    """Cameras and editors leave bytes in a file that belong to no part of the image."""
    for file in visible(store.directory):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    original = store.encoded("real", 0)
    metadata = json.loads((tmp_path / "dataset.json").read_text())
    flawed = original[:-2] + bytes(40) + original[-2:]
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(flawed)
    blob, offsets = tmp_path / "real_images.bin", np.load(tmp_path / "real_offsets.npy")
    blob.write_bytes(flawed + blob.read_bytes()[len(original) :])
    offsets[1:] += 40
    np.save(tmp_path / "real_offsets.npy", offsets)
    files = metadata["domains"]["real"]["files"]
    files["images"]["bytes"] += 40
    for file, changed in ((blob, files["images"]), (tmp_path / "real_offsets.npy", files["offsets"])):
        changed["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    write_json(tmp_path / "dataset.json", metadata)
    flawed_store = Store(tmp_path / "dataset.json")
    images, expected = (
        next(EncodedData(s, ["real"], CPU).evaluation_batches(0, 2, 2))[0] for s in (flawed_store, store)
    )
    assert torch.equal(images, expected)


def test_files_are_closed_with_their_store(store):
    again = Store(store.directory / "dataset.json")
    files = list(again._encoded.values())
    assert len(files) == len(SIZES) and all(os.fstat(f).st_size for f in files)
    del again
    gc.collect()
    for file in files:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)
