"""Free memory: what a system tells, in every way in which it tells it, and what all ranks of a node need together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsolve.domain import memory
from parsolve.domain.memory import free_memory, short_of, shortage

if TYPE_CHECKING:
    from mpi4py import MPI

MIB = 1 << 20
UNLIMITED = {"1": str((1 << 63) - 4096), "2": "max"}
PLACES = {"1": "sys/fs/cgroup/memory", "2": "sys/fs/cgroup", "hybrid": "sys/fs/cgroup/unified"}
LINES = {"1": "9:cpu,cpuacct:/else\n4:memory:{}\n0::/\n", "2": "0::{}\n", "hybrid": "4:cpu:/\n0::{}\n"}


def system(root: Path, kind: str, path: str, available: int | None = None) -> Path:
    """A file system whose process is in a control group; gives the place of its groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(LINES[kind].format(path))
    if available is not None:
        (root / "proc/meminfo").write_text(f"MemTotal: 999999999 kB\nMemAvailable:   {available // 1024} kB\n")
    return root / PLACES[kind]


def group(folder: Path, kind: str, limit: int | None, usage: int, files: int = 0) -> None:
    """A control group with so much in use, of it so many bytes of files."""
    folder.mkdir(parents=True, exist_ok=True)
    first = kind == "1"
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if first else ("memory.max", "memory.current")
    (folder / names[0]).write_text(f"{UNLIMITED['1' if first else '2'] if limit is None else limit}\n")
    (folder / names[1]).write_text(f"{usage}\n")
    total = "total_" * first
    lines = (f"{total}inactive_file {files // 2}", f"{total}active_file {files - files // 2}", f"{total}anon 7")
    (folder / "memory.stat").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("kind", PLACES)
def test_the_least_of_node_and_groups_is_free(tmp_path: Path, kind: str) -> None:
    """The groups of a process and all above them; what is in files is given back."""
    place = system(tmp_path, kind, "/jobs/one", 900 * MIB)
    group(place / "jobs/one", kind, 800 * MIB, 300 * MIB, 100 * MIB)
    group(place / "jobs", kind, 2000 * MIB, 1500 * MIB)
    group(place / "jobs/other", kind, 10 * MIB, 0)
    found = free_memory(tmp_path)
    assert found == {"node": 900 * MIB, str(place / "jobs/one"): 600 * MIB, str(place / "jobs"): 500 * MIB}


@pytest.mark.parametrize("kind", PLACES)
def test_a_group_without_a_limit_leaves_the_node(tmp_path: Path, kind: str) -> None:
    group(system(tmp_path, kind, "/", 900 * MIB), kind, None, 300 * MIB)
    assert min(free_memory(tmp_path).values()) == 900 * MIB


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("path", ["/docker/0123", "/../../job"])
def test_in_a_container_the_topmost_group_counts(tmp_path: Path, kind: str, path: str) -> None:
    """Its process is told a path that it cannot see."""
    group(system(tmp_path, kind, path, 900 * MIB), kind, 64 * MIB, 65 * MIB, 4 * MIB)
    assert min(free_memory(tmp_path).values()) == 3 * MIB


def test_a_full_group_leaves_nothing(tmp_path: Path) -> None:
    group(system(tmp_path, "2", "/job"), "2", 64 * MIB, 65 * MIB)
    assert list(free_memory(tmp_path).values()) == [0]


def test_where_the_system_tells_nothing_nothing_is_known(tmp_path: Path) -> None:
    assert free_memory(tmp_path) == {}
    assert short_of([(10**30, {}), (1, {})]) is None


def test_here_something_is_free() -> None:
    found = free_memory()
    assert bool(found) == Path("/proc/meminfo").is_file()
    assert all(n > 0 for n in found.values())


@given(st.lists(st.tuples(st.integers(0, 9), st.dictionaries(st.sampled_from("abc"), st.integers(0, 20))), min_size=1))
def test_ranks_that_share_a_limit_need_less_together(ranks: list[tuple[int, dict[str, int]]]) -> None:
    found = short_of(ranks)
    for limited in "abc":
        sharing = [(needed, free[limited]) for needed, free in ranks if limited in free]
        if sharing and found is None:
            assert sum(n for n, _ in sharing) <= min(n for _, n in sharing)
    if found is not None:
        count, needed, free = found
        assert count <= len(ranks)
        assert needed > free


@pytest.mark.mpi
def test_a_shortage_is_told_to_all_ranks(comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all together need more, though each alone does not."""
    monkeypatch.setattr(memory, "free_memory", lambda: {"node": 4096 * MIB})
    each = 4096 * MIB // comm.size
    assert shortage(comm, each) is None
    found = shortage(comm, each + comm.size * (comm.rank == comm.size - 1))
    assert comm.allgather(found) == [found] * comm.size
    assert found is not None
    assert "4 GiB" in found
