"""Small archives of random images and labels in the exact formats in which the paper's data sets are published.

As a command, it writes all of them into a directory for `data_dir`: python tests/archives.py DIRECTORY [--seed 0]
"""

import argparse
import hashlib
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from scalarization.benchmarks import celeba, domainnet, taskonomy

CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
STL = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
#: CIFAR-10 and STL-10: split -> images of each class.
PER_CLASS = {"cifar10": {"train": 20, "test": 3}, "stl10": {"train": 10, "test": 2}}
#: CelebA: images in the official partition's 0, 1 and 2.
FACES = (30, 8, 10)
#: DomainNet: images of each of the first classes in the official train and test lists.
PER_DOMAIN = dict.fromkeys(domainnet.BENCHMARK.domains, ((6, 5, 4, 5), (2, 2, 2, 2)))
#: Taskonomy: views of every building.
VIEWS = ("point_0_view_0", "point_12_view_3")


def write_all(directory, seed=0):
    """Archives of every benchmark of the paper, and SHA256SUMS, which replaces the published checksums."""
    generator = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    write_cifar(directory, generator)
    write_stl(directory, generator)
    write_celeba(directory, generator)
    write_domainnet(directory, generator)
    write_taskonomy(directory, 64)
    write_sums(directory)


def write_sums(directory):
    """SHA256SUMS of all files but Taskonomy's, in the format of `sha256sum`."""
    files = [f for f in sorted(directory.rglob("*")) if f.is_file() and "taskonomy" not in f.parts]
    lines = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(directory).as_posix()}\n" for f in files]
    (directory / "SHA256SUMS").write_text("".join(lines))


# --- CIFAR-10 and STL-10 ---


def write_cifar(directory, generator, packed=True):
    """Pickled batches: `data` [N, 3072] uint8, one plane per colour, each in row-major order.

    Returns: split -> (data, labels).
    """
    files, written = {}, {}
    for split, names in (("train", [f"data_batch_{n}" for n in range(1, 6)]), ("test", ["test_batch"])):
        labels = generator.permutation(np.repeat(np.arange(10), PER_CLASS["cifar10"][split]))
        data = generator.integers(0, 256, size=(len(labels), 3072), dtype=np.uint8)
        parts = zip(names, np.array_split(data, len(names)), np.array_split(labels, len(names)), strict=True)
        for name, part, part_labels in parts:
            filenames = [f"{CIFAR[label]}_s_{n:06d}.png" for n, label in enumerate(part_labels)]
            content = {"batch_label": name, "labels": part_labels.tolist(), "data": part, "filenames": filenames}
            files[name] = python2_pickle(content)
        written[split] = data, labels
    files["batches.meta"] = python2_pickle({"num_cases_per_batch": 40, "label_names": CIFAR, "num_vis": 3072})
    files["readme.html"] = b"<html></html>"
    _put(directory, "cifar-10-batches-py", "cifar-10-python.tar.gz", files, packed)
    return written


def write_stl(directory, generator, packed=True):
    """Binary files: 96 x 96 images, one plane per colour, in column-major order; labels from 1.

    Returns: split -> (images as blocks of one colour [N, 4, 4, 3], labels from 0).
    """
    files, written = {}, {}
    for split in ("test", "train"):
        labels = generator.permutation(np.repeat(np.arange(10), PER_CLASS["stl10"][split]))
        # Blocks of 24 x 24 equal pixels: after reduction to 32 x 32 the middle of each block keeps its colour.
        small = generator.integers(0, 256, size=(len(labels), 4, 4, 3), dtype=np.uint8)
        images = small.repeat(24, axis=1).repeat(24, axis=2)
        files[f"{split}_X.bin"] = images.transpose(0, 3, 2, 1).tobytes()
        files[f"{split}_y.bin"] = (labels + 1).astype(np.uint8).tobytes()
        written[split] = small, labels
    files["unlabeled_X.bin"] = bytes(3 * 96 * 96)
    files["class_names.txt"] = "".join(f"{name}\n" for name in STL).encode()
    files["fold_indices.txt"] = b"0 1 2 \n" * 10
    _put(directory, "stl10_binary", "stl10_binary.tar.gz", files, packed)
    return written


def python2_pickle(value):
    """A value in the form of Python 2's cPickle under protocol 2: strings and array contents are byte strings."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value):
    if isinstance(value, dict):
        items = b"".join(_python2(k) + _python2(v) for k, v in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(_python2(v) for v in value) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode("ascii")
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(_python2(side) for side in value.shape) + b"t"
    content = value.tobytes()
    return empty + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", len(content)) + content + b"tb"


def _put(directory, folder, archive, files, packed):
    if packed:
        write_tar(directory / archive, {f"{folder}/{name}": content for name, content in files.items()}, folder)
    else:
        for name, content in files.items():
            (directory / folder).mkdir(parents=True, exist_ok=True)
            (directory / folder / name).write_bytes(content)


def write_tar(file, entries, folder=None, extra=()):
    """A .tar.gz of path -> content, with the folder's own entry before them and extra entries after them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz", compresslevel=1) as archive:
        if folder:
            entry = tarfile.TarInfo(f"{folder}/")
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        for path, content in entries.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry in extra:
            archive.addfile(entry)


# --- CelebA ---


def write_celeba(directory, generator, faces=FACES, packed=True):
    """Aligned faces, and their lists with attributes in the official order.

    Returns: names of the images, attribute -> values -1 and 1, partition.
    """
    folder = directory / "celeba"
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(faces)
    names = [f"{number:06d}.jpg" for number in range(1, total + 1)]
    header = sorted(celeba.BENCHMARK.labels.attributes, key=str.lower)
    values = generator.choice([-1, 1], (total, 40))
    partition = np.repeat([0, 1, 2], faces)
    lists = {
        "list_attr_celeba.txt": f"{total}\n{' '.join(header)} \n"
        + "".join(f"{n} {' '.join(f'{v:2d}' for v in row)}\n" for n, row in zip(names, values, strict=True)),
        "list_eval_partition.txt": "".join(f"{n} {p}\n" for n, p in zip(names, partition, strict=True)),
        "identity_CelebA.txt": "".join(f"{n} {number % 7 + 1}\n" for number, n in enumerate(names)),
        "list_bbox_celeba.txt": f"{total}\nimage_id x_1 y_1 width height\n"
        + "".join(f"{n}    95  71 226 313\n" for n in names),
        "list_landmarks_align_celeba.txt": f"{total}\n"
        + " ".join(f"{p}_{c}" for p in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for c in "xy")
        + "\n"
        + "".join(f"{n} 69 109 106 113 77 142 73 152 108 154\n" for n in names),
    }
    for name, text in lists.items():
        (folder / name).write_text(text)
    images = {f"img_align_celeba/{n}": encoded(picture(generator, 178, 218, 11), "JPEG", quality=90) for n in names}
    if packed:
        with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
            archive.writestr("img_align_celeba/", b"")
            for path, content in images.items():
                archive.writestr(path, content)
    else:
        (folder / "img_align_celeba").mkdir()
        for path, content in images.items():
            (folder / path).write_bytes(content)
    return names, {attribute: values[:, column] for column, attribute in enumerate(header)}, partition


# --- DomainNet ---


def write_domainnet(directory, generator, sizes=PER_DOMAIN):
    """<domain>.zip and its two lists of every domain.

    Returns: path inside the archives -> content.
    """
    folder, contents = directory / "domainnet", {}
    folder.mkdir(parents=True, exist_ok=True)
    for domain, counts_by_split in sizes.items():
        written = []
        for split, counts in zip(("train", "test"), counts_by_split, strict=True):
            lines = []
            for label, count in enumerate(counts):
                for number in range(count):
                    size = generator.integers(120, 420, 2).tolist()
                    name = f"{domain}/{domainnet.CLASSES[label]}/{domain}_{label:03d}_{split}_{number:06d}"
                    kind = "PNG" if domain == "sketch" and number % 2 else "JPEG"
                    path = f"{name}.{'png' if kind == 'PNG' else 'jpg'}"
                    contents[path] = encoded(picture(generator, *size), kind)
                    lines.append(f"{path} {label}")
                    written.append(path)
            (folder / f"{domain}_{split}.txt").write_text("\n".join(lines) + "\n")
        with zipfile.ZipFile(folder / f"{domain}.zip", "w") as archive:
            for path in sorted(written):
                archive.writestr(path, contents[path])
            archive.writestr(f"{domain}/{domainnet.CLASSES[0]}/not_in_any_list.jpg", b"not an image")
    return contents


def picture(generator, width, height, coarseness=4):
    """A random image without sharp edges."""
    coarse = generator.integers(0, 256, (coarseness, coarseness, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind="JPEG", **options):
    """Content of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# --- Taskonomy ---


def write_taskonomy(directory, size=512, views=lambda building: VIEWS, tool=False):
    """Folders of every building, as the archives unpack or, with `tool`, as the authors' download tool writes them.

    Returns: (building, view) -> kind of file -> array.
    """
    written = {}
    for buildings in taskonomy.BUILDINGS.values():
        for building in buildings:
            for view in views(building):
                arrays = _view(len(written), size)
                for kind, array in arrays.items():
                    name = f"{kind}/taskonomy/{building}" if tool else f"{building}_{kind}"
                    folder = directory / "taskonomy" / name
                    folder.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(array).save(folder / f"{view}_domain_{kind}.png", compress_level=1)
                written[building, view] = arrays
    return written


def _view(number, size):
    """One view: 8-bit RGB image and normals, 16-bit depth and edges, 8-bit labels; all differ from view to view."""
    generator = np.random.default_rng(number)
    blocks = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8).repeat(size // 16, 0).repeat(size // 16, 1)
    depth = np.full((size, size), 512 * 3 + number, dtype=np.uint16)  # slightly more than 3 m
    depth[:, : size // 4] = taskonomy.NO_SURFACE  # the scan has a hole
    edges = np.zeros((size, size), dtype=np.uint16)
    edges[size // 2 :] = 65535
    edges[0] = 7
    normals = np.full((size, size, 3), 127, dtype=np.uint8)
    normals[..., 0] = 100 + number
    normals[: size // 2, :, 1:] = 30
    labels = generator.integers(0, 256, (8, 8), dtype=np.uint8).repeat(size // 8, 0).repeat(size // 8, 1)
    return {
        "rgb": blocks,
        "depth_zbuffer": depth,
        "normal": normals,
        "edge_occlusion": edges,
        "segment_unsup2d": labels,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_all(options.directory, options.seed)
