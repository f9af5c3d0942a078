import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.errors import InvalidParameter
from palan.engine.containers.users import ResolvedUser, resolve_groups, resolve_user


PASSWD = """
root:x:0:0:root:/root:/bin/sh
# nobody:x:1:1::/:
app:x:1000:1001:An app:/home/app:/bin/sh
short:x:7
7777:x:8:8::/eight:
"""
GROUP = """
root:x:0:
app:x:1001:
audio:x:29:app, other
docker:x:999:app
extra:x:3000:
"""


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", ResolvedUser(0, 0, (0,), "/root")),
        ("root", ResolvedUser(0, 0, (0,), "/root")),
        ("app", ResolvedUser(1000, 1001, (1001, 29, 999), "/home/app")),
        ("1000", ResolvedUser(1000, 1001, (1001, 29, 999), "/home/app")),
        ("app:extra", ResolvedUser(1000, 3000, (3000,), "/home/app")),
        ("app:5", ResolvedUser(1000, 5, (5,), "/home/app")),
        ("4242", ResolvedUser(4242, 0, (0,), "/")),
        ("4242:4343", ResolvedUser(4242, 4343, (4343,), "/")),
        (":extra", ResolvedUser(0, 3000, (3000,), "/root")),
        ("short", ResolvedUser(7, 0, (0,), "/")),
        ("7777", ResolvedUser(7777, 0, (0,), "/")),
    ],
)
def test_users(spec, expected):
    assert resolve_user(spec, PASSWD, GROUP) == expected


def test_without_any_files():
    assert resolve_user("", "", "") == ResolvedUser(0, 0, (0,), "/")
    assert resolve_user("5:6", "", "").gid == 6
    with pytest.raises(InvalidParameter):
        resolve_user("root", "", "")


def test_more_groups():
    assert resolve_user("app", PASSWD, GROUP, ["extra", "29", "77"]).groups == (
        1001,
        29,
        999,
        3000,
        77,
    )
    assert resolve_groups(["extra", "5"], GROUP) == [3000, 5]


@pytest.mark.parametrize(
    ("spec", "group_add", "message"),
    [
        ("ghost", [], "unable to find user ghost: no matching entries in passwd file"),
        ("nobody", [], "unable to find user nobody: no matching entries in passwd file"),
        ("app:ghosts", [], "unable to find group ghosts: no matching entries in group file"),
        ("app", ["ghosts"], "unable to find group ghosts: no matching entries in group file"),
        ("-1", [], "uids and gids must be in range 0-2147483647"),
        ("2147483648", [], "uids and gids must be in range 0-2147483647"),
    ],
)
def test_nobody(spec, group_add, message):
    with pytest.raises(InvalidParameter) as caught:
        resolve_user(spec, PASSWD, GROUP, group_add)
    assert caught.value.message == message


@given(st.text(), st.text(), st.text())
def test_odd_files_are_no_accident(spec, passwd, group):
    try:
        user = resolve_user(spec, passwd, group)
    except InvalidParameter:
        return
    assert user.groups[0] == user.gid
