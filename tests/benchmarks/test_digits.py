"""The bundled digits: checksums, arrays, licences and credits."""

import hashlib

import numpy as np
import pytest

from scalarization.benchmarks import digits
from scalarization.errors import DataError

CLASS_COUNTS = {
    "mnist": [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978],
    "optdigits": [178, 182, 177, 183, 181, 182, 181, 179, 174, 180],
    "mfeat": [200, 200, 200, 199, 200, 199, 198, 199, 200, 199],
}


def test_bundled_files_match_sha256sums():
    lines = (digits.BUNDLED / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert set(listed) == {path.name for path in digits.BUNDLED.glob("*.npy")}
    assert len(listed) == 6
    for name, digest in listed.items():
        assert hashlib.sha256((digits.BUNDLED / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("domain", list(digits.SPLIT_SIZES))
def test_bundled_arrays(domain):
    images_file, labels_file = (digits.BUNDLED / f"{domain}_{part}.npy" for part in ("images", "labels"))
    images, labels = np.load(images_file, allow_pickle=False), np.load(labels_file, allow_pickle=False)
    assert images.dtype == labels.dtype == np.uint8
    assert images.shape == (len(labels), 16, 16)
    assert images.flags.c_contiguous
    assert np.bincount(labels).tolist() == CLASS_COUNTS[domain]
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)
    # Bright ink on a dark ground: corners are dark on average, and every image has bright pixels.
    assert images[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean() < 64
    assert (images.max(axis=(1, 2)) > 128).all()
    for file in (images_file, labels_file):
        assert file.read_bytes()[:8] == b"\x93NUMPY\x01\x00"


def test_bundled_readme_names_licences_and_credits():
    text = (digits.BUNDLED / "README.md").read_text(encoding="utf-8")
    for needed in (
        "creativecommons.org/licenses/by-sa/3.0/",
        "creativecommons.org/licenses/by/4.0/",
        "LeCun",
        "Cortes",
        "Burges",
        "Alpaydin",
        "Kaynak",
        "Duin",
        "10.24432/C50P49",
        "10.24432/C5HC70",
    ):
        assert needed in text


@pytest.mark.parametrize("name", ["mnist_images.npy", "optdigits_labels.npy"])
def test_changed_and_missing_files_are_refused(name, tmp_path, monkeypatch):
    for path in digits.BUNDLED.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(digits, "BUNDLED", tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1] + b"x")
    with pytest.raises(DataError, match=f"{name}: differs from SHA256SUMS; restore it with git checkout"):
        digits.read(["mnist", "optdigits"], None)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"{name}: No such file or directory; restore it with git checkout"):
        digits.read(["mnist", "optdigits"], None)
