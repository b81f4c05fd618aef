"""The program with a fault of one rank at one place: python -m faults.rank_fault PHASE RANK KIND WORDS...

What fails is put around functions of the program before it starts; it has no hooks for that.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from functools import wraps
from importlib import import_module
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FIRED = "PARSOLVE_FAULT_FIRED"  # names a file that is made before the fault
KINDS: dict[str, Callable[[], Any]] = {
    "exit": lambda: os._exit(7),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segv": lambda: ctypes.string_at(0),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
}
PHASES = {  # where: module, what of it, and at which of its calls
    "import": ("numpy", "", 1),
    "init": ("parsolve.__main__", "_start_mpi", 1),
    "pose": ("parsolve.problem.pose", "pose", 1),
    "pack": ("parsolve.domain.halo", "HaloExchange.start", 3),
    "post": ("parsolve.domain.halo", "_start", 3),
    "wait": ("parsolve.domain.halo", "HaloExchange._wait", 3),
    "reduce": ("parsolve.march.watch", "Watch.look", 2),
    "write": ("parsolve.store.slabs", "write_at", 2),
    "vote": ("parsolve.store.stages", "Job.go_on", 2),
    "status": ("parsolve.problem.keeping", "Keeper._tell", 3),
    "gather": ("parsolve.store.combine", "copy_bytes", 1),
    "finalize": ("parsolve.__main__", "World.close", 1),
}
AFTER = ("init",)  # these return before the fault


class Fault:
    """One that comes at the n-th call, on one rank."""

    def __init__(self, rank: int, kind: str, n: int) -> None:
        self.left, self.kind = n if own_rank() == rank else -1, kind

    def come(self) -> None:
        self.left -= 1
        if self.left == 0:
            Path(os.environ[FIRED]).touch()
            if self.kind == "exception":
                raise LookupError("a fault for tests")  # which is not taken for one of HDF5
            KINDS[self.kind]()


def own_rank() -> int:
    """The rank of this process, as the launcher says."""
    return int(os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ.get("PMI_RANK") or 0)


class Importing(MetaPathFinder):
    """A fault where a module is looked for."""

    def __init__(self, module: str, fault: Fault) -> None:
        self.module, self.fault = module, fault

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == self.module:
            self.fault.come()


def arm(phase: str, fault: Fault) -> None:
    """Let the fault come in a phase."""
    module, what, _ = PHASES[phase]
    if not what:
        sys.meta_path.insert(0, Importing(module, fault))
        return
    owner: Any = import_module(module)
    if module == "parsolve.domain.halo":
        owner.SMALL = 0  # messages, where a small grid has mailboxes
    *outer, name = what.split(".")
    for part in outer:
        owner = getattr(owner, part)
    real = getattr(owner, name)

    @wraps(real)
    def faulty(*args: Any, **named: Any) -> Any:
        if phase in AFTER:
            result = real(*args, **named)
            fault.come()
            return result
        fault.come()
        return real(*args, **named)

    setattr(owner, name, faulty)


def main(phase: str, rank: int, kind: str, argv: list[str]) -> int:
    """Run the program as `python -m parsolve` does."""
    from parsolve.__main__ import main as program

    arm(phase, Fault(rank, kind, PHASES[phase][2]))
    return program(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
