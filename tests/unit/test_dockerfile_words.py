"""Words of Dockerfiles: quotes and variables, compared with answers of dockerd 29.7."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.dockerfile import DockerfileError, expand, expand_words


VARIABLES = {"A": "val", "E": "", "P1": "a/b/b/c", "_U": "u"}
CASES = [
    ("$A", "val", None),
    ("${A}", "val", None),
    ("${A:-x}", "val", None),
    ("${Z:-x}", "x", None),
    ("${Z-x}", "x", None),
    ("${E-x}", "", None),
    ("${E:-x}", "x", None),
    ("${E:+x}", "", None),
    ("${E+x}", "x", None),
    ("${Z+x}", "", None),
    ("${A:+x}", "x", None),
    ("${A?x}", "val", None),
    ("${P1#*/}", "b/b/c", None),
    ("${P1##*/}", "c", None),
    ("${P1%/*}", "a/b/b", None),
    ("${P1%%/*}", "a", None),
    ("${P1/b/X}", "a/X/b/c", None),
    ("${P1//b/X}", "a/X/X/c", None),
    ("${P1//\\//X}", "aXbXbXc", None),
    ("${P1/b*/X}", "a/X", None),
    ("${P1/?/X}", "X/b/b/c", None),
    ("${P1//[b]/X}", "a/b/b/c", None),
    ("${P1#\\*}", "a/b/b/c", None),
    ("${P1/b}", None, "syntax error: missing '/' in ${}"),
    ("${P1//b/}", "a///c", None),
    ("$1x", "x", None),
    ("$12", "", None),
    ("$", "$", None),
    ('"$"', "$", None),
    ("$@x", "x", None),
    ("a$", "a$", None),
    ("\\$A", "$A", None),
    ("'$A'", "$A", None),
    ('"$A"', "val", None),
    ('"\\$A"', "$A", None),
    ('"\\x"', "\\x", None),
    ("\\x", "x", None),
    ('"a\\\\b"', "a\\b", None),
    ("${Z:-${A}}", "val", None),
    ('${Z:-"a b"}', "a b", None),
    ("${Z:-'$A'}", "$A", None),
    ("$A$A", "valval", None),
    ("${A}${P1}", "vala/b/b/c", None),
    ("$A-b", "val-b", None),
    ('a"b"c', "abc", None),
    ("", "", None),
    ('""', "", None),
    ("${Z:-}", "", None),
    ("${Z:=q}", None, "unsupported modifier (:=) in substitution"),
    ("${A}}", "val}", None),
    ("${Z:?}", None, "Z: is not allowed to be unset"),
    ("${Z?}", None, "Z: is not allowed to be unset"),
    ("$_U", "u", None),
    ("${1}", "", None),
    ("${@}", "", None),
    ("${1:-x}", "x", None),
    ("a\\ b", "a b", None),
    ("${P1%", None, "syntax error: missing '}'"),
    ("${P1/b", None, "syntax error: missing '/' in ${}"),
    ("${P1/b/", None, "syntax error: missing '}'"),
    ("${P1#}", "a/b/b/c", None),
    ("${P1##}", "a/b/b/c", None),
    ("${P1//}", None, "syntax error: missing '/' in ${}"),
    ("${P1//\\b/X}", None, "invalid pattern (\\b) in substitution: invalid escape '\\b'"),
    ("${P1#?}", "/b/b/c", None),
    ("${P1%?}", "a/b/b/", None),
    ("${P1%%?}", "a/b/b/", None),
    ("${P1/*/X}", "X", None),
    ("${P1##?/}", "b/b/c", None),
    ("${P1^^}", None, "unsupported modifier (^) in substitution"),
    ("${P1,}", None, "unsupported modifier (,) in substitution"),
    ("${#P1}", None, "unsupported modifier (P) in substitution"),
    ("${!P1}", None, "unsupported modifier (P) in substitution"),
    ("${A-$P1}", "val", None),
    ("$(A)", "$(A)", None),
    ("`A`", "`A`", None),
    ("a#b", "a#b", None),
]


@pytest.mark.parametrize(("text", "value", "error"), CASES)
def test_variables(text, value, error):
    if error is None:
        assert expand(text, VARIABLES) == value
    else:
        with pytest.raises(DockerfileError) as caught:
            expand(text, VARIABLES)
        assert str(caught.value).endswith(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", ["a", "b"]),
        ('a "b c"', ["a", "b c"]),
        ("$L", ["x", "y"]),
        ('"$L"', ["x y"]),
        ("a$L-b", ["ax", "y-b"]),
        ("$NONE", []),
        ('"$NONE" a', ["", "a"]),
        ("a\\ b", ["a b"]),
    ],
)
def test_a_variable_outside_of_quotes_is_split_into_words(text, words):
    assert expand_words(text, {"L": "x y"}) == words


def test_another_escape_character():
    assert expand("C:\\x`$A", VARIABLES, "`") == "C:\\x$A"


def test_unclosed_braces_raise_dockerfile_error():
    with pytest.raises(DockerfileError, match="missing '}'"):
        expand("${A", VARIABLES)


@given(st.text(alphabet="aA$ {}:-+?#%/*\\\"'_1"))
def test_any_input_is_expanded_or_raises_dockerfile_error(text):
    for function in (expand, expand_words):
        with contextlib.suppress(DockerfileError):
            function(text, VARIABLES)
