"""Builds: the parts without I/O."""

import contextlib
import os
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.build import BuildImage
from palan.api.errors import InvalidParameter
from palan.api.images import ImageConfig
from palan.engine.builder.arguments import Arguments
from palan.engine.builder.cache import step_key
from palan.engine.builder.checksums import Checksums
from palan.engine.builder.copy_target import find_owner
from palan.engine.builder.options import read_options
from palan.engine.builder.remote import is_git
from palan.engine.builder.selection import pick
from palan.engine.images.configure import quoted_words


async def nothing() -> AsyncIterator[bytes]:
    for piece in tuple[bytes]():
        yield piece


def options(**parameters):
    return read_options(BuildImage(body=nothing(), **parameters), experimental=False)


def test_arguments_are_seen_from_their_declaration_on():
    arguments = Arguments({"GIVEN": "1", "NONE": None, "UNUSED": "x", "http_proxy": "p"})
    arguments.declare_before("BASE", "b")
    arguments.declare_before("GIVEN", "default")
    assert arguments.for_bases() == {"BASE": "b", "GIVEN": "1", "http_proxy": "p"}
    arguments.begin_stage()
    assert arguments.environment([]) == ["http_proxy=p"]
    arguments.declare("GIVEN", "default")
    arguments.declare("BASE", None)
    arguments.declare("NONE", None)
    arguments.declare("DEFAULT", "d")
    seen = arguments.environment(["DEFAULT=of the image"])
    assert seen == ["GIVEN=1", "BASE=b", "http_proxy=p"]
    assert arguments.unused() == ["UNUSED"]
    arguments.begin_stage()
    assert arguments.environment([]) == ["http_proxy=p"]


def test_proxies_are_passed_only_where_declared():
    arguments = Arguments({"HTTP_PROXY": "p"})
    assert not arguments.recorded("HTTP_PROXY")
    arguments.declare("HTTP_PROXY", None)
    assert arguments.recorded("HTTP_PROXY")
    assert arguments.recorded("WHO")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "[]"),
        (["a b", 'q"'], '["a b" "q\\""]'),
        (["\n\t\x01\x7f", "\\", "ä\u200b"], '["\\n\\t\\x01\\x7f" "\\\\" "ä\\u200b"]'),
    ],
)
def test_words_as_go_prints_them(words, text):
    assert quoted_words(words) == text


PASSWD = "root:x:0:0::/:\napp:x:1000:1001::/:\nbad:x:y:z::/:\n"
GROUP = "root:x:0:\napp:x:50:\n"


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("app", (1000, 50)),
        ("app:root", (1000, 0)),
        ("5", (5, 5)),
        ("5:app", (5, 50)),
    ],
)
def test_owners(text, owner):
    assert find_owner(text, PASSWD, GROUP) == owner


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "can't find uid for user x: no such user: x"),
        ("bad", "can't find uid for user bad"),
        ("app:x", "can't find gid for group x: no such group: x"),
        ("a:b:c", "invalid chown string format: a:b:c"),
        ("", "can't find uid for user : no such user: "),
    ],
)
def test_owners_that_there_are_not(text, message):
    with pytest.raises(InvalidParameter, match=message):
        find_owner(text, PASSWD, GROUP)


@given(st.text(max_size=30))
def test_any_owner_is_found_or_refused(text):
    try:
        uid, gid = find_owner(text, PASSWD, GROUP)
    except InvalidParameter:
        return
    assert uid >= 0
    assert gid >= 0


def test_addresses_of_git_repositories():
    for remote in (
        *("git://h/r", "github.com/a/b", "git@h:a/b", "https://h/a.git", "http://h/a.git#b:c"),
    ):
        assert is_git(remote)
    for remote in ("https://h/a", "http://h/a.git/b", "ftp://h/a.git", "nonsense"):
        assert not is_git(remote)


def test_steps_are_known_by_all_that_they_lead_to():
    config = ImageConfig(env=["A=1"], entrypoint=["x"])
    keys = {
        step_key(config, ["a"]),
        step_key(config, ["b"]),
        step_key(config, ["a"], runs=True),
        step_key(ImageConfig(env=["A=2"], entrypoint=["x"]), ["a"]),
        step_key(ImageConfig(env=["A=1"], entrypoint=["x"], labels={"l": ""}), ["a"]),
    }
    assert len(keys) == 5
    one = step_key(ImageConfig(labels={"a": "1", "b": "2"}), ["a"])
    assert one == step_key(ImageConfig(labels={"b": "2", "a": "1"}), ["a"])


@given(
    st.sampled_from(["build_args", "labels", "ulimits", "cache_from"]),
    st.text(alphabet='{}[]":,az1nul.', max_size=12),
)
def test_any_parameter_is_read_or_refused(name, text):
    with contextlib.suppress(InvalidParameter):
        options(**{name: text})


def test_names_are_normal_and_each_is_there_once():
    given = ["a", "a:latest", "docker.io/library/a", "", "h:5000/b:1"]
    assert [name.familiar for name in options(t=given).names] == ["a:latest", "h:5000/b:1"]


@pytest.mark.parametrize("pattern", ["a*" * 60 + "b", "*" * 60 + "x", "a" * 120 + "?"])
def test_sources_are_matched_without_backtracking(pattern, tmp_path):
    (tmp_path / ("a" * 120)).touch()
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        assert pick(root, Checksums(root), pattern, context=True) == []
        assert len(pick(root, Checksums(root), "a*" * 60, context=True)) == 1
    finally:
        os.close(root)
