"""Removing names and images, and the rules that protect images in use.

The rules are dockerd's.  A name can be removed if another one is left; the last name and the
image itself only if no container uses the image.  With ``force`` the last name is removed
nevertheless, and the image stays without one; by its id, an image that only stopped containers
use can be removed, too.  Lists do not show it any more, but its layers stay until the last of
these containers is removed.
"""

import contextlib
import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from palan.api.errors import Conflict, InvalidParameter, NotFound
from palan.api.images import ImageDeleteResponseItem
from palan.engine.events import Publisher
from palan.engine.images.catalog import Catalog
from palan.engine.images.describe import blobs_of, familiar, layers_of
from palan.engine.images.image import Image
from palan.engine.images.lookup import Match, find, for_platform
from palan.engine.images.platform import Platform
from palan.engine.images.reference import parse
from palan.engine.images.surroundings import ImageContainers, User
from palan.store.images import NameRecord, TargetRecord


__all__ = ["Removal"]


class Removal:
    """One request to remove images; the caller holds the catalog's lock.

    Attributes:
        done: the removed names and images, as the API answers them.
        freed: the bytes that were freed.
    """

    def __init__(self, catalog: Catalog, containers: ImageContainers, events: Publisher) -> None:
        self.done: list[ImageDeleteResponseItem] = []
        self.freed = 0
        self._containers = containers
        self._events = events
        self._catalog = catalog

    async def remove(
        self, text: str, *, force: bool, prune: bool, platforms: Sequence[Platform] = ()
    ) -> None:
        """Remove the name or image that ``text`` means.

        Args:
            text: a name, or an id.
            force: remove an image even with several names, or used by stopped containers.
            prune: also remove the unnamed images that it was made from.
            platforms: remove only the images for these platforms; empty for all.

        Raises:
            NotFound: there is no such image, or not for a platform.
            Conflict: the image is used by containers, or has other names.
            InvalidParameter: platforms are given without ``force``.
        """
        if platforms and not force:
            raise InvalidParameter(
                "Content will be removed from all images referencing this variant."
                " Use \N{EM DASH}-force to force delete."
            )
        match = find(self._catalog, text)
        image = match.image
        if platforms:
            chosen = {each.id: each for each in self._for_platforms(match, text, platforms)}
            if len(chosen) < len({each.id for each in self._catalog.images_of(match.target)}):
                await self._reduce(match.target, list(chosen.values()), force=force)
                return
        names = self._catalog.names_of(image)
        if match.name is not None:
            await self._by_name(match, match.name, names, force=force, prune=prune)
            return
        if "@" in text:
            # A repository and a digest mean all names of the image in that repository.
            repository = parse(text).repository
            there = [name for name in names if parse(name.name).repository == repository]
            if len(there) < len(names):
                await self._untag(image, there)
                return
        elif not force and _several(names):
            raise Conflict(
                f"conflict: unable to delete {image.short_id} (must be forced) - image is"
                " referenced in multiple repositories"
            )
        self._check_users(image, self._users_of_all(image), force=force)
        await self.delete(image, prune=prune)

    def _for_platforms(
        self, match: Match, text: str, platforms: Sequence[Platform]
    ) -> Iterator[Image]:
        for platform in platforms:
            try:
                yield for_platform(self._catalog, match, text, platform)
            except NotFound as error:
                raise NotFound(
                    f"failed to delete platform {platform} for image {match.image.id}:"
                    f" {error.message}"
                ) from None

    async def _reduce(self, target: TargetRecord, images: Sequence[Image], *, force: bool) -> None:
        """Remove some of the images of an index; the index itself stays."""
        for image in images:
            self._check_users(image, self._users(image), force=force)
        unwanted = {image.id for image in images}
        reduced = copy.copy(target)
        reduced.manifests = []
        for manifest in target.manifests:
            kept = copy.copy(manifest)
            if kept.image in unwanted:
                kept.image = ""
                kept.blobs = []
                self.done.append(ImageDeleteResponseItem(deleted=kept.digest))
            reduced.manifests.append(kept)
        used = {image.id for image in images if self._is_used(image)}

        def report() -> None:
            for image in images:
                self._publish("delete", image)

        await self._catalog.remove(reduced=[reduced], keep=used, report=report)

    async def _by_name(
        self, match: Match, name: NameRecord, names: list[NameRecord], *, force: bool, prune: bool
    ) -> None:
        image = match.image
        same = _same_names(name, names)
        if len(same) < len(names):
            await self._untag(image, same)
            return
        users = self._users_of_all(image)
        if users and not force:
            raise Conflict(
                f"conflict: unable to delete {familiar(name)} (must be forced) - container"
                f" {users[0].id[:12]} is using its referenced image {image.short_id}"
            )
        if users or (image.record.step and self._catalog.children(image)):
            # It stays without a name, while it is used, or has images built from it.
            await self._untag(image, names)
            return
        await self.delete(image, prune=prune)

    def _users(self, image: Image) -> list[User]:
        return list(self._containers.using_image(image.id))

    def _users_of_all(self, image: Image) -> list[User]:
        """Return the users of an image and of those that would be removed with it."""
        users = {
            user.id: user for each in self._catalog.family(image) for user in self._users(each)
        }
        return list(users.values())

    def _is_used(self, image: Image) -> bool:
        return image.id in self._catalog.held or bool(self._users(image))

    def _check_users(self, image: Image, users: Sequence[User], *, force: bool) -> None:
        running = [user for user in users if user.running]
        if running:
            raise Conflict(
                f"conflict: unable to delete {image.short_id} (cannot be forced) - image is"
                f" being used by running container {running[0].id[:12]}"
            )
        if users and not force:
            raise Conflict(
                f"conflict: unable to delete {image.short_id} (must be forced) - image is"
                f" being used by stopped container {users[0].id[:12]}"
            )

    async def _untag(self, image: Image, names: Iterable[NameRecord]) -> None:
        names = list(names)
        await self._catalog.remove(
            names=[name.name for name in names], report=lambda: self._untagged(image, names)
        )
        await self._remove_nameless(image, {name.target for name in names})

    async def _remove_nameless(self, image: Image, digests: Iterable[str]) -> None:
        """Remove targets that lost their last name, if the image belongs to others, too."""
        catalog = self._catalog
        if not catalog.names_of(image):
            return
        targets = [catalog.targets[digest] for digest in digests]
        nameless = [target for target in targets if not catalog.names_to([target])]
        if not nameless:
            return
        members = {each.id for target in nameless for each in catalog.images_of(target)}
        used = {each for each in members if self._is_used(catalog.images[each])}
        await catalog.remove(targets=[target.digest for target in nameless], keep=used)

    def _untagged(self, image: Image, names: Iterable[NameRecord]) -> None:
        for name in names:
            self.done.append(ImageDeleteResponseItem(untagged=familiar(name)))
            self._publish("untag", image, familiar(name))

    def _publish(self, action: str, image: Image, name: str = "") -> None:
        attributes = {**image.labels, "name": name or image.id}
        self._events.publish("image", action, image.id, attributes)

    async def delete(self, image: Image, *, prune: bool) -> None:
        """Remove an image with all its names; the caller has checked that it may be removed."""
        catalog = self._catalog
        names = catalog.names_of(image)
        targets = catalog.represented(image) or catalog.targets_of(image)
        members = {each.id for target in targets for each in catalog.images_of(target)}
        used = {each for each in members if self._is_used(catalog.images[each])}
        blobs, layers = blobs_of(targets), layers_of(catalog, targets)
        parent = image.record.parent

        def report() -> None:
            self._untagged(image, names)
            self.done.append(ImageDeleteResponseItem(deleted=image.id))
            self._publish("delete", image)

        await catalog.remove(
            names=[name.name for name in names],
            targets=[target.digest for target in targets],
            keep=used,
            report=report,
        )
        self.freed += sum(size for key, size in blobs.items() if not catalog.wanted(key))
        self.freed += sum(size for key, size in layers.items() if not catalog.wanted_layer(key))
        if prune and parent:
            await self._prune_parent(parent)

    async def prune(self, image: Image, *, dangling: bool) -> None:
        """Remove an image that no container uses, unless it was removed already.

        An image in use keeps the names by which containers use it, and at least one.

        Args:
            image: the image.
            dangling: remove it only if it has no name.
        """
        catalog = self._catalog
        names = catalog.names_of(image)
        if not catalog.represented(image) or (dangling and names):
            return
        if any(self._is_used(each) for each in catalog.family(image)):
            users = self._users_of_all(image)
            unused = _unused_names(names, users) if users else []
            if unused:
                await self._untag(image, unused)
            return
        # Images that were made from it have its layers themselves; but an image that never
        # had a name is removed with the last of them.
        if names or not catalog.children(image):
            await self.delete(image, prune=True)

    async def _prune_parent(self, image_id: str) -> None:
        parent = self._catalog.images.get(image_id)
        if (
            parent is None
            or parent.record.hidden
            or self._catalog.names_of(parent)
            or self._catalog.children(parent)
            or self._is_used(parent)
        ):
            return
        await self.delete(parent, prune=True)


def _several(names: Sequence[NameRecord]) -> bool:
    """Whether names are more than one tag and digests in its repository."""
    tags = [name for name in names if "@" not in name.name]
    return len(tags) > 1 or len({parse(name.name).repository for name in names}) > 1


def _same_names(name: NameRecord, names: Sequence[NameRecord]) -> list[NameRecord]:
    """Return the names that are removed with a name.

    They are itself and, unless the image has other tags in this repository, those by digest.
    """
    repository = parse(name.name).repository
    there = [each for each in names if parse(each.name).repository == repository]
    tags = [each for each in there if "@" not in each.name]
    if "@" in name.name or tags == [name]:
        return there
    return [name]


def _unused_names(names: Sequence[NameRecord], users: Sequence[User]) -> list[NameRecord]:
    """Return the names of an image in use by which no container uses it; one is left."""
    used = set[str]()
    for user in users:
        with contextlib.suppress(InvalidParameter):
            reference = parse(user.image_reference)
            used.add(str(reference.tagged()))
            if reference.tag is not None:
                used.add(str(replace(reference, digest=None)))
    unused = [each for each in names if each.name not in used]
    return unused if len(unused) < len(names) else unused[:-1]
