"""The user ids of a process: ``user[:group]`` and ``GroupAdd`` looked up in passwd and group.

The caller reads the container's ``/etc/passwd`` and ``/etc/group``; nothing here does I/O.
A number is always an id, never a name that looks like one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from palan.api.errors import InvalidParameter


__all__ = ["ResolvedUser", "resolve_groups", "resolve_user"]

_MAX_ID: Final = (1 << 31) - 1
_MAX_DIGITS: Final = 18
"""The largest number of digits; int() refuses thousands of them."""


@dataclass(frozen=True, slots=True)
class ResolvedUser:
    """The ids of a process.

    Attributes:
        uid: user id.
        gid: primary group id.
        groups: additional group ids, the primary one first, as in Docker.
        home: home directory in passwd; ``/`` without an entry.
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = (0,)
    home: str = "/"


@dataclass(frozen=True, slots=True)
class _User:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(spec: str, passwd: str, group: str, group_add: Iterable[str] = ()) -> ResolvedUser:
    """Find the ids for ``user``, ``uid``, ``user:group``, ``uid:gid`` or nothing (root).

    Without an explicit group the user gets the groups that name it as a member.

    Args:
        spec: ``Config.User`` or an exec's ``User``.
        passwd: text of the container's /etc/passwd, empty if it has none.
        group: text of the container's /etc/group, empty if it has none.
        group_add: ``HostConfig.GroupAdd``, names or ids.

    Raises:
        InvalidParameter: there is no such user or group, or an id is out of range.
    """
    user_arg, _, group_arg = spec.partition(":")
    group_arg = group_arg.partition(":")[0]
    uid_arg, gid_arg = _number(user_arg), _number(group_arg)
    user = _find_user(user_arg, uid_arg, passwd)
    if user is None and user_arg and uid_arg is None:
        raise InvalidParameter(
            f"unable to find user {user_arg}: no matching entries in passwd file"
        )
    uid = user.uid if user else uid_arg or 0
    gid = user.gid if user else 0
    member_of: list[int] = []
    if group_arg:
        gid = _find_group(group_arg, gid_arg, group)
    elif user:
        member_of = [entry.gid for entry in _groups(group) if user.name in entry.members]
    groups = dict.fromkeys([gid, *member_of, *resolve_groups(group_add, group)])
    return ResolvedUser(uid, gid, tuple(groups), (user.home if user else "") or "/")


def resolve_groups(names: Iterable[str], group: str) -> list[int]:
    """Return the ids of groups given by name or number; numbers need no entry.

    Raises:
        InvalidParameter: there is no group of that name.
    """
    return [_find_group(name, _number(name), group) for name in names]


def _find_user(name: str, uid: int | None, passwd: str) -> _User | None:
    for user in _users(passwd):
        if (user.uid == (uid or 0)) if (uid is not None or not name) else (user.name == name):
            return user
    return None


def _find_group(name: str, gid: int | None, group: str) -> int:
    if gid is not None:
        return gid
    for entry in _groups(group):
        if entry.name == name:
            return entry.gid
    raise InvalidParameter(f"unable to find group {name}: no matching entries in group file")


def _number(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdecimal()):
        return None
    if len(digits) > _MAX_DIGITS or not 0 <= (number := int(text)) <= _MAX_ID:
        raise InvalidParameter(f"uids and gids must be in range 0-{_MAX_ID}")
    return number


def _id(text: str) -> int:
    # Malformed numbers in these files count as 0, as for other programs that read them.
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else 0


def _rows(text: str) -> Iterator[list[str]]:
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield stripped.split(":")


def _users(text: str) -> Iterator[_User]:
    for row in _rows(text):
        name, _, uid, gid, _, home = (*row, "", "", "", "", "", "")[:6]
        yield _User(name, _id(uid), _id(gid), home)


def _groups(text: str) -> Iterator[_Group]:
    for row in _rows(text):
        name, _, gid, members = (*row, "", "", "", "")[:4]
        yield _Group(name, _id(gid), tuple(m.strip() for m in members.split(",") if m.strip()))
