"""The part of Go's templates that tags of logs use: fields, functions, pipes, parentheses.

``{{.Name}}``, ``{{.ImageName | upper}}``, ``{{index .ContainerLabels "tier"}}``,
``{{truncate (lower .Name) 5}}``, ``{{/* a comment */}}``, ``{{- .ID -}}``.  Control
structures (``if``, ``range``, variables) are an error when the template is read.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec


__all__ = ["Template", "TemplateError"]

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<string>\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`)|(?P<number>-?\d{1,18})|(?P<open>\()|(?P<close>\))"
    r"|(?P<pipe>\|)|(?P<field>\.[\w.]*)|(?P<word>\w+))"
)

Node = Callable[[Mapping[str, Any]], Any]


class TemplateError(ValueError):
    """The text is not a valid template, or can't be applied to the values."""


class Template:
    """A parsed template.

    Args:
        text: the template.

    Raises:
        TemplateError: the text is not a valid template.
    """

    def __init__(self, text: str) -> None:
        self._parts: list[str | Node] = []
        position, trim = 0, False
        while (start := text.find("{{", position)) >= 0:
            before = text[position:start]
            before = before.lstrip() if trim else before
            end = text.find("}}", start + 2)
            if end < 0:
                raise TemplateError("template: log-tag:1: unclosed action")
            action = text[start + 2 : end]
            if action[:1] == "-" and action[1:2].isspace():
                action, before = action[2:], before.rstrip()
            trim = action[-1:] == "-" and action[-2:-1].isspace()
            source = (action[:-2] if trim else action).strip()
            self._parts.append(before)
            if not (source.startswith("/*") and source.endswith("*/")):
                self._parts.append(_Parser(source).parse())
            position = end + 2
        rest = text[position:]
        self._parts.append(rest.lstrip() if trim else rest)

    def apply(self, values: Mapping[str, Any]) -> str:
        """Return the text with values inserted.

        Raises:
            TemplateError: a value is missing or has the wrong type.
        """
        return "".join(
            part if isinstance(part, str) else _printed(part(values)) for part in self._parts
        )


class _Parser:
    """A parser of one action, the text between ``{{`` and ``}}``."""

    def __init__(self, source: str) -> None:
        self._tokens: deque[tuple[str, str]] = deque()
        position = 0
        while position < len(source):
            match = _TOKEN.match(source, position)
            if match is None or match.lastgroup is None:
                raise TemplateError(f"template: log-tag:1: unexpected {source[position:]!r}")
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        self._source = source

    def parse(self) -> Node:
        """Parse the whole action."""
        try:
            node = self._pipeline()
        except RecursionError:
            raise TemplateError("template: log-tag:1: max expression depth exceeded") from None
        if self._tokens:
            raise TemplateError(f"template: log-tag:1: unexpected {self._tokens[0][1]!r}")
        return node

    def _pipeline(self) -> Node:
        node = self._command(None)
        while self._tokens and self._tokens[0][0] == "pipe":
            self._tokens.popleft()
            node = self._command(node)
        return node

    def _command(self, last: Node | None) -> Node:
        if not self._tokens:
            raise TemplateError(f"template: log-tag:1: missing value for command {self._source!r}")
        kind, text = self._tokens.popleft()
        if kind != "word":
            if last is not None:
                raise TemplateError(f"template: log-tag:1: {text!r} is no function")
            return self._operand(kind, text)
        function = _FUNCTIONS.get(text)
        if function is None:
            raise TemplateError(f'template: log-tag:1: function "{text}" not defined')
        arguments: list[Node] = []
        while self._tokens and self._tokens[0][0] not in ("pipe", "close"):
            arguments.append(self._operand(*self._tokens.popleft()))
        if last is not None:
            arguments.append(last)
        return _call(text, function, arguments)

    def _operand(self, kind: str, text: str) -> Node:
        match kind:
            case "string":
                value = text[1:-1] if text[0] == "`" else _unquoted(text)
                return lambda _: value
            case "number":
                return lambda _: int(text)
            case "field":
                return _field(text)
            case "open":
                node = self._pipeline()
                if not self._tokens or self._tokens.popleft()[0] != "close":
                    raise TemplateError("template: log-tag:1: unclosed left paren")
                return node
        raise TemplateError(f"template: log-tag:1: unexpected {text!r}")


def _unquoted(text: str) -> str:
    try:
        return str(msgspec.json.decode(text))
    except msgspec.DecodeError as error:
        raise TemplateError(f"template: log-tag:1: {error}") from None


def _field(text: str) -> Node:
    names = [name for name in text.split(".") if name]

    def get(values: Mapping[str, Any]) -> Any:
        found: Any = values
        for depth, name in enumerate(names):
            if not isinstance(found, Mapping) or (depth == 0 and name not in found):
                raise TemplateError(f"template: log-tag: can't evaluate field {name}")
            found = found.get(name, "<no value>")
        return found

    return get


def _call(name: str, function: Callable[..., Any], arguments: list[Node]) -> Node:
    def call(values: Mapping[str, Any]) -> Any:
        try:
            return function(*(argument(values) for argument in arguments))
        except (TypeError, AttributeError, IndexError, OverflowError) as error:
            raise TemplateError(f"template: log-tag: error calling {name}: {error}") from None

    return call


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key, "") if isinstance(value, Mapping) else value[key]
    return value


_MAX_PADDING: Final = 4096
"""The most characters with which a tag is padded."""


def _pad(text: str, before: int, after: int) -> str:
    return " " * min(before, _MAX_PADDING) + text + " " * min(after, _MAX_PADDING) if text else text


def _title(text: str) -> str:
    return re.sub(r"(?:^|(?<=\s))\S", lambda match: match[0].upper(), text)


_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "index": _index,
    "join": lambda parts, between: between.join(parts),
    "json": lambda value: msgspec.json.encode(value).decode(),
    "len": len,
    "lower": lambda text: text.lower(),
    "pad": _pad,
    "print": lambda *values: "".join(map(_printed, values)),
    "split": lambda text, between: text.split(between),
    "title": _title,
    "truncate": lambda text, length: text[: max(0, length)],
    "upper": lambda text: text.upper(),
}


def _printed(value: Any) -> str:
    """Return a value as Go prints it."""
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_printed(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_printed, value)) + "]"
    return str(value)
