"""Tasks on ranks: each is run once, with the results of a loop, whatever the ranks, sizes, durations and failures."""

from __future__ import annotations

import concurrent.futures
import random
import re
import threading
import time
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import parsolve
from parsolve import Executor, task
from parsolve.ensemble import tasks as module
from parsolve.ensemble.calls import RemoteTraceback, TaskError
from parsolve.errors import CaseError, SetupError, agreed

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

    from mpi4py import MPI

ROOT = Path(__file__).parents[2]
HANGS = pytest.mark.timeout(100, method="thread")


def nested(n: int, comm: MPI.Intracomm) -> int:
    """Tasks within a task, on its ranks."""
    with Executor(comm) as tasks:
        if tasks is not None:
            return sum(tasks.map(square, range(n))) + tasks.submit(whole, 1, ranks=comm.size).result()[1]
    return -1


def square(x: int) -> int:
    return x * x


def whole(x: int, comm: MPI.Intracomm) -> tuple[int, int, list[int]]:
    """What a group has together: its size, the sum of x, and its ranks."""
    return comm.size, comm.allreduce(x), comm.allgather(comm.rank)


def nap(number: int, seconds: float, ranks: int, bad: int, comm: MPI.Intracomm) -> tuple[int, int, int]:
    time.sleep(seconds * (1 + comm.rank))
    if bad < ranks:
        fail_on(bad, comm)
        return number, 0, 0
    assert comm.size == ranks
    return number, comm.size, comm.allreduce(number)


def note(folder: Path, number: int) -> int:
    """Leave a file, which must not be there."""
    with (folder / str(number)).open("x"):
        return number


def begin_at(x: int) -> tuple[int, float]:
    return x, time.monotonic()


def fail(x: int) -> None:
    raise KeyError(f"no {x}")


def fail_on(bad: int, comm: MPI.Intracomm) -> None:
    if comm.rank >= bad:
        raise ValueError(f"bad on {comm.rank}")


def leave_message(comm: MPI.Intracomm) -> None:
    """Messages that nobody receives, and an error."""
    if comm.rank == 0:
        comm.isend("stale", dest=1)
        comm.bcast("stale")
        raise ValueError("gone")


def receive(comm: MPI.Intracomm) -> str:
    if comm.rank == 0:
        comm.send("fresh", dest=1)
        return comm.bcast("er") + comm.recv(source=1)
    text = comm.recv(source=0)
    comm.send(text + comm.bcast(None), dest=0)
    return text


def free(comm: MPI.Intracomm) -> int:
    comm.Free()
    return 1


class Unpicklable(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def fail_strangely() -> None:
    raise Unpicklable(1, 2)


def solve(n: int, folder: Path, comm: MPI.Intracomm) -> tuple[int, float]:
    case = parsolve.make_case(**heat(n))
    summary = parsolve.solve(case, folder / f"{n}.h5", comm=comm)
    return summary.steps, summary.fields["u"]["mean"]


def heat(n: int) -> dict[str, Any]:
    return {
        "equation": "heat",
        "grid": {"x": {"cells": 16 + n, "range": (0, 1)}, "y": {"cells": 16, "range": (0, 1)}},
        "parameters": {"D": 0.1},
        "initial": {"u": "x*y"},
        "time": {"steps": 5},
    }


def submit_from_a_task() -> None:
    Holder.tasks.submit(square, 1)


class Holder:
    tasks: Any = None


def test_map_is_a_loop(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            assert comm.rank == 0
            assert list(tasks.map(square, range(300))) == [x * x for x in range(300)]
            assert list(tasks.map(add, range(5), [1] * 9)) == [1, 2, 3, 4, 5]
            assert list(tasks.map(square, [])) == []


def test_each_task_is_run_once(comm: MPI.Intracomm, shared_tmp: Path) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            assert sorted(tasks.map(note, [shared_tmp] * 200, range(200))) == list(range(200))
    assert len(list(shared_tmp.iterdir())) == 200


@pytest.mark.parametrize("way", ["method", "concurrent.futures"])
def test_wait_and_as_completed(comm: MPI.Intracomm, way: str) -> None:
    with Executor(comm) as tasks:
        if tasks is None:
            return
        from_where: Any = tasks if way == "method" else concurrent.futures
        pending = [tasks.submit(square, i) for i in range(40)]
        assert sorted(f.result() for f in from_where.as_completed(pending)) == [x * x for x in range(40)]
        pending = [tasks.submit(square, i) for i in range(40)]
        done, not_done = from_where.wait(pending)
        assert done == set(pending)
        assert not not_done
        pending = [tasks.submit(fail, 1), *(tasks.submit(square, i) for i in range(3))]
        done, _ = from_where.wait(pending, return_when=concurrent.futures.FIRST_EXCEPTION)
        assert done
        done, _ = from_where.wait([tasks.submit(square, i) for i in range(3)], return_when="FIRST_COMPLETED")
        assert done


def test_who_only_looks_gets_on_too(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            pending = [tasks.submit(whole, i, ranks=n) for n in range(1, comm.size + 1) for i in range(3)]
            while not all(f.done() for f in pending):
                time.sleep(0.001)
            assert [f.result()[0] for f in pending] == [n for n in range(1, comm.size + 1) for _ in range(3)]


def test_a_body_that_waits_for_a_thread_does_tasks(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            future, found = tasks.submit(whole, 2, ranks=comm.size), []
            thread = threading.Thread(target=lambda: found.append(future.result()))
            thread.start()
            thread.join()
            assert found[0][:2] == (comm.size, 2 * comm.size)


def test_timeouts_of_the_body(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            never: concurrent.futures.Future[int] = concurrent.futures.Future()
            with pytest.raises(TimeoutError):
                list(tasks.as_completed([never, tasks.submit(square, 2)], timeout=0.05))
            assert tasks.wait([never], timeout=0.01) == (set(), {never})


def test_the_end_of_the_block_waits_for_all(comm: MPI.Intracomm) -> None:
    pending = []
    with Executor(comm) as tasks:
        if tasks is not None:
            pending = [tasks.submit(square, i) for i in range(50)]
            pending += [tasks.submit(whole, i, ranks=comm.size) for i in range(3)]
    assert all(f.done() for f in pending)
    assert [f.result() for f in pending[:50]] == [x * x for x in range(50 if comm.rank == 0 else 0)]


def test_groups_have_the_ranks_that_were_asked_for(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            for ranks in range(1, comm.size + 1):
                for found in tasks.map(whole, range(4), ranks=ranks):
                    assert found[0] == ranks
                    assert found[2] == list(range(ranks))


@HANGS
@pytest.mark.parametrize("seed", range(6))
def test_mixes_of_sizes_and_durations_come_to_an_end(comm: MPI.Intracomm, seed: int) -> None:
    chance = random.Random(seed)
    expected, pending = [], []
    with Executor(comm) as tasks:
        if tasks is not None:
            for number in range(60):
                ranks, bad = chance.randint(1, comm.size), chance.randint(0, 4 * comm.size)
                seconds = chance.choice((0, 0, 1e-4, 1e-3, 4e-3))
                given = nap, number, seconds, ranks, bad
                pending.append(tasks.submit(*given, ranks=ranks, priority=chance.randint(0, 1)))
                expected.append(f"bad on {bad}" if bad < ranks else (number, ranks, number * ranks))
                if chance.random() < 0.1:
                    tasks.wait([chance.choice(pending)])
            assert [str(f.exception()) if f.exception() else f.result() for f in pending] == expected


@HANGS
def test_a_task_may_have_tasks_of_its_own(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            sizes = [1 + i % comm.size for i in range(8)]
            pending = [tasks.submit(nested, 20, ranks=ranks) for ranks in sizes]
            assert [f.result() - ranks for f, ranks in zip(pending, sizes, strict=True)] == [2470] * 8


@HANGS
def test_groups_beyond_the_most_are_freed(comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_GROUPS", 2)
    with Executor(comm) as tasks:
        if tasks is not None:
            sizes = [1 + i % comm.size for i in range(300)]
            pending = [tasks.submit(whole, 1, ranks=ranks) for ranks in sizes]
            assert [f.result()[1] for f in pending] == sizes
            assert len(tasks._known) <= 2 + comm.size
            assert len(tasks._groups) <= 2 + comm.size


def test_executors_follow_each_other(comm: MPI.Intracomm) -> None:
    for _ in range(10):
        with Executor(comm) as tasks:
            if tasks is not None:
                assert tasks.submit(whole, 1, ranks=comm.size).result()[1] == comm.size


def test_high_priorities_go_first(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            gate = [tasks.submit(time.sleep, 0.05) for _ in range(comm.size)]
            low = [tasks.submit(begin_at, i) for i in range(2)]
            high = [tasks.submit(begin_at, i, priority=1) for i in range(2 * comm.size)]
            concurrent.futures.wait(gate)
            assert min(f.result()[1] for f in high) <= min(f.result()[1] for f in low)
            if comm.size == 1:
                assert max(f.result()[1] for f in high) <= min(f.result()[1] for f in low)


def test_what_has_not_begun_can_be_cancelled(comm: MPI.Intracomm, shared_tmp: Path) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            gate = [tasks.submit(time.sleep, 0.05) for _ in range(2 * comm.size)]
            pending = [tasks.submit(note, shared_tmp, i) for i in range(20)]
            cancelled = {i for i, future in enumerate(pending) if future.cancel()}
            assert 19 in cancelled
            assert tasks.wait(gate + pending)[1] == set()
            for i in cancelled:
                assert pending[i].cancelled()
                with pytest.raises(concurrent.futures.CancelledError):
                    pending[i].result()
            assert {int(path.name) for path in shared_tmp.iterdir()} == set(range(20)) - cancelled


def test_errors_come_back_with_their_traceback_and_task(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            pending = [tasks.submit(fail, i) if i % 3 == 0 else tasks.submit(square, i) for i in range(30)]
            for i, future in enumerate(pending):
                if i % 3:
                    assert future.result() == i * i
                    continue
                with pytest.raises(KeyError, match=f"no {i}") as caught:
                    future.result()
                assert isinstance(caught.value.__cause__, RemoteTraceback)
                assert "in fail" in str(caught.value.__cause__)
                assert f"task fail({i})" in caught.value.__notes__[0]
            with pytest.raises(TaskError, match="Unpicklable: 1 and 2"):
                tasks.submit(fail_strangely).result()
            with pytest.raises(TaskError, match="it ended its process: SystemExit: 3"):
                tasks.submit(exit, 3).result()


@HANGS
def test_a_failure_on_some_ranks_of_a_group_is_one_of_the_task(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            for ranks in range(1, comm.size + 1):
                for bad in range(ranks):
                    future = tasks.submit(fail_on, bad, ranks=ranks)
                    with pytest.raises(ValueError, match=f"bad on {bad}"):
                        future.result()
                assert tasks.submit(whole, 1, ranks=ranks).result()[1] == ranks


def test_a_group_begins_afresh_after_a_failure(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None and comm.size > 1:
            for _ in range(5):
                with pytest.raises(ValueError, match="gone"):
                    tasks.submit(leave_message, ranks=2).result()
                assert tasks.submit(receive, ranks=2).result() == "erfresher"


def test_a_task_may_free_its_communicator(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            for ranks in range(1, comm.size + 1):
                assert tasks.submit(free, ranks=ranks).result() == 1
                assert tasks.submit(whole, 1, ranks=ranks).result()[1] == ranks


def test_an_error_of_the_body_ends_all_ranks(comm: MPI.Intracomm) -> None:
    with pytest.raises(CaseError, match="the body") as caught, Executor(comm) as tasks:  # noqa: PT012
        if tasks is not None:
            for i in range(100):
                tasks.submit(square, i)
            raise CaseError("the body")
    assert caught.value.ranks == comm.size
    with pytest.raises(SystemExit), Executor(comm) as tasks:  # noqa: PT012
        if tasks is not None:
            raise SystemExit(4)
    with agreed(comm):
        pass


def test_the_decorator_says_how_many_ranks(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            assert tasks.submit(decorated, 3).result()[:2] == (1, 3)
            assert tasks.submit(decorated, 3, ranks=comm.size).result()[:2] == (comm.size, 3 * comm.size)
            assert [found[1] for found in tasks.map(decorated, range(3))] == [0, 1, 2]


@task(ranks=1, priority=2)
def decorated(x: int, comm: MPI.Intracomm) -> Any:
    return whole(x, comm)


def test_what_cannot_be_is_refused(comm: MPI.Intracomm) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            with pytest.raises(SetupError, match=f"of {comm.size + 1} ranks does not fit, as there are {comm.size}"):
                tasks.submit(whole, 1, ranks=comm.size + 1)
            with pytest.raises(TaskError, match="whole number"):
                tasks.submit(whole, 1, ranks=0)
            if comm.size > 1:
                with pytest.raises(TaskError, match="no parameter comm"):
                    tasks.submit(square, 1, ranks=2)
            Holder.tasks = tasks
            future = tasks.submit(submit_from_a_task)
            with pytest.raises((TaskError, AttributeError)):
                future.result()
            Holder.tasks = None
    if comm.rank == 0:
        assert tasks is not None
        with pytest.raises(SetupError, match="within the with block"):
            tasks.submit(square, 1)


@HANGS
def test_a_task_solves_a_case_on_its_ranks(comm: MPI.Intracomm, shared_tmp: Path) -> None:
    with Executor(comm) as tasks:
        if tasks is not None:
            sizes = [1 + i % comm.size for i in range(6)]
            pending = [tasks.submit(solve, n, shared_tmp, ranks=ranks) for n, ranks in enumerate(sizes)]
            found = [f.result() for f in pending]
            assert [steps for steps, _ in found] == [5] * 6
            assert all(mean == pytest.approx(0.25) for _, mean in found)


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_snippets_of_the_page(script: Callable[..., CompletedProcess[str]], ranks: int) -> None:
    page = (ROOT / "docs/tasks.md").read_text("utf-8")
    first, second = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    done = script(first, ranks)
    assert (done.returncode, done.stdout) == (0, "332833500\n"), done.stderr
    assert "`mpirun -n 4 python script.py` prints 332833500" in page
    done = script(second, ranks)
    assert done.returncode == 0, done.stderr
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == ["0.1", "0.2", "0.4"]
