"""A real Slurm on this machine, for as long as a test needs it.

All daemons run in network, mount and process namespaces of their own: nothing listens outside of them, other Slurms
are not seen, and whatever is left over dies with their first process. Needs root and Debian's packages (PACKAGES).
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

# GPUs are character devices that lead nowhere: Slurm counts them and hands them out. No cgroups, which containers lack;
# process groups leave no orphans after a cancel.
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
# As many GPUs as a small machine has cores: what waits takes no time from what runs.
PartitionName=main Nodes=n[1-2] Default=YES PreemptMode=OFF
# Where something happens to jobs, all at the same time.
PartitionName=calm Nodes=n[3-8] PreemptMode=OFF
PartitionName=fragile Nodes=n[9-10] PreemptMode=OFF
PartitionName=shaky Nodes=n[11-12] PreemptMode=OFF
PartitionName=cancelled Nodes=n13 PriorityTier=1 PreemptMode=CANCEL GraceTime=30
PartitionName=cut Nodes=n14 PriorityTier=1 PreemptMode=CANCEL GraceTime=0
PartitionName=requeued Nodes=n15 PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=urgent Nodes=n[13-15] PriorityTier=100 PreemptMode=OFF
"""


def lacking():
    """Programs that are not there."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def install():
    """Debian's packages, where they can be had; their services are not started."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    with (Path(tempfile.gettempdir()) / "scalarization_slurm_packages").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other worker of pytest wants them, too
        if not lacking():
            return
        policy = Path("/usr/sbin/policy-rc.d")
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        get = ["apt-get", "--quiet", "--yes", "--no-install-recommends"]
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", *PACKAGES]):
            subprocess.run([*get, *command], env=quiet, stdin=subprocess.DEVNULL)
        if ours:
            policy.unlink()


def missing():
    """Why there can be no cluster on this machine; empty if there can."""
    if lacking():
        packages = " ".join(PACKAGES)
        return f"no {', '.join(lacking())}; install with: apt-get install --no-install-recommends {packages}"
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
        filled = CONFIG.format(host=host, directory=directory, nodes=nodes, last_port=17000 + nodes)
        (directory / "etc" / "slurm.conf").write_text(filled)
        devices = f"NodeName=n[1-{nodes}] Name=gpu File={directory}/dev/gpu Flags=nvidia_gpu_env\n"
        (directory / "etc" / "gres.conf").write_text(devices)
        (directory / "etc" / "cgroup.conf").write_text("CgroupAutomount=no\n")
        (directory / "etc" / "hosts").write_text(f"127.0.0.1 localhost {host}\n")
        Path("/etc/slurm").mkdir(exist_ok=True)
        with (directory / "log" / "first").open("w") as log:
            self.process = subprocess.Popen(
                ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
                + [HERE / "cluster.sh", directory, str(nodes)],
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
        """Wait until something holds."""
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                logs = "\n".join(f"{f}:\n{f.read_text()[-1500:]}" for f in sorted((self.directory / "log").iterdir()))
                raise AssertionError(f"no {what} after {seconds} s\n{logs}")
            time.sleep(0.2)

    def command(self, *arguments, folder="/"):
        """A command line that runs inside, in a folder."""
        # A folder entered from outside would be another mount, and renaming across mounts is refused.
        return [*self._enter, "--", "sh", "-c", 'cd "$0" && exec "$@"', str(folder), *map(str, arguments)]

    def ask(self, *arguments, check=True):
        """What a command inside says."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def jobs(self):
        """Slurm's number of every job -> its properties, as `scontrol show job` tells them, in order of submission."""
        said = self.ask("scontrol", "--oneliner", "show", "job", check=False)
        found = {}
        for line in said.splitlines():
            facts = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if "JobId" in facts:
                found[int(facts["JobId"])] = facts
        return dict(sorted(found.items()))

    def crash(self, node):
        """A node fails: its daemon and all processes of its jobs die at once."""
        jobs = [n for n, facts in self.jobs().items() if facts.get("NodeList") == node]
        steps = tuple(f"slurmstepd: [{job}." for job in jobs)
        for pid, command in self._processes():
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:  # it has ended, or is nobody that could be looked at
                continue
            daemon = command.endswith(f"slurmd -N {node}") or command.startswith(steps)
            if daemon or f"SLURMD_NODENAME={node}".encode() in environment:
                os.kill(pid, signal.SIGKILL)
        self.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=crashed")

    def restart_controller(self):
        """The controller dies and comes back; daemons and jobs of the nodes live on."""
        file = self.directory / "slurmctld.pid"
        self.ask("kill", "-KILL", file.read_text().strip())
        self.ask("slurmctld")
        self.wait_for(lambda: "UP" in self.ask("scontrol", "ping", check=False), "controller")

    def processes_of(self, *words):
        """Numbers of the Python processes that have these words among their arguments."""
        return [n for n, command in self._processes() if {"python", *words} <= set(command.split())]

    def _processes(self):
        """Number and command line of this cluster's processes, daemons first, and of nobody else's."""
        own = os.readlink(f"/proc/{self._first}/ns/pid")
        for pid in sorted(int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()):
            try:
                if os.readlink(f"/proc/{pid}/ns/pid") == own:
                    yield pid, Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:  # it has ended, or is nobody that could be looked at
                continue

    def end(self):
        self.process.kill()
        self.process.wait()
