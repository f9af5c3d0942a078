"""Makes the blocking client of the async one: ``palan/client/_sync`` of ``_async``.

    python scripts/client_sync.py          # writes the files
    python scripts/client_sync.py --check  # only says whether they are as they should be

What differs is words: ``await`` goes, ``AsyncClient`` becomes ``Client``, and so on. ``io.py``
is written twice by hand, as blocking is not a matter of words.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final


CLIENT: Final = Path(__file__).parent.parent / "src" / "palan" / "client"
BY_HAND: Final = {"io.py", "shielded.py", "__init__.py"}

_WORDS: Final = (
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__aenter__\b", "__enter__"),
    (r"\b__aexit__\b", "__exit__"),
    (r"\b__aiter__\b", "__iter__"),
    (r"\b__anext__\b", "__next__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAsync(Iterator|Iterable|Generator)\b", r"\1"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b_async\b", "_sync"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\baclosing\b", "closing"),
)


def blocking(source: str, path: str) -> str:
    """The blocking module of an async one."""
    for pattern, replacement in _WORDS:
        source = re.sub(pattern, replacement, source)
    return f"# Made of {path} by scripts/client_sync.py: change that, and run this.\n{source}"


def formatted(source: str, path: Path) -> str:
    """As ruff would have it."""
    for command in (["check", "--fix-only", "--select", "I"], ["format"]):
        source = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", str(path), "-"],
            input=source,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    return source


def files() -> dict[Path, str]:
    """What should lie in ``_sync``."""
    made = {}
    for path in sorted((CLIENT / "_async").rglob("*.py")):
        relative = path.relative_to(CLIENT / "_async")
        if relative.name in BY_HAND and len(relative.parts) == 1:
            continue
        target = CLIENT / "_sync" / relative
        made[target] = formatted(blocking(path.read_text(), f"_async/{relative}"), target)
    return made


def main(arguments: list[str]) -> int:
    """Write, or compare."""
    made = files()
    there = {
        path
        for path in (CLIENT / "_sync").rglob("*.py")
        if not (path.name in BY_HAND and path.parent.name == "_sync")
    }
    wrong = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    wrong += sorted(there - made.keys())
    if "--check" in arguments:
        for path in wrong:
            print(f"{path.relative_to(CLIENT)} is not as its source says")
        return 1 if wrong else 0
    for path in wrong:
        if path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
