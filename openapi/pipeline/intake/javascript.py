"""Read what a script writes down: literals, the names given to them, and strings put together from both.

No program is run, and scopes are not told apart. What only a browser could work out is `UNKNOWN`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container
from typing import Final, TypeAlias

from pipeline.intake.javascript_tokens import END, Token, tokens


class Unknown:
    """The value of what is not written down; false, so that `a || b` is `b` when `a` is unknown."""

    def __bool__(self) -> bool:
        return False


UNKNOWN: Final = Unknown()
Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | Unknown | None"

ESCAPE = re.compile(r"\\(?:u\{([\da-fA-F]{1,6})\}|u([\da-fA-F]{4})|x([\da-fA-F]{2})|(\r\n|.))", re.DOTALL)
LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": "", "\r\n": "", "\r": ""}
PLACEHOLDER = re.compile(r"\$\{\s*([\w$.]+)\s*\}")
PARSE: Final = Unknown()
BUILT_IN: dict[str, Value] = {"true": True, "false": False, "null": None, "JSON": {"parse": PARSE}}
GLOBAL = ("window", "self", "globalThis")
LONGEST = 10_000


def read_script(script: str, names: dict[str, Value], given: dict[str, Value], called: Container[str]) -> list[Value]:
    """Note in `names` every name that gets a value, and return the first argument of each call of `called`.

    `given` are names that the page brings with it and no script can change. Raises `RecursionError` when the script
    is nested too deeply.
    """
    return _Script(script, names, given).read(called)


class _Script:
    """One script; every method takes the index of a token, and those that read return where they stopped."""

    def __init__(self, script: str, names: dict[str, Value], given: dict[str, Value]) -> None:
        self._tokens = tokens(script)
        self._closes = _pairs(self._tokens)
        self._names = names
        self._given = {**BUILT_IN, **given}

    def read(self, called: Container[str]) -> list[Value]:
        arguments: list[Value] = []
        for at, token in enumerate(self._tokens):
            if token.kind != "name" or (at and self._tokens[at - 1].text in (".", "?.")):
                continue
            path, after = self._path(at)
            if self._text(after) == "=":
                self._assign(path, self._expression(after + 1)[0])
            elif self._text(after) == "(" and path[-1] in called:
                arguments.append(self._expression(after + 1)[0])
        return arguments

    def _token(self, at: int) -> Token:
        return self._tokens[at] if at < len(self._tokens) else END

    def _text(self, at: int) -> str:
        return self._token(at).text

    def _path(self, at: int) -> tuple[list[str], int]:
        path = [self._text(at)]
        while self._text(at + 1) == "." and self._token(at + 2).kind == "name":
            at += 2
            path.append(self._text(at))
        return _from_the_top(path), at + 1

    def _assign(self, path: list[str], value: Value) -> None:
        if path[0] in self._given:
            return
        holder: Value = self._names
        for key in path[:-1]:
            holder = _member(holder, key)
        # What is known stays: the unknown is mostly a branch that asks the browser.
        if isinstance(holder, dict) and (value is not UNKNOWN or path[-1] not in holder):
            holder[path[-1]] = value

    def _named(self, path: list[str]) -> Value:
        value: Value = self._given if path[0] in self._given else self._names
        for key in path:
            value = _member(value, key)
        return value

    def _expression(self, at: int) -> tuple[Value, int]:
        value, at = self._sum(at)
        while self._text(at) in ("||", "??"):
            other, at = self._sum(at + 1)
            value = value or other
        return (value if self._ends(at) else UNKNOWN), at

    def _ends(self, at: int) -> bool:
        token = self._token(at)
        return token is END or token.text in (",", ";", ")", "]", "}") or (token.fresh and token.kind == "name")

    def _sum(self, at: int) -> tuple[Value, int]:
        value, at = self._operand(at)
        while self._text(at) == "+":
            other, at = self._operand(at + 1)
            value = _added(value, other)
        return value, at

    def _operand(self, at: int) -> tuple[Value, int]:
        token = self._token(at)
        value: Value = UNKNOWN
        if token.text == "{":
            value, after = self._object(at)
        elif token.text == "[":
            value, after = self._list(at)
        elif token.text == "(":
            value, after = self._expression(at + 1)[0], self._closes[at] + 1
        elif token.text in ("-", "!"):
            value, after = self._operand(at + 1)
            return _signed(token.text, value), after
        elif token.kind == "name":
            path, after = self._path(at)
            value = self._named(path)
        elif token.kind in ("mark", "end"):
            return UNKNOWN, at
        else:
            value, after = self._scalar(token), at + 1
        return self._members(value, after)

    def _scalar(self, token: Token) -> Value:
        if token.kind == "string":
            return _unescaped(token.text[1:-1]) if token.text[-1] == token.text[0] else UNKNOWN
        if token.kind == "template":
            return self._template(token.text[1:-1])
        return _number(token.text) if token.kind == "number" else UNKNOWN

    def _template(self, text: str) -> Value:
        pieces = PLACEHOLDER.split(text)
        value: Value = _unescaped(pieces[0])
        for path, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            inner = self._named(_from_the_top(path.split(".")))
            value = _added(_added(value, inner), _unescaped(piece))
        return UNKNOWN if "${" in "".join(pieces[::2]) else value

    def _members(self, value: Value, at: int) -> tuple[Value, int]:
        while True:
            text = self._text(at)
            if text in (".", "?."):
                value, at = _member(value, self._text(at + 1)), at + 2
            elif text == "[":
                value, at = _member(value, self._expression(at + 1)[0]), self._closes[at] + 1
            elif text == "(":
                value, at = self._result(value, at), self._closes[at] + 1
            else:
                return value, at

    def _result(self, function: Value, at: int) -> Value:
        if function is not PARSE:
            return UNKNOWN
        try:
            value: Value = json.loads(str(self._expression(at + 1)[0]))
        except ValueError:
            return UNKNOWN
        return value

    def _object(self, at: int) -> tuple[Value, int]:
        found: dict[str, Value] = {}
        end = self._closes[at]
        at += 1
        while at < end:
            at = self._property(at, found)
            at = self._beyond_the_comma(at, end)
        return found, end + 1

    def _property(self, at: int, found: dict[str, Value]) -> int:
        token, after = self._token(at), self._text(at + 1)
        key = _unescaped(token.text[1:-1]) if token.kind == "string" else token.text
        if after == ":" and token.kind in ("name", "string", "number"):
            found[key], at = self._expression(at + 2)
        elif token.kind == "name" and after in (",", "}"):
            found[key] = self._named([key])
        elif token.text == "..." and isinstance(value := self._operand(at + 1)[0], dict):
            found.update(value)
        else:
            found[key] = UNKNOWN  # a method, a computed key, or more of what is unknown
        return at

    def _list(self, at: int) -> tuple[Value, int]:
        found: list[Value] = []
        end = self._closes[at]
        at += 1
        while at < end:
            value, at = self._expression(at)
            found.append(value)
            at = self._beyond_the_comma(at, end)
        return found, end + 1

    def _beyond_the_comma(self, at: int, end: int) -> int:
        while at < end and self._text(at) != ",":
            at = self._closes.get(at, at) + 1
        return at + 1


def _pairs(found: list[Token]) -> dict[int, int]:
    """Return for each opening bracket where it is closed; one that never is goes on to the end."""
    pairs: dict[int, int] = {}
    open_ones: list[int] = []
    for at, token in enumerate(found):
        if token.kind == "mark" and token.text in ("(", "[", "{"):
            open_ones.append(at)
        elif token.kind == "mark" and token.text in (")", "]", "}") and open_ones:
            pairs[open_ones.pop()] = at
    return {**pairs, **dict.fromkeys(open_ones, len(found))}


def _from_the_top(path: list[str]) -> list[str]:
    return path[1:] if path[0] in GLOBAL and len(path) > 1 else path


def _member(value: Value, key: Value) -> Value:
    if isinstance(value, dict) and isinstance(key, str):
        return value.get(key, UNKNOWN)
    if isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
        return value[key]
    return UNKNOWN


def _added(one: Value, other: Value) -> Value:
    # A page that doubles a string in a loop of its own would otherwise fill the memory.
    if isinstance(one, str) and isinstance(other, str | int) and len(one) <= LONGEST:
        return f"{one}{other}" if len(str(other)) <= LONGEST else UNKNOWN
    return UNKNOWN


def _signed(sign: str, value: Value) -> Value:
    if not isinstance(value, int | float):
        return UNKNOWN
    return not value if sign == "!" else -value


def _number(text: str) -> Value:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:  # Python reads no number of more than 4300 digits.
        return UNKNOWN


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    # A letter beyond the first plane may be written as two escapes, which are one letter together.
    return ESCAPE.sub(_letter, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _letter(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return LETTERS.get(match[4], match[4])
    return chr(int(code, 16)) if int(code, 16) <= 0x10FFFF else "�"
