"""A real Slurm on this machine, as long as a test needs it.

All daemons run in network, mount and process namespaces of their own: nothing listens outside of them, other Slurms
are invisible, and all processes die with the first process. Needs root and Debian's packages (PACKAGES).
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "iproute2")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "ip", "unshare", "nsenter")
HERE = Path(__file__).parent

# GPUs are character devices without a function: Slurm counts and allocates them. Containers lack cgroups, so jobs are
# tracked as process groups, which leave no orphans after a cancel.
CONFIG = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
AuthType=auth/munge
AuthInfo=socket={directory}/socket/munge,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool_%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd_%n.pid
SlurmctldLogFile={directory}/log/slurmctld
SlurmdLogFile={directory}/log/slurmd_%n
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2,bf_interval=2
GresTypes=gpu
MinJobAge=3600
KillWait=20
JobRequeue=1
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
SlurmdParameters=config_overrides
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[17001-{last_port}] CPUs=8 RealMemory=32000 Gres=gpu:1
# Two nodes, as a small machine has two cores: pending jobs take no time from running jobs.
PartitionName=main Nodes=n[1-2] Default=YES PreemptMode=OFF
# Partitions for faults, all of which happen at the same time.
PartitionName=calm Nodes=n[3-8] PreemptMode=OFF
PartitionName=fragile Nodes=n[9-10] PreemptMode=OFF
PartitionName=shaky Nodes=n[11-12] PreemptMode=OFF
PartitionName=cancelled Nodes=n13 PriorityTier=1 PreemptMode=CANCEL GraceTime=30
PartitionName=cut Nodes=n14 PriorityTier=1 PreemptMode=CANCEL GraceTime=0
PartitionName=requeued Nodes=n15 PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=urgent Nodes=n[13-15] PriorityTier=100 PreemptMode=OFF
"""


def missing_programs():
    """Programs that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def install():
    """Install Debian's packages where that is possible; their services are not started."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    with (Path(tempfile.gettempdir()) / "scalarization_slurm_packages").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker of pytest may install them, too
        if not missing_programs():
            return
        policy = Path("/usr/sbin/policy-rc.d")
        created = not policy.exists()
        if created:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        get = ["apt-get", "--quiet", "--yes", "--no-install-recommends"]
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", *PACKAGES]):
            subprocess.run([*get, *command], env=quiet, stdin=subprocess.DEVNULL)
        if created:
            policy.unlink()


def reason_to_skip():
    """Why a cluster is impossible on this machine; empty if it is possible."""
    if missing_programs():
        packages = " ".join(PACKAGES)
        return f"no {', '.join(missing_programs())}; install with: apt-get install --no-install-recommends {packages}"
    if os.geteuid() != 0:
        return "a Slurm of one's own needs root"
    attempt = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True)
    return f"no namespaces here: {attempt.stderr.strip()}" if attempt.returncode else ""


class Cluster:
    """A running cluster; its files are in `directory`."""

    def __init__(self, directory, nodes=15):
        self.directory = directory
        for name in ("etc", "munge", "socket", "log", "state", "dev"):
            (directory / name).mkdir(parents=True)
        (directory / "munge").chmod(0o700)
        (directory / "munge" / "key").write_bytes(os.urandom(128))
        (directory / "munge" / "key").chmod(0o600)
        os.mknod(directory / "dev" / "gpu", 0o600 | 0o020000, os.makedev(1, 3))
        host = socket.gethostname().split(".")[0]
        config = CONFIG.format(host=host, directory=directory, nodes=nodes, last_port=17000 + nodes)
        (directory / "etc" / "slurm.conf").write_text(config)
        devices = f"NodeName=n[1-{nodes}] Name=gpu File={directory}/dev/gpu Flags=nvidia_gpu_env\n"
        (directory / "etc" / "gres.conf").write_text(devices)
        (directory / "etc" / "cgroup.conf").write_text("CgroupAutomount=no\n")
        (directory / "etc" / "hosts").write_text(f"127.0.0.1 localhost {host}\n")
        Path("/etc/slurm").mkdir(exist_ok=True)
        with (directory / "log" / "first").open("w") as log:
            self.process = subprocess.Popen(
                [
                    *("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
                    *(HERE / "cluster.sh", directory, str(nodes)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_for(lambda: (directory / "started").exists(), "the daemons")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self._first = children[0]
        self._enter = ["nsenter", f"--target={self._first}", "--net", "--mount", "--pid"]
        idle = ["sinfo", "--noheader", "--states=idle", "--Node", "--format=%N"]
        self.wait_for(lambda: len(set(self.ask(*idle, check=False).split())) == nodes, f"{nodes} idle nodes")

    def wait_for(self, condition, what, seconds=60):
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                logs = "\n".join(f"{f}:\n{f.read_text()[-1500:]}" for f in sorted((self.directory / "log").iterdir()))
                raise AssertionError(f"no {what} after {seconds} s\n{logs}")
            time.sleep(0.2)

    def command(self, *arguments, folder="/"):
        """A command line that runs inside the namespaces, in a folder."""
        # A folder that is entered from outside is another mount, and files cannot be renamed across mounts.
        return [*self._enter, "--", "sh", "-c", 'cd "$0" && exec "$@"', str(folder), *map(str, arguments)]

    def ask(self, *arguments, check=True):
        """The output of a command inside the namespaces."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def jobs(self):
        """Number of every Slurm job -> its properties as `scontrol show job` prints them, in order of submission."""
        output = self.ask("scontrol", "--oneliner", "show", "job", check=False)
        jobs = {}
        for line in output.splitlines():
            properties = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if "JobId" in properties:
                jobs[int(properties["JobId"])] = properties
        return dict(sorted(jobs.items()))

    def crash(self, node):
        """A node fails: its daemon and all processes of its jobs die at once."""
        jobs = [n for n, properties in self.jobs().items() if properties.get("NodeList") == node]
        steps = tuple(f"slurmstepd: [{job}." for job in jobs)
        for pid, command in self._processes():
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:  # it has ended, or must not be read
                continue
            daemon = command.endswith(f"slurmd -N {node}") or command.startswith(steps)
            if daemon or f"SLURMD_NODENAME={node}".encode() in environment:
                os.kill(pid, signal.SIGKILL)
        self.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=crashed")

    def restart_controller(self):
        """The controller dies and is started again; daemons and jobs of the nodes keep running."""
        file = self.directory / "slurmctld.pid"
        self.ask("kill", "-KILL", file.read_text().strip())
        self.ask("slurmctld")
        self.wait_for(lambda: "UP" in self.ask("scontrol", "ping", check=False), "controller")

    def processes_of(self, *words):
        """Numbers of the Python processes that have these words among their arguments."""
        return [n for n, command in self._processes() if {"python", *words} <= set(command.split())]

    def _processes(self):
        """Number and command line of the processes of this cluster, daemons first."""
        own = os.readlink(f"/proc/{self._first}/ns/pid")
        for pid in sorted(int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()):
            try:
                if os.readlink(f"/proc/{pid}/ns/pid") == own:
                    yield pid, Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:  # it has ended, or must not be read
                continue

    def end(self):
        self.process.kill()
        self.process.wait()
