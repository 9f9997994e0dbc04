"""Stores that are damaged, edited, or made from originals that have changed since: refused or made again.

Inputs of kind 8 of the collection of faults, and more of the same kind.
"""

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from scalarization import benchmarks
from scalarization.benchmarks.base import ClassLabels, DomainData, EncodedDomain
from scalarization.config import load_config
from scalarization.data import files, sources
from scalarization.data.dense import DenseDeviceData
from scalarization.data.device import DeviceData
from scalarization.data.download import download
from scalarization.data.encode import describe_encoding
from scalarization.data.encoded import EncodedData
from scalarization.data.prepare import prepare, write_store
from scalarization.data.sources import changed_originals, originals_state
from scalarization.data.store import Store, digest_of, read_description
from scalarization.errors import DataError
from scalarization.plan.paths import Paths
from scalarization.provenance import Provenance
from scalarization.storage import read_json, write_json

from .. import dense_data
from ..archives import encoded, picture, write_celeba, write_domainnet, write_sums

CPU = torch.device("cpu")
FLIPS = 200
SPLITS = {"train": np.arange(6), "validation": np.arange(6, 8), "test": np.arange(8, 11)}
LABELS = np.arange(11) % 3
METADATA = ClassLabels(("a", "b", "c")).describe()


def plain_store(directory):
    images = np.random.default_rng(0).integers(0, 256, (11, 6, 6, 3), dtype=np.uint8)
    write_store(directory, "mine", {"one": DomainData(images, LABELS, SPLITS)}, METADATA)


def encoded_store(directory):
    generator = np.random.default_rng(0)
    contents = [encoded(picture(generator, 16, 12), quality=30) for _ in range(11)]
    domain = EncodedDomain(contents.__getitem__, [f"photo {n}" for n in range(11)], LABELS, SPLITS)
    write_store(directory, "mine", {"one": domain}, {**METADATA, **describe_encoding(224)})


def dense_store(directory):
    dense_data.write(directory)


def plain_values(store):
    data = DeviceData(store, ["one"], CPU)
    return [data.images, data.labels, data.normalise(data.images[:2])]


def encoded_values(store):
    data = EncodedData(store, ["one"], CPU)
    return [tensor for batch in data.evaluation_batches(0, 11, 11) for tensor in batch]


def dense_values(store):
    data = DenseDeviceData(store, list(dense_data.MAPS), CPU)
    return [tensor.nan_to_num(-7) for tensor in data.at(torch.arange(19))] + [data.median]


KINDS = {
    "plain": (plain_store, plain_values),
    "encoded": (encoded_store, encoded_values),
    "dense": (dense_store, dense_values),
}


@pytest.fixture(params=KINDS)
def kind(request, tmp_path):
    """Directory of a store, and the function that reads its values."""
    write, values = KINDS[request.param]
    write(tmp_path / "store")
    return tmp_path / "store", values


def visible(directory):
    return sorted(file for file in directory.iterdir() if not file.name.startswith("."))


def test_no_flipped_bit_gives_other_values(kind):
    """Bits in all files: the first bytes (headers) of each, and places anywhere."""
    directory, values = kind
    right = values(Store(directory / "dataset.json"))
    generator = random.Random(0)
    refused = 0
    for number in range(FLIPS):
        file = generator.choice(visible(directory))
        content = file.read_bytes()
        place = generator.randrange(min(130, len(content)) if number % 3 == 0 else len(content))
        damaged = bytearray(content)
        damaged[place] ^= 1 << generator.randrange(8)
        file.write_bytes(damaged)
        try:
            read = values(Store(directory / "dataset.json"))
            assert all(torch.equal(one, other) for one, other in zip(read, right, strict=True)), (file.name, place)
        except DataError as error:
            refused += 1
            assert str(directory) in str(error) and "run snakemake again" in str(error) and "\n" not in str(error)
        file.write_bytes(content)
    assert refused > 0.9 * FLIPS  # harmless are white space in dataset.json, and nothing else
    assert all(torch.equal(a, b) for a, b in zip(values(Store(directory / "dataset.json")), right, strict=True))


def flip(file, place=-1):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def test_flipped_byte_is_found_although_the_time_of_the_file_is_the_old_one(kind):
    directory, _ = kind
    for file in visible(directory):
        if file.name != "dataset.json":
            Store(directory / "dataset.json")
            status = file.stat()
            flip(file)
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
            with pytest.raises(DataError, match=f"{file.name}: checksum differs"):
                Store(directory / "dataset.json")
            flip(file)


def test_all_damaged_files_are_named(kind):
    directory, _ = kind
    store = Store(directory / "dataset.json")
    damaged = [file for file in visible(directory) if file.name != "dataset.json"]
    for file in damaged:
        flip(file)
    for check in (store.verify, lambda: Store(directory / "dataset.json")):
        with pytest.raises(DataError, match="checksum differs") as caught:
            check()
        assert all(str(file) in str(caught.value) for file in damaged)


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m["normalisation"].update(std=[0.0, 0.0, 0.0]),
        lambda m: m["normalisation"].update(mean=[float("nan")] * 3),
        lambda m: m["domains"]["one"]["splits"].update(test=[0, 6]),
        lambda m: m["domains"]["one"]["files"]["labels"].update(sha256="0" * 64),
        lambda m: m["domains"]["one"]["samples_per_class"].update(train=[6, 0, 0]),
        lambda m: m.update(classes=["c", "b", "a"]),
        lambda m: m.update(extra=1),
        lambda m: m.pop("checksum"),
        lambda m: m.update(checksum="0" * 64),
        lambda m: m.update(format=1),
    ],
)
def test_edited_description_is_refused(edit, tmp_path):
    plain_store(tmp_path)
    file = tmp_path / "dataset.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    for read in (Store, read_description):
        with pytest.raises(DataError, match=f"{file}.*run snakemake again"):
            read(file)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": 2}', b"1e999"]
)
def test_description_that_is_something_else_is_refused(content, tmp_path):
    plain_store(tmp_path)
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(DataError, match=r"dataset\.json"):
        Store(tmp_path / "dataset.json")


def test_files_of_another_store_are_refused(tmp_path):
    """Equal sizes and headers, other content."""
    plain_store(tmp_path / "one")
    images = np.random.default_rng(1).integers(0, 256, (11, 6, 6, 3), dtype=np.uint8)
    write_store(tmp_path / "two", "mine", {"one": DomainData(images, LABELS, SPLITS)}, METADATA)
    shutil.copy2(tmp_path / "two" / "one_images.npy", tmp_path / "one" / "one_images.npy")
    with pytest.raises(DataError, match=r"one_images\.npy: checksum differs"):
        Store(tmp_path / "one" / "dataset.json")


def test_array_of_another_type_or_shape_is_refused(tmp_path):
    """The same bytes under another header, with a right checksum."""
    plain_store(tmp_path)
    for array in (np.zeros(11, np.int32), np.zeros(12, np.int64), np.zeros(11, ">i8"), np.array([None] * 11)):
        np.save(tmp_path / "one_labels.npy", array)
        content = read_json(tmp_path / "dataset.json")
        described = content["domains"]["one"]["files"]["labels"]
        described["bytes"] = (tmp_path / "one_labels.npy").stat().st_size
        described["sha256"] = sources.digests(tmp_path / "one_labels.npy", ["sha256"])["sha256"]
        write_json(tmp_path / "dataset.json", content)
        with pytest.raises(DataError, match=r"one_labels\.npy: damaged"):
            Store(tmp_path / "dataset.json")


# --- What a host remembers ---


def memory(directory):
    return next(file for file in directory.glob(".verified.*.json"))


def counted(monkeypatch):
    """Names of the files that are read for their checksums from now on."""
    read = []
    original = files._sha256
    monkeypatch.setattr(files, "_sha256", lambda file: read.append(file.name) or original(file))
    return read


def test_files_are_compared_once_and_after_every_change(kind, monkeypatch):
    directory, _ = kind
    read = counted(monkeypatch)
    Store(directory / "dataset.json")
    assert read == []  # written by this host
    memory(directory).unlink()
    first, second = Store(directory / "dataset.json"), Store(directory / "dataset.json")
    names = {file.name for file in visible(directory)} - {"dataset.json"}
    assert set(read) == names and len(read) == len(names) and first.digest == second.digest
    read.clear()
    touched = sorted(names)[0]
    os.utime(directory / touched)
    Store(directory / "dataset.json")
    assert read == [touched]
    second.verify()
    assert set(read) == names


def test_description_alone_reads_only_files_that_have_changed(tmp_path, monkeypatch):
    plain_store(tmp_path)
    metadata = read_description(tmp_path / "dataset.json")
    assert digest_of(metadata) == Store(tmp_path / "dataset.json").digest
    flip(tmp_path / "one_images.npy")
    with pytest.raises(DataError, match=r"one_images\.npy: checksum differs"):
        read_description(tmp_path / "dataset.json")
    memory(tmp_path).unlink()
    read = counted(monkeypatch)
    read_description(tmp_path / "dataset.json")  # another host, which has not compared any file yet
    assert read == []
    with pytest.raises(DataError, match=r"one_images\.npy: checksum differs"):
        Store(tmp_path / "dataset.json")


def test_damaged_memory_is_no_harm(tmp_path):
    plain_store(tmp_path)
    file = memory(tmp_path)
    content = file.read_bytes()
    generator = random.Random(1)
    for damaged in (b"", b"{}", b"[]", content[:-20]):
        file.write_bytes(damaged)
        Store(tmp_path / "dataset.json")
    flip(tmp_path / "one_labels.npy")
    for _ in range(100):
        damaged = bytearray(content)
        damaged[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=r"one_labels\.npy: checksum differs"):
            Store(tmp_path / "dataset.json")


def test_memory_that_cannot_be_written_is_no_harm(tmp_path, monkeypatch):
    """Directories take the names of both files, which no user can then write, root included."""
    plain_store(tmp_path)
    for file in list(tmp_path.glob(".verified.*")):
        file.unlink()
        file.mkdir()
    read = counted(monkeypatch)
    for _ in range(2):
        Store(tmp_path / "dataset.json")
    assert sorted(read) == sorted(2 * ["one_images.npy", "one_labels.npy"])
    flip(tmp_path / "one_images.npy")
    with pytest.raises(DataError, match="checksum differs"):
        Store(tmp_path / "dataset.json")


def test_jobs_that_open_a_store_at_the_same_time(tmp_path, root):
    plain_store(tmp_path)
    memory(tmp_path).unlink()
    code = "import sys; from scalarization.data.store import Store; from pathlib import Path; Store(Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    command = [sys.executable, "-c", code, str(tmp_path / "dataset.json")]
    jobs = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [job.communicate()[1] for job in jobs] == [""] * 4 and not any(job.returncode for job in jobs)
    assert set(read_json(memory(tmp_path))["files"]) == {"one_images.npy", "one_labels.npy"}


def test_store_of_the_same_content_has_the_same_digest_wherever_it_comes_from(tmp_path):
    origins = ({}, {"fingerprint": "a", "sources": {"x": "1"}, "originals": {"y": "2"}})
    for number, origin in enumerate(origins):
        prepare(tmp_path / str(number), "digits", ["optdigits"], tmp_path, None, origin)
    one, other = (Store(tmp_path / name / "dataset.json") for name in "01")
    assert one.digest == other.digest and other.metadata["originals"] == {"y": "2"}


# --- Originals that have changed ---


def paths_in(directory, data_dir=None):
    return Paths(directory / "results" / "mine", directory / "reports", data_dir)


def section(domains=None, tasks=None):
    return types.SimpleNamespace(domains=domains, tasks=tasks)


@pytest.fixture
def own(monkeypatch, tmp_path):
    """A benchmark of the user's own with a folder of originals: its state, the folder."""
    info = dataclasses.replace(benchmarks.load("digits"), sources=None)
    monkeypatch.setattr(benchmarks, "load", lambda name: info)
    folder = tmp_path / "data" / "mine"
    (folder / "below").mkdir(parents=True)
    for name in ("one.npy", "below/two.npy"):
        (folder / name).write_bytes(name.encode())
    paths = paths_in(tmp_path, tmp_path / "data")
    return lambda remember=False: originals_state(paths, "mine", section(), remember), folder


CHANGES = {
    "content": lambda folder: (folder / "one.npy").write_bytes(b"ONE.npy"),
    "content below": lambda folder: (folder / "below/two.npy").write_bytes(b"below/TWO.npy"),
    "size": lambda folder: (folder / "one.npy").write_bytes(b"longer than before"),
    "new file": lambda folder: (folder / "below/three.npy").write_bytes(b""),
    "missing file": lambda folder: (folder / "one.npy").unlink(),
    "other name": lambda folder: (folder / "one.npy").rename(folder / "uno.npy"),
}


@pytest.mark.parametrize("remember", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_changed_folder_of_originals_is_noticed(change, remember, own):
    state, folder = own
    before = state(remember)
    assert list(before) == ["mine"] and changed_originals(before, state()) == []
    CHANGES[change](folder)
    assert changed_originals(before, state()) == ["mine"]


@pytest.mark.parametrize("change", ["new file", "missing file", "other name"])
def test_changed_folder_of_many_originals_is_noticed(change, own, monkeypatch):
    monkeypatch.setattr(sources, "MANY", 1)
    state, folder = own
    before = state(True)
    assert changed_originals(before, state()) == []
    CHANGES[change](folder)
    assert changed_originals(before, state()) == ["mine"]


def test_copied_touched_and_accompanied_originals_are_the_same(own, tmp_path, monkeypatch):
    state, folder = own
    for many in (sources.MANY, 1):
        monkeypatch.setattr(sources, "MANY", many)
        before = state(True)
        os.utime(folder / "one.npy")
        shutil.move(folder, tmp_path / "moved")
        assert state() == {} and changed_originals(before, state()) == []  # without originals the store remains
        shutil.copytree(tmp_path / "moved", folder)
        for name in (".DS_Store", "._one.npy", "below/Thumbs.db"):
            (folder / name).write_bytes(b"x")
        (folder / "broken").symlink_to("nowhere")
        os.mkfifo(folder / "pipe")
        assert changed_originals(before, state()) == []
        for name in ("broken", "pipe"):
            (folder / name).unlink()
        shutil.rmtree(tmp_path / "moved")


def test_plans_write_nothing(own, tmp_path):
    state, _ = own
    state()
    assert not (tmp_path / "results").exists()
    state(remember=True)
    assert (tmp_path / "results" / "downloads" / "records" / "mine.originals.json").is_file()


def test_damaged_notes_about_originals_are_no_harm(own, tmp_path):
    state, folder = own
    before = state(True)
    file = tmp_path / "results" / "downloads" / "records" / "mine.originals.json"
    content = file.read_bytes()
    generator = random.Random(0)
    for _ in range(100):
        damaged = bytearray(content)
        damaged[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        file.write_bytes(damaged)
        assert state() == before
    CHANGES["content"](folder)
    assert state() != before


def test_changed_bundled_file_is_noticed(tmp_path, monkeypatch):
    info = benchmarks.load("digits")
    bundled = tmp_path / "bundled"
    originals = info.sources(None, tmp_path)
    bundled.mkdir()
    for file in originals:
        shutil.copy(file, bundled)
    assert {file.name for file in originals} >= {"SHA256SUMS", "mnist_images.npy", "mfeat_labels.npy"}
    copied = dataclasses.replace(info, sources=lambda tasks, downloads: sorted(bundled.iterdir()))
    paths = paths_in(tmp_path)
    before = originals_state(paths, "digits", section())
    monkeypatch.setattr(benchmarks, "load", lambda name: copied)
    assert changed_originals(before, originals_state(paths, "digits", section())) == []
    flip(bundled / "mnist_labels.npy")
    assert changed_originals(before, originals_state(paths, "digits", section())) == ["bundled/mnist_labels.npy"]


@pytest.mark.parametrize("name", ["digits", "emoji_people", "emoji_styles", "motorcycle"])
def test_every_bundled_file_is_a_source(name, tmp_path):
    state = originals_state(paths_in(tmp_path), name, section())
    assert len(state) > 1 and all(value.startswith("sha256:") for value in state.values())


def test_changed_download_counts_as_outdated_until_its_checksum_is_compared(tmp_path):
    data = tmp_path / "data"
    write_domainnet(data, np.random.default_rng(0), {"sketch": ((7, 6, 5, 2), (2, 2, 2, 2))})
    paths, options = paths_in(tmp_path, data), section(["sketch"])
    assert originals_state(paths, "domainnet", options) == {}  # no manifest yet
    download(paths, "domainnet", options)
    before = originals_state(paths, "domainnet", options, remember=True)
    names = ["domainnet/sketch.zip", "domainnet/sketch_train.txt", "domainnet/sketch_test.txt"]
    assert list(before) == names and all(value.startswith("sha256:") for value in before.values())
    file = data / "domainnet" / "sketch_train.txt"
    os.utime(file)
    assert changed_originals(before, originals_state(paths, "domainnet", options)) == [names[1]]
    with pytest.raises(DataError, match=r"sketch_train\.txt; compare them: python -m scalarization download"):
        originals_state(paths, "domainnet", options, remember=True)
    download(paths, "domainnet", options)
    assert originals_state(paths, "domainnet", options) == before  # it was only touched
    content = file.read_text()
    file.write_text(content.replace("sketch_000_train_000000", "sketch_000_train_000001", 1))
    assert changed_originals(before, originals_state(paths, "domainnet", options)) == [names[1]]
    with pytest.raises(DataError, match="recorded at its first use"):
        download(paths, "domainnet", options)
    file.unlink()
    assert changed_originals(before, originals_state(paths, "domainnet", options)) == []


def test_checksums_of_one_s_own_that_are_replaced_are_compared_again(tmp_path):
    """A record is no excuse: it was made when other checksums were expected."""
    data = tmp_path / "data"
    write_celeba(data, np.random.default_rng(0))
    write_sums(data)
    paths, options = paths_in(tmp_path, data), section(["celeba"])
    download(paths, "celeba", options)
    sums = data / "SHA256SUMS"
    right = sums.read_text()
    sums.write_text("".join(f"{'0' * 64}{line[64:]}\n" for line in right.splitlines()))
    with pytest.raises(DataError, match=r"expected 0{64} \(SHA256SUMS\)"):
        download(paths, "celeba", options)
    sums.unlink()
    with pytest.raises(DataError, match=r"md5 is .*published"):
        download(paths, "celeba", options)
    sums.write_text(right)
    download(paths, "celeba", options)


def test_store_is_made_again_after_its_originals_have_changed(tiny, write_config, tmp_path, monkeypatch):
    from scalarization.cli import main
    from scalarization.plan import load_plan

    info = benchmarks.load("digits")
    bundled = tmp_path / "bundled"
    shutil.copytree(info.sources(None, tmp_path)[0].parent, bundled)
    file = write_config(tmp_path, tiny)
    monkeypatch.setattr("scalarization.benchmarks.digits.BUNDLED", bundled)
    assert main(["prepare", "--benchmark", "digits", "--config", str(file)]) == 0
    plan = load_plan(load_config(file))
    store = plan.paths.store_file("digits")
    assert Provenance(plan).problem(store) is None
    images = np.load(bundled / "mnist_images.npy")
    images[0] = 255 - images[0]
    np.save(bundled / "mnist_images.npy", images)
    sums = (bundled / "SHA256SUMS").read_text().splitlines()
    digest = sources.digests(bundled / "mnist_images.npy", ["sha256"])["sha256"]
    changed = [f"{digest}  mnist_images.npy" if line.endswith("mnist_images.npy") else line for line in sums]
    (bundled / "SHA256SUMS").write_text("\n".join(changed) + "\n")
    assert "mnist_images.npy" in str(Provenance(plan).problem(store))
    before = Store(store).digest
    assert main(["prepare", "--benchmark", "digits", "--config", str(file)]) == 0
    assert Provenance(load_plan(load_config(file))).problem(store) is None and Store(store).digest != before
