"""What would end the process of a task ends the task alone, and an end that is none is seen by the launcher."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from parsolve.ensemble import staying
from parsolve.ensemble.staying import LEAVE, Left, Staying, awaited

SCRIPT = """
import os, sys
from parsolve.ensemble.staying import Staying, awaited
{}
print("lives", flush=True)
"""


def run(text: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", SCRIPT.format(text)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_os_exit_is_an_error_of_the_task() -> None:
    with pytest.raises(Left, match=r"os._exit\(0\)"), Staying():  # noqa: PT012
        with pytest.raises(Left), Staying():
            os._exit(3)
        os._exit(0)


def test_of_this_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []

    def end(code: int) -> None:
        ends.append(code)
        raise InterruptedError

    def leave(code: int) -> None:
        with suppress(InterruptedError):
            os._exit(code)

    monkeypatch.setattr(staying, "LEAVE", end)
    with awaited():
        with Staying():
            thread = threading.Thread(target=leave, args=(4,))
            thread.start()
            thread.join()
        with pytest.raises(InterruptedError):
            os._exit(0)
    with pytest.raises(InterruptedError):
        os._exit(0)
    assert ends == [4, 1, 0]
    assert LEAVE is not os._exit


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("os._exit(0)", 0, ""),
        ("with awaited(): os._exit(0)", 1, "parsolve: error: os._exit(0) in a process of which tasks are awaited\n"),
        (
            "with awaited(lambda: ' here'): os._exit(0)",
            1,
            "parsolve: error: os._exit(0) in a process of which tasks are awaited here\n",
        ),
        ("with awaited(), awaited(): pass\nos._exit(0)", 0, ""),
        ("with awaited(): os._exit(3)", 3, ""),
        ("with awaited(): pass\nos._exit(0)", 0, ""),
    ],
)
def test_an_end_while_others_wait_is_a_failure(text: str, code: int, told: str) -> None:
    done = run(text)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", told)


@pytest.mark.parametrize(("way", "code"), [("pass", 1), ("sys.exit(0)", 0), ("sys.exit('x')", 1), ("os._exit(5)", 5)])
def test_a_copy_of_the_process_ends_where_the_task_does(way: str, code: int) -> None:
    lines = [
        "with Staying():",
        " child = os.fork()",
        " if not child:",
        f"  {way}",
        "print(os.waitpid(child, 0)[1] // 256)",
    ]
    done = run("\n".join(lines))
    assert (done.returncode, done.stdout) == (0, f"{code}\nlives\n"), done.stderr
    assert ("came out of the task" in done.stderr) == (way == "pass")
