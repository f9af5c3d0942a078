"""Builds against a test's engine: contexts made in memory, and parsed responses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.support.engine import TestEngine
from tests.support.http import Answer
from tests.support.tar import TAR, entry, tarball


@dataclass
class Built:
    """The parsed response to a build."""

    answer: Answer
    lines: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = [json.loads(line) for line in self.answer.body.splitlines() if line]

    @property
    def text(self) -> str:
        return "".join(line.get("stream", "") for line in self.lines)

    @property
    def error(self) -> str:
        return str(self.lines[-1].get("error", "")) if self.lines else ""

    @property
    def image(self) -> str:
        """The image's id; fails with the build's output if there is no image."""
        assert self.answer.status == 200, self.answer.body
        assert not self.error, self.error
        ids = [line["aux"]["ID"] for line in self.lines if "aux" in line]
        return str(ids[-1])

    @property
    def hits(self) -> int:
        """The number of steps that came from the cache."""
        return self.text.count(" ---> Using cache\n")


def context(dockerfile: str, files: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return an archive with a Dockerfile and files."""
    entries = [entry("Dockerfile", dockerfile.encode())]
    for name, data in (files or {}).items():
        entries.append(entry(name, data.encode() if isinstance(data, str) else data))
    return tarball(*entries)


def build(
    engine: TestEngine,
    text: str | bytes,
    files: Mapping[str, str | bytes] | None = None,
    /,
    *,
    headers: Mapping[str, str] | None = None,
    **query: Any,
) -> Built:
    """Send ``POST /build`` with a Dockerfile and files, or with a ready-made archive.

    Args:
        engine: the engine.
        text: the Dockerfile, or an archive.
        files: the other files of the context.
        headers: headers beside the content type.
        query: parameters; values that are neither text nor numbers are sent as JSON.
    """
    body = text if isinstance(text, bytes) else context(text, files)
    plain = {
        name: value if isinstance(value, str | int) or name == "t" else json.dumps(value)
        for name, value in query.items()
    }
    target = f"/build?{urlencode(plain, doseq=True)}"
    return Built(engine.api.post(target, body, headers={**TAR, **(headers or {})}))


def output(built: Built) -> list[str]:
    """Return the lines that the steps printed, without the builder's own."""
    return [
        line
        for line in built.text.splitlines()
        if line and not line.startswith(("Step ", " ---> ", "Successfully ", "[Warning]", "# Exec"))
    ]
