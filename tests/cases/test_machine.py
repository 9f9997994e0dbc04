"""Kinds 9 and 11: the machine - shells, homes, line ends, full disks, signals, Ray."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from scalarization.config import ROOT
from scalarization.errors import StoppedError, UserError
from scalarization.search import ray_start
from scalarization.search.ray_start import LONGEST_PARENT, limited, session_directory
from scalarization.training.shutdown import GracefulShutdown

BUNDLED = "src/scalarization/benchmarks/digits/bundled"


# --- Line ends ---


def git(*arguments, folder):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_clone_that_converts_line_ends_is_the_same(tmp_path):
    """core.autocrlf=true, as Git for Windows sets it: `envs/run` did not start, bundled files differed."""
    origin = tmp_path / "origin"
    origin.mkdir()
    files = [".gitattributes", "envs/run", "Snakefile", "workflow/presets/smoke.yaml", "src/scalarization/cli.py"]
    files += [f.relative_to(ROOT) for f in (ROOT / "src/scalarization/benchmarks").rglob("bundled/*") if f.is_file()]
    for file in files:
        (origin / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, origin / file)
    git("init", "--quiet", folder=origin)
    git("add", ".", folder=origin)
    git("commit", "--quiet", "--message", "a", folder=origin)
    clone = tmp_path / "clone"
    git("clone", "--quiet", "-c", "core.autocrlf=true", origin, clone, folder=tmp_path)
    for file in files:
        assert (clone / file).read_bytes() == (ROOT / file).read_bytes(), file
    assert git("status", "--porcelain", folder=clone) == ""


def test_no_committed_text_has_the_line_ends_of_windows():
    listed = git("ls-files", "--eol", folder=ROOT).splitlines()
    assert listed and [line for line in listed if "w/crlf" in line or "w/mixed" in line] == []


# --- envs/run ---


@pytest.fixture
def environment_of(tmp_path):
    """(**variables) -> the environment of a command that a copy of envs/run starts, as another unnamed user."""
    checkout = tmp_path / "check out"
    (checkout / "envs").mkdir(parents=True)
    shutil.copy2(ROOT / "envs/run", checkout / "envs/run")
    bin_ = tmp_path / "venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "python").symlink_to(sys.executable)
    # What `id` prints for a user that the machine has no name for.
    fake = 'echo 12345; if [ "$1" = -un ]; then echo "id: cannot find name for user ID 12345" >&2; exit 1; fi'
    (bin_ / "id").write_text(f"#!/bin/sh\n{fake}\n")
    (bin_ / "id").chmod(0o755)

    def environment_of(**variables):
        done = subprocess.run(
            [checkout / "envs/run", "env"],
            env={"PATH": f"{bin_}:/usr/bin:/bin", "SCALARIZATION_VENV": str(tmp_path / "venv"), **variables},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in done.stdout.splitlines()), checkout

    return environment_of


@pytest.mark.parametrize("variables", [{}, {"HOME": "/nonexistent"}, {"HOME": "/dev/null"}, {"HOME": ""}])
def test_a_user_without_name_and_home(variables, environment_of):
    environment, checkout = environment_of(**variables)
    assert Path(environment["HOME"]) == checkout / ".cache/home" and Path(environment["HOME"]).is_dir()
    assert environment["USER"] == "user12345" and environment["LOGNAME"] == environment["USER"]


def test_a_home_that_cannot_be_written_to(environment_of):
    """Its configuration stays in force; caches go elsewhere."""
    environment, checkout = environment_of(HOME="/proc", USER="somebody")
    assert (environment["HOME"], environment["USER"], environment["LOGNAME"]) == ("/proc", "somebody", "somebody")
    assert Path(environment["XDG_CACHE_HOME"]) == checkout / ".cache"
    assert Path(environment["MPLCONFIGDIR"]).is_dir()


def test_a_usual_home_is_left_alone(environment_of, tmp_path):
    environment, checkout = environment_of(HOME=str(tmp_path), USER="a", LOGNAME="b")
    assert (environment["HOME"], environment["USER"], environment["LOGNAME"]) == (str(tmp_path), "a", "b")
    assert "XDG_CACHE_HOME" not in environment and not (checkout / ".cache").exists()


# --- Drawing ---


@pytest.fixture(scope="module")
def summarized(write_config, tmp_path_factory):
    """A folder in which everything is done but the drawing."""
    from ..conftest import TINY

    folder = tmp_path_factory.mktemp("summarized")
    preset = {**TINY, "artifacts": {"figure_b": {"experiment": "pair"}, "consistency": {"experiment": "pair"}}}
    config = write_config(folder, preset)
    cells = [f"digits/{name}" for name in ("mnist/vit_d2_w8/single/base", "optdigits/vit_d2_w8/single/base")]
    cells += ["digits/mnist+optdigits/vit_d2_w8/grid/base"]
    verbs = [["prepare", "--benchmark", "digits"], ["train", *(part for cell in cells for part in ("--cell", cell))]]
    verbs += [["summarize", "--artifact", artifact] for artifact in preset["artifacts"]]
    for verb in verbs:
        command = [sys.executable, "-m", "scalarization", *verb, "--config", str(config)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    return folder


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "no_such_backend", "TkAgg"])
def test_drawing_needs_no_backend(backend, summarized, launch):
    """A shell inside a notebook names a backend of the notebook's environment. `consistency` also uses seaborn."""
    arguments = ("draw", "--artifact", "consistency", "--config", "config.yaml")
    job = launch(*arguments, folder=summarized, whole=True, MPLBACKEND=backend)
    assert job.wait() == 0, job.output
    assert (summarized / "reports/mine/figures/consistency.pdf").read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize("limit", [1, 5000, 20_000])
def test_a_disk_that_is_full_while_drawing(limit, summarized, launch):
    figures = summarized / "reports/mine/figures"
    arguments = ("draw", "--artifact", "figure_b", "--config", "config.yaml")
    job = launch(*arguments, folder=summarized, limit=limit)
    assert job.wait() == 2, job.output
    assert re.search(r"figure_b\.p(df|ng): could not be written: .*Make room", job.output), job.output
    assert "Traceback" not in job.output and not list(figures.glob(".*"))
    job = launch(*arguments, folder=summarized)
    assert job.wait() == 0, job.output
    assert (figures / "figure_b.png").read_bytes().startswith(b"\x89PNG")


# --- Logs and terminals ---


@pytest.mark.parametrize("log", ["/tmp", "/proc/x/y.log", "/dev/null/x.log", "config.yaml/x.log", "x" * 300])
def test_a_log_that_cannot_be_written(log, summarized, launch):
    job = launch("plan", "--config", "config.yaml", "--log", log, folder=summarized)
    assert job.wait() == 2 and job.output.count("\n") == 1 and ": could not be written: " in job.output, job.output


def test_nobody_reads_the_output(summarized):
    command = [sys.executable, "-m", "scalarization", "plan", "--config", "config.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, cwd=summarized, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode and not done.stderr
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=summarized, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "No space left on device" in done.stderr and "Traceback" not in done.stderr


def test_a_terminal_that_lacks_characters(summarized, launch):
    job = launch("plan", "--config", "config.yaml", folder=summarized, whole=True, PYTHONIOENCODING="ascii")
    assert job.wait() == 0, job.output


# --- Signals ---

#: Sends SIGINT to its own process as soon as a module is imported.
HOOK = """
import os, signal, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == os.environ.get("INTERRUPT_AT"):
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder)
"""
IMPORTED = {
    "plan": ["scalarization.cli", "argparse", "pydantic", "yaml", "scalarization.plan", "rich.table"],
    "draw --artifact figure_b": ["pyarrow", "pandas", "matplotlib.figure", "scalarization.figures.figure_b"],
    "train --cell digits/mnist/vit_d2_w8/single/base --set seed=5": [
        "torch",
        "numpy",
        "torch.nn",
    ],
}


@pytest.mark.parametrize(
    ("verb", "module"), [(verb, module) for verb, modules in IMPORTED.items() for module in modules]
)
def test_interrupted_while_importing(verb, module, summarized, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    path = f"{tmp_path}{os.pathsep}{ROOT / 'src'}"
    process = subprocess.Popen(
        [sys.executable, "-m", "scalarization", *verb.split(), "--config", "config.yaml"],
        cwd=summarized,
        env={**os.environ, "PYTHONPATH": path, "INTERRUPT_AT": module},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    output, _ = process.communicate()
    assert (process.returncode, output) == (
        130,
        "interrupted; run the same command again to resume from what is saved\n",
    )


def test_signals_that_the_caller_ignores_are_ignored(summarized):
    """`nohup` and the `&` of scripts."""
    process = subprocess.run(
        [sys.executable, "-m", "scalarization", "plan", "--config", "config.yaml"],
        cwd=summarized,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.returncode == 0


@pytest.fixture
def handlers():
    """Signal handlers are those of before afterwards."""
    before = {number: signal.getsignal(number) for number in GracefulShutdown.SIGNALS}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", GracefulShutdown.SIGNALS)
def test_a_signal_is_recorded_and_never_lost(number, handlers):
    with pytest.raises(StoppedError, match=f"received {number.name}"), GracefulShutdown() as shutdown:
        shutdown.install_handlers()
        assert shutdown.reason is None
        signal.raise_signal(number)
        shutdown.check()
    assert {n: signal.getsignal(n) for n in handlers} == handlers
    assert GracefulShutdown().reason is None


def test_a_signal_after_the_last_check_stops_the_next_job(handlers):
    with GracefulShutdown() as shutdown:
        shutdown.install_handlers()
        shutdown.install_handlers()  # again after Ray, which takes SIGTERM for itself
        signal.raise_signal(signal.SIGTERM)
    assert {n: signal.getsignal(n) for n in handlers} == handlers
    assert GracefulShutdown().reason == "received SIGTERM"
    assert GracefulShutdown().reason is None
    with pytest.raises(KeyboardInterrupt), GracefulShutdown() as shutdown:
        shutdown.install_handlers()
        signal.raise_signal(signal.SIGINT)
    assert GracefulShutdown().reason is None


# --- Ray ---


def stubborn():
    """Waits forever and takes every exception for one of its own, as Ray does."""
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def test_waiting_has_an_end():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError, match="no answer"):
        limited(stubborn, 0.1, GracefulShutdown())
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert limited(lambda: 3, 60, GracefulShutdown()) == 3
    with pytest.raises(ZeroDivisionError):
        limited(lambda: 1 / 0, 60, GracefulShutdown())


def test_waiting_ends_when_the_job_is_asked_to_stop(handlers):
    with pytest.raises(StoppedError, match="received SIGTERM"), GracefulShutdown() as shutdown:
        shutdown.install_handlers()
        signal.raise_signal(signal.SIGTERM)
        limited(stubborn, 600, shutdown)
    with pytest.raises(StoppedError, match="time limit"):
        limited(stubborn, 600, GracefulShutdown(time_limit=0))


def test_a_session_has_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_start, "LONGEST_PARENT", len(os.fsencode(tmp_path)))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    other = tmp_path / "ray-somebody"
    other.mkdir()
    killed, running = tmp_path / "ray-killed__", tmp_path / "ray-running_"
    for directory in (killed, running):
        (directory / "s" / "session").mkdir(parents=True)
        (directory / "lock").touch()
    with (running / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with session_directory() as directory:
            assert directory.parents[1] == tmp_path and directory.parent.stat().st_mode & 0o777 == 0o700
            directory.mkdir()
            directory.chmod(0o777)  # as Ray does
            (directory / "socket").touch()
            with session_directory() as second:
                assert second.parent != directory.parent and directory.exists()
    assert sorted(tmp_path.iterdir()) == [running, other]


@pytest.mark.parametrize("given", ["x" * 200, "/nonexistent", "tmp", "/dev/null"])
def test_a_place_for_ray_that_cannot_be_used(given, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", f"/tmp/{given}" if given.startswith("x") else given)
    problem = r"^RAY_TMPDIR = .* is not a writable directory .* at most \d+ bytes"
    with pytest.raises(UserError, match=problem), session_directory():
        pass


def test_long_directories_for_temporary_files_are_passed_over(tmp_path, monkeypatch):
    long = tmp_path / ("x" * LONGEST_PARENT)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    with session_directory() as directory:
        assert len(os.fsencode(directory.parents[1])) <= LONGEST_PARENT
    assert not directory.parent.exists() and not list(long.iterdir())


def test_a_search_with_a_long_tmpdir_and_without_a_home(tiny, write_config, tmp_path, launch):
    """Ray's sockets have names of at most 107 bytes, and it would write a token into the home."""
    tiny["searches"] = {
        "three": {
            "benchmark": "digits",
            "task_set": {"pair": ["mnist", "optdigits"]},
            "architectures": {"family": "vit", "depth": [1], "width": [8]},
            "method": "search_random",
            "population": 2,
            "epochs_ready": 3,
        }
    }
    where = ("--config", write_config(tmp_path, tiny))
    assert launch("prepare", "--benchmark", "digits", *where, folder=tmp_path).wait() == 0
    long, short = tmp_path / ("x" * 200), Path("/tmp") / f"s{hashlib.sha256(os.fsencode(tmp_path)).hexdigest()[:8]}"
    long.mkdir()
    short.mkdir()
    try:
        environment = {"TMPDIR": str(long), "RAY_TMPDIR": str(short), "HOME": "/dev/null"}
        search = ("search", "--search", "three/vit_d1_w8", "--workers", "1")
        job = launch(*search, *where, folder=tmp_path, whole=True, **environment)
        assert job.wait(300) == 0, job.output
        assert not list(short.iterdir())
    finally:
        shutil.rmtree(short)


# --- Snakemake ---


def test_unlocking_after_snakemake_was_killed(tmp_path):
    settings = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"preset": "smoke"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("results/smoke/data/digits/dataset.json\n")
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        ROOT / "Snakefile",
        "--directory",
        tmp_path,
        "--unlock",
    ]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0 and not list(locks.glob("*.lock")), done.stdout
