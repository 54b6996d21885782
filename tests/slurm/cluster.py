"""A Slurm cluster of this one machine: munge, slurmctld and several slurmd with ports, keys and folders of their own."""
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "sinfo")
MARK = "NORMQUANT_TEST_DAEMON"  # in the environment of every daemon and of the step managers that it starts

CONFIGURATION = """\
ClusterName=normquant
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_min_interval=100000,bf_interval=1,batch_sched_delay=0
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdTimeout=5
SlurmctldTimeout=5
KillWait=2
MinJobAge=300
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SlurmdParameters=config_overrides
GresTypes=gpu
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=10 PriorityTier=1
PartitionName=high Nodes=ALL MaxTime=10 PriorityTier=10
"""


def why_not():
    """Why there can be no cluster here; empty when there can."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    lacking = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    return f"{', '.join(lacking)} not installed (Debian packages slurm-wlm and munge)" if lacking else ""


def wait_until(condition, what, seconds=60):
    """The first answer of `condition` that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for: {what}")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def processes():
    """{process: its parent}."""
    parents = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            pass
    return parents


def has_mark(process, mark):
    try:
        return f"{MARK}={mark}\0".encode() in pathlib.Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return False


def family(mark):
    """What runs with this mark, and all their descendants."""
    parents = processes()
    found = {process for process in parents if has_mark(process, mark)}
    while True:
        more = {process for process, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


class Cluster:
    """Nodes n1, n2, ... of one CPU each; `gres` names the GPU type of each (no real one)."""

    def __init__(self, folder, gres):
        self.folder = pathlib.Path(folder)
        self.nodes = [f"n{i + 1}" for i in range(len(gres))]
        self.daemons = {}
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        self.environment = {**os.environ, "PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}
        host, user = socket.gethostname().split(".")[0], subprocess.check_output(["id", "-un"], text=True).strip()
        ports = free_ports(len(gres) + 1)
        nodes = "\n".join(f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=1000"
                          f" Gres=gpu:{kind}:1 State=UNKNOWN" for name, port, kind in zip(self.nodes, ports[1:], gres))
        (self.folder / "state").mkdir()
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, user=user, folder=folder, port=ports[0],
                                                                     nodes=nodes))
        (self.folder / "gres.conf").write_text("".join(f"NodeName={name} Name=gpu Type={kind} File=/dev/null\n"
                                                       for name, kind in zip(self.nodes, gres)))
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.mark = lambda name: f"{self.folder}/{name}"

    def start(self, name, *command):
        log = open(self.folder / f"{name}.out", "ab")
        self.daemons[name] = subprocess.Popen(command, env={**self.environment, MARK: self.mark(name)}, stdin=subprocess.DEVNULL,
                                              stdout=log, stderr=log, preexec_fn=end_with_parent)
        log.close()

    def start_all(self):
        at = self.folder
        self.start("munged", "munged", "--foreground", "--force", f"--key-file={at}/munge.key", f"--socket={at}/munge.socket",
                   f"--pid-file={at}/munged.pid", f"--seed-file={at}/munged.seed", f"--log-file={at}/munged.log")
        wait_until((at / "munge.socket").exists, "munged's socket")
        self.start_controller()
        for name in self.nodes:
            (at / f"spool.{name}").mkdir()
            self.start(name, "slurmd", "-D", "-N", name)
        wait_until(lambda: self.ask("sinfo", "-h", "-N", "-o", "%N %t").count("idle") >= len(self.nodes), "idle nodes", 20)

    def start_controller(self):
        self.start("slurmctld", "slurmctld", "-D")
        wait_until(lambda: "UP" in self.ask("scontrol", "ping"), "slurmctld")

    def kill(self, name):
        """As a machine that loses its power: the daemon, its step managers and their jobs, at once."""
        for which in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: nobody does anything about another's end
            for process in family(self.mark(name)):
                try:
                    os.kill(process, which)
                except ProcessLookupError:
                    pass
        self.daemons.pop(name).wait()

    def stop(self, name):
        """In order, as an administrator does."""
        self.daemons[name].terminate()
        self.daemons.pop(name).wait(30)

    def end(self):
        for name in reversed(list(self.daemons)):
            self.kill(name)

    def ask(self, *command):
        """What a command prints; its failure is an empty answer."""
        done = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else ""

    def queued(self, job):
        return self.ask("squeue", "-h", "-j", job, "-o", "%i %T %N %r")
