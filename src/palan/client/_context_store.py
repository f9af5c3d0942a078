"""The docker CLI's contexts as files: listing, creating and removing them.

``_contexts.py`` reads one in order to connect to its engine.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from palan.atomic_file import atomic_file
from palan.client.errors import ConfigError


__all__ = ["ContextStore"]

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]+")
_FILES: Final = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}


class ContextStore:
    """The contexts below a directory."""

    def __init__(self, directory: str) -> None:
        """Use the contexts below a directory; nothing is read yet.

        Args:
            directory: the directory of ``config.json``.
        """
        self._meta = Path(directory, "contexts", "meta")
        self._tls = Path(directory, "contexts", "tls")

    def all(self) -> list[dict[str, Any]]:
        """Return the documents of all contexts, sorted by name; unreadable ones are left out."""
        found = []
        for path in self._meta.glob("*/meta.json"):
            try:
                document = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue
            if isinstance(document, dict) and isinstance(document.get("Name"), str):
                found.append(document)
        return sorted(found, key=lambda one: str(one["Name"]))

    def get(self, name: str) -> dict[str, Any]:
        """Return the document of a context, with the paths of its files.

        Raises:
            ConfigError: no context has that name.
        """
        document = next((one for one in self.all() if one["Name"] == name), None)
        if document is None:
            raise ConfigError(f'context "{name}": context not found: {self._meta / _digest(name)}')
        tls = self._tls / _digest(name)
        material = {
            endpoint.name: sorted(file.name for file in endpoint.iterdir())
            for endpoint in (sorted(tls.iterdir()) if tls.is_dir() else ())
        }
        return {
            **document,
            "TLSMaterial": material,
            "Storage": {"MetadataPath": str(self._meta / _digest(name)), "TLSPath": str(tls)},
        }

    def create(
        self,
        name: str,
        host: str,
        *,
        description: str = "",
        certificates: Mapping[str, str] | None = None,
        skip_verify: bool = False,
        replace: bool = False,
    ) -> None:
        """Write a context.

        Args:
            name: the context's name.
            host: the engine's address.
            description: a text for people.
            certificates: files to copy, by ``ca``, ``cert`` and ``key``.
            skip_verify: accept any certificate of the engine.
            replace: overwrite a context of that name.

        Raises:
            ConfigError: the name is invalid or taken, or a file cannot be read or written.
        """
        if name == "default" or not _NAME.fullmatch(name):
            raise ConfigError(
                f'context name "{name}" is invalid: it must be like "{_NAME.pattern}", and '
                '"default" is reserved'
            )
        directory = self._meta / _digest(name)
        if not replace and (directory / "meta.json").exists():
            raise ConfigError(f'context "{name}" already exists')
        try:
            texts = {
                _FILES[kind]: Path(path).read_bytes() for kind, path in (certificates or {}).items()
            }
            if texts:
                tls = self._tls / _digest(name) / "docker"
                tls.mkdir(mode=0o700, parents=True, exist_ok=True)
                for file, text in texts.items():
                    (tls / file).touch(mode=0o600)
                    (tls / file).write_bytes(text)
            directory.mkdir(parents=True, exist_ok=True)
            document = {
                "Name": name,
                "Metadata": {"Description": description} if description else {},
                "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": skip_verify}},
            }
            with atomic_file(directory / "meta.json", mode=0o644) as meta:
                meta.write(json.dumps(document, separators=(",", ":")).encode())
        except OSError as error:
            raise ConfigError(f'context "{name}": {error.filename}: {error.strerror}') from None

    def remove(self, name: str) -> None:
        """Remove a context.

        Raises:
            ConfigError: no context has that name.
        """
        self.get(name)
        for directory in (self._meta / _digest(name), self._tls / _digest(name)):
            shutil.rmtree(directory, ignore_errors=True)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
