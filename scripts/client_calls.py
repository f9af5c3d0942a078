"""Writes the client's typed methods, one for each declared endpoint: ``_async/calls``.

    python scripts/client_calls.py          # writes the files, and the blocking ones of them
    python scripts/client_calls.py --check  # only says whether they are as they should be

Names, types, defaults and descriptions come from the declarations in ``palan.api``, so that
nothing of an endpoint is written twice.
"""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import client_sync
import msgspec

from palan.api._base import Unset
from palan.api._docstrings import class_description, field_descriptions
from palan.api._progress import JSONMessage
from palan.api.endpoint import Endpoint, Group
from palan.api.filters import Filters
from palan.api.registry import GROUPS
from palan.api.results import Bytes, Hijack, Json, Messages, RawFrames, Stat, Text
from palan.api.version import MIN_VERSION
from palan.client._contract import NO_DEFAULT, Parameter, Plan, plan


TARGET: Final = client_sync.CLIENT / "_async" / "calls"

OPTIONAL_BODY: Final = {"images.create", "build.build"}
"""What can do without the body that it takes."""

_STATUSES: Final = {
    401: ("Unauthorized", "the registry wants other credentials."),
    403: ("Forbidden", "this is never allowed."),
    404: ("NotFound", "there is no such object."),
    409: ("Conflict", "it is in a state that forbids this."),
    501: ("NotYetImplemented", "this engine does not have it."),
    503: ("Unavailable", "the engine is not part of a swarm, or something else is missing."),
}

_WEBSOCKET: Final = "from palan.client._async.websocket import AsyncWebSocketSession"


class Module:
    """One group's module while it is written."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.messages: dict[str, set[str]] = {}
        self.streams: set[str] = set()
        self.uses: set[str] = set()

    def source(self) -> str:
        """The whole module."""
        methods = "\n".join(self._method(endpoint) for endpoint in self.group)
        name = class_name(self.group)
        head = f'"""{self.group.name.capitalize()}: a method for each endpoint of the group."""'
        lines = [
            f"# Made by scripts/client_calls.py of palan/api/{self.group.name}.py: change that.",
            head,
            "",
            "from __future__ import annotations",
            "",
            "from typing import TYPE_CHECKING" + (", Any" if "Any" in self.uses else ""),
            "",
            "from palan.client._limits import CLIENT, Limit",
        ]
        if self.streams:
            names = sorted(one for one in self.streams if "WebSocket" not in one)
            lines.append(f"from palan.client._async.streams import {', '.join(names)}")
        lines += ["", "if TYPE_CHECKING:"]
        if "builtins" in self.uses:
            lines.append("    import builtins")
        if "Literal" in self.uses:
            lines.append("    from typing import Literal")
        for module, names in sorted(self.messages.items()):
            lines.append(f"    from {module} import {', '.join(sorted(names))}")
        lines.append("    from palan.client._async.client import AsyncClient")
        if "AsyncWebSocketSession" in self.streams:
            lines.append(f"    {_WEBSOCKET}")
        if "AsyncBody" in self.uses:
            lines.append("    from palan.client._async.io import AsyncBody")
        if "Filters" in self.uses:
            lines.append("    from palan.client._request import Filters")
        lines += ["", f'__all__ = ["{name}"]', "", "", f"class {name}:"]
        lines += [
            f'    """{self.group.description}"""',
            "",
            "    def __init__(self, client: AsyncClient) -> None:",
            "        self._client = client",
            "",
        ]
        return "\n".join(lines) + "\n" + methods

    # ---- one method ----------------------------------------------------------------

    def _method(self, endpoint: Endpoint) -> str:
        made = plan(f"{endpoint.group}.{endpoint.operation}")
        required, optional = arguments(made)
        own_timeout = any(one.name == "timeout" for one in (*required, *optional))
        kind, stream, returned = self._returns(endpoint)
        signature = ["self"]
        signature += [f"{one.name}: {self._kind(made, one)}" for one in required]
        if optional or not own_timeout:
            signature.append("*")
        for parameter in optional:
            text = self._kind(made, parameter)
            default = literal(parameter.default)
            if default == "None" and "None" not in text.split(" | ") and text != "Any":
                text += " | None"
            signature.append(f"{parameter.name}: {text} = {default}")
        if not own_timeout:
            limit = "float | None = None" if stream else "Limit = CLIENT"
            signature.append(f"timeout: {limit}")
        named = ", ".join(f'"{one.name}": {one.name}' for one in (*required, *optional))
        body = self._body(made, stream, kind, f"{{{named}}}", own_timeout=own_timeout)
        word = "def" if stream else "async def"
        document = textwrap.indent(
            self._docstring(endpoint, made, [*required, *optional], stream, returned, own_timeout),
            " " * 8,
        )
        lines = [f"    {word} {endpoint.operation}({', '.join(signature)}) -> {kind}:"]
        return "\n".join([*lines, document, *(f"        {line}" for line in body), ""])

    def _returns(self, endpoint: Endpoint) -> tuple[str, str, str]:  # noqa: PLR0911 - a table
        """The type of a method, the stream that it is, and what is said about it."""
        result = endpoint.result
        if isinstance(result, Hijack):
            name = "AsyncSession"
            if endpoint.operation == "attach_websocket":
                name = "AsyncWebSocketSession"
            self.streams.add(name)
            return name, name, "A connection, made when it is entered or first used."
        if isinstance(result, RawFrames):
            self.streams.add("AsyncOutputStream")
            return "AsyncOutputStream", "AsyncOutputStream", "The output, read as it comes."
        if isinstance(result, Bytes):
            self.streams.add("AsyncByteStream")
            return "AsyncByteStream", "AsyncByteStream", "The bytes, read as they come."
        if isinstance(result, Messages) and result.type is JSONMessage:
            self.streams.add("AsyncProgressStream")
            return (
                "AsyncProgressStream",
                "AsyncProgressStream",
                "The progress; ``wait()`` sees it through.",
            )
        if isinstance(result, Messages):
            self.streams.add("AsyncMessageStream")
            kind = f"AsyncMessageStream[{self._render(result.type)}]"
            return kind, "AsyncMessageStream", "The messages, as they come."
        if isinstance(result, Json):
            return self._render(result.type), "", _described(result.type)
        if isinstance(result, Text):
            return "str", "", "The text."
        if isinstance(result, Stat):
            self.messages.setdefault("palan.api.results", set()).add("PathStat")
            return "PathStat", "", "What it is."
        return "None", "", ""

    def _body(
        self, made: Plan, stream: str, kind: str, named: str, *, own_timeout: bool
    ) -> list[str]:
        operation = made.operation
        if stream:
            extra = ", raw=True" if operation in ("build.session", "build.grpc") else ""
            extra = ", tty=tty" if operation == "exec.start" else extra
            timeout = "None" if own_timeout else "timeout"
            prepared = f'self._client.calling.prepare("{operation}", {named})'
            first = [_WEBSOCKET, ""] if "WebSocket" in stream else []
            return [*first, f"return {stream}(self._client, {prepared}, {timeout}{extra})"]
        timeout = "CLIENT" if own_timeout else "timeout"
        if made.endpoint.path == "/_ping":
            method = "" if kind == "str" else f'"{made.endpoint.method}", '
            ping = f"await self._client.ping({method}timeout=timeout)"
            return [f"return {ping}" if kind == "str" else ping]
        call = f'await self._client.calling.call("{operation}", {named}, {timeout})'
        if kind == "None":
            return [call]
        return [f"answer: {kind} = {call}", "return answer"]

    # ---- types ---------------------------------------------------------------------

    def _kind(self, made: Plan, parameter: Parameter) -> str:
        """The type of an argument."""
        if made.body is parameter and made.streams_body:
            self.uses.add("AsyncBody")
            return "AsyncBody"
        if any(parameter is one and header == "X-Registry-Auth" for one, header in made.headers):
            self.messages.setdefault("palan.api.system", set()).add("AuthConfig")
            return "AuthConfig | str"
        return self._render(parameter.kind)

    def _render(self, kind: Any) -> str:  # noqa: PLR0911 - a table of types
        origin, inner = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self._render(inner[0])
        if origin in (Union, UnionType):
            texts = [self._render(one) for one in inner if one not in (NoneType, Unset)]
            return " | ".join([*dict.fromkeys(texts), *(["None"] if NoneType in inner else [])])
        if origin is Literal:
            self.uses.add("Literal")
            return f"Literal[{', '.join(map(repr, inner))}]"
        if origin is not None:
            texts = ["..." if one is ... else self._render(one) for one in inner]
            name = origin.__name__
            if name in {endpoint.operation for endpoint in self.group}:
                # Within the class, this is the method of that name.
                self.uses.add("builtins")
                name = f"builtins.{name}"
            return f"{name}[{', '.join(texts)}]"
        if kind is Any:
            self.uses.add("Any")
            return "Any"
        if kind is Filters:
            self.uses.add("Filters")
            return "Filters"
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            self.messages.setdefault(kind.__module__, set()).add(kind.__name__)
        return str(kind.__name__)

    # ---- docstrings ----------------------------------------------------------------

    def _docstring(  # noqa: PLR0917 - a script
        self,
        endpoint: Endpoint,
        made: Plan,
        given: list[Parameter],
        stream: str,
        returned: str,
        own_timeout: bool,
    ) -> str:
        summary, _, details = class_description(endpoint.request).partition("\n\n")
        since = f", since {endpoint.since}" if endpoint.since > MIN_VERSION else ""
        lines = [f'"""{summary}', ""]
        if details:
            lines += [*_wrapped(details, ""), ""]
        lines += [f"Endpoint: ``{endpoint.method} {endpoint.path}``{since}.", "", "Args:"]
        descriptions = field_descriptions(endpoint.request)
        if made.fields:
            descriptions = {**field_descriptions(made.body_type), **descriptions}
        for parameter in given:
            text = descriptions.get(parameter.name) or _words(parameter)
            if any(parameter is one and name == "X-Registry-Auth" for one, name in made.headers):
                text = 'credentials; None takes those of ``config.json``, ``""`` sends none.'
            lines += _wrapped(f"{parameter.name}: {_lower(text)}", "    ")
        if not own_timeout:
            lines.append(
                "    timeout: seconds to wait for each piece; None is for ever."
                if stream
                else "    timeout: seconds for the whole call; None is for ever."
            )
        if returned:
            lines += ["", "Returns:", *_wrapped(returned, "    ")]
        raised = [_STATUSES[one] for one in endpoint.raises if one in _STATUSES]
        if raised:
            lines += ["", "Raises:", *(f"    {name}: {why}" for name, why in raised)]
        return "\n".join(line.rstrip() for line in [*lines, '"""']).replace("\\", "\\\\")


def class_name(group: Group) -> str:
    """The class that has the methods of a group."""
    return f"Async{group.name.capitalize()}Calls"


def arguments(made: Plan) -> tuple[list[Parameter], list[Parameter]]:
    """What a method takes: what must be given, and what need not."""
    headers = [parameter for parameter, _ in made.headers]
    body = made.fields or ([made.body] if made.body is not None else [])
    required, optional = list(made.path), []
    for parameter in (*made.query, *body, *headers):
        is_body = parameter is made.body and made.streams_body
        if is_body and made.operation in OPTIONAL_BODY:
            optional.insert(0, Parameter("body", "body", parameter.kind, None))
            made.body = optional[0]
        elif parameter.default is NO_DEFAULT:
            required.append(parameter)
        elif any(parameter is one and name == "X-Registry-Auth" for one, name in made.headers):
            changed = Parameter(parameter.name, parameter.wire_name, parameter.kind, None)
            made.headers = [
                (changed if one is parameter else one, name) for one, name in made.headers
            ]
            optional.append(changed)
        else:
            optional.append(parameter)
    return required, optional


def literal(default: Any) -> str:
    """A default value, or None where it is no literal."""
    if isinstance(default, str):
        return msgspec.json.encode(default).decode()
    return repr(default) if isinstance(default, bool | int | float) else "None"


def _described(kind: Any) -> str:
    """What a message is, of its own docstring."""
    inner = get_args(kind)
    if get_origin(kind) is list and inner:
        return f"One for each: {_lower(_described(inner[0]))}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return class_description(kind).partition("\n")[0]
    return "What the engine answers."


def _words(parameter: Parameter) -> str:
    """What is said of an argument whose declaration says nothing: its name on the wire."""
    if parameter.name in ("id", "name", "checkpoint") and parameter.default is NO_DEFAULT:
        return "Which one: a name, an id, or the beginning of an id."
    return f"Docker's ``{parameter.wire_name}``."


def _lower(text: str) -> str:
    """A sentence in the middle of a line."""
    keep = text[1:2].isupper() or text.startswith(("Docker", "OCI", "Unix", "Linux", "Windows"))
    return text if keep else text[:1].lower() + text[1:]


def _wrapped(text: str, indent: str) -> Iterator[str]:
    yield from textwrap.wrap(
        " ".join(text.split()),
        90 - len(indent),
        initial_indent=indent,
        subsequent_indent=f"{indent}    " if indent else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


def files() -> dict[Path, str]:
    """What should lie in ``_async/calls``."""
    made = {TARGET / "__init__.py": '"""The methods that follow from the declared endpoints."""\n'}
    for group in GROUPS:
        path = TARGET / f"{group.name}.py"
        made[path] = client_sync.formatted(Module(group).source(), path)
    return made


def main(given: list[str]) -> int:
    """Write, or compare."""
    made = files()
    there = set(TARGET.rglob("*.py"))
    wrong = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    wrong += sorted(there - made.keys())
    if "--check" in given:
        for path in wrong:
            print(f"{path.relative_to(client_sync.CLIENT)} is not as the declarations say")
        return 1 if wrong else client_sync.main(given)
    for path in wrong:
        if path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path])
        else:
            path.unlink()
    return client_sync.main(given)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
