"""Palan: the Docker Engine API, whole, in Python.

Two halves on one contract: an engine (``palan serve``) that runs real OCI
containers and answers the Docker Engine API, and a typed client for every
endpoint of that API.  The contract itself is :mod:`palan.api`.

    with palan.Client() as client:
        print(client.containers.run("busybox", ["echo", "hello"]).stdout)
"""

# What there is for type checkers stands in __init__.pyi.
__version__ = "0.1.0"

__all__ = ["AsyncClient", "Client", "Output", "__version__", "errors"]


def __getattr__(name: str) -> object:
    # The engine does not import the client, and `palan serve` neither.
    if name not in ("AsyncClient", "Client", "Output", "errors"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    if name == "errors":
        return import_module("palan.client.errors")
    return getattr(import_module("palan.client"), name)
