"""The memory that is free on a node: what the system tells, and what control groups leave to this process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mpi4py import MPI

ROOT = Path("/")
# Of control groups: where they are, limit, usage, and the pages of files, which are given back first.
VERSION_1 = (("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_(?:in)?active_file"),)
VERSION_2 = tuple(
    (place, "memory.max", "memory.current", "(?:in)?active_file")
    for place in ("sys/fs/cgroup", "sys/fs/cgroup/unified")
)


def free_memory(root: Path = ROOT) -> dict[str, int]:
    """Return the bytes that are free, by who limits them: the node, and control groups, which ranks may share.

    Empty where the system tells nothing.
    """
    found = {}
    available = re.search(r"^MemAvailable:\s*(\d+) kB", _read(root / "proc/meminfo"), re.M)
    if available:
        found["node"] = int(available[1]) * 1024
    for folder, limit, usage, files in _groups(root):
        most, used = _read(folder / limit).strip(), _read(folder / usage).strip()
        if most.isdecimal() and used.isdecimal():
            given_back = sum(map(int, re.findall(rf"^{files} (\d+)", _read(folder / "memory.stat"), re.M)))
            found[str(folder)] = max(0, int(most) - max(0, int(used) - given_back))
    return found


def _groups(root: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Folders of the control groups that may limit the memory of this process, and what to read there."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        inside = Path(*(part for part in Path(path).parts if part not in ("/", "..")))
        places = VERSION_1 if "memory" in controllers.split(",") else () if controllers else VERSION_2
        for place, limit, usage, files in places:
            for part in (inside, *inside.parents):  # in a container the group may be the topmost that is seen
                yield root / place / part, limit, usage, files


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def shortage(comm: MPI.Intracomm, needed: int) -> str | None:
    """Return where the ranks of a node need more memory together than is free, and how much; collective.

    Args:
        comm: its ranks.
        needed: bytes, of this rank.
    """
    from mpi4py import MPI

    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    lacking = short_of(node.allgather((needed, free_memory())))
    node.Free()
    text = lacking and described(*lacking, MPI.Get_processor_name())
    return next((text for text in comm.allgather(text) if text), None)


def short_of(ranks: Sequence[tuple[int, Mapping[str, int]]]) -> tuple[int, int, int] | None:
    """Return how many ranks need how many bytes where fewer are free; None: there are enough for all.

    Args:
        ranks: of a node; the bytes that each needs, and that are free to it by who limits them.
    """
    for limited in dict.fromkeys(name for _, free in ranks for name in free):
        sharing = [(needed, free[limited]) for needed, free in ranks if limited in free]
        needed, free = sum(n for n, _ in sharing), min(n for _, n in sharing)
        if needed > free:
            return len(sharing), needed, free
    return None


def described(ranks: int, needed: int, free: int, where: str) -> str:
    """Return a shortage in words."""
    who = f"{ranks} ranks need" if ranks > 1 else "a rank needs"
    return f"{who} {needed / 2**30:.3g} GiB on {where}, and {free / 2**30:.3g} GiB is free there"
