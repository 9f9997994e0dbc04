"""Checkouts in which snakemake runs with `--profile slurm`, on a cluster of the test's own."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys

import pytest
import yaml

from scalarization.cli import main
from scalarization.training.stop import Stop

from . import cluster

#: What a run needs of the checkout.
PARTS = ("Snakefile", "config.yaml", "workflow", "src", "profiles", "slurm")
#: Nobody wants to wait.
QUICK = ("--slurm-init-seconds-before-status-checks=4", "--latency-wait=5")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == cluster.HERE:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A running cluster."""
    if cluster.lacking():
        cluster.install()
    why_not = cluster.missing()
    if why_not:
        pytest.skip(f"no Slurm to test with: {why_not}")
    running = cluster.Cluster(tmp_path_factory.mktemp("cluster") / "slurm")
    yield running
    running.end()


class Checkout:
    """A copy of what a run needs. Its commands run inside of the cluster's namespaces."""

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
        """A running command, which finds Python modules in these folders, too."""
        dropped = ("PYTHONPATH", "SCALARIZATION_OVERRIDES")
        environment = {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith("PYTEST")}
        environment["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), environment["PATH"]])
        log = (self.directory / f"said_{len(list(self.directory.glob('said_*')))}.txt").open("w+")
        process = subprocess.Popen(
            self.slurm.command(*arguments, folder=self.directory),
            env={**environment, "PYTHONPATH": os.pathsep.join(map(str, [self.directory / "src", *path]))},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        process.said = lambda: (log.seek(0), log.read())[1]
        return process

    def snakemake(self, *arguments, path=()):
        """A running `snakemake --cores all --profile slurm`."""
        return self.start("snakemake", "--cores", "all", "--profile", "slurm", *QUICK, *arguments, path=path)

    @contextlib.contextmanager
    def ray(self):
        """Settings with which a search uses a Ray that was started elsewhere, as long as the context lasts."""
        access = ("RAY_AUTH_MODE=token", f"RAY_AUTH_TOKEN={secrets.token_hex(32)}")
        start = ("ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", "--port=6390", "--num-cpus=2")
        small = (f"--object-store-memory={80 * 2**20}", "--include-dashboard=false", "--disable-usage-stats")
        # Its workers would find the code of a Ray that is started in the checkout.
        process = self.start("env", "-C", "/", "-u", "PYTHONPATH", *access, *start, *small)
        try:
            self.slurm.wait_for(lambda: "runtime started" in process.said(), "Ray")
            yield *access, "RAY_ADDRESS=127.0.0.1:6390"
        finally:
            process.terminate()
            process.wait()

    def locally(self, preset, *commands, searches=(), settings=()):
        """Folder of results that commands have made in this process, from data prepared on the cluster."""
        local = self.directory / "local" / preset
        local.mkdir(parents=True)
        (local / "data").symlink_to(self.directory / "results" / preset / "data")
        where = ["--config", self.directory / "config.yaml", "--set", f"results={local.parent}"]
        where += ["--preset", preset if preset == "smoke" else self.directory / f"{preset}.yaml"]
        for search in searches:  # Ray listens on all interfaces, so not out here
            self.finish(self.start("env", *settings, "python", "-m", "scalarization", "search", *search, *where))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Stop, "listen", lambda stop: None)  # signals are pytest's
            for command in commands:
                assert main(list(map(str, (*command, *where)))) == 0
        return local

    def finish(self, process, seconds=1200, status=0):
        """What a command said when it has ended with this exit status."""
        try:
            process.wait(timeout=seconds)
        finally:
            if process.poll() is None:
                process.kill()
                print(process.said(), *self.slurm.jobs().values(), sep="\n")
        logs = "\n".join(f.read_text() for f in self.directory.glob(".snakemake/slurm_logs/**/*.log"))
        assert process.returncode == status, f"{process.said()}\n{logs[-20000:]}"
        return process.said()


@pytest.fixture(scope="module")
def make_checkout(slurm, tmp_path_factory):
    """() -> a fresh copy of the checkout."""
    return lambda: Checkout(tmp_path_factory.mktemp("slurm") / "checkout", slurm)
