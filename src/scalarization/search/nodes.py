"""Ray on all nodes of a Slurm job, as long as a search lasts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scalarization.errors import UserError
from scalarization.search import ray_start
from scalarization.search.ray_start import OBJECT_STORE, QUIET, limited, session_directory, use_token
from scalarization.training.shutdown import GracefulShutdown

#: Seconds within which all nodes must have joined; each imports Ray, perhaps from a slow shared disk.
JOIN_SECONDS = 300


@contextmanager
def ray_on_nodes(nodes: int, cpus: int, shutdown: GracefulShutdown) -> Iterator[str]:
    """Start Ray's head here and a worker on each other node of this Slurm job; all of them end with the context.

    Ray's own ``symmetric-run`` also starts the command that uses the cluster; here this command is running already.

    Args:
        nodes: Nodes of the job, this one included.
        cpus: CPU cores that Ray may use on each node.
        shutdown: Is asked while Ray starts.

    Yields:
        The address of the head, for ``ray.init``.

    Raises:
        UserError: This is no Slurm job of that many nodes, or a node does not join.
        StoppedError: The job was asked to stop.
    """
    this_node, other_nodes = _node_names(nodes)
    use_token()
    import ray

    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    host = ray.util.get_node_ip_address()
    address = f"{host}:{port}"
    start = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
    start += [f"--num-cpus={cpus}", f"--object-store-memory={OBJECT_STORE}"]
    head = [*start, "--head", f"--node-ip-address={host}", f"--port={port}", "--include-dashboard=false"]
    count = len(other_nodes)
    step = ["srun", "--overlap", f"--nodes={count}", f"--ntasks={count}", "--ntasks-per-node=1", "--cpu-bind=none"]
    step += [f"--nodelist={','.join(other_nodes)}", f"--cpus-per-task={cpus}", "--kill-on-bad-exit=1"]
    with ExitStack() as stack:
        directory = stack.enter_context(session_directory())
        head.append(f"--temp-dir={directory}")
        processes = [stack.enter_context(_process(head, os.environ.copy()))]

        def wait_for(condition: Callable[[], bool], problem: Callable[[], str]) -> None:
            _wait_for(condition, processes, problem, shutdown)

        wait_for(lambda: _answers(host, port), lambda: f"Ray's head on {this_node} does not start")
        on_node = [sys.executable, "-m", ray_start.__name__, *start, f"--address={address}"]
        processes.append(stack.enter_context(_process([*step, *on_node], _step_environment())))
        limited(lambda: ray.init(address, **QUIET), JOIN_SECONDS, shutdown)
        try:
            wait_for(
                lambda: sum(node["Alive"] for node in ray.nodes()) >= nodes,
                lambda: f"Ray on {this_node} has {len(ray.nodes())} of {nodes} nodes",
            )
        finally:
            ray.shutdown()
        yield address


def _node_names(nodes: int) -> tuple[str, list[str]]:
    """The name of this node, and those of the other nodes of the job."""
    job, this_node = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURMD_NODENAME")
    if not job or not this_node:
        raise UserError(f"--nodes {nodes}: this is no Slurm job; omit the option, or set RAY_ADDRESS")
    # Snakemake starts a step of the job, and the environment of a step names only its own node.
    node_list = _output_of("squeue", "--noheader", f"--job={job}", "--format=%N")
    names = _output_of("scontrol", "show", "hostnames", node_list).split()
    if len(names) != nodes or this_node not in names:
        raise UserError(f"--nodes {nodes}: Slurm job {job} has {len(names)}; request more with sbatch --nodes")
    return this_node, [name for name in names if name != this_node]


def _output_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _step_environment() -> dict[str, str]:
    """Our environment without the variables of the running step, which `srun` would take as options of the new step."""
    keep = {"SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CONF"}
    return {k: v for k, v in os.environ.items() if k in keep or not k.startswith(("SLURM_", "SRUN_"))}


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[Callable[[], str | None]]:
    """A running process; yields a function that returns None until the process has ended, then its output."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )

        def exit_message() -> str | None:
            if process.poll() is None:
                return None
            log.seek(0)
            return f"{Path(command[0]).name} ended with status {process.returncode}: {log.read().strip()[-2000:]}"

        try:
            yield exit_message
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(
    condition: Callable[[], bool],
    processes: Sequence[Callable[[], str | None]],
    problem: Callable[[], str],
    shutdown: GracefulShutdown,
) -> None:
    end = time.monotonic() + JOIN_SECONDS
    while not condition():
        shutdown.check()
        for exit_message in processes:
            if (message := exit_message()) is not None:
                raise UserError(f"{problem()}: {message}")
        if time.monotonic() > end:
            raise UserError(f"{problem()} after {JOIN_SECONDS} s")
        time.sleep(0.2)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
