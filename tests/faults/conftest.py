"""A small preset whose jobs are killed, stopped, or given damaged files."""

import copy
import shutil

import pytest

from scalarization.config import load_config
from scalarization.plan import load_plan
from scalarization.storage import read_run_file

from ..conftest import TINY

GRID = "digits/mnist+optdigits/vit_d2_w8/grid/base"
SINGLE = "digits/optdigits/vit_d2_w8/single/base"
CELLS = (GRID, SINGLE)
#: Three runs of 48 steps.
RECIPE = {"batch_size": 100, "epochs": 6, "warmup_epochs": 1, "eval_every": 2}
STEPS = 48


class Folder:
    """A working folder with configuration, preset and prepared store."""

    def __init__(self, directory):
        self.directory = directory
        self.config = directory / "config.yaml"
        self.results = directory / "results" / "mine"
        self.log = directory / "job.log"

    def plan(self):
        return load_plan(load_config(self.config))

    def run_files(self):
        plan = self.plan()
        return [plan.paths.run_file(plan.cell(name)) for name in CELLS]

    def values(self):
        return [read_run_file(file).to_pylist() for file in self.run_files()]

    def checkpoints(self):
        """Checkpoints of all runs in progress, oldest first."""
        return sorted((self.results / "checkpoints").glob("*/step_*.ckpt"))

    def files(self, pattern):
        return sorted(self.directory.rglob(pattern))

    @property
    def messages(self):
        return self.log.read_text() if self.log.exists() else ""

    def command(self, cells=CELLS):
        """Arguments that train cells and save the state at almost every step."""
        cells = [argument for name in cells for argument in ("--cell", name)]
        often = ["--set", "checkpoint_seconds=0.01"]
        return ["train", "--config", self.config, "--log", self.log, *often, *cells]


def _write_preset(write_config, tiny, directory, store, **changes):
    preset = copy.deepcopy(tiny)
    preset["benchmarks"]["digits"]["recipe"] |= RECIPE | changes
    write_config(directory, preset)
    data = directory / "results" / "mine" / "data"
    data.mkdir(parents=True)
    (data / "digits").symlink_to(store)
    return Folder(directory)


@pytest.fixture(scope="session")
def store(write_config, prepare_store, tmp_path_factory):
    """Directory of the prepared store of the preset."""
    plan = load_plan(load_config(write_config(tmp_path_factory.mktemp("prepared"), TINY)))
    prepare_store(plan, "digits")
    return plan.paths.store_file("digits").parent


@pytest.fixture
def new_folder(write_config, tiny, tmp_path, store):
    """(name, **recipe) -> a folder without any trained run."""

    def new_folder(name, **recipe):
        return _write_preset(write_config, tiny, tmp_path / name, store, **recipe)

    return new_folder


@pytest.fixture
def folder(new_folder):
    """A folder without any trained run."""
    return new_folder("work")


@pytest.fixture
def train(launch):
    """(folder, *arguments, cells=..., **options of launch) -> a started training job."""

    def train(folder, *more, cells=CELLS, **options):
        return launch(*folder.command(cells), *more, folder=folder.directory, **options)

    return train


@pytest.fixture(scope="session")
def _undisturbed():
    return {}


@pytest.fixture
def undisturbed(_undisturbed, new_folder, train, tmp_path_factory):
    """The results without any disturbance: values of the run files, messages, records of the runs."""
    if not _undisturbed:
        folder = new_folder("undisturbed")
        job = train(folder)
        assert job.wait() == 0, job.output
        kept = tmp_path_factory.mktemp("undisturbed") / "checkpoints"
        shutil.copytree(folder.results / "checkpoints", kept)
        _undisturbed |= {
            "values": folder.values(),
            "messages": folder.messages,
            "output": job.output,
            "files": folder.files("*"),
            "checkpoints": kept,
        }
    return _undisturbed
