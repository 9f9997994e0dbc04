"""Fixtures shared by all tests: small presets, configurations, a prepared store of the bundled digits."""

import contextlib
import copy
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import hypothesis
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]

#: A run of it takes a fraction of a second, and still uses everything that draws random numbers: sampling, crops,
#: RandAugment, and stochastic depth (which acts from the second block on).
TINY = {
    "description": "A few steps on tiny networks.",
    "jobs": {"minutes": 100},
    "benchmarks": {
        "digits": {
            "domains": ["mnist", "optdigits"],
            "reference": "optdigits",
            "model": {"patch": 8, "heads": 2, "mlp_ratio": 2, "drop_path": 0.3},
            "recipe": {
                "lr": 3e-3,
                "batch_size": 200,
                "epochs": 3,
                "warmup_epochs": 1,
                "eval_every": 2,
                "augmentation": {"crop_padding": 1, "flip": False, "randaugment": {"num_ops": 1, "magnitude": 5}},
            },
        }
    },
    "experiments": {
        "pair": {
            "benchmark": "digits",
            "task_sets": {"mnist+optdigits": ["mnist", "optdigits"]},
            "architectures": {"family": "vit", "depth": [2], "width": [8]},
            "methods": {"single": {}, "grid": {"p1": [0.3, 0.7]}},
            "seeds": 1,
        }
    },
    "artifacts": {"figure_b": {"experiment": "pair"}},
}


# A machine that is busy with something else is no reason to fail.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

#: The longest files. Two workers take whole files (what a file's tests share is made once), and these first.
FIRST = (
    "slurm/test_smoke.py",
    "slurm/test_faults.py",
    "workflow/test_run.py",
    "faults/test_dying.py",
    "workflow/test_presets.py",
)


def pytest_collection_modifyitems(items):
    rank = {ROOT / "tests" / name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.path, len(FIRST)))


@pytest.fixture(scope="session")
def root():
    """The checkout."""
    return ROOT


@pytest.fixture
def tiny():
    """A small preset, free to be changed."""
    return copy.deepcopy(TINY)


@pytest.fixture
def smoke():
    """The part of the shipped preset `smoke` that is about digits, free to be changed."""
    from scalarization.config import parse_value

    preset = parse_value((ROOT / "workflow" / "presets" / "smoke.yaml").read_text())
    del preset["profiles"], preset["conflicts"], preset["searches"]
    preset["benchmarks"] = {"digits": preset["benchmarks"]["digits"]}
    preset["experiments"] = {"digits_pair": preset["experiments"]["digits_pair"]}
    preset["artifacts"] = {a: s for a, s in preset["artifacts"].items() if s.get("experiment") == "digits_pair"}
    return preset


def _write_config(directory, content, **knobs):
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "mine.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    config = directory / "config.yaml"
    places = {"results": str(directory / "results"), "reports": str(directory / "reports")}
    config.write_text(yaml.safe_dump({"preset": str(file), **places, **knobs}, sort_keys=False))
    return config


@pytest.fixture(scope="session")
def write_config():
    """(directory, preset's content as dict or text, **knobs) -> path of a configuration that names the preset."""
    return _write_config


@pytest.fixture
def make_plan(tmp_path):
    """(preset's content, **knobs) -> its plan; files are below tmp_path."""
    from scalarization.config import load_config
    from scalarization.plan import load_plan

    return lambda content, **knobs: load_plan(load_config(_write_config(tmp_path, content, **knobs)))


@pytest.fixture(scope="session")
def shipped_plan(tmp_path_factory):
    """(name of a shipped preset, **knobs) -> its plan; other knobs have their defaults. Tests share it."""
    from scalarization.config import load_config
    from scalarization.plan import load_plan

    directory = tmp_path_factory.mktemp("shipped")
    plans = {}

    def shipped_plan(name, **knobs):
        key = json.dumps([name, knobs], sort_keys=True)
        if key not in plans:
            file = directory / "config.yaml"
            places = {"results": str(directory / "results"), "reports": str(directory / "reports")}
            file.write_text(yaml.safe_dump({"preset": name, **places, **knobs}))
            plans[key] = load_plan(load_config(file))
        return plans[key]

    return shipped_plan


def _prepare_store(plan, benchmark):
    from scalarization.data.prepare import prepare
    from scalarization.provenance import Provenance

    file, options = plan.paths.store_file(benchmark), plan.preset.benchmarks[benchmark]
    origin = Provenance(plan).origin(file)
    prepare(file.parent, benchmark, options.domains, plan.paths.downloads, options.tasks, origin)


@pytest.fixture(scope="session")
def prepare_store():
    """(plan, benchmark) -> None: prepare its store, as the verb `prepare` does."""
    return _prepare_store


@pytest.fixture(scope="session")
def digits_directory(tmp_path_factory):
    """Directory of a prepared store of all bundled digits; not to be written to."""
    from scalarization.data.prepare import prepare

    directory = tmp_path_factory.mktemp("store") / "digits"
    prepare(directory, "digits", ["mnist", "optdigits", "mfeat"], directory / "downloads")
    return directory


@pytest.fixture(scope="session")
def digits_store(digits_directory):
    """Prepared store of all bundled digits."""
    from scalarization.data.store import Store

    return Store(digits_directory / "dataset.json")


@pytest.fixture(scope="session")
def digits_data(digits_store):
    """All bundled digits in memory."""
    import torch

    from scalarization.data.device import DeviceData

    return DeviceData(digits_store, ["mnist", "optdigits", "mfeat"], torch.device("cpu"))


@pytest.fixture
def one_thread():
    """One compute thread of torch, as in a job with the default configuration."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(**changes):
    """A recipe: the defaults with changes, computed the same way on every machine."""
    from scalarization.config import Recipe

    given = {"lr": 1e-2, "batch_size": 24, "epochs": 2, "precision": "float32", "compile": False, **changes}
    return Recipe.model_validate(given)


class StopTrainingError(Exception):
    """Raised to stop training after a step."""


def train(trainer, until=None):
    """Train as a job does, to the end or to the end of step number `until`; returns the trainer."""

    def after_step():
        if trainer.step == until:
            raise StopTrainingError

    with contextlib.suppress(StopTrainingError):
        while trainer.epoch < trainer.cell.specification.epochs:
            trainer.train_epoch(after_step)
            trainer.evaluate_epoch()
            if trainer.step < trainer.cell.steps:
                after_step()
    return trainer


@pytest.fixture
def check_page(monkeypatch):
    """(figure) -> None: draw it; no text may overlap another, leave the page, or be too small to read in print."""
    import numpy as np
    from matplotlib.text import Text

    def check_page(figure):
        boxes, texts = [], []

        def record(text, renderer):
            if text.get_visible() and text.get_text().strip():
                boxes.append(text.get_window_extent(renderer).extents)
                texts.append(text)

        monkeypatch.setattr(Text, "draw", record)
        # Not a mark of the test: that also turns into errors what earlier tests of the process left to be collected.
        with warnings.catch_warnings(action="error"):
            figure.draw_without_rendering()
        names, boxes = [text.get_text() for text in texts], np.array(boxes)
        outside = (boxes[:, :2] < -1).any(axis=1) | (boxes[:, 2:] > figure.bbox.size + 1).any(axis=1)
        assert not outside.any(), np.array(names)[outside]
        low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
        high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        overlap = np.triu((high - low > 2).all(axis=2), k=1)
        assert not overlap.any(), [(names[i], names[j]) for i, j in np.argwhere(overlap)]
        assert min(text.get_fontsize() for text in texts) >= 5

    return check_page


# --- Jobs as processes of their own ---


class Job:
    """A running `python -m scalarization ...`. What it writes to the terminal comes through a pipe."""

    def __init__(self, pid, poll, pipe):
        self.pid, self._poll = pid, poll
        self.status = None
        self._written = []
        self._reader = threading.Thread(target=self._read, args=[pipe], daemon=True)
        self._reader.start()

    def _read(self, pipe):
        with open(pipe, encoding="utf-8", errors="replace") as file:
            for line in file:
                self._written.append(line)

    def poll(self):
        """Exit status (negative: the signal that killed it), or None."""
        if self.status is None:
            self.status = self._poll()
        return self.status

    def wait(self, seconds=120):
        """Exit status, or None if it still runs after so many seconds."""
        end = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        return self.status

    def wait_for(self, condition, seconds=60):
        """Wait for a condition that the running job brings about."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.poll() is None, f"ended with {self.status} before: {self.output}"
            assert time.monotonic() < end
            time.sleep(0.002)

    def send(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    @property
    def output(self):
        """What it has written to the terminal."""
        if self.status is not None:
            self._reader.join(timeout=10)
        return "".join(self._written)


class Zygote:
    """See zygote.py."""

    def __init__(self):
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, str(ROOT / "tests" / "zygote.py")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert json.loads(self.process.stdout.readline()) == "ready"

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="session")
def zygote():
    zygote = Zygote()
    yield zygote
    zygote.process.stdin.close()
    zygote.process.wait()


@pytest.fixture
def launch(request, tmp_path):
    """(*arguments, folder, limit=None, whole=False, **environment) -> a started job.

    `limit`: largest file that it may write, in bytes. `whole`: not forked but started with a new interpreter.
    """
    jobs = []

    def launch(*arguments, folder, limit=None, whole=False, **environment):
        arguments = [str(a) for a in arguments]
        pipe = tmp_path / f"output_{len(jobs)}"
        os.mkfifo(pipe)
        if whole:

            def restrict():
                if limit:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

            process = subprocess.Popen(
                [sys.executable, "-m", "scalarization", *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                preexec_fn=restrict,
            )
            job = Job(process.pid, process.poll, process.stdout.fileno())
        else:
            zygote = request.getfixturevalue("zygote")
            pid = zygote.ask(
                arguments=arguments, folder=str(folder), output=str(pipe), limit=limit, environment=environment
            )
            job = Job(pid, lambda: zygote.ask(wait=pid), pipe)
        jobs.append(job)
        return job

    yield launch
    for job in jobs:
        job.send(signal.SIGKILL)
        job.wait()
