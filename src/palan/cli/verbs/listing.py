"""The output of lists: rows as a table, by a template, or as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from palan.cli.verbs.table import print_table
from palan.cli.verbs.template import Row, Template, go_json
from palan.cli.verbs.verb import Parser


__all__ = ["add_list_options", "filters_of", "label_columns", "show"]


def add_list_options(parser: Parser, *, filters: bool = True) -> None:
    """Declare the options that all lists have."""
    parser.add_argument("-q", "--quiet", action="store_true", help="only display ids")
    parser.add_argument("--no-trunc", action="store_true", help="don't truncate output")
    parser.add_argument(
        "--format", metavar="TEMPLATE", default="", help="table, json, or a Go template"
    )
    if filters:
        parser.add_argument(
            "-f", "--filter", metavar="NAME=VALUE", action="append", default=[],
            help="filter output based on conditions provided",
        )  # fmt: skip


def filters_of(given: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of ``--filter`` as filters for the API.

    Raises:
        ValueError: one is not of the form ``name=value``.
    """
    made: dict[str, list[str]] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise ValueError(f"bad format of filter {one!r} (expected name=value)")
        made.setdefault(name.strip().lower(), []).append(value.strip())
    return made


class Labels(dict[str, str]):
    """The labels of a row, for ``{{.Label "name"}}``; they have no column of their own."""


class _LabelHeadings(Labels):
    """The headings of ``{{.Label "name"}}``: each is the label's name."""

    def get(self, key: str, default: Any = None) -> Any:
        return key if default in (None, "") else default


def label_columns(labels: Mapping[str, str] | None) -> dict[str, Any]:
    """Return a row's columns ``Labels`` (text) and ``Label`` (for ``{{.Label "name"}}``)."""
    text = ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))
    return {"Labels": text, "Label": Labels(labels or {})}


def show(
    columns: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    form: str,
    *,
    shown: Sequence[str],
) -> None:
    """Print rows as a table, by a template, or as JSON.

    Args:
        columns: the headings, by the names that templates use.
        rows: texts by those names.
        form: the value of ``--format``.
        shown: the columns of the default table.
    """
    if form in ("", "table"):
        print_table([columns[name] for name in shown], [[row[n] for n in shown] for row in rows])
    elif form == "json":
        for row in rows:
            print(go_json(Row(row)))
    elif form.startswith("table"):
        template = Template(form.removeprefix("table").strip().replace("\\t", "\t"))
        lines = [
            template.render({**columns, "Label": _LabelHeadings()}),
            *(template.render(row) for row in rows),
        ]
        head, *rest = [line.split("\t") for line in lines]
        print_table(head, rest)
    else:
        template = Template(form.replace("\\t", "\t").replace("\\n", "\n"))
        for row in rows:
            print(template.render(Row(row)))
