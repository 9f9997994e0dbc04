"""Checkouts in which snakemake runs with `--profile slurm`, on a cluster that the tests start."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys

import pytest
import yaml

from scalarization.cli import main
from scalarization.training.shutdown import GracefulShutdown

from . import cluster

#: The parts of the checkout that a run needs.
PARTS = ("Snakefile", "config.yaml", "workflow", "src", "profiles", "slurm")
#: Options that shorten waiting.
QUICK = ("--slurm-init-seconds-before-status-checks=4", "--latency-wait=5")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == cluster.HERE:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A running cluster."""
    if cluster.missing_programs():
        cluster.install()
    reason = cluster.reason_to_skip()
    if reason:
        pytest.skip(f"no Slurm to test with: {reason}")
    running = cluster.Cluster(tmp_path_factory.mktemp("cluster") / "slurm")
    yield running
    running.end()


class Checkout:
    """A copy of the parts that a run needs. Its commands run inside the namespaces of the cluster."""

    def __init__(self, directory, slurm):
        self.directory, self.slurm = directory, slurm
        directory.mkdir()
        for part in PARTS:
            source = cluster.HERE.parents[1] / part
            if source.is_dir():
                shutil.copytree(source, directory / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, directory / part)

    def write(self, preset, name="mine"):
        (self.directory / f"{name}.yaml").write_text(yaml.safe_dump(preset, sort_keys=False))

    def start(self, *arguments, path=()):
        """Start a command; Python also imports modules from the folders `path`."""
        dropped = ("PYTHONPATH", "SCALARIZATION_OVERRIDES")
        environment = {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith("PYTEST")}
        environment["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), environment["PATH"]])
        log = (self.directory / f"output_{len(list(self.directory.glob('output_*')))}.txt").open("w+")
        process = subprocess.Popen(
            self.slurm.command(*arguments, folder=self.directory),
            env={**environment, "PYTHONPATH": os.pathsep.join(map(str, [self.directory / "src", *path]))},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        process.output = lambda: (log.seek(0), log.read())[1]
        return process

    def snakemake(self, *arguments, path=()):
        """Start `snakemake --cores all --profile slurm`."""
        return self.start("snakemake", "--cores", "all", "--profile", "slurm", *QUICK, *arguments, path=path)

    @contextlib.contextmanager
    def ray(self):
        """Start a Ray cluster; yields the settings with which a search uses it."""
        access = ("RAY_AUTH_MODE=token", f"RAY_AUTH_TOKEN={secrets.token_hex(32)}")
        start = ("ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", "--port=6390", "--num-cpus=2")
        small = (f"--object-store-memory={80 * 2**20}", "--include-dashboard=false", "--disable-usage-stats")
        # Started elsewhere, because workers of a Ray that is started in the checkout would find the code there.
        process = self.start("env", "-C", "/", "-u", "PYTHONPATH", *access, *start, *small)
        try:
            self.slurm.wait_for(lambda: "runtime started" in process.output(), "Ray")
            yield *access, "RAY_ADDRESS=127.0.0.1:6390"
        finally:
            process.terminate()
            process.wait()

    def locally(self, preset, *commands, searches=(), settings=()):
        """Run commands in this process on data prepared on the cluster, and return the folder of their results."""
        local = self.directory / "local" / preset
        local.mkdir(parents=True)
        (local / "data").symlink_to(self.directory / "results" / preset / "data")
        where = ["--config", self.directory / "config.yaml", "--set", f"results={local.parent}"]
        where += ["--preset", preset if preset == "smoke" else self.directory / f"{preset}.yaml"]
        for search in searches:  # Ray listens on all interfaces, so it runs inside the namespaces
            self.finish(self.start("env", *settings, "python", "-m", "scalarization", "search", *search, *where))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(GracefulShutdown, "install_handlers", lambda shutdown: None)  # signals belong to pytest
            for command in commands:
                assert main(list(map(str, (*command, *where)))) == 0
        return local

    def finish(self, process, seconds=1200, status=0):
        """Wait for a command, check its exit status, and return its output."""
        try:
            process.wait(timeout=seconds)
        finally:
            if process.poll() is None:
                process.kill()
                print(process.output(), *self.slurm.jobs().values(), sep="\n")
        logs = "\n".join(f.read_text() for f in self.directory.glob(".snakemake/slurm_logs/**/*.log"))
        assert process.returncode == status, f"{process.output()}\n{logs[-20000:]}"
        return process.output()


@pytest.fixture(scope="module")
def make_checkout(slurm, tmp_path_factory):
    """() -> a fresh copy of the checkout."""
    return lambda: Checkout(tmp_path_factory.mktemp("slurm") / "checkout", slurm)
