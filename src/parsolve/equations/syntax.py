"""Text to a tree of the expression language: tokenizer and recursive descent, with every limit checked.

Grammar, loosest first; as in Python, `**` binds to the right and tighter than a minus on its left:

    or: and ("or" and)*          and: not ("and" not)*      not: "not" not | compare
    compare: sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)*
    sum: term (("+" | "-") term)*                           term: unary (("*" | "/") unary)*
    unary: ("-" | "+") unary | power                        power: atom ("**" unary)?
    atom: number | name | name "(" arguments ")" | "(" or ")"        argument: or | name "=" (or | text in quotes)

Nothing here knows SymPy; nothing is ever handed to Python's own parser or evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from parsolve.equations.wishes import COMPLEX, wish
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_LENGTH = 4096
MAX_DEPTH = 64
MAX_NODES = 1000
MAX_EXPONENT = 64

_TOO_DEEP = f"the expression is nested more than {MAX_DEPTH} deep"
_WINDOW = 100  # characters of the text shown around the caret
_TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)|(?P<sign>\*\*|<=|>=|==|!=|[-+*/()<>=,])|(?P<end>\Z))"
)
_TEXT = re.compile(r"[ \t\r\n]*(?P<text>'[^']*'|\"[^\"]*\")")  # it stands behind = alone
_HINTS = {
    "^": "powers are written **",
    "%": "there is no remainder",
    "&": "conditions are joined with 'and'",
    "|": "conditions are joined with 'or'",
    "!": "write 'not' or !=",
    "#": "there are no comments",
    ".": "there are no attributes",
    "[": "there is no indexing",
    "{": "there are no sets",
    "@": "products of vectors are dot(a, b)",
    "'": "there are no derivatives by a dash: write dx(u)",
    '"': "there are no texts",
    ":": "there are no ranges",
    ";": "one expression a key",
}
_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _POWER = range(1, 8)
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_LEVELS = {"or": _OR, "and": _AND, "+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "**": _POWER}
_LEVELS |= dict.fromkeys(_COMPARISONS, _COMPARE)


class ExpressionError(CaseError):
    """An expression cannot be read: the key, the text and a caret where it goes wrong."""


@dataclass(frozen=True)
class Source:
    """An expression's text and the key it stands under in the case."""

    text: str
    key: str = ""

    def fail(self, message: str, position: int) -> NoReturn:
        """Raise ExpressionError with a caret under this position of the text."""
        start = max(0, min(position - _WINDOW // 2, len(self.text) - _WINDOW))
        piece = self.text[start : start + _WINDOW]
        # One printable ASCII character for each of the text's, so that the caret stands right.
        shown = "".join(c if " " <= c <= "~" else " " if c in "\t\r\n" else "?" for c in piece)
        before, after = "..." if start else "", "..." if start + _WINDOW < len(self.text) else ""
        caret = " " * (len(before) + position - start) + "^"
        prefix = f"{self.key}: " if self.key else ""
        raise ExpressionError(f"{prefix}{message}\n    {before}{shown}{after}\n    {caret}")


class Token(NamedTuple):
    """One word of the text: kind is number, name, sign, text (in quotes) or end."""

    kind: str
    text: str
    position: int


class Node(NamedTuple):
    """One operation of the tree.

    kind: number, name, text, sum, product, power, call, compare or logic; word: its text, the function's name, or
    the operator; signs: for each part, of a sum + or -, of a product * or /, of a call its keyword or "".
    """

    kind: str
    word: str
    position: int
    parts: tuple[Node, ...] = ()
    signs: tuple[str, ...] = ()

    @property
    def is_condition(self) -> bool:
        """True for comparisons and what joins them."""
        return self.kind in ("compare", "logic")


def _node(kind: str, token: Token, parts: Iterable[Node] = (), signs: Iterable[str] = ()) -> Node:
    return Node(kind, token.text, token.position, tuple(parts), tuple(signs))


def read(source: Source) -> Node:
    """The tree of an expression; raises ExpressionError."""
    return _Reader(source).whole()


def read_equation(source: Source) -> tuple[Node, Node | None]:
    """The trees of both sides of an equation, or of an expression and None; raises ExpressionError."""
    reader = _Reader(source)
    left = reader.expression(_OR)
    if reader.take("="):
        return left, reader.whole()
    reader.ended()
    return left, None


def _tokens(source: Source) -> list[Token]:
    """The words of the text, the last of kind end; stops at the first node or parenthesis too many."""
    tokens: list[Token] = []
    text, at, nodes, depth = source.text, 0, 0, 0
    if len(text) > MAX_LENGTH:
        source.fail(f"the expression is longer than {MAX_LENGTH} characters", MAX_LENGTH)
    if not text.isascii():
        position = next(i for i, c in enumerate(text) if not c.isascii())
        source.fail("only ASCII characters can stand in an expression", position)
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, at) or (_TEXT.match(text, at) if tokens and tokens[-1].text == "=" else None)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
            hint = _HINTS.get(text[at], "")
            source.fail(f"unexpected character {text[at]!a}" + (f"; {hint}" if hint else ""), at)
        kind = match.lastgroup or ""
        start = match.start(kind)
        if kind == "name" and tokens and tokens[-1].kind == "number" and start == at:
            if match[kind] in ("j", "J", "i", "I"):
                source.fail(COMPLEX, at)
            if re.fullmatch(r"_[0-9_]+", match[kind]):
                source.fail("the digits of a number are written without _", at)
            source.fail(f"a number and a name run together; write {tokens[-1].text[-20:]}*{match[kind][:20]}", at)
        word = match[kind]
        depth += (word == "(") - (word == ")")
        if depth > MAX_DEPTH:
            source.fail(_TOO_DEEP, start)
        nodes += word not in ("(", ")", ",", "=")
        if nodes > MAX_NODES:
            source.fail(f"the expression has more than {MAX_NODES} numbers, names and operations", start)
        tokens.append(Token(kind, word, start))
        at = match.end()
    return tokens


class _Reader:
    """Recursive descent over the tokens, counting depth."""

    def __init__(self, source: Source) -> None:
        self.source, self.tokens = source, _tokens(source)
        self.at = self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self, *words: str) -> Token | None:
        """The token, stepped over, when it is a sign or name among these words."""
        token = self.token
        if token.kind == "number" or token.text not in words or token.kind == "end":
            return None
        self.at += 1
        return token

    def whole(self) -> Node:
        node = self.expression(_OR)
        self.ended()
        return node

    def ended(self) -> None:
        if self.token.kind != "end":
            self.unexpected(" after a complete expression")

    def unexpected(self, where: str = "") -> NoReturn:
        token = self.token
        if token.kind == "end":
            self.source.fail("the expression ends too early", token.position)
        hint = "; compare with ==" if token.text == "=" else ""
        for word in (self.tokens[self.at - 1].text if self.at else "", token.text):
            if word in ("if", "else", "for", "while", "lambda"):
                hint = f"; {wish(word)}"
        self.source.fail(f"unexpected '{token.text[:40]}'{where}{hint}", token.position)

    def nested(self, token: Token, level: int) -> Node:
        """An expression one level deeper."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.source.fail(_TOO_DEEP, token.position)
        node = self.expression(level)
        self.depth -= 1
        return node

    def expression(self, least: int) -> Node:
        """An expression of operators that bind at least so tightly."""
        left = self.prefix(least)
        while True:
            token = self.token
            level = _LEVELS.get(token.text, 0) if token.kind in ("sign", "name") else 0
            if level == 0 or level < least:
                return left
            if level == _POWER:
                self.at += 1
                exponent = self.value(self.nested(token, _POWER), token)
                left = _node("power", token, (self.value(left, token), exponent))
            elif level in (_SUM, _PRODUCT):
                left = self.chain(left, level)
            elif level == _COMPARE:
                left = self.comparison(left)
            else:
                self.at += 1
                parts = (self.condition(left, token), self.condition(self.expression(level + 1), token))
                left = _node("logic", token, parts)

    def chain(self, left: Node, level: int) -> Node:
        """A whole sum or product, so that a long one is not a deep one."""
        words = ("+", "-") if level == _SUM else ("*", "/")
        first = self.token
        parts, signs = [self.value(left, first)], [words[0]]
        while token := self.take(*words):
            parts.append(self.value(self.expression(level + 1), token))
            signs.append(token.text)
        kind = "sum" if level == _SUM else "product"
        return _node(kind, first, parts, signs)

    def comparison(self, left: Node) -> Node:
        """A comparison; a < b < c means a < b and b < c."""
        whole: Node | None = None
        while token := self.take(*_COMPARISONS):
            right = self.value(self.expression(_SUM), token)
            pair = _node("compare", token, (self.value(left, token), right))
            both = Token("name", "and", token.position)
            whole = pair if whole is None else _node("logic", both, (whole, pair))
            left = right
        assert whole is not None
        return whole

    def prefix(self, least: int) -> Node:
        """An atom, or a sign or 'not' and what it stands before."""
        token = self.token
        if self.take("-"):
            operand = self.value(self.nested(token, _POWER), token)
            return _node("sum", token, (operand,), ("-",))
        if self.take("+"):
            return self.value(self.nested(token, _POWER), token)
        if self.take("("):
            node = self.nested(token, _OR)
            self.close(token)
            return node
        if least <= _NOT and self.take("not"):
            return _node("logic", token, (self.condition(self.nested(token, _NOT), token),))
        if token.kind in ("number", "text"):
            self.at += 1
            return _node(token.kind, token)
        if token.kind != "name" or token.text in ("and", "or", "not"):
            self.unexpected()
        self.at += 1
        return self.call(token) if self.take("(") else _node("name", token)

    def call(self, name: Token) -> Node:
        """A call from behind its opening parenthesis."""
        parts: list[Node] = []
        keywords: list[str] = []
        opening = self.tokens[self.at - 1]
        if not self.take(")"):
            while True:
                keyword = ""
                following = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
                if self.token.kind == "name" and following.text == "=":
                    keyword = self.token.text
                    self.at += 2
                elif any(keywords):
                    self.source.fail("an argument without a name stands after one with", self.token.position)
                parts.append(self.nested(opening, _OR))
                keywords.append(keyword)
                if not self.take(","):
                    break
            self.close(opening)
        return _node("call", name, parts, keywords)

    def close(self, opening: Token) -> None:
        if self.token.kind == "end":
            self.source.fail("this parenthesis is never closed", opening.position)
        if not self.take(")"):
            self.unexpected(", where ')' is missing")

    def value(self, node: Node, token: Token) -> Node:
        """The node, which must not be a comparison."""
        return self.checked(node, token, not node.is_condition, "works on values, not on comparisons")

    def condition(self, node: Node, token: Token) -> Node:
        """The node, which must be a comparison."""
        return self.checked(node, token, node.is_condition, "joins comparisons, such as x < 0.5")

    def checked(self, node: Node, token: Token, right: bool, rule: str) -> Node:
        if not right:
            self.source.fail(f"'{token.text}' {rule}", token.position)
        return node
