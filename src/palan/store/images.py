"""The rows about images: names, what they point at, images and unpacked layers.

A *name* points at a *target*, the manifest or index that was loaded under it; a target
has one *image* for each platform that is here; an image has *layers*.  Blobs have no
rows: the files are there, and targets say which ones are wanted.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

import msgspec


__all__ = [
    "SCHEMA",
    "Blob",
    "ImageRecord",
    "LayerRecord",
    "ManifestRecord",
    "NameRecord",
    "Rows",
    "TargetRecord",
    "delete_rows",
    "read_rows",
    "write_rows",
]

SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS image_names
       (name TEXT PRIMARY KEY, target TEXT NOT NULL, tagged INTEGER NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS image_targets (digest TEXT PRIMARY KEY, record BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS images (id TEXT PRIMARY KEY, record BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS image_layers (chain_id TEXT PRIMARY KEY, record BLOB NOT NULL)",
)


class NameRecord(msgspec.Struct):
    """A name and since when it points where it points (nanoseconds since the epoch)."""

    name: str
    target: str
    tagged: int


class Blob(msgspec.Struct, frozen=True):
    """A blob that a manifest needs."""

    digest: str
    size: int


class ManifestRecord(msgspec.Struct):
    """A manifest of a target."""

    digest: str
    media_type: str
    size: int
    kind: str
    """``image``, ``attestation``, ``unknown``, or ``index`` for an index within the index that
    is here: its manifests stand beside it."""

    platform: tuple[str, str, str] = ("", "", "")
    """Operating system, architecture, variant: as the index says, else the configuration."""

    image: str = ""
    """The image that was made of it; empty where its content is not here."""

    blobs: list[Blob] = []
    """Its configuration and layers, as far as they are here."""

    subject: str = ""
    """For an attestation: the digest of the manifest that it is about."""

    annotations: dict[str, str] = {}
    """What the index says of it."""

    told: bool = False
    """The index tells the platform."""

    @property
    def here(self) -> bool:
        """Whether the document itself is here."""
        return bool(self.blobs) or self.kind == "index"


class TargetRecord(msgspec.Struct):
    """A manifest or an index, and what is known of its manifests."""

    digest: str
    media_type: str
    size: int
    manifests: list[ManifestRecord]
    annotations: dict[str, str] = {}


class ImageRecord(msgspec.Struct):
    """What the engine knows of an image beside its configuration, which is a blob."""

    id: str
    layers: list[str]
    """Chain ids of its layers, the lowest first."""

    parent: str = ""
    """The image that a build or commit began with."""

    step: str = ""
    """The build's step that made it of its parent, as a digest: it is not made again."""

    pulled: list[str] = []
    """Repositories it was pulled from."""

    hidden: bool = False
    """It was removed while stopped containers used it: only they see it."""

    manifest: ManifestRecord | None = None
    """While it is hidden: the manifest it came with, as a commit needs the blobs of it."""


class LayerRecord(msgspec.Struct):
    """An unpacked layer."""

    chain_id: str
    diff_id: str
    size: int
    """Bytes of its files."""


class Rows(msgspec.Struct):
    """Rows of all four tables."""

    names: list[NameRecord] = []
    targets: list[TargetRecord] = []
    images: list[ImageRecord] = []
    layers: list[LayerRecord] = []


_ENCODE: Final = msgspec.json.Encoder().encode


def read_rows(connection: sqlite3.Connection) -> Rows:
    """Everything."""
    names = connection.execute("SELECT name, target, tagged FROM image_names ORDER BY rowid")
    targets = connection.execute("SELECT record FROM image_targets ORDER BY rowid")
    images = connection.execute("SELECT record FROM images ORDER BY rowid")
    layers = connection.execute("SELECT record FROM image_layers ORDER BY rowid")
    return Rows(
        [NameRecord(*row) for row in names],
        [msgspec.json.decode(record, type=TargetRecord) for (record,) in targets],
        [msgspec.json.decode(record, type=ImageRecord) for (record,) in images],
        [msgspec.json.decode(record, type=LayerRecord) for (record,) in layers],
    )


def write_rows(connection: sqlite3.Connection, rows: Rows) -> None:
    """Write rows, replacing those with the same keys."""
    connection.executemany(
        "INSERT INTO image_layers VALUES (?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
        [(layer.chain_id, _ENCODE(layer)) for layer in rows.layers],
    )
    connection.executemany(
        "INSERT INTO images VALUES (?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
        [(image.id, _ENCODE(image)) for image in rows.images],
    )
    connection.executemany(
        "INSERT INTO image_targets VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET record = excluded.record",
        [(target.digest, _ENCODE(target)) for target in rows.targets],
    )
    connection.executemany(
        "INSERT INTO image_names VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
        " SET target = excluded.target, tagged = excluded.tagged",
        [(name.name, name.target, name.tagged) for name in rows.names],
    )


def delete_rows(
    connection: sqlite3.Connection,
    names: Iterable[str],
    targets: Iterable[str],
    images: Iterable[str],
    layers: Iterable[str],
) -> None:
    """Delete rows by their keys."""
    for statement, keys in (
        ("DELETE FROM image_names WHERE name = ?", names),
        ("DELETE FROM image_targets WHERE digest = ?", targets),
        ("DELETE FROM images WHERE id = ?", images),
        ("DELETE FROM image_layers WHERE chain_id = ?", layers),
    ):
        connection.executemany(statement, [(key,) for key in keys])
