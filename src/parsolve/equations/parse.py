"""The text of an expression to a SymPy expression, by an own grammar, safe for texts of any origin.

    >>> parse("sin(2*pi*x) + 0.1*y**2", ["x", "y", "t"])
    0.1*y**2 + sin(2*pi*x)

Numbers: whole numbers and their quotients stay exact (`Integer`, `Rational`) up to 2**53. All others, such as
0.1, are a `Float` of 53 bits that holds exactly the double Python and C read in the same digits, so that
`repr(float(number))` in generated C text is the number the user wrote. What holds no name is worked out at
once, in double precision; a result that is not a finite real number is an error there and then.

Limits (see syntax.py for length, depth and nodes): exponents are at most 64 in size, also when multiplied
through nested powers, so that the exact arithmetic SymPy does by itself stays small.
"""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Any, NoReturn

import sympy

from parsolve.equations.functions import LOGIC, OPERATOR_FUNCTIONS, RELATIONS, VALUE_FUNCTIONS, Function, where
from parsolve.equations.syntax import MAX_EXPONENT, Node, Source, read, read_equation
from parsolve.equations.wishes import DELAY, ELSEWHERE, MORE_ARGUMENTS, SHIFT, wish

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

CONSTANTS: Mapping[str, Any] = {"pi": sympy.pi}
_EXACT = 2**53
_ELSEWHERE = {
    "ln": "log", "fabs": "abs", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2",
    "ceiling": "ceil", "minimum": "min", "maximum": "max", "laplacian": "laplace", "e": "exp", "random": "noise",
    "rand": "noise", "lap": "laplace", "del2": "laplace", "nabla2": "laplace", "bilaplacian": "biharmonic",
    "gradient": "grad", "divergence": "div", "integrate": "integral", "int": "integral", "average": "mean",
    "sgn": "sign", "signum": "sign", "step": "heaviside", "Heaviside": "heaviside", "weno": "advect",
}  # fmt: skip


def parse(
    text: str,
    symbols: Collection[str],
    *,
    functions: Mapping[str, Function] = VALUE_FUNCTIONS,
    key: str = "",
) -> sympy.Expr:
    """The SymPy expression a text stands for.

    Args:
        text: the expression.
        symbols: the names it may use; they become `sympy.Symbol(name, real=True)`.
        functions: the functions it may call.
        key: where the text stands in the case, for messages: "initial.u".

    Raises:
        ExpressionError: with the text, a caret at the position and, for a name, the nearest known one.
    """
    source = Source(text, key)
    return _value(source, read(source), symbols, functions)


def parse_condition(text: str, symbols: Collection[str], *, key: str = "") -> sympy.Expr:
    """``where(condition, 1, 0)`` of the condition on numbers a text stands for.  Arguments and errors: parse."""
    source = Source(text, key)
    tree = read(source)
    if not tree.is_condition:
        source.fail("is no condition; write a comparison, such as a < 0.5", tree.position)
    functions = {name: function for name, function in VALUE_FUNCTIONS.items() if name != "noise"}  # which is of cells
    return where(_built(source, tree, symbols, functions), sympy.S.One, sympy.S.Zero)


def parse_equation(
    text: str, symbols: Collection[str], *, functions: Mapping[str, Function] = VALUE_FUNCTIONS, key: str = ""
) -> tuple[sympy.Expr, sympy.Expr]:
    """Both sides of an equation ``left = right``; of an expression alone, it and zero.  Arguments and errors: parse."""
    source = Source(text, key)
    left, right = read_equation(source)
    built = _value(source, left, symbols, functions)
    return built, sympy.S.Zero if right is None else _value(source, right, symbols, functions)


def _value(source: Source, tree: Node, symbols: Collection[str], functions: Mapping[str, Function]) -> sympy.Expr:
    """What a tree stands for that is no condition."""
    if tree.is_condition:
        source.fail("a comparison can stand only in where(condition, a, b)", tree.position)
    return _built(source, tree, symbols, functions)


def _built(source: Source, tree: Node, symbols: Collection[str], functions: Mapping[str, Function]) -> sympy.Expr:
    builder = _Builder(source, symbols, functions)
    try:
        expression, _ = builder.build(tree)
    except RecursionError:
        source.fail("the expression is nested too deep", 0)
    for number in expression.atoms(sympy.Number):
        builder.number(number, 0)
    if expression.has(sympy.I):
        source.fail("the expression has no real value", 0)
    return expression


class _Builder:
    """Builds SymPy objects bottom-up; each comes with its degree, the product of the exponents nested in it.

    Degrees are bounded because SymPy multiplies nested exponents: ((3*x)**64)**64 would be 3**4096*x**4096.
    """

    def __init__(self, source: Source, symbols: Collection[str], functions: Mapping[str, Function]) -> None:
        self.source = source
        self.symbols = {name: sympy.Symbol(name, real=True) for name in symbols}
        self.functions = functions

    def build(self, node: Node) -> tuple[Any, float]:
        """What the method named for the kind of the node makes of it."""
        built: tuple[Any, float] = getattr(self, f"build_{node.kind}")(node)
        return built

    def number(self, number: Any, position: int) -> Any:
        """The number as an exact ratio of small whole numbers or else a double; it must be finite."""
        try:
            value = number.p / number.q if number.is_Rational else float(number)
        except (OverflowError, ValueError, TypeError, AttributeError):
            value = math.nan
        if not math.isfinite(value):
            self.source.fail("the value is not a finite real number in double precision", position)
        if number.is_Rational and abs(number.p) <= _EXACT and number.q <= _EXACT:
            return number
        return sympy.Float(value)

    def settled(self, expression: Any, position: int) -> Any:
        """The expression; a number where it holds no name."""
        if expression.is_Number or expression is sympy.zoo:
            return self.number(expression, position)
        if _is_constant(expression) and expression is not sympy.pi:
            return sympy.Float(float(expression.evalf(17)))
        coefficient = expression.args[0] if expression.is_Mul else None
        if coefficient is not None and coefficient.is_Number:
            self.number(coefficient, position)
        return expression

    def build_number(self, node: Node) -> tuple[Any, float]:
        value = float(node.word)
        if not math.isfinite(value):
            self.source.fail("the number is too large for double precision", node.position)
        return (self.number(sympy.Integer(int(node.word)), 0) if node.word.isdigit() else sympy.Float(value)), 1

    def build_text(self, node: Node) -> tuple[Any, float]:
        self.source.fail("a text in quotes can stand only where a function has words to choose from", node.position)

    def build_name(self, node: Node) -> tuple[Any, float]:
        if node.word in self.symbols:
            return self.symbols[node.word], 1
        if node.word in CONSTANTS:
            return CONSTANTS[node.word], 1
        if node.word in self.functions:
            signature = self.functions[node.word].signature
            self.source.fail(f"'{node.word}' is a function; write {signature}", node.position)
        if node.word in ("x", "y", "z"):
            axes = ", ".join(axis for axis in "xyz" if axis in self.symbols) or "none"
            self.source.fail(f"no axis {node.word} in this case (axes here: {axes})", node.position)
        return self.unknown("name", node, [*self.symbols, *CONSTANTS, *self.functions])

    def unknown(self, what: str, node: Node, known: list[str]) -> NoReturn:
        word = node.word[:64]
        own = {name.lower() for name in (*self.symbols, *self.functions)}
        is_new = word not in OPERATOR_FUNCTIONS and word.lower() not in own
        if is_new and (advice := wish(word, self.symbols, is_call=node.kind == "call")):
            self.source.fail(f"'{word}' is not supported; {advice}", node.position)
        nearest = [_ELSEWHERE[word]] if _ELSEWHERE.get(word) in known else []
        nearest = nearest or difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
        if not nearest:
            nearest = [name for name in sorted(known) if name.lower() == word.lower()]
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(sorted(known)[:40])}"
        if word in OPERATOR_FUNCTIONS:
            hint = "it can stand only in equations"
        self.source.fail(f"unknown {what} '{word}'; {hint}", node.position)

    def build_sum(self, node: Node) -> tuple[Any, float]:
        terms, degrees = zip(*map(self.build, node.parts), strict=True)
        signed = [-term if sign == "-" else term for term, sign in zip(terms, node.signs, strict=True)]
        return self.settled(sympy.Add(*signed), node.position), max(degrees)

    def build_product(self, node: Node) -> tuple[Any, float]:
        factors, degrees = [], []
        for part, sign in zip(node.parts, node.signs, strict=True):
            factor, degree = self.build(part)
            if sign == "/":
                if factor.is_Number and factor.is_zero:
                    self.source.fail("division by zero", part.position)
                factor = self.raised(factor, sympy.Integer(-1), part.position)
            factors.append(factor)
            degrees.append(degree)
        return self.settled(sympy.Mul(*factors), node.position), max(degrees)

    def build_power(self, node: Node) -> tuple[Any, float]:
        (base, degree), (exponent, _) = map(self.build, node.parts)
        if exponent.is_Number:
            degree *= max(1.0, abs(float(exponent)))
            if degree > MAX_EXPONENT:
                self.source.fail(f"the exponent, here {degree:g}, is more than {MAX_EXPONENT}", node.position)
            if abs(float(exponent)) == 0.5 or float(exponent).is_integer():
                exponent = sympy.Rational(int(2 * exponent), 2)  # x**2.0 is x**2 and x**0.5 is sqrt(x)
        return self.raised(base, exponent, node.position), degree

    def raised(self, base: Any, exponent: Any, position: int) -> Any:
        """base**exponent; SymPy's own rules only for whole exponents of what is not a sum."""
        if base.is_Number and exponent.is_Number:
            return self.number_power(base, exponent, position)
        simple = exponent == 1 or (exponent.is_Integer and not base.is_Add)
        return self.settled(sympy.Pow(base, exponent, evaluate=simple), position)

    def number_power(self, base: Any, exponent: Any, position: int) -> Any:
        if base.is_zero and exponent.is_negative:
            self.source.fail("division by zero", position)
        if base.is_Rational and exponent.is_Integer:
            return self.number(base**exponent, position)
        try:
            return sympy.Float(math.pow(float(base), float(exponent)))
        except (ValueError, OverflowError):
            self.source.fail(f"{_shown(base)}**{_shown(exponent)} is not a finite real number", position)

    def build_call(self, node: Node) -> tuple[Any, float]:
        function = self.functions.get(node.word)
        if function is None:
            if node.word in self.symbols or node.word in CONSTANTS:
                within = {name for part in node.parts for name in names_in(part)}
                hint = DELAY if "t" in within else SHIFT if within & {"x", "y", "z"} else "write * to multiply"
                self.source.fail(f"'{node.word}' is not a function; {hint}", node.position)
            self.unknown("function", node, list(self.functions))
        self.check_call(function, node)
        built = [(part.word[1:-1], 1) if part.kind == "text" else self.build(part) for part in node.parts]
        arguments, degrees = zip(*built, strict=True)
        if function.number is not None and all(_is_constant(argument) for argument in arguments):
            return self.number_call(function, arguments, node.position), 1
        try:
            call = function.build(*arguments)
            return call, max(degrees) if call.is_Pow else 1
        except ValueError as error:
            self.source.fail(f"{function.signature}: {error}", node.position)

    def check_call(self, function: Function, node: Node) -> None:
        """Number, names and kinds of the arguments."""
        for place, (keyword, part) in enumerate(zip(node.signs, node.parts, strict=True)):
            if keyword and (keyword,) != function.keywords[place : place + 1]:
                hint = ELSEWHERE.get((node.word, keyword), f"write {function.signature}")
                self.source.fail(f"no argument '{keyword}' here; {hint}", part.position)
            name = function.keywords[place] if place < len(function.keywords) else ""
            if (words := function.words.get(name)) and (part.kind != "text" or part.word[1:-1] not in words):
                choices = " or ".join(f"'{word}'" for word in words)
                more = f" ({MORE_ARGUMENTS[node.word]})" if node.word in MORE_ARGUMENTS else ""
                self.source.fail(f"{name} is one of {choices}, in quotes{more}", part.position)
            if part.kind == "text" and not words:
                self.build_text(part)
            if part.is_condition and not (function.condition and place == 0):
                self.source.fail("a comparison can stand only in where(condition, a, b)", part.position)
        if not function.least <= len(node.parts) <= function.most:
            count = f"{len(node.parts)} argument{'s' if len(node.parts) != 1 else ''}"
            more = f" ({MORE_ARGUMENTS[node.word]})" if node.word in MORE_ARGUMENTS and node.parts else ""
            self.source.fail(f"'{node.word}' does not take {count}; write {function.signature}{more}", node.position)
        if function.condition and not node.parts[0].is_condition:
            message = f"the condition must be a comparison, such as x < 0.5; write {function.signature}"
            self.source.fail(message, node.parts[0].position)

    def number_call(self, function: Function, arguments: Sequence[Any], position: int) -> Any:
        values = [float(argument) for argument in arguments]
        try:
            assert function.number is not None
            value = float(function.number(*values))
        except (ValueError, OverflowError):
            shown = ", ".join(map(_digits, values))
            self.source.fail(f"{function.name}({shown}) is not a finite real number", position)
        return sympy.Integer(int(value)) if value.is_integer() and abs(value) <= _EXACT else sympy.Float(value)

    def build_compare(self, node: Node) -> tuple[Any, float]:
        left, right = (self.build(part)[0] for part in node.parts)
        return RELATIONS[node.word].head(left, right, evaluate=False), 1

    def build_logic(self, node: Node) -> tuple[Any, float]:
        return LOGIC[node.word](*(self.build(part)[0] for part in node.parts)), 1


def _shown(number: Any) -> str:
    """A number as it can stand in a power."""
    text = str(number) if number.is_Rational else _digits(float(number))
    return text if text.replace(".", "").isdigit() else f"({text})"


def _digits(value: float) -> str:
    """A number by as few digits as tell it."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def names_in(node: Node) -> Iterator[str]:
    """The names in a tree, not those of functions."""
    if node.kind == "name":
        yield node.word
    for part in node.parts:
        yield from names_in(part)


def _is_constant(expression: Any) -> bool:
    """True when there are only numbers and pi in it; looks no further than the first name."""
    if expression.is_Number or expression is sympy.pi:
        return True
    if not (expression.is_Add or expression.is_Mul or expression.is_Pow):
        return False
    return all(_is_constant(part) for part in expression.args)
