"""All images in memory, and the order in which memory, rows and files change.

An addition writes files before rows, a removal deletes rows before files, so that a crash
at any moment leaves only files without rows; the next start removes those.  Readers use
memory only.  A change holds :attr:`Catalog.lock`; a removal changes memory before it awaits
anything, so that checking whether an image is used and removing it are one step.

Content that an operation in progress relies on (an existing blob, a layer just unpacked) is
*pinned* by its :class:`Lease`; content that is pinned or referred to is not removed.  The
release of the last lease removes content that nothing refers to.
"""

import asyncio
import contextlib
import secrets
import sqlite3
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
import structlog

from palan.api.errors import InvalidParameter
from palan.engine.images.formats import ImageSpec, decode
from palan.engine.images.image import Image
from palan.engine.images.platform import Platform, host_platform
from palan.store.content import Content, DamagedContent
from palan.store.database import Database, StoreFailure
from palan.store.images import (
    ImageRecord,
    LayerRecord,
    ManifestRecord,
    NameRecord,
    Rows,
    TargetRecord,
    delete_rows,
    read_rows,
    write_rows,
)


__all__ = ["Catalog", "Lease", "Report"]

Report = Callable[[Image], object]


def _no_report(_image: Image) -> None:
    """Publish nothing."""


_LAYER: Final = "layer:"
_log = structlog.get_logger("palan.engine.images")


class Lease:
    """Keeps blobs and layers from removal while an operation relies on them."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog
        self._keys: set[str] = set()

    def blob(self, digest: str) -> None:
        """Pin a blob, which need not exist yet."""
        self._pin(digest)

    def layer(self, chain_id: str) -> None:
        """Pin a layer, which need not exist yet."""
        self._pin(_LAYER + chain_id)

    def _pin(self, key: str) -> None:
        if key not in self._keys:
            self._keys.add(key)
            self._catalog.pin(key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._catalog.unpin(self._keys)


class Catalog:
    """Names, targets, images and layers, and the changes to them.

    Attributes:
        names: the names, by normalised name such as ``docker.io/library/busybox:latest``.
        targets: the manifests and indexes that names point at, by digest.
        images: the images by id, including hidden ones.
        layers: unpacked layers by chain id, including ones not yet in any image.
        held: ids of images from which an object is being made, with the number of holders;
            like used ones, they are hidden instead of removed.
        lock: held during every change.
    """

    def __init__(
        self, db: Database, root: Path, tmp: Path, dispose: Callable[[Path], object]
    ) -> None:
        """Prepare the directories; :meth:`load` reads the rows.

        Args:
            db: the database with the rows.
            root: the directory of blobs and layers.
            tmp: a directory on the same file system, for files that are being removed.
            dispose: removes a directory tree in the background.
        """
        self._db = db
        self._tmp = tmp
        self._dispose = dispose
        self.content = Content(root / "blobs")
        self._layers_root = root / "layers"
        self._layers_root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.names: dict[str, NameRecord] = {}
        self.targets: dict[str, TargetRecord] = {}
        self.images: dict[str, Image] = {}
        self.layers: dict[str, LayerRecord] = {}
        self.held: Counter[str] = Counter()
        self._pins: Counter[str] = Counter()
        # Threads pin content before they look for it.
        self._pinning = threading.Lock()
        self._wanted: Counter[str] = Counter()
        self._members: dict[str, dict[str, None]] = {}
        self._named: dict[str, set[str]] = {}
        self.lock = asyncio.Lock()

    # ---- reading ------------------------------------------------------------------

    def layer_directory(self, chain_id: str) -> Path:
        """Return the directory of a layer, which need not exist."""
        return self._layers_root / chain_id[7:] / "diff"

    def primary(self, target: TargetRecord) -> Image | None:
        """Return the image that a target means on this machine."""
        return self.choose(target, host_platform()) or next(iter(self.images_of(target)), None)

    def choose(
        self, target: TargetRecord, platform: Platform, *, strict: bool = False
    ) -> Image | None:
        """Return the image of a target that suits a platform best, or is for exactly that."""
        return self._chosen(target, platform, self.images, strict=strict)

    def _chosen(
        self,
        target: TargetRecord,
        platform: Platform,
        images: Mapping[str, Image],
        *,
        strict: bool = False,
    ) -> Image | None:
        ranked = [
            (rank, number, manifest.image)
            for number, manifest in enumerate(target.manifests)
            if manifest.image in images
            and (rank := Platform(*manifest.platform).rank(platform, strict=strict)) is not None
        ]
        return images[min(ranked)[2]] if ranked else None

    def images_of(self, target: TargetRecord) -> Iterator[Image]:
        """Yield the images of a target that are here, in its order."""
        for manifest in target.manifests:
            if manifest.image in self.images:
                yield self.images[manifest.image]

    def targets_of(self, image: Image) -> list[TargetRecord]:
        """Return the targets that contain the image, for any platform."""
        return [self.targets[digest] for digest in self._members.get(image.id, ())]

    def represented(self, image: Image) -> list[TargetRecord]:
        """Return the targets that mean this image on this machine."""
        return [target for target in self.targets_of(image) if self.primary(target) is image]

    def names_of(self, image: Image) -> list[NameRecord]:
        """Return the names that mean this image on this machine, sorted."""
        return self.names_to(self.represented(image))

    def names_to(self, targets: Iterable[TargetRecord]) -> list[NameRecord]:
        """Return the names that point at these targets, sorted."""
        names = [
            self.names[name] for target in targets for name in self._named.get(target.digest, ())
        ]
        return sorted(names, key=lambda name: name.name)

    def visible(self) -> list[Image]:
        """Return the images that lists show, the oldest first: one for each target."""
        return [image for image in self.images.values() if self.represented(image)]

    def family(self, image: Image) -> list[Image]:
        """Return an image and those for other platforms that are removed with it."""
        targets = self.represented(image) or self.targets_of(image)
        digests = {target.digest for target in targets}
        found = {image.id: image}
        for target in targets:
            for each in self.images_of(target):
                if digests.issuperset(self._members[each.id]):
                    found[each.id] = each
        return list(found.values())

    def manifest_of(self, image: Image) -> tuple[TargetRecord, ManifestRecord] | None:
        """Return the manifest that the image came with first, and its target."""
        for target in self.represented(image) or self.targets_of(image):
            for manifest in target.manifests:
                if manifest.image == image.id:
                    return target, manifest
        return None

    def content_of(self, image: Image) -> ManifestRecord | None:
        """Return the manifest that lists the blobs of an image."""
        if image.record.manifest is not None:
            return image.record.manifest
        found = self.manifest_of(image)
        return found[1] if found else None

    def is_whole(self, target: TargetRecord, manifest: ManifestRecord) -> bool:
        """Whether all files of an image exist, by their names and sizes.  Blocking."""
        image = self.images.get(manifest.image)
        blobs = [(target.digest, target.size), (manifest.digest, manifest.size)]
        blobs += [(blob.digest, blob.size) for blob in manifest.blobs]
        if image is None or not all(self.content.has_complete(*blob) for blob in blobs):
            return False
        try:
            for document in (target.digest, manifest.digest, image.id):
                self.content.read(document)
        except (FileNotFoundError, DamagedContent):
            return False
        return all(directory.is_dir() for directory in image.layers)

    def children(self, image: Image) -> bool:
        """Whether another image was made from this one."""
        return any(other.record.parent == image.id for other in self.images.values())

    def wanted(self, digest: str) -> int:
        """Return the number of targets and images that refer to a blob."""
        return self._wanted[digest]

    def wanted_layer(self, chain_id: str) -> int:
        """Return the number of images that refer to a layer."""
        return self._wanted[_LAYER + chain_id]

    def lease(self) -> Lease:
        """Return a new lease, to be used in a ``with`` statement."""
        return Lease(self)

    def pin(self, key: str) -> None:
        """Keep a blob or layer from removal, for leases; callable from any thread."""
        with self._pinning:
            self._pins[key] += 1

    def unpin(self, keys: Iterable[str]) -> None:
        """Release blobs and layers, for leases; remove those that nothing refers to."""
        with self._pinning:
            self._pins.subtract(keys)
            self._pins = +self._pins
        self.discard_unwanted(keys)

    # ---- start --------------------------------------------------------------------

    def load(self) -> None:
        """Read the rows; delete rows without files, and remove files without rows."""
        rows = self._db.read(read_rows)
        blobs = dict(self.content.sizes())
        unpacked = {f"sha256:{directory.name}" for directory in self._layers_root.iterdir()}
        lost = Rows()
        for layer in rows.layers:
            if layer.chain_id in unpacked:
                self.layers[layer.chain_id] = layer
            else:
                lost.layers.append(layer)
        for record in rows.images:
            self._load_image(record, lost)
        for target in rows.targets:
            self._load_target(target, blobs, lost)
        for name in rows.names:
            if name.target in self.targets:
                self._put_name(name)
            else:
                lost.names.append(name)
        out_of_sight = self._hide_lost()
        for target in lost.targets:
            _log.warning("image dropped: its files are damaged", digest=target.digest)
        if lost != Rows() or out_of_sight.images:
            self._db.read(lambda connection: delete_rows(connection, *_keys(lost)))
            self._db.read(lambda connection: write_rows(connection, out_of_sight))
        self.discard_unwanted(blobs)

    def _hide_lost(self) -> Rows:
        # Containers may use an image with damaged blobs: it is removed after them.
        rows = Rows()
        for image in self.images.values():
            if not image.record.hidden and not self._members.get(image.id):
                image.record.hidden = True
                rows.images.append(image.record)
        return rows

    def discard_layers(self, used: Container[str]) -> None:
        """Remove unpacked layers that neither an image nor a container has; at start only.

        Args:
            used: chain ids of the containers' layers, also of removed images.
        """
        unpacked = {f"sha256:{directory.name}" for directory in self._layers_root.iterdir()}
        layers = [each for each in unpacked | self.layers.keys() if each not in used]
        self.discard_unwanted([_LAYER + chain_id for chain_id in layers])

    def _load_image(self, record: ImageRecord, lost: Rows) -> None:
        try:
            self._install_image(record)
        except (OSError, ValueError, KeyError, DamagedContent, InvalidParameter) as error:
            _log.warning("image dropped: its files are damaged", image=record.id, error=str(error))
            lost.images.append(record)

    def _load_target(self, target: TargetRecord, blobs: Mapping[str, int], lost: Rows) -> None:
        for manifest in target.manifests:
            whole = all(blobs.get(blob.digest) == blob.size for blob in manifest.blobs)
            if manifest.image not in self.images or not whole:
                manifest.image = ""
        if target.digest in blobs and any(self.images_of(target)):
            self._install_target(target)
        else:
            lost.targets.append(target)

    # ---- changing: the caller holds the lock ----------------------------------------

    async def add(self, rows: Rows, report: Report = _no_report) -> None:
        """Add rows for complete files; on return they are committed.

        A name that pointed at another target is moved.

        Args:
            rows: the rows.
            report: called with the image that the first target or name means; the events that
                it publishes are committed together with the rows.
        """
        made = {
            record.id: self._made(record) for record in rows.images if record.id not in self.images
        }
        image = self._meant(rows, {**self.images, **made}) if report is not _no_report else None
        moved = [
            self.names[name.name].target
            for name in rows.names
            if name.name in self.names and self.names[name.name].target != name.target
        ]
        if image is not None:
            report(image)
        await self._db.run(lambda connection: write_rows(connection, rows))
        self._install(rows, made)
        superseded = [
            digest
            for digest in dict.fromkeys(moved)
            if digest in self.targets and self._is_superseded(self.targets[digest])
        ]
        if superseded:
            await self.remove(targets=superseded)

    def _meant(self, rows: Rows, images: Mapping[str, Image]) -> Image | None:
        """Return the image that added rows mean on this machine."""
        target = rows.targets[0] if rows.targets else self.targets[rows.names[0].target]
        chosen = self._chosen(target, host_platform(), images)
        here = (images[each.image] for each in target.manifests if each.image in images)
        return chosen or next(here, None)

    def _install(self, rows: Rows, made: Mapping[str, Image] | None = None) -> None:
        for layer in rows.layers:
            self.layers[layer.chain_id] = layer
        for record in rows.images:
            self._install_image(record, (made or {}).get(record.id))
        for target in rows.targets:
            self._install_target(target)
        for name in rows.names:
            self._put_name(name)

    def _is_superseded(self, target: TargetRecord) -> bool:
        """Whether a target can be removed: it has no name, and other targets have its images."""
        if self._named.get(target.digest):
            return False
        return all(len(self._members[image.id]) > 1 for image in self.images_of(target))

    async def remove(
        self,
        *,
        names: Iterable[str] = (),
        targets: Iterable[str] = (),
        reduced: Iterable[TargetRecord] = (),
        images: Iterable[str] = (),
        keep: Container[str] = (),
        report: Callable[[], object] = lambda: None,
    ) -> list[str]:
        """Remove names and targets, with the images that no other target has.

        Memory changes before anything is awaited.

        Args:
            names: normalised names.
            targets: digests of targets.
            reduced: new versions of targets that lose some of their images.
            images: ids of hidden images.
            keep: ids of images that containers use, which are hidden instead.
            report: called just before the commit; events that it publishes are part of it.

        Returns:
            The ids of the images that were removed or hidden.
        """
        gone = Rows()
        hidden: list[ImageRecord] = []
        keys: list[str] = []
        for name in names:
            gone.names.append(self._pop_name(name))
        smaller = {target.digest: target for target in reduced}
        for digest in [*targets, *smaller]:
            target = self.targets[digest]
            members = list(self.images_of(target))
            keys += self._uninstall_target(target)
            if digest in smaller:
                self._install_target(smaller[digest])
            else:
                gone.targets.append(target)
            for image in members:
                if image.id not in self.images or self._members.get(image.id):
                    continue
                if image.id in keep:
                    self._hide(image, target)
                    hidden.append(image.record)
                else:
                    gone.images.append(image.record)
                    keys += self._uninstall_image(image)
        for image_id in images:
            image = self.images[image_id]
            gone.images.append(image.record)
            keys += self._uninstall_image(image)
        gone.layers = [
            self.layers[chain_id]
            for chain_id in (key[len(_LAYER) :] for key in keys if key.startswith(_LAYER))
            if not self._wanted[_LAYER + chain_id] and chain_id in self.layers
        ]

        def write(connection: sqlite3.Connection) -> None:
            delete_rows(connection, *_keys(gone))
            write_rows(connection, Rows(targets=list(smaller.values()), images=hidden))

        seen = [msgspec.structs.replace(each, hidden=False, manifest=None) for each in hidden]
        report()
        try:
            await self._db.run(write)
        except (sqlite3.Error, StoreFailure):
            gone.images += seen
            self._install(gone)
            raise
        self.discard_unwanted(keys)
        return [image.id for image in (*gone.images, *hidden)]

    def discard_unwanted(self, keys: Iterable[str]) -> None:
        """Remove blobs and layers that nothing refers to and no lease pins.

        They are renamed at once; large trees are removed in the background.
        """
        doomed: list[Path] = []
        with self._pinning:
            for key in dict.fromkeys(keys):
                if self._wanted[key] > 0 or self._pins[key] > 0:
                    continue
                del self._wanted[key], self._pins[key]
                if key.startswith(_LAYER):
                    chain_id = key[len(_LAYER) :]
                    self.layers.pop(chain_id, None)
                    doomed.append(self.layer_directory(chain_id).parent)
                else:
                    doomed.append(self.content.path(key))
            doomed = [path for path in doomed if path.exists()]
            if not doomed:
                return
            try:
                trash = [Path(tempfile.mkdtemp(dir=self._tmp, prefix="removed-"))]
                places = [trash[0] / str(number) for number in range(len(doomed))]
            except OSError:  # a full disk, on which there is no room for a directory
                places = [self._tmp / f"removed-{secrets.token_hex(8)}" for _ in doomed]
                trash = places
            for path, place in zip(doomed, places, strict=True):
                with contextlib.suppress(FileNotFoundError):
                    path.rename(place)
        for place in trash:
            self._dispose(place)

    # ---- memory -------------------------------------------------------------------

    def _put_name(self, name: NameRecord) -> None:
        if name.name in self.names:
            self._pop_name(name.name)
        self.names[name.name] = name
        self._named.setdefault(name.target, set()).add(name.name)

    def _pop_name(self, name: str) -> NameRecord:
        record = self.names.pop(name)
        named = self._named[record.target]
        named.discard(name)
        if not named:
            del self._named[record.target]
        return record

    def _made(self, record: ImageRecord) -> Image:
        """Return an image, whose configuration and layers are here."""
        spec = decode(self.content.read(record.id), ImageSpec, "image configuration")
        return Image(
            record,
            spec,
            tuple(self.layer_directory(chain_id) for chain_id in record.layers),
            sum(self.layers[chain_id].size for chain_id in record.layers),
        )

    def _install_image(self, record: ImageRecord, made: Image | None = None) -> None:
        known = self.images.get(record.id)
        if known is not None:
            self._wanted.subtract(_image_keys(known.record))
            known.record = record
            self._wanted.update(_image_keys(record))
            return
        self.images[record.id] = made or self._made(record)
        self._wanted.update(_image_keys(record))

    def _hide(self, image: Image, target: TargetRecord) -> None:
        """Keep an image that lost its last target, with its blobs, for its containers."""
        self._wanted.subtract(_image_keys(image.record))
        image.record.hidden = True
        image.record.manifest = next(m for m in target.manifests if m.image == image.id)
        self._wanted.update(_image_keys(image.record))

    def _uninstall_image(self, image: Image) -> list[str]:
        del self.images[image.id]
        self._members.pop(image.id, None)
        keys = _image_keys(image.record)
        self._wanted.subtract(keys)
        return keys

    def _install_target(self, target: TargetRecord) -> None:
        known = self.targets.get(target.digest)
        if known is not None:
            self._uninstall_target(known)
        self.targets[target.digest] = target
        self._wanted.update(_target_keys(target))
        for manifest in target.manifests:
            if manifest.image:
                self._members.setdefault(manifest.image, {})[target.digest] = None

    def _uninstall_target(self, target: TargetRecord) -> list[str]:
        del self.targets[target.digest]
        keys = _target_keys(target)
        self._wanted.subtract(keys)
        for manifest in target.manifests:
            members = self._members.get(manifest.image)
            if members is not None:
                members.pop(target.digest, None)
        return keys


def _image_keys(record: ImageRecord) -> list[str]:
    keys = {record.id: None}
    keys.update((_LAYER + chain_id, None) for chain_id in record.layers)
    if record.manifest is not None:
        keys[record.manifest.digest] = None
        keys.update((blob.digest, None) for blob in record.manifest.blobs)
    return list(keys)


def _target_keys(target: TargetRecord) -> list[str]:
    keys = {target.digest: None}
    for manifest in target.manifests:
        if manifest.here:
            keys[manifest.digest] = None
            keys.update((blob.digest, None) for blob in manifest.blobs)
    return list(keys)


def _keys(rows: Rows) -> tuple[list[str], list[str], list[str], list[str]]:
    return (
        [name.name for name in rows.names],
        [target.digest for target in rows.targets],
        [image.id for image in rows.images],
        [layer.chain_id for layer in rows.layers],
    )
