"""Making an :class:`EngineConfig` of flags and ``daemon.json``.

The rules are dockerd's: a directive may be in the file or on the command line, but not
in both; an unknown key is an error.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec

from palan.api.booleans import BOOLEANS
from palan.engine.config import (
    DEFAULT_CONFIG_FILE,
    AddressPool,
    EngineConfig,
    Option,
    Runtime,
    Strings,
    Ulimit,
)
from palan.engine.config_check import ConfigError, check
from palan.engine.sizes import parse_size


__all__ = ["ConfigError", "Directive", "Loaded", "directives", "load_config", "reloaded"]
_PROXIES: Final = ("http-proxy", "https-proxy", "no-proxy")


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive, as its field of :class:`EngineConfig` declares it."""

    key: str
    field: str
    type: Any
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """The flag, without dashes."""
        return self.option.flag or self.key

    @property
    def is_bool(self) -> bool:
        """Whether the flag may be given without a value."""
        return bool(self.type in (bool, bool | None))

    @property
    def has_flag(self) -> bool:
        """Whether the directive has a flag; free-form JSON has none."""
        return bool(self.type != dict[str, Any])


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and warnings for its author."""

    config: EngineConfig
    warnings: tuple[str, ...] = ()


@cache
def directives() -> Mapping[str, Directive]:
    """Return all directives by key, in the order of their declaration."""
    hints = get_type_hints(EngineConfig, include_extras=True)
    found: dict[str, Directive] = {}
    for entry in msgspec.structs.fields(EngineConfig):
        hint = hints[entry.name]
        if get_origin(hint) is not Annotated:
            raise TypeError(f"EngineConfig.{entry.name} has no Option")
        kind, option = get_args(hint)
        default = entry.default
        if default is msgspec.NODEFAULT:
            default = entry.default_factory()
        found[entry.encode_name] = Directive(entry.encode_name, entry.name, kind, default, option)
    return found


def load_config(
    flags: Mapping[str, Sequence[str]] | None = None, config_file: Path | None = None
) -> Loaded:
    """Merge flags and file, check the result, and warn about ignored directives.

    Args:
        flags: values by *key* (``hosts``, not ``host``), each as given, in order.
        config_file: the file to read, which must exist.  None reads the default file
            if it exists.

    Raises:
        ConfigError: the configuration is invalid; the message describes the problem.
    """
    flags = flags or {}
    path = config_file or DEFAULT_CONFIG_FILE
    from_file = _read_file(path, required=config_file is not None)
    from_flags = {key: _from_flag(directives()[key], values) for key, values in flags.items()}
    both = [
        f"{key}: (from flag: {_go(from_flags[key])}, from file: {_go(from_file[key])})"
        for key in from_file
        if key in from_flags
    ]
    if both:
        raise ConfigError(
            "the following directives are specified both as a flag and in the configuration "
            f"file: {', '.join(both)}"
        )
    given = {key: _convert(directives()[key], value) for key, value in from_flags.items()}
    try:
        given |= {key: _convert(directives()[key], value) for key, value in from_file.items()}
    except ConfigError as error:
        raise _in_file(path, str(error)) from None
    config = EngineConfig(**{directives()[key].field: value for key, value in given.items()})
    return Loaded(config, check(config, _without_effect(given)))


def reloaded(old: EngineConfig, new: EngineConfig) -> EngineConfig:
    """Return ``old`` with those directives of ``new`` that a running engine can apply."""
    changes = {
        entry.field: getattr(new, entry.field)
        for entry in directives().values()
        if entry.option.reload
    }
    return msgspec.structs.replace(old, **changes)


def _without_effect(given: Mapping[str, Any]) -> tuple[str, ...]:
    warnings = []
    for key, value in given.items():
        directive = directives()[key]
        if value == directive.default:
            continue
        if directive.option.refused:
            raise ConfigError(f"{key} cannot be had: {directive.option.refused}")
        if directive.option.inert:
            warnings.append(f"{key} has no effect: {directive.option.inert}")
        if directive.field == "features":
            warnings += (
                f"features: {name} has no effect: the only feature to switch is cdi"
                for name in value
                if name != "cdi"
            )
    return tuple(warnings)


# ---- the file ---------------------------------------------------------------


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        if required:
            raise _in_file(path, "no such file") from None
        return {}
    except OSError as error:
        raise _in_file(path, error.strerror or str(error)) from None
    if not text.strip():
        return {}
    try:
        document: Any = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, ConfigError) as error:
        raise _in_file(path, str(error)) from None
    if not isinstance(document, dict):
        raise _in_file(path, "it must be a JSON object")
    # Docker groups the proxies in one object, though each has its own flag.
    unknown = [key for key in document if key not in directives() and key != "proxies"]
    unknown += [key for key in _PROXIES if key in document]
    proxies = document.pop("proxies", {})
    if not isinstance(proxies, dict):
        raise _in_file(path, "proxies must be an object")
    unknown += [f"proxies.{key}" for key in proxies if key not in _PROXIES]
    if unknown:
        raise _in_file(
            path,
            f"the following directives don't match any configuration option: {', '.join(unknown)}",
        )
    return {**document, **proxies}


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise ConfigError(f"given twice: {', '.join(twice)}")
    return document


def _in_file(path: Path, why: str) -> ConfigError:
    return ConfigError(f"unable to configure the engine with file {path}: {why}")


# ---- values -----------------------------------------------------------------


def _from_flag(directive: Directive, values: Sequence[str]) -> Any:
    """Return a flag's text as the JSON value that the file would have."""
    kind = directive.type
    try:
        if kind == Strings:
            return list(values)
        if kind == tuple[AddressPool, ...]:
            return [_address_pool(value) for value in values]
        if get_origin(kind) is dict:
            return _mapping(get_args(kind)[1], values)
        text = values[-1]
        if directive.is_bool:
            return _boolean(text)
        if kind is int:
            return text if directive.key == "default-shm-size" else int(text)
    except ValueError as error:
        given = " ".join(values)
        raise ConfigError(f'invalid argument "{given}" for --{directive.flag}: {error}') from None
    return text


def _boolean(text: str) -> bool:
    if text not in BOOLEANS:
        raise ValueError("it must be true or false")
    return BOOLEANS[text]


def _mapping(kind: Any, values: Sequence[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for value in values:
        key, equals, rest = value.partition("=")
        if kind is bool:
            result[key] = _boolean(rest) if equals else True
        elif not key or not equals:
            raise ValueError("it must be NAME=VALUE")
        elif kind is Runtime:
            if key in result:
                raise ValueError(f"runtime {key} was already defined")
            result[key] = {"path": rest}
        elif kind is Ulimit:
            soft, _, hard = rest.partition(":")
            result[key] = {"Name": key, "Soft": int(soft), "Hard": int(hard or soft)}
        elif kind == dict[str, str]:
            option, equals, setting = rest.partition("=")
            if not equals:
                raise ValueError("it must be DRIVER=NAME=VALUE")
            result.setdefault(key, {})[option] = setting
        else:
            result[key] = rest
    return result


def _address_pool(text: str) -> dict[str, Any]:
    pool: dict[str, Any] = {}
    for part in text.split(","):
        key, _, value = part.partition("=")
        pool[key.strip().lower()] = value.strip()
    if pool.keys() != {"base", "size"}:
        raise ValueError("it must be base=CIDR,size=BITS")
    pool["size"] = int(pool["size"])
    return pool


def _convert(directive: Directive, value: Any) -> Any:
    """Convert a JSON value to the directive's type; ``null`` is the default, as in Go."""
    if value is None:
        return directive.default
    if directive.key == "default-shm-size" and isinstance(value, str):
        try:
            value = parse_size(value.strip())
        except ValueError as error:
            raise ConfigError(f"default-shm-size: {error}") from None
    if directive.key == "default-ulimits" and isinstance(value, dict):
        value = {
            name: {"Name": name, **limit} if isinstance(limit, dict) else limit
            for name, limit in value.items()
        }
    try:
        return msgspec.convert(value, directive.type)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        inside = where.strip("`$")
        raise ConfigError(f"{directive.key}{inside}: {_plain(what)}") from None


def _plain(message: str) -> str:
    return message.replace("`", "")[:1].lower() + message.replace("`", "")[1:]


def _go(value: Any) -> str:
    """Return a value as Go prints it, for dockerd's message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{' '.join(_go(item) for item in value)}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_go(item)}' for key, item in value.items())}]"
    return str(value)
