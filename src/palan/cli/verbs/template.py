"""``--format``: the part of Go's templates that people use with the docker CLI.

``{{.Names}}``, ``{{.State.Status}}``, ``{{json .}}``, ``{{len .X}}``, ``{{index .X "key"}}``,
``{{join .X ","}}``, ``slice upper lower title println printf``, ``{{range}}``, ``{{if}}``,
``{{else if}}``, ``{{else}}``, ``{{with}}`` and ``{{end}}``, variables (``{{range $key, $value :=
.X}}``, ``{{$name := .Y}}``), comparisons, pipes and parentheses. Other syntax of Go's is refused.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final


__all__ = ["Row", "Template", "TemplateError", "go_json"]

_ACTION: Final = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.DOTALL)
_TOKEN: Final = re.compile(
    r"""\s*(?:("(?:[^"\\]|\\.)*"|`[^`]*`)|(-?\d+)|(\$?\.?[A-Za-z_][\w.]*|\.[\w.]*|\$)|([()|]))"""
)
_ASSIGNED: Final = re.compile(r"(\$\w+)(?:\s*,\s*(\$\w+))?\s*:?=\s*(.*)", re.DOTALL)

Scope = Mapping[str, Any]
"""Variables by name; ``$`` is the value that the whole template is rendered for."""


_FIELD: Final = "\0"
"""Marks a token that is a field of the expression in parentheses before it."""


class Row(dict[str, Any]):
    """A row of a list; :func:`go_json` writes it as docker writes rows."""


class TemplateError(ValueError):
    """A template cannot be parsed, or asks for a key that the value does not have.

    Attributes:
        status: docker's exit status: 64 if the template cannot be parsed, else 1.
    """

    status = 1


class Template:
    """A parsed template.

    Raises:
        TemplateError: its text cannot be parsed.
    """

    def __init__(self, text: str) -> None:
        try:
            self._parse(text)
        except TemplateError as error:
            error.status = 64
            raise

    def _parse(self, text: str) -> None:
        self._root = _Block()
        stack: list[_Block] = [self._root]
        position = 0
        trim = False
        for match in _ACTION.finditer(text):
            piece = text[position : match.start()]
            piece = piece.lstrip() if trim else piece
            piece = piece.rstrip() if match[1] else piece
            stack[-1].add(piece)
            position, trim = match.end(), bool(match[3])
            self._parse_action(match[2], stack)
        rest = text[position:]
        if "{{" in rest:
            raise TemplateError("template: unclosed action")
        stack[-1].add(rest.lstrip() if trim else rest)
        if len(stack) > 1:
            raise TemplateError("template: an {{end}} is missing")

    @staticmethod
    def _parse_action(action: str, stack: "list[_Block]") -> None:
        word, _, rest = action.partition(" ")
        rest = rest.strip()
        if word in ("if", "range", "with"):
            block = _Block(word, rest)
            stack[-1].add(block)
            stack.append(block)
        elif word in ("else", "end"):
            nested = rest.startswith(("if ", "with ")) and word == "else"
            if len(stack) == 1 or (rest and not nested):
                raise TemplateError(f"template: {{{{{action}}}}} is not understood here")
            if word == "end":
                stack.pop()
            elif nested:
                # "else if": a block inside of the else, which ends with the outer block.
                block = _Block(*rest.split(" ", 1))
                stack[-1].start_else()
                stack[-1].add(block)
                stack[-1] = block
            else:
                stack[-1].start_else()
        elif not action.startswith("/*"):
            stack[-1].add(_Assignment.of(action) or _Expression(action))

    def render(self, value: Any) -> str:
        """Return the text for a value made of dicts, lists, strings and numbers.

        Raises:
            TemplateError: the value lacks a key that the template asks for.
        """
        return self._root.render_body(value, {"$": value})


class _Block:
    """A template, or its part between ``if``, ``range`` or ``with`` and the matching ``end``."""

    def __init__(self, kind: str = "", text: str = "") -> None:
        self.kind = kind
        assigned = _ASSIGNED.fullmatch(text)
        self._names = [name for name in assigned.groups()[:2] if name] if assigned else []
        self._expression = _Expression(assigned[3] if assigned else text) if kind else None
        self._parts: list[Any] = []
        self._else: list[Any] = []
        self._target = self._parts

    def add(self, part: Any) -> None:
        self._target.append(part)

    def start_else(self) -> None:
        self._target = self._else

    def render_body(self, dot: Any, scope: Scope) -> str:
        return _render_parts(self._parts, dot, scope)

    def render(self, dot: Any, scope: Scope) -> str:
        assert self._expression is not None  # noqa: S101 - blocks below the root have one
        value = self._expression.value(dot, scope)
        if self.kind == "range":
            items = _items(value)
            if items:
                return "".join(
                    _render_parts(self._parts, item, {**scope, **self._variables(key, item)})
                    for key, item in items
                )
            return _render_parts(self._else, dot, scope)
        inner = value if self.kind == "with" else dot
        if not value:
            return _render_parts(self._else, dot, scope)
        return _render_parts(self._parts, inner, {**scope, **dict.fromkeys(self._names, value)})

    def _variables(self, key: Any, item: Any) -> Scope:
        values = (key, item) if len(self._names) == 2 else (item,)
        return dict(zip(self._names, values, strict=False))


def _items(value: Any) -> list[tuple[Any, Any]]:
    """Return the pairs that ``range`` iterates over: index or (sorted) key, and value."""
    if isinstance(value, Mapping):
        return sorted(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(value)]
    if value is None:
        return []
    raise TemplateError(f"template: range can't iterate over {_go_text(value)}")


def _render_parts(parts: Sequence[Any], dot: Any, scope: Scope) -> str:
    made = []
    scope = dict(scope)
    for part in parts:
        if isinstance(part, str):
            made.append(part)
        elif isinstance(part, _Block):
            made.append(part.render(dot, scope))
        elif isinstance(part, _Assignment):
            scope[part.name] = part.expression.value(dot, scope)
        else:
            made.append(_go_text(part.value(dot, scope)))
    return "".join(made)


class _Assignment:
    """An action that sets a variable, which is known until its block ends."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.expression = _Expression(text)

    @staticmethod
    def of(action: str) -> "_Assignment | None":
        match = _ASSIGNED.fullmatch(action)
        return _Assignment(match[1], match[3]) if match and not match[2] else None


def _go_text(value: Any) -> str:
    """Return a value as Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(_go_text(one) for one in value) + "]"
    return str(value)


class _Expression:
    """A pipeline of commands."""

    def __init__(self, text: str) -> None:
        self._text = text
        tokens = self._tokens(text)
        self._commands = self._pipeline(tokens)
        if tokens:
            raise TemplateError(f"template: {text!r} is not understood")

    @staticmethod
    def _tokens(text: str) -> list[str]:
        tokens, position = [], 0
        text = text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise TemplateError(f"template: {text[position:]!r} is not understood")
            token = match[0]
            adjacent = position > 0 and text[position - 1] == ")" and token.startswith(".")
            # A token directly after ")" is a field of the expression in parentheses.
            tokens.append(_FIELD + token if adjacent else token.strip())
            position = match.end()
        return tokens

    def _pipeline(self, tokens: list[str]) -> list[list[Any]]:
        commands: list[list[Any]] = [[]]
        while tokens and tokens[0] != ")":
            token = tokens.pop(0)
            if token == "|":  # noqa: S105 - no password
                commands.append([])
            elif token == "(":  # noqa: S105 - no password
                inner = self._pipeline(tokens)
                if not tokens:
                    raise TemplateError("template: a parenthesis is missing")
                tokens.pop(0)
                while tokens and tokens[0].startswith(_FIELD):
                    inner = [[_Field(inner, tokens.pop(0).removeprefix(_FIELD))]]
                commands[-1].append(inner)
            else:
                commands[-1].append(token)
        if not all(commands):
            raise TemplateError(f"template: {self._text!r} is not understood")
        return commands

    def value(self, dot: Any, scope: Scope) -> Any:
        return _evaluate(self._commands, dot, scope)


class _Field:
    """A field of a pipeline's result."""

    def __init__(self, pipeline: list[list[Any]], path: str) -> None:
        self.pipeline = pipeline
        self.path = path

    def value(self, dot: Any, scope: Scope) -> Any:
        return _operand(self.path, _evaluate(self.pipeline, dot, scope), scope)


def _evaluate(commands: list[list[Any]], dot: Any, scope: Scope) -> Any:
    piped: list[Any] = []
    for command in commands:
        first, *rest = command
        arguments = [_operand(one, dot, scope) for one in rest] + piped
        if isinstance(first, str) and first in _FUNCTIONS:
            piped = [_FUNCTIONS[first](*arguments)]
        elif len(arguments) == 1 and isinstance(first, str) and first.endswith(".Label"):
            # Label is the only method of a list's rows.
            piped = [_operand(first, dot, scope).get(arguments[0], "")]
        elif arguments:
            raise TemplateError(f"template: {first!r} is not a function")
        else:
            piped = [_operand(first, dot, scope)]
    return piped[0]


def _operand(token: Any, dot: Any, scope: Scope) -> Any:  # noqa: C901, PLR0911 - kinds of tokens
    if isinstance(token, list):
        return _evaluate(token, dot, scope)
    if isinstance(token, _Field):
        return token.value(dot, scope)
    if token[0] == '"':
        return json.loads(token)
    if token[0] == "`":
        return token[1:-1]
    if token.lstrip("-").isdigit():
        return int(token)
    if token in ("true", "false", "nil"):
        return {"true": True, "false": False}.get(token)
    base = dot
    if token.startswith("$"):
        variable, _, rest = token.partition(".")
        if variable not in scope:
            raise TemplateError(f'template: undefined variable "{variable}"')
        base, token = scope[variable], f".{rest}"
    if token and not token.startswith("."):
        raise TemplateError(f"template: {token!r} is not a function")
    for name in token.split("."):
        if not name:
            continue
        if not isinstance(base, Mapping) or name not in base:
            raise TemplateError(
                f'template: executing at <{token}>: map has no entry for key "{name}"'
            )
        base = base[name]
    return base


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(str(key), "")
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            raise TemplateError(f"template: no element at index {key!r}")
    return value


def _slice(value: Any, *bounds: int) -> Any:
    first, last = (*bounds, *(0, len(value))[len(bounds) :])
    if not 0 <= first <= last <= len(value):
        raise TemplateError(f"template: slice {first}:{last} out of range of {_go_text(value)}")
    return value[first:last]


def _printf(form: str, *values: Any) -> str:
    shown = [value if isinstance(value, int | float) else _go_text(value) for value in values]
    return str(re.sub(r"%([-\d.]*)[vq]", r"%\1s", form) % tuple(shown))


def go_json(value: Any) -> str:
    """Return JSON as docker writes it: rows of lists have sorted keys, and omit their methods."""
    if not isinstance(value, Row):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    value = {key: value[key] for key in sorted(value) if key != "Label"}
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "json": go_json,
    "len": len,
    "index": _index,
    "join": lambda items, by: by.join(_go_text(item) for item in items or ()),
    "split": lambda text, by: text.split(by),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: text.title(),
    "slice": _slice,
    "truncate": lambda text, count: text[:count],
    "println": lambda *values: " ".join(_go_text(one) for one in values) + "\n",
    "print": lambda *values: "".join(_go_text(one) for one in values),
    "printf": _printf,
    "eq": lambda one, *others: one in others,
    "ne": lambda one, other: one != other,
    "ge": lambda one, other: one >= other,
    "le": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "lt": lambda one, other: one < other,
    "not": lambda value: not value,
    "and": lambda *values: next((one for one in values if not one), values[-1]),
    "or": lambda *values: next((one for one in values if one), values[-1]),
}
