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
        both = (known, self.value)
        numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in both)
        return (numbers or all(isinstance(one, str) for one in both)) and bool(COMPARE[self.sign](*both))
