"""Archives and pickles that mean harm, or are damaged, are refused by name; what is official is read."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from scalarization.benchmarks import _archives
from scalarization.benchmarks._archives import image_files, read_members, unpickle
from scalarization.errors import DataError

from ..archives import python2_pickle, write_tar


def odd(name, kind, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


# --- .tar.gz ---


def test_wanted_members_are_read_and_nothing_is_written(tmp_path):
    file = tmp_path / "a.tar.gz"
    write_tar(file, {"a/one": b"1", "a/two": b"22", "a/three": b"333"}, "a")
    assert read_members(file, ["a/two", "a/three"]) == {"a/two": b"22", "a/three": b"333"}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("members", "entries", "words"),
    [
        ({"../out": b"x"}, (), r"\.\./out leads out of the archive"),
        ({"a/../../out": b"x"}, (), "leads out of the archive"),
        ({"/etc/out": b"x"}, (), "/etc/out leads out of the archive"),
        ({}, [odd("a/one", tarfile.SYMTYPE, "/etc/passwd")], "a/one is a link or a device"),
        ({}, [odd("a/one", tarfile.LNKTYPE, "a/two")], "a/one is a link or a device"),
        ({}, [odd("a/one", tarfile.CHRTYPE)], "a/one is a link or a device"),
        ({}, [odd("a/one", tarfile.FIFOTYPE)], "a/one is a link or a device"),
        ({"a/two": b"2"}, (), "lacks a/one"),
        ({}, [odd("a/one", tarfile.DIRTYPE)], "lacks a/one"),
    ],
)
def test_tar_that_no_authors_made(members, entries, words, tmp_path):
    file = tmp_path / "a.tar.gz"
    write_tar(file, members, odd=entries)
    with pytest.raises(DataError, match=words) as caught:
        read_members(file, ["a/one"])
    assert str(file) in str(caught.value) and "fetch it again" in str(caught.value)


def test_member_that_comes_twice(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for content in (b"1", b"2"):
            entry = tarfile.TarInfo("a/one")
            entry.size = 1
            archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(DataError, match="holds a/one twice"):
        read_members(tmp_path / "a.tar.gz", ["a/one"])


def bomb(name, size):
    """A .tar.gz, a thousandth as long, whose one member is zeros."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    return gzip.compress(entry.tobuf() + bytes(size), 6)


@pytest.mark.parametrize("name", ["a/one", "a/other"])
def test_tar_that_grows_too_much(name, tmp_path, monkeypatch):
    monkeypatch.setattr(_archives, "FLOOR", 1 << 20)
    (tmp_path / "a.tar.gz").write_bytes(bomb(name, 20 << 20))
    with pytest.raises(DataError, match="bytes that become too many"):
        read_members(tmp_path / "a.tar.gz", ["a/one"])
    monkeypatch.undo()
    if name == "a/one":
        assert len(read_members(tmp_path / "a.tar.gz", ["a/one"])["a/one"]) == 20 << 20


def test_long_name_that_grows_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(_archives, "FLOOR", 1 << 20)
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 20 << 20
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(entry.tobuf() + bytes(20 << 20)))
    with pytest.raises(DataError, match="bytes that become too many"):
        read_members(tmp_path / "a.tar.gz", ["a/one"])


@pytest.mark.parametrize("spoil", [lambda c: c[: len(c) // 2], lambda c: c[:50] + b"zz" + c[52:], lambda c: b"no tar"])
def test_damaged_tar(spoil, tmp_path):
    file = tmp_path / "a.tar.gz"
    write_tar(file, {"a/one": os.urandom(5000)})
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(DataError, match=f"{file}: damaged"):
        read_members(file, ["a/one"])


# --- .zip ---


def write_zip(file, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(file, "w", compression) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)


def link(path):
    entry = zipfile.ZipInfo(path)
    entry.external_attr = 0o120777 << 16
    return entry


def test_archive_and_folder_give_the_same(tmp_path):
    contents = {"a/x/1.jpg": b"one", "a/y/2.jpg": b"two"}
    write_zip(tmp_path / "a.zip", contents.items())
    packed = image_files(tmp_path, "a", contents)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "elsewhere")
    unpacked = image_files(tmp_path / "elsewhere", "a", contents)
    assert {p: packed(p) for p in contents} == {p: unpacked(p) for p in contents} == contents


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("a/1.jpg", b"x"), ("../out.jpg", b"x")], r"\.\./out.jpg leads out"),
        ([("a/1.jpg", b"x"), ("/out.jpg", b"x")], "/out.jpg leads out"),
        ([("a/1.jpg", b"x"), ("a\\..\\..\\out.jpg", b"x")], "leads out"),
        ([(link("a/1.jpg"), b"/etc/passwd")], "a/1.jpg is a link"),
        ([("a/2.jpg", b"x")], "lacks 1 listed images, for example a/1.jpg"),
    ],
)
def test_zip_that_no_authors_made(entries, words, tmp_path):
    write_zip(tmp_path / "a.zip", entries)
    with pytest.raises(DataError, match=words) as caught:
        image_files(tmp_path, "a", ["a/1.jpg"])
    assert str(tmp_path / "a.zip") in str(caught.value)


@pytest.mark.parametrize(("limit", "words"), [("MAX_IMAGE", "a/1.jpg would have"), ("FLOOR", "that would become")])
def test_zip_that_grows_too_much(limit, words, tmp_path, monkeypatch):
    monkeypatch.setattr(_archives, limit, 1 << 20)
    write_zip(tmp_path / "a.zip", [(f"a/{n}.jpg", bytes(3 << 19)) for n in (1, 2, 3)], zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match=words):
        image_files(tmp_path, "a", ["a/1.jpg"])


def test_zip_that_tells_a_smaller_size_than_comes(tmp_path):
    write_zip(tmp_path / "a.zip", [("a/1.jpg", bytes(1 << 20))], zipfile.ZIP_DEFLATED)
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(struct.pack("<I", 1 << 20), struct.pack("<I", 1000)))
    with pytest.raises(DataError, match="a/1.jpg is damaged"):
        image_files(tmp_path, "a", ["a/1.jpg"])("a/1.jpg")


def test_damaged_image_and_damaged_zip(tmp_path):
    write_zip(tmp_path / "a.zip", [("a/1.jpg", b"sixteen bytes..." * 9)])
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"sixteen", b"sixty..", 1))
    with pytest.raises(DataError, match="a/1.jpg is damaged"):
        image_files(tmp_path, "a", ["a/1.jpg"])("a/1.jpg")
    (tmp_path / "a.zip").write_bytes(content[:-30])
    with pytest.raises(DataError, match="damaged.*fetch it again"):
        image_files(tmp_path, "a", ["a/1.jpg"])


# --- Pickles ---


class Harm:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


ARRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_are_read_whoever_wrote_them(protocol):
    found = unpickle(pickle.dumps({"data": ARRAY, "labels": [1, 2]}, protocol), "x")
    assert found["labels"] == [1, 2] and np.array_equal(found["data"], ARRAY)


def test_pickle_of_python_2():
    content = python2_pickle({"data": ARRAY, "labels": [1, 2], "name": "x"})
    for found in (unpickle(content, "x"), pickle.loads(content, encoding="latin1")):
        assert found["labels"] == [1, 2] and found["name"] == "x"
        assert found["data"].dtype == np.uint8 and np.array_equal(found["data"], ARRAY)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Harm(os.system, "touch harm"), r"(posix|nt)\.system"),
        (Harm(eval, "open('harm', 'w')"), r"(builtins|__builtin__)\.eval"),
        (Harm(getattr, "text", "upper"), r"(builtins|__builtin__)\.getattr"),
        (Harm(np.load, "harm"), r"numpy.*\.load"),
        (np.array([1, Harm(os.system, "touch harm")], dtype=object), r"(posix|nt)\.system"),
        ({"data": ARRAY, "more": [Harm(os.system, "touch harm")]}, r"(posix|nt)\.system"),
    ],
)
def test_pickle_that_would_run_something(value, named, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"data_batch_1: would load {named}, .*fetch it again"):
        unpickle(pickle.dumps(value, protocol), "data_batch_1")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(ARRAY, 2)[:-20], b"\x80\x02\x82\x01."])
def test_damaged_pickle(content):
    with pytest.raises(DataError, match="data_batch_1: not readable as a pickle of arrays"):
        unpickle(content, "data_batch_1")
