"""What is asked of a file: a key of its case, or a fact of it, against a value."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from parsolve.case.tables import toml_value
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPARE = {
    "=": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
NUMBER, TEXT, TRUTH, LIST = "a number", "a text", "true or false", "a list"
_FORM = re.compile(r"\s*([A-Za-z_][\w.\-]*)\s*(!=|<=|>=|=|<|>)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """``key`` compared with ``value``; a list has the value or has it not, a text is compared letter by letter."""

    key: str
    sign: str
    value: Any

    @staticmethod
    def of(text: str) -> Condition:
        """Return the condition of a text such as ``parameters.F >= 0.03``.

        Raises:
            CaseError: it is none.
        """
        found = _FORM.fullmatch(text)
        if found is None or not found[3].strip():
            raise CaseError(
                f"--where {text!r}: expected KEY = VALUE, or with != < <= > >=, as in 'parameters.F >= 0.03'"
            )
        return Condition(found[1], found[2], toml_value(found[3].strip()))

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Return whether it is so; what a file does not say is not so."""
        if self.key not in facts:
            return False
        known = facts[self.key]
        if isinstance(known, list) and not isinstance(self.value, list):
            return self.sign in ("=", "!=") and (self.value in known) == (self.sign == "=")
        if self.sign in ("=", "!="):
            return bool(COMPARE[self.sign](known, self.value))
        return not self.doubt(facts) and bool(COMPARE[self.sign](known, self.value))

    def doubt(self, facts: Mapping[str, Any]) -> str:
        """Return why it says nothing of what a file has under its key, as a text against a number; else empty."""
        if self.key not in facts:
            return ""
        known, kind = facts[self.key], _kind(self.value)
        is_list = isinstance(known, list) and kind != LIST
        held = {_kind(one) for one in known} if is_list else {_kind(known)}
        if held and kind not in held:
            hint = f"; write {self.key}{self.sign}'\"{self.value}\"'" if held == {TEXT} and kind == NUMBER else ""
            what = f"{'a list of which one is ' if is_list else ''}{min(held)}"
            return f"'{self.key}' is {what}, and {self.value!r} is {kind}{hint}"
        if self.sign not in ("=", "!=") and (is_list or kind not in (NUMBER, TEXT)):
            return f"'{self.key}' is {LIST if is_list else kind}: ask for it with = or !="
        return ""


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return TRUTH
    return NUMBER if isinstance(value, int | float) else TEXT if isinstance(value, str) else LIST
