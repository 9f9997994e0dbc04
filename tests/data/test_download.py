"""Original files from a local server or from a user's directory: paths, checksums, records, messages."""

import hashlib
import json
import logging
import os
import shutil
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest
import torchvision.datasets

from scalarization import cli
from scalarization.benchmarks import celeba, cifar_stl, domainnet, taskonomy
from scalarization.config import load_config
from scalarization.data import fetch
from scalarization.data.download import download
from scalarization.data.store import Store
from scalarization.errors import DataError
from scalarization.plan.paths import Paths
from scalarization.storage import write_json

from ..archives import write_all, write_celeba, write_domainnet
from ..web import serve

BENCHMARKS = {
    "cifar_stl": {"domains": ["cifar10", "stl10"], "reference": "stl10"},
    "celeba": {"domains": ["celeba"], "reference": "celeba"},
    "domainnet": {"domains": ["real", "clipart"], "reference": "real"},
    "taskonomy": {"domains": ["taskonomy"], "reference": "taskonomy", "tasks": ["segmentation_2d", "depth"]},
    "digits": {"domains": ["mnist", "optdigits"], "reference": "optdigits"},
}
RECIPE = {"lr": 1e-3, "batch_size": 2500, "epochs": 1}
#: Two training steps for each of two domains and for both, because STL-10's official 5,000 images make an epoch.
PRESET = {
    "description": "The paper's data sets, two steps on one of them.",
    "jobs": {"minutes": 100},
    "benchmarks": {
        name: {
            **spec,
            "model": {"patch": 16, "heads": 2, "mlp_ratio": 1},
            "recipe": {**RECIPE, **({"batch_size": 400} if name == "digits" else {})},
        }
        for name, spec in BENCHMARKS.items()
    },
    "experiments": {
        "pair": {
            "benchmark": "cifar_stl",
            "task_sets": {"stl10+cifar10": ["stl10", "cifar10"]},
            "architectures": {"family": "vit", "depth": [1], "width": [8]},
            "methods": {"single": {}, "grid": {"p1": [0.3]}},
            "seeds": 1,
        }
    },
    "artifacts": {"figure_b": {"experiment": "pair"}},
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """All archives, with SHA256SUMS; not to be written to."""
    directory = tmp_path_factory.mktemp("archives")
    write_all(directory)
    return directory


@pytest.fixture
def config(write_config, tmp_path):
    """(**knobs) -> file of a configuration of PRESET."""
    return lambda **knobs: write_config(tmp_path / "work", PRESET, **knobs)


@pytest.fixture
def site(archives, monkeypatch):
    """A server of all archives, with its addresses and checksums in torchvision's tables and in those of benchmarks."""
    monkeypatch.setattr(fetch, "PAUSE", 0)
    site, end = serve()
    files = [f for f in archives.rglob("*") if f.is_file() and "taskonomy" not in f.parts and f.name != "SHA256SUMS"]
    site.files.update({f"/{f.name}": f.read_bytes() for f in files})
    for dataset in (torchvision.datasets.CIFAR10, torchvision.datasets.STL10):
        monkeypatch.setattr(dataset, "url", f"{site.url}/{dataset.filename}")
        monkeypatch.setattr(dataset, "tgz_md5", hashlib.md5(site.files[f"/{dataset.filename}"]).hexdigest())
    monkeypatch.setattr(celeba, "DRIVE", f"{site.url}/{{}}")
    listed = [(name, hashlib.md5(site.files[f"/{name}"]).hexdigest(), name) for *_, name in _celeba_files()]
    monkeypatch.setattr(torchvision.datasets.CelebA, "file_list", listed)
    monkeypatch.setattr(domainnet, "HOST", f"{site.url}/")
    for path in [path for path in site.files if path.endswith((".zip", ".txt"))]:
        site.files[f"/groundtruth{path}"] = site.files[f"/domainnet/txt{path}"] = site.files[path]
    yield site
    end()


def _celeba_files():
    return torchvision.datasets.CelebA.file_list


def paths_of(file):
    """Paths of a configuration, without checking its preset."""
    config = load_config(file)
    return Paths(config.results, config.reports, config.data_dir)


def run_download(file, benchmark, **changes):
    """Download the original files of a benchmark; returns the paths of the configuration."""
    section = load_config(file).preset.benchmarks[benchmark]
    paths = paths_of(file)
    download(paths, benchmark, section.model_copy(update=changes))
    return paths


def manifest(paths, benchmark):
    return json.loads(paths.manifest(benchmark).read_text())


def state(directory):
    """Whatever writing would change."""
    return {
        str(p.relative_to(directory)): (p.stat().st_mtime_ns, p.stat().st_ino, p.is_file() and p.read_bytes())
        for p in [directory, *directory.rglob("*")]
    }


# --- From a server ---


def test_fetched_prepared_trained_and_drawn(site, config, tmp_path):
    """All verbs in the order of the workflow, with a connection that breaks during the download."""
    site.faults["/cifar-10-python.tar.gz"] = [("cut", 30_000), 503]
    file = config()
    steps = [
        ["download", "--benchmark", "cifar_stl"],
        ["prepare", "--benchmark", "cifar_stl"],
        ["train", "--cell", "cifar_stl/stl10/vit_d1_w8/single/base"],
        ["train", "--cell", "cifar_stl/cifar10/vit_d1_w8/single/base"],
        ["train", "--cell", "cifar_stl/stl10+cifar10/vit_d1_w8/grid/base"],
        ["summarize", "--artifact", "figure_b"],
        ["draw", "--artifact", "figure_b"],
    ]
    for number, step in enumerate(steps):
        assert cli.main([*step, "--config", str(file), "--log", str(tmp_path / f"{number}.log")]) == 0
    assert site.ranges("/cifar-10-python.tar.gz") == [None, "bytes=30000-", "bytes=30000-"]
    work = tmp_path / "work"
    assert (work / "reports/mine/figures/figure_b.pdf").read_bytes().startswith(b"%PDF-")
    rows = pq.read_table(work / "results/mine/runs/cifar_stl/stl10+cifar10/vit_d1_w8/grid/base.parquet").to_pylist()
    assert {row["task"] for row in rows if row["split"] == "test"} == {"stl10", "cifar10"}
    kept = {f.name for f in (work / "results/downloads").iterdir()}
    assert kept == {"cifar-10-python.tar.gz", "stl10_binary.tar.gz", "records"}


@pytest.mark.parametrize("benchmark", ["celeba", "domainnet"])
def test_fetched_and_prepared(benchmark, site, config, archives):
    file = config()
    paths = run_download(file, benchmark)
    entries = manifest(paths, benchmark)["files"]
    assert {entry["path"] for entry in entries} == {
        "celeba": {f"celeba/{n}" for n in ("list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba.zip")},
        "domainnet": {
            f"domainnet/{d}{end}" for d in ("real", "clipart") for end in (".zip", "_train.txt", "_test.txt")
        },
    }[benchmark]
    for entry in entries:
        content = (paths.downloads / entry["path"]).read_bytes()
        assert content == (archives / entry["path"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert entry["url"].startswith(site.url) and ("published" in entry) == (benchmark == "celeba")
    assert cli.main(["prepare", "--benchmark", benchmark, "--config", str(file)]) == 0
    Store(paths.store_file(benchmark)).verify()


def test_cleaned_version_of_domainnet_is_fetched():
    urls = {original.path.rpartition("/")[2]: original.url for original in domainnet.files(list(domainnet.DOMAINS))}
    host = "http://csr.bu.edu/ftp/visda/2019/multi-source"
    assert len(urls) == 18
    assert urls["clipart.zip"] == f"{host}/groundtruth/clipart.zip"
    assert urls["painting.zip"] == f"{host}/groundtruth/painting.zip"
    assert urls["real.zip"] == f"{host}/real.zip" and urls["sketch.zip"] == f"{host}/sketch.zip"
    assert urls["clipart_train.txt"] == f"{host}/domainnet/txt/clipart_train.txt"


def test_second_time_nothing_is_fetched_and_the_manifest_is_the_same(site, config):
    file = config()
    paths = run_download(file, "domainnet")
    before, requests = paths.manifest("domainnet").read_bytes(), len(site.requests)
    os.utime(paths.downloads / "domainnet" / "real.zip")  # its checksum is compared again
    assert run_download(file, "domainnet").manifest("domainnet").read_bytes() == before
    (paths.downloads / "domainnet" / "real.zip").unlink()  # it is fetched again
    assert run_download(file, "domainnet").manifest("domainnet").read_bytes() == before
    assert len(site.requests) == requests + 1
    record = paths.records / "domainnet" / "real.zip.json"
    write_json(record, {**json.loads(record.read_text()), "time": "2020-02-02T02:02:02Z", "bytes": 1})
    times = {entry["path"]: entry["time"] for entry in manifest(run_download(file, "domainnet"), "domainnet")["files"]}
    assert times["domainnet/real.zip"] == "2020-02-02T02:02:02Z"  # the time of the first use


def test_unreachable_server_gives_instructions(site, config, monkeypatch):
    monkeypatch.setattr(domainnet, "HOST", "http://127.0.0.1:9/")
    with pytest.raises(DataError) as caught:
        run_download(config(), "domainnet", domains=["real"])
    for word in (
        "no connection",
        "run again to resume",
        "domainnet/real.zip (no published checksum) from",
        "real_test.txt",
    ):
        assert word in str(caught.value)


def test_further_domains_are_fetched_when_they_are_needed(site, config):
    file = config()
    run_download(file, "domainnet", domains=["sketch"])
    requests = len(site.requests)
    paths = run_download(file, "domainnet", domains=["sketch", "real"])
    assert len(site.requests) == requests + 3 and len(manifest(paths, "domainnet")["files"]) == 6


def test_file_with_another_checksum_is_not_kept(site, config):
    path = "/list_attr_celeba.txt"
    right = site.files[path]
    site.files[path] = right.replace(b"-1", b" 1")
    with pytest.raises(DataError) as caught:
        run_download(config(), "celeba")
    file = paths_of(config()).downloads / "celeba" / "list_attr_celeba.txt"
    expected, actual = hashlib.md5(right).hexdigest(), hashlib.md5(site.files[path]).hexdigest()
    for word in (str(file), f"md5 is {actual}, expected {expected} (published)", "run again"):
        assert word in str(caught.value)
    assert not file.exists()
    site.files[path] = right
    assert run_download(config(), "celeba").manifest("celeba").exists()


def test_existing_file_is_compared_too(site, config):
    file = paths_of(config()).downloads / "celeba" / "list_eval_partition.txt"
    file.parent.mkdir(parents=True)
    file.write_text("000001.jpg 0\n")
    with pytest.raises(DataError, match=f"{file}: md5 is .*published.*delete it and fetch it again"):
        run_download(config(), "celeba")


def test_unpublished_checksum_is_recorded_at_the_first_use(site, config):
    file = config()
    paths = run_download(file, "domainnet")
    archive = paths.downloads / "domainnet" / "real.zip"
    record = paths.records / "domainnet" / "real.zip.json"
    archive.write_bytes(archive.read_bytes() + b"x")
    with pytest.raises(DataError) as caught:
        run_download(file, "domainnet")
    for word in (str(archive), "sha256 is", "recorded at its first use", str(record), "delete"):
        assert word in str(caught.value)
    archive.unlink()
    site.files["/real.zip"] += b"y"  # the server must not have another file either
    with pytest.raises(DataError, match=r"recorded at its first use.*run again"):
        run_download(file, "domainnet")
    assert not archive.exists()
    record.unlink()  # the way out
    before = paths.manifest("domainnet").read_bytes()
    assert run_download(file, "domainnet").manifest("domainnet").read_bytes() != before
    record.write_text("{}")
    with pytest.raises(DataError, match=r"real.zip.json: damaged.*delete it"):
        run_download(file, "domainnet")


def test_refusal_of_google_drive_gives_instructions(site, config):
    site.faults["/img_align_celeba.zip"] = ["page"]
    file = config()
    with pytest.raises(DataError) as caught:
        run_download(file, "celeba")
    paths = paths_of(file)
    md5 = next(md5 for _, md5, name in _celeba_files() if name == "img_align_celeba.zip")
    for word in (
        "web page in place of the file",
        str(paths.downloads.absolute() / "celeba" / "img_align_celeba.zip"),
        f"md5 {md5}",
        f"from {site.url}/img_align_celeba.zip",
        "unpacked",
        "mmlab.ie.cuhk.edu.hk/projects/CelebA",
        "non-commercial",
        "data_dir",
    ):
        assert word in str(caught.value)
    assert "list_attr_celeba.txt (" not in str(caught.value)  # this one was fetched before
    # The user follows the instructions.
    (paths.downloads / "celeba" / "img_align_celeba.zip").write_bytes(site.files["/img_align_celeba.zip"])
    assert len(manifest(run_download(file, "celeba"), "celeba")["files"]) == 3
    assert len(site.requests) == 3


def test_addresses_of_celeba_are_torchvisions():
    originals = {original.path: original for original in celeba.files(["celeba"])}
    archive = originals["celeba/img_align_celeba.zip"]
    assert archive.checksum == "md5:00d2c5bc6d35e252742224ab0c1e8fcb"
    assert "id=0B7EVK8r0v71pZjFTYXZWM3FlRnM&" in archive.url and archive.url.startswith("https://drive.")
    assert {original.path for original in cifar_stl.files(["cifar10"])} == {"cifar-10-python.tar.gz"}


def test_benchmarks_without_files_to_fetch(config, caplog, tmp_path):
    with caplog.at_level(logging.INFO):
        run_download(config(), "digits")
    assert "digits: nothing to fetch" in caplog.text
    assert not (tmp_path / "work" / "results").exists()
    assert cli.main(["download", "--benchmark", "taskonomy", "--config", str(config())]) == 2
    assert cli.main(["download", "--benchmark", "digit", "--config", str(config())]) == 2
    with pytest.raises(DataError, match=r"omnitools.download rgb segment_unsup2d depth_zbuffer --components taskonomy"):
        run_download(config(), "taskonomy")
    with pytest.raises(DataError, match="keypoints2d"):
        taskonomy.require(None, tmp_path)


# --- From a user's directory ---


@pytest.mark.parametrize("benchmark", [b for b in BENCHMARKS if b != "digits"])
def test_own_directory_is_used_and_never_written_to(benchmark, archives, config, caplog):
    before = state(archives)
    file = config(data_dir=str(archives))
    for verb in ("download", "prepare"):
        assert cli.main([verb, "--benchmark", benchmark, "--config", str(file)]) == 0
    assert state(archives) == before
    paths = paths_of(file)
    Store(paths.store_file(benchmark)).verify()
    assert not list(paths.results.parent.glob("downloads/*.*"))


def test_own_directory_may_be_unpacked(archives, config, tmp_path):
    """Unpacked archives give the same store."""
    copy = tmp_path / "unpacked"
    shutil.copytree(archives, copy, ignore=lambda *_: ["taskonomy"])
    for file in copy.rglob("*.tar.gz"):
        shutil.unpack_archive(file, file.parent, filter="data")
        file.unlink()
    for file in copy.rglob("*.zip"):
        with zipfile.ZipFile(file) as archive:
            archive.extractall(file.parent)
        file.unlink()
    stores = {}
    for directory in (archives, copy):
        if directory == copy:  # files of unpacked folders have no checksums
            sums = [f for f in directory.rglob("*") if f.is_file() and f.suffix in (".bin", ".txt", "", ".meta")]
            _write_sums(directory, sums)
        file = config(data_dir=str(directory))
        for benchmark in ("cifar_stl", "celeba", "domainnet"):
            run_download(file, benchmark)
            assert cli.main(["prepare", "--benchmark", benchmark, "--config", str(file)]) == 0
            stores.setdefault(benchmark, []).append(Store(paths_of(file).store_file(benchmark)).digest)
    assert all(packed == unpacked for packed, unpacked in stores.values())
    folders = [entry for entry in manifest(paths_of(file), "domainnet")["files"] if entry["path"].endswith("/")]
    assert {entry["path"] for entry in folders} == {"domainnet/real/", "domainnet/clipart/"}


def _write_sums(directory, files):
    lines = [
        f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(directory).as_posix()}\n"
        for f in files
        if f.name != "SHA256SUMS"
    ]
    (directory / "SHA256SUMS").write_text("".join(lines))


def test_missing_files_of_an_own_directory_are_named_and_not_fetched(site, config, tmp_path):
    own = tmp_path / "own"
    write_domainnet(own, np.random.default_rng(0), {"clipart": ((1, 1), (1, 1))})
    (own / "domainnet" / "clipart_test.txt").unlink()
    before = state(own)
    with pytest.raises(DataError) as caught:
        run_download(config(data_dir=str(own)), "domainnet")
    message = str(caught.value)
    for name in ("clipart_test.txt", "real.zip", "real_train.txt", "real_test.txt"):
        assert f"{own / 'domainnet' / name} (" in message and f"/{name}" in message
    assert "clipart.zip (" not in message and "never written to" in message and "ai.bu.edu" in message
    assert not site.requests and state(own) == before


def test_own_directory_is_compared_with_published_checksums(config, tmp_path):
    write_celeba(tmp_path / "own", np.random.default_rng(0))
    file = tmp_path / "own" / "celeba" / "list_attr_celeba.txt"
    with pytest.raises(DataError, match=f"{file}: md5 is .*, expected 75e246fa4810816ffd6ee81facbd244c"):
        run_download(config(data_dir=str(tmp_path / "own")), "celeba")


@pytest.mark.parametrize(
    ("line", "words"),
    [("zz  celeba/x", "line 1 is 'zz  celeba/x'"), (None, "sha256 is .*SHA256SUMS is of other files")],
)
def test_wrong_own_checksums_are_reported(line, words, config, tmp_path):
    own = tmp_path / "own"
    write_celeba(own, np.random.default_rng(0))
    (own / "SHA256SUMS").write_text(f"{line or 'a' * 64 + '  celeba/list_attr_celeba.txt'}\n")
    with pytest.raises(DataError, match=words):
        run_download(config(data_dir=str(own)), "celeba")
