"""Plain tables -> structs: msgspec's conversion, with its errors in the words and keys of the case file."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from parsolve.case.array import Array
from parsolve.case.tables import brief, nearest
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from parsolve.case.origin import Origin

T = TypeVar("T")
_TURNS = threading.Lock()  # of threads: msgspec 0.22 crashes where two look at a kind for the first time together
_WORDS = {"str": "text", "float": "a number", "int": "a whole number", "bool": "true or false",
          "array": "a list", "object": "a table", "null": "nothing"}  # fmt: skip


def convert(data: object, kind: type[T], origin: Origin) -> T:
    """Return the struct of a kind that nested tables give.

    Raises:
        CaseError: an unknown, missing or wrong key.
    """
    try:
        with _TURNS:
            return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), data, kind, origin) from None
    except UnicodeEncodeError as error:
        raise CaseError(f"{origin.name}: {brief(ascii(error.object))}: a key that is no Unicode text") from None


def _refusal(message: str, data: object, kind: Any, origin: Origin) -> CaseError:
    """Return what msgspec found wrong as an error about a key."""
    problem, _, path = message.partition(" - at `")
    key = ""
    for step in re.findall(r"\.\w+|\[[\d.]+\]", path):
        kind, data, key = _inside(kind, data, key, step)
    if path.startswith("key"):
        return origin.error(key or "case", "a name in this table is not text")
    if field := re.fullmatch("Object missing required field `(.*)`", problem, re.DOTALL):
        return origin.error(_join(key, field[1]), "missing")
    if field := re.fullmatch("Object contains unknown field `(.*)`", problem, re.DOTALL):
        return origin.unknown(_join(key, field[1]), _keys(kind))
    if Array in _members(kind):
        return origin.unknown(key, ())
    expected = _alternatives(kind) or [_limits(problem)]
    close = nearest(data, expected) if isinstance(data, str) else ""
    hint = close if "did you mean" in close else ""
    return origin.error(key, f"expected {' or '.join(expected)}, got {_show(data)}{hint}")


def _inside(kind: Any, data: Any, key: str, step: str) -> tuple[Any, Any, str]:
    """Return type, value and dotted key one step of msgspec's path further in: `.field`, `[index]` or `[...]`."""
    if step.startswith("."):
        return get_type_hints(_struct(kind), include_extras=True)[step[1:]], data[step[1:]], _join(key, step[1:])
    inner = next(get_args(member) for member in _members(kind) if get_origin(member) in (dict, list, tuple))
    if step != "[...]":
        index = int(step[1:-1])
        return inner[min(index, len(inner) - 1)], data[index], key + step
    for name, value in data.items():  # a table with free names: msgspec means the first value that it refuses
        try:
            msgspec.convert(value, inner[1])
        except msgspec.ValidationError:
            return inner[1], value, _join(key, name)
    return inner[1], None, key


def _alternatives(kind: Any) -> list[str]:
    """Return what is due where a choice of words or a table of ours may stand; empty elsewhere."""
    said: list[str] = []
    for member in _members(kind):
        if get_origin(member) is Literal:
            said += map(str, get_args(member))
        elif hasattr(member, "EXAMPLE"):
            said.append(f"a table such as {member.EXAMPLE}")
    if said and get_origin(_members(kind)[0]) is Annotated:
        return ["a number > 0", *said]
    if get_origin(_members(kind)[0]) is Literal and Annotated in {get_origin(member) for member in _members(kind)}:
        return ["a number", *said]
    plain = [word for kind_, word in ((bool, "true or false"), (str, "text")) if kind_ in _members(kind)]
    return [*plain, *said] if said else said


def _limits(problem: str) -> str:
    """Return what is due, from msgspec's message in the words of the case file."""
    if "e+308" in problem or problem == "Number out of range":
        return "a finite number"
    text = re.sub(r", got .*$", "", problem.removeprefix("Expected ")).replace(" 0.0", " 0")
    text = re.sub(r"`([^`]*)`", lambda m: " or ".join(_WORDS.get(w, w) for w in m[1].split(" | ")), text)
    return text.replace(" or nothing", "")


def _members(kind: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _struct(kind: Any) -> type[msgspec.Struct]:
    """Return the struct among the types of a union."""
    return next(m for m in _members(kind) if isinstance(m, type) and issubclass(m, msgspec.Struct))


def _show(data: object) -> str:
    """Return a short picture of a value, as written in the file."""
    if isinstance(data, Mapping):
        return "a table"
    if isinstance(data, int) and abs(data) >= 10**60:
        return "a number of far too many digits"
    text = _WORDS["null"] if data is None else str(data).lower() if isinstance(data, bool) else repr(data)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys(kind: Any) -> list[str]:
    """Return the keys of a table of the case file: fields of its struct, but those that Python alone sets."""
    return [name for name in _struct(kind).__struct_fields__ if name not in ("origin", "array")]


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)
