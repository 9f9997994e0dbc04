"""Ray on all nodes of a Slurm job, for as long as a search lasts."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scalarization.errors import UserError

logger = logging.getLogger(__name__)
#: Seconds in which all nodes must have joined; each imports Ray, perhaps from a slow shared disk.
PATIENCE = 300
#: The smallest object store that Ray allows: what members hand on are a few numbers.
OBJECT_STORE = 80 * 2**20


@contextmanager
def ray_on(nodes: int, cpus: int) -> Iterator[str]:
    """Start Ray's head here and a worker on each further node of this Slurm job; all end with the context.

    Ray's own ``symmetric-run`` starts the command that uses it as well; here that command is what runs already.

    Args:
        nodes: Nodes of the job, this one among them.
        cpus: CPU cores that Ray may use on each.

    Yields:
        The head's address, for ``ray.init``.

    Raises:
        UserError: This is no Slurm job of so many nodes, or a node does not join.
    """
    here, others = _places(nodes)
    # Other users of these machines must not reach it. Commands inherit the token; Ray reads it when it is imported.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    with socket.socket() as free:
        free.bind(("", 0))
        address = f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"
    host, port = address.rsplit(":", 1)
    start = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
    start += [f"--num-cpus={cpus}", f"--object-store-memory={OBJECT_STORE}"]
    head = [*start, "--head", f"--node-ip-address={host}", f"--port={port}", "--include-dashboard=false"]
    count = len(others)
    step = ["srun", "--overlap", f"--nodes={count}", f"--ntasks={count}", "--ntasks-per-node=1", "--cpu-bind=none"]
    step += [f"--nodelist={','.join(others)}", f"--cpus-per-task={cpus}", "--kill-on-bad-exit=1"]
    with ExitStack() as stack:
        processes = [stack.enter_context(_running(head, os.environ.copy()))]
        _wait_for(lambda: _answers(host, int(port)), processes, lambda: f"Ray's head on {here} does not start")
        processes.append(stack.enter_context(_running([*step, *start, f"--address={address}"], _environment())))
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        ray.init(address, **quiet)
        try:
            _wait_for(
                lambda: sum(node["Alive"] for node in ray.nodes()) >= nodes,
                processes,
                lambda: f"Ray on {here} sees {len(ray.nodes())} of {nodes} nodes",
            )
        finally:
            ray.shutdown()
        yield address


def _places(nodes: int) -> tuple[str, list[str]]:
    """This node's name, and those of the job's others."""
    job, here = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURMD_NODENAME")
    if not job or not here:
        raise UserError(f"--nodes {nodes}: this is no Slurm job; leave the option out, or set RAY_ADDRESS")
    # In a job's step, as Snakemake starts it, the environment knows of the step's own node only.
    names = _said("scontrol", "show", "hostnames", _said("squeue", "--noheader", f"--job={job}", "--format=%N")).split()
    if len(names) != nodes or here not in names:
        raise UserError(f"--nodes {nodes}: Slurm job {job} has {len(names)}; sbatch --nodes asks for more")
    return here, [name for name in names if name != here]


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """Ours without what Slurm says of the step that runs here, which `srun` would take for options of the new one."""
    keep = {"SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CONF"}
    return {k: v for k, v in os.environ.items() if k in keep or not k.startswith(("SLURM_", "SRUN_"))}


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[Callable[[], str | None]]:
    """A process; gives a function that returns what it said if it has ended, and else None."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )

        def last_words() -> str | None:
            if process.poll() is None:
                return None
            log.seek(0)
            return f"{Path(command[0]).name} ended with status {process.returncode}: {log.read().strip()[-2000:]}"

        try:
            yield last_words
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(
    condition: Callable[[], bool], processes: Sequence[Callable[[], str | None]], problem: Callable[[], str]
) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        for last_words in processes:
            if (said := last_words()) is not None:
                raise UserError(f"{problem()}: {said}")
        if time.monotonic() > end:
            raise UserError(f"{problem()} after {PATIENCE} s")
        time.sleep(0.2)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
