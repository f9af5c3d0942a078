"""Palan: the whole Docker Engine API in Python.

It has two halves: an engine (``palan serve``), which runs real OCI containers and
answers the Docker Engine API, and a typed client for every endpoint of that API.
Both share the declarations of endpoints and messages in :mod:`palan.api`.

    with palan.Client() as client:
        print(client.containers.run("busybox", ["echo", "hello"]).stdout)
"""

# Type checkers read __init__.pyi instead of this file.
__version__ = "0.1.0"

__all__ = ["AsyncClient", "Client", "Output", "__version__", "errors"]


def __getattr__(name: str) -> object:
    # Imported on demand: the engine and `palan serve` do not need the client.
    if name not in ("AsyncClient", "Client", "Output", "errors"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    if name == "errors":
        return import_module("palan.client.errors")
    return getattr(import_module("palan.client"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
