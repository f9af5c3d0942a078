"""Docstrings of fields, read from the source because Python does not keep them.

A field is documented by a string below it, which the OpenAPI document and the client's
docstrings repeat. If the source is not available, there are no descriptions.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache


__all__ = ["class_description", "field_descriptions"]


def class_description(kind: type) -> str:
    """Return the docstring of a class itself, without those of its bases."""
    return inspect.cleandoc(kind.__dict__.get("__doc__") or "")


def field_descriptions(kind: type) -> dict[str, str]:
    """Return the docstrings of the fields of a class and its bases, by the fields' names."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found.update(_module(base.__module__).get(base.__qualname__, {}))
    return found


@cache
def _module(name: str) -> Mapping[str, Mapping[str, str]]:
    """Return the docstrings of fields, by class and field, of a module of Palan."""
    if not name.startswith("palan."):
        return {}
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (OSError, KeyError):
        return {}
    return {node.name: dict(_fields(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for before, after in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            yield before.target.id, inspect.cleandoc(after.value.value)
