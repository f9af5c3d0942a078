"""``palan api METHOD PATH``: send any request, as with curl, and print the response."""

import re
import sys
from pathlib import Path
from typing import IO, Any, Final

from palan.api.frames import FrameDecoder
from palan.cli.verbs.terminal import send_stdin
from palan.cli.verbs.verb import Arguments, Failed, Parser, Verb
from palan.client import Client, Response


__all__ = ["VERB", "coloured"]

_TOKEN: Final = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=\s*:)|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<word>true|false|null)|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
)
_COLOURS: Final = {"key": "34", "text": "32", "word": "35", "number": "36"}


def _declare(parser: Parser) -> None:
    parser.add_argument("method", metavar="METHOD", help="GET, POST, ...")
    parser.add_argument("path", metavar="PATH", help="such as /containers/json?all=1")
    parser.add_argument("--input", metavar="FILE|-", help="the request's body")
    parser.add_argument("-d", "--data", metavar="JSON", help="the request's body, as text")
    parser.add_argument(
        "-q",
        "--query",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the query",
    )
    parser.add_argument(
        "--header", action="append", default=[], metavar="NAME:VALUE", help="a header"
    )
    parser.add_argument("-i", "--include", action="store_true", help="show status and headers")
    parser.add_argument(
        "--hijack", action="store_true", help="use the connection as a stream, and send stdin to it"
    )
    parser.add_argument("--raw", action="store_true", help="print the body unchanged")
    parser.add_argument("--no-color", action="store_true", help="no colours on a terminal")
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="how long to wait for each part of the body",
    )


def _act(client: Client, given: Arguments) -> int:
    headers = {name.strip(): value.strip() for name, _, value in map(_split, given.header)}
    body, close = _body(given)
    if body is not None and not any(name.lower() == "content-type" for name in headers):
        tar = given.input and not given.input.endswith(".json") and not given.data
        headers["Content-Type"] = "application/x-tar" if tar else "application/json"
    query: dict[str, list[str]] = {}
    for one in given.query:
        name, _, value = one.partition("=")
        query.setdefault(name, []).append(value)
    try:
        with client.request(
            given.method.upper(),
            given.path,
            query=query,
            headers=headers,
            body=body,
            hijack=given.hijack,
            timeout=given.timeout,
        ) as response:
            if given.include:
                _show_head(response)
            _show_body(response, given)
            status = response.status
    finally:
        if close is not None:
            close.close()
    if status >= 400:
        raise Failed(22)  # curl's exit status for an error response
    return 0


def _split(text: str) -> tuple[str, str, str]:
    return text.partition(":")


def _body(given: Arguments) -> tuple[Any, IO[bytes] | None]:
    if given.data is not None:
        return given.data.encode(), None
    if given.input is None:
        return None, None
    if given.input == "-":
        return sys.stdin.buffer, None
    file = Path(given.input).open("rb")  # noqa: SIM115 - closed by the caller
    return file, file


def _show_head(response: Response) -> None:
    print(f"HTTP/1.1 {response.status} {response.reason}")
    for name, value in sorted(response.headers.items()):
        print(f"{name}: {value}")
    print(flush=True)


def _show_body(response: Response, given: Arguments) -> None:
    kind = response.headers.get("content-type", "")
    colours = sys.stdout.isatty() and not given.no_color
    if response.hijacked and given.hijack:
        send_stdin(response)
    if "multiplexed" in kind and not given.raw:
        _show_frames(response)
    elif "json" in kind and colours and not given.raw:
        _show_json(response)
    elif sys.stdout.isatty() and ("tar" in kind or "octet-stream" in kind):
        raise ValueError("refusing to write an archive to a terminal: redirect the output")
    else:
        for data in response:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def _show_frames(response: Response) -> None:
    decoder = FrameDecoder()
    for data in response:
        for stream, payload in decoder.feed(data):
            target = sys.stderr if stream == 2 else sys.stdout
            target.buffer.write(payload)
            target.buffer.flush()


def _show_json(response: Response) -> None:
    """Print each JSON document as soon as it is complete."""
    import json

    from palan.client._lines import Lines

    lines = Lines()
    while True:
        data = response.chunk()
        for line in lines.feed(data) if data else lines.end():
            try:
                text = json.dumps(json.loads(line), indent=2, ensure_ascii=False)
            except ValueError:
                text = line.decode("utf-8", "replace")
            print(coloured(text), flush=True)
        if not data:
            return


def coloured(text: str) -> str:
    """Return JSON text with colours for a terminal."""

    def paint(match: re.Match[str]) -> str:
        return f"\x1b[{_COLOURS[str(match.lastgroup)]}m{match[0]}\x1b[0m"

    return _TOKEN.sub(paint, text)


VERB = Verb("Send any request to the engine, as with curl", _declare, _act)
