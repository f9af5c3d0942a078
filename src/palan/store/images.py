"""Tables of images: names, targets, images and unpacked layers.

A *name* refers to a *target*, the manifest or index that was loaded under it. A target has
one *image* for each platform with content that is present. An image has *layers*. Blobs have no
rows: their files exist, and targets list the blobs that are in use.
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
    """A name, the digest of its target, and when it was set (nanoseconds since the epoch)."""

    name: str
    target: str
    tagged: int


class Blob(msgspec.Struct, frozen=True):
    """A blob that a manifest refers to."""

    digest: str
    size: int


class ManifestRecord(msgspec.Struct):
    """A manifest that belongs to a target."""

    digest: str
    media_type: str
    size: int
    kind: str
    """``image``, ``attestation``, ``unknown``, or ``index`` for a nested index that is present;
    the manifests of a nested index are listed beside it."""

    platform: tuple[str, str, str] = ("", "", "")
    """Operating system, architecture, variant: from the index, otherwise the configuration."""

    image: str = ""
    """Id of the image that belongs to it; empty if its content is not present."""

    blobs: list[Blob] = []
    """Its configuration and layers, as far as they are present."""

    subject: str = ""
    """For an attestation: the digest of the manifest that it describes."""

    annotations: dict[str, str] = {}
    """Its annotations in the index."""

    platform_in_index: bool = msgspec.field(default=False, name="told")
    """The platform comes from the index."""

    @property
    def here(self) -> bool:
        """Whether the manifest document itself is present."""
        return bool(self.blobs) or self.kind == "index"


class TargetRecord(msgspec.Struct):
    """A manifest or an index, and the manifests in it."""

    digest: str
    media_type: str
    size: int
    manifests: list[ManifestRecord]
    annotations: dict[str, str] = {}


class ImageRecord(msgspec.Struct):
    """The engine's data about an image. The image's configuration is a blob."""

    id: str
    layers: list[str]
    """Chain ids of its layers, lowest layer first."""

    parent: str = ""
    """Id of the image on which a build or commit was based."""

    step: str = ""
    """Digest of the build step that made it from its parent: the key of the build cache."""

    pulled: list[str] = []
    """Repositories from which it was pulled."""

    hidden: bool = False
    """It was removed while stopped containers used it; only those containers see it."""

    manifest: ManifestRecord | None = None
    """For a hidden image: its manifest, because a commit needs the blobs."""


class LayerRecord(msgspec.Struct):
    """An unpacked layer."""

    chain_id: str
    diff_id: str
    size: int
    """Sum of the sizes of its files in bytes."""


class Rows(msgspec.Struct):
    """Rows of all four tables."""

    names: list[NameRecord] = []
    targets: list[TargetRecord] = []
    images: list[ImageRecord] = []
    layers: list[LayerRecord] = []


_ENCODE: Final = msgspec.json.Encoder().encode


def read_rows(connection: sqlite3.Connection) -> Rows:
    """Return the rows of all four tables."""
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
    """Save rows; rows with the same keys are replaced."""
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
