"""Calls, values and errors survive their way as bytes, or it is said why not."""

from __future__ import annotations

import math
import sys
from functools import partial
from typing import Any

import pytest

from parsolve.ensemble import calls
from parsolve.ensemble.calls import RemoteTraceback, TaskError, Wishes, label, pack, takes_comm, task, unpack, wishes
from parsolve.errors import NumericalError, SetupError


def function(a: int, comm: Any = None) -> int:
    return a


def plain(a: int) -> int:
    return a


def any_keyword(**kwargs: Any) -> None: ...


def test_a_call_comes_back() -> None:
    fn, args, kwargs = unpack(pack(function, (1, [2]), {"key": "x"}))
    assert fn is function
    assert (args, kwargs) == ((1, [2]), {"key": "x"})


def test_a_call_is_packed_as_it_is_now() -> None:
    given = [1]
    packed = pack(plain, (given,), {})
    given.append(2)
    assert unpack(packed)[1] == ([1],)


def test_lambdas_go_with_cloudpickle_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(TaskError, match=r"<lambda> or its arguments cannot be sent.*pip install cloudpickle"):
        pack(lambda: 1, (), {})
    monkeypatch.undo()
    pytest.importorskip("cloudpickle")
    more = 2
    fn, _, _ = unpack(pack(lambda x: x + more, (), {}))
    assert fn(1) == 3


def test_what_no_pickle_takes_is_refused() -> None:
    with pytest.raises(TaskError, match="cannot be sent"):
        pack(plain, (sys._getframe(),), {})


def test_what_is_not_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "gone", function, raising=False)
    monkeypatch.setattr(function, "__qualname__", "gone")
    packed = pack(function, (), {})
    monkeypatch.delattr(sys.modules[__name__], "gone")
    with pytest.raises(TaskError, match="above the line that makes the executor"):
        unpack(packed)


def test_an_error_comes_back_with_traceback_and_note() -> None:
    def deep() -> None:
        raise NumericalError("not finite")

    try:
        deep()
    except NumericalError as error:
        packed = calls.pack_error(error, "f(1)")
    found = calls.unpack_error(packed, " on rank 2 of 4")
    assert isinstance(found, NumericalError)
    assert str(found) == "not finite"
    assert isinstance(found.__cause__, RemoteTraceback)
    assert "in deep" in str(found.__cause__)
    assert found.__notes__ == ["task f(1) on rank 2 of 4"]


def test_the_end_has_an_error_or_none() -> None:
    assert calls.unpack_end(calls.pack_end(None)) is None
    assert isinstance(calls.unpack_end(calls.pack_end(SystemExit(3))), SystemExit)


def test_a_label_is_short_and_never_fails() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise ValueError

    assert label(function, (1, "x"), {"comm": 5, "b": 2}) == "function(1, 'x', b=2)"
    assert len(label(function, (list(range(1000)), "x" * 1000), {})) < 200
    assert "Bad" in label(function, (Bad(),), {})


def test_who_takes_a_communicator() -> None:
    class Callable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, comm: Any) -> None: ...

    assert takes_comm(function) is True
    assert takes_comm(plain) is False
    assert takes_comm(any_keyword) is None
    assert takes_comm(partial(function, 1)) is True
    assert takes_comm(Callable()) is True
    assert takes_comm(dict) in (None, False)
    assert takes_comm(math.sqrt) is False


def test_wishes() -> None:
    decorated = task(ranks=2, priority=3)(partial(function))
    assert wishes(decorated, None, None, 4) == (Wishes(2, 3), True)
    assert wishes(decorated, 1, 0, 4) == (Wishes(1, 0), True)
    assert wishes(plain, None, None, 4) == (Wishes(1, 0), False)
    for ranks in (0, -1, 1.5, True, "2"):
        with pytest.raises(TaskError, match="ranks is a whole number"):
            wishes(plain, ranks, None, 4)  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="priority is a number"):
        wishes(plain, 1, math.nan, 4)
    with pytest.raises(SetupError, match="a task of 5 ranks does not fit, as there are 4"):
        wishes(function, 5, None, 4)
    with pytest.raises(TaskError, match="no parameter comm"):
        wishes(plain, 2, None, 4)
    with pytest.raises(TaskError, match="expected a function"):
        wishes(3, None, None, 4)  # type: ignore[arg-type]


class Here(Exception):
    """Can be unpickled where ``is_here``."""

    is_here = True

    def __reduce__(self) -> Any:
        return _make_here, (str(self),)


def _make_here(text: str) -> Here:
    if Here.is_here:
        return Here(text)
    raise SystemExit(0)


def test_an_error_that_cannot_be_unpickled_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = calls.pack_error(Here("there"), "f(1)")
    assert isinstance(calls.unpack_error(packed, ""), Here)
    monkeypatch.setattr(Here, "is_here", False)
    found = calls.unpack_error(packed, " on rank 2")
    assert isinstance(found, TaskError)
    assert str(found) == "Here: there"
    assert found.__notes__ == ["task f(1) on rank 2"]
