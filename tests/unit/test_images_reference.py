"""Parsing of image names as users write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.errors import InvalidParameter
from palan.engine.images.reference import parse, repository_and_tag


HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "normalised", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1", "docker.io/library/busybox:1", "busybox:1"),
        ("rec/base:1", "docker.io/rec/base:1", "rec/base:1"),
        ("library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest"),
        ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
        ("localhost:5000/a", "localhost:5000/a:latest", "localhost:5000/a:latest"),
        ("127.0.0.1:5055/rec/app:1", "127.0.0.1:5055/rec/app:1", "127.0.0.1:5055/rec/app:1"),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        ("Uppercase/a", "Uppercase/a:latest", "Uppercase/a:latest"),
        ("rec/a-b__c.d--e", "docker.io/rec/a-b__c.d--e:latest", "rec/a-b__c.d--e:latest"),
        (f"a@{DIGEST}", f"docker.io/library/a@{DIGEST}", f"a@{DIGEST}"),
        (f"a:1@{DIGEST}", f"docker.io/library/a:1@{DIGEST}", f"a:1@{DIGEST}"),
    ],
)
def test_names_are_normalised_and_shown(text, normalised, familiar):
    reference = parse(text).tagged()
    assert str(reference) == normalised
    assert reference.familiar == familiar


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase"),
        ("rec/Up:1", "invalid reference format: repository name (rec/Up) must be lowercase"),
        ("", "invalid reference format"),
        (":1", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("a:b:c", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a@sha256:12", "invalid reference format"),
        (f"a@sha512:{HEX}", "invalid reference format"),
        ("a:" + "x" * 129, "invalid reference format"),
        ("a\n", "invalid reference format"),
        ("x/" + "a" * 255, "repository name must not be more than 255 characters"),
        (HEX, f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
    ],
)
def test_invalid_names_are_refused_in_dockerds_words(text, message):
    with pytest.raises(InvalidParameter) as caught:
        parse(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("repository", "tag", "name"),
    [
        ("rec/a", "", "rec/a:latest"),
        ("rec/a", "1", "rec/a:1"),
        ("rec/a:two", "", "rec/a:two"),
        ("rec/a:two", "1", "rec/a:1"),
    ],
)
def test_a_name_to_give_comes_in_two_parts(repository, tag, name):
    reference = repository_and_tag(repository, tag)
    assert reference is not None
    assert reference.familiar == name


def test_a_name_to_give_may_be_missing_or_wrong():
    assert repository_and_tag("", "x") is None
    with pytest.raises(InvalidParameter, match="invalid tag format"):
        repository_and_tag("a", "a b")
    with pytest.raises(InvalidParameter, match="cannot import digest reference"):
        repository_and_tag(f"a@{DIGEST}", "")


COMPONENT = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,2})[a-z0-9]+){0,2}", fullmatch=True)
DOMAIN = st.sampled_from(["docker.io", "localhost", "localhost:5000", "a.b", "[::1]:1", "Up"])
TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(
    DOMAIN,
    st.lists(COMPONENT, min_size=1, max_size=3),
    st.one_of(st.none(), TAG),
)
def test_the_familiar_form_means_the_same_again(domain, components, tag):
    text = "/".join([domain, *components])
    if tag is not None:
        text += f":{tag}"
    reference = parse(text)
    assert reference.path.endswith("/".join(components))
    assert parse(reference.familiar) == reference
    assert parse(str(reference)) == reference


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_refused(text):
    try:
        reference = parse(text)
    except InvalidParameter:
        return
    assert parse(reference.familiar) == reference
