"""Writing the docker CLI's ``config.json``, and credentials into it or into helpers.

Unknown entries of the file are kept. It is replaced in one step, and a new one is readable for
its owner only.
"""

import base64
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from palan.atomic_file import atomic_file
from palan.client._credentials import ask_helper
from palan.client._environment import Environment
from palan.client.errors import ConfigError


__all__ = ["change_config", "erase_credentials", "store_credentials"]


def change_config(environment: Environment, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change ``config.json``.

    Args:
        environment: knows the file's directory and content.
        change: changes the document in place.

    Returns:
        The path of the file.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    document = dict(environment.config)
    change(document)
    # If the path is a symbolic link, its target is replaced.
    path = Path(os.path.realpath(Path(environment.directory, "config.json")))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(json.dumps(document, indent="\t", ensure_ascii=False).encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None
    environment.config = document
    return path


def store_credentials(
    environment: Environment, registry: str, user: str, secret: str, *, is_token: bool
) -> Path | None:
    """Store credentials as the docker CLI does: with a helper, or else in ``config.json``.

    Args:
        environment: knows the configuration.
        registry: the registry's key.
        user: the user's name.
        secret: a password or an identity token.
        is_token: whether the secret is an identity token.

    Returns:
        The file that holds the credentials unencrypted; None with a helper.

    Raises:
        ConfigError: the helper failed, or the file cannot be written.
    """
    helper = _helper(environment.config, registry)
    if helper:
        name = "<token>" if is_token else user
        text = json.dumps({"ServerURL": registry, "Username": name, "Secret": secret})
        ask_helper(helper, "store", text, environment.variables)
        return None
    pair = f"{user}:" if is_token else f"{user}:{secret}"
    entry = {"auth": base64.b64encode(pair.encode()).decode()}
    if is_token:
        entry["identitytoken"] = secret

    def change(document: dict[str, Any]) -> None:
        document["auths"] = {**_dictionary(document, "auths"), registry: entry}

    return change_config(environment, change)


def erase_credentials(environment: Environment, registry: str) -> bool:
    """Delete the credentials of a registry.

    Returns:
        Whether there were any; always true with a helper.

    Raises:
        ConfigError: the helper failed, or the file cannot be written.
    """
    helper = _helper(environment.config, registry)
    known = registry in _dictionary(environment.config, "auths")
    if helper:
        ask_helper(helper, "erase", registry, environment.variables)
    if known:

        def change(document: dict[str, Any]) -> None:
            auths = _dictionary(document, "auths")
            document["auths"] = {key: auths[key] for key in auths if key != registry}

        change_config(environment, change)
    return known or bool(helper)


def _helper(config: Mapping[str, Any], registry: str) -> str:
    return str(_dictionary(config, "credHelpers").get(registry) or config.get("credsStore") or "")


def _dictionary(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}
