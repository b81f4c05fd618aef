"""A Slurm of one node, on this host and for as long as it is needed; everything of it lies in one folder."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun", "scancel")
CONFIGURATION = """\
ClusterName=parsolve
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=requeue_delay=0,sched_interval=1,bf_interval=1
MinJobAge=600
KillWait=5
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


def lacking() -> str:
    """Why there can be no Slurm here; empty if there can."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if missing:
        return f"Slurm is not installed: no {', '.join(missing)} (Debian: slurm-wlm, munge)"
    return "" if os.geteuid() == 0 else "Slurm's daemons are started by root alone"


class Cluster:
    """A running Slurm.

    Args:
        folder: for configuration, state and logs; its path is short, as sockets lie there.

    Attributes:
        environment: in which the commands find it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._daemons = folder, list[subprocess.Popen[bytes]]()
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}

    def start(self, seconds: float = 60) -> None:
        """Start its daemons and wait until the node takes jobs.

        Raises:
            RuntimeError: it does not, with the ends of the logs.
        """
        folder = self._folder
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        host, ports = socket.gethostname().partition(".")[0], _free_ports(2)
        text = CONFIGURATION.format(host=host, folder=folder, ports=ports, cpus=os.cpu_count())
        (folder / "slurm.conf").write_text(text)
        conf = str(folder / "slurm.conf")
        munge = [
            f"--{name}={folder}/munge.{end}"
            for name, end in (
                ("socket", "socket"),
                ("key-file", "key"),
                ("pid-file", "pid"),
                ("seed-file", "seed"),
                ("log-file", "log"),
            )
        ]
        self._begin("munged", "--foreground", "--force", *munge)
        self._begin("slurmctld", "-D", "-f", conf)
        self._begin("slurmd", "-D", "-f", conf)
        end = time.monotonic() + seconds
        while self.ask("sinfo", "-h", "-o", "%t").strip() not in ("idle", "mix"):
            if time.monotonic() > end or any(daemon.poll() is not None for daemon in self._daemons):
                logs = "\n".join(path.read_text("utf-8", "replace")[-1500:] for path in sorted(folder.glob("*.log")))
                self.stop()
                raise RuntimeError(f"Slurm does not start:\n{logs}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Cancel all jobs and end the daemons."""
        with suppress(OSError, subprocess.SubprocessError):
            self.ask("scancel", "--user=root", "--full", "--signal=KILL")
        for daemon in reversed(self._daemons):
            daemon.terminate()
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()

    def ask(self, *words: str) -> str:
        """What a command answers; empty if it fails."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout if done.returncode == 0 else ""

    def _begin(self, *words: str) -> None:
        with (self._folder / f"{words[0]}.out").open("wb") as log:
            self._daemons.append(subprocess.Popen(words, env=self.environment, stdout=log, stderr=log))


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
