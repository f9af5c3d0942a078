"""Regular expressions and globs from outside: Go's syntax, Go's errors, linear time."""

import os
import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.patterns import BadPattern, compile_any, compile_glob, compile_pattern


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        (r"\8", r"invalid escape sequence: `\8`"),
    ],
)
def test_errors_have_go_s_words(expression: str, message: str):
    with pytest.raises(BadPattern) as raised:
        compile_pattern(expression)
    assert str(raised.value) == f"error parsing regexp: {message}"


@pytest.mark.parametrize(
    "hostile", ["(a+)+$", "(a|a)*$", "(a*)*b", "(.*)(.*)(.*)(.*)(.*)(.*)(.*)[^a]$"]
)
def test_expressions_that_make_others_backtrack_end(hostile: str):
    compile_pattern(hostile).search("a" * 20_000 + "_\n")


def test_any_of_several_expressions_matches_as_in_filters_of_dockerd():
    test = compile_any(["^web", "a(", "b$"])
    assert [test(text) for text in ("web-1", "a(", "ab", "my-webs", "a")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert not compile_any([])("web")


def test_globs_that_make_others_backtrack_end():
    assert not compile_glob("*a" * 60 + "b").fullmatch("a" * 20_000)
    assert not compile_glob("*" * 200 + "x").fullmatch("a" * 20_000)


@pytest.mark.parametrize(
    ("expression", "text", "expected"),
    [
        ("web", "my-web-1", True),
        ("^web", "my-web", False),
        ("web$", "my-web", True),
        ("^web$", "web", True),
        ("^web$", "webs", False),
        ("^$", "", True),
        ("", "anything", True),
        ("w.b", "wob", True),
        ("/web", "/web", True),
        ("(?i)WEB", "web", True),
        ("b|c", "abc", True),
    ],
)
def test_search(expression: str, text: str, *, expected: bool):
    assert compile_pattern(expression).search(text) is expected


@pytest.mark.parametrize(
    ("glob", "text", "expected"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*/b", "abc/b", True),
        ("a*/b", "a/c/b", False),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^b-d]", "abc", False),
        ("a\\*b", "a*b", True),
        ("a\\*b", "ab", False),
        ("a?b", "aéb", True),
        ("a[^a]b", "a☺b", True),
        ("a???b", "aéb", False),
        ("[a-ω]*", "β", True),
        ("*[a-ω]", "A", False),
        ("a?b", "a/b", False),
        ("a*b", "a/b", False),
        ("[\\]a]", "]", True),
        ("[\\-]", "-", True),
        ("[x\\-]", "x", True),
        ("[x\\-]", "z", False),
        ("[\\-x]", "-", True),
        ("[b-a]", "a", False),
        ("*x", "xxx", True),
        ("a[&]b", "a&b", True),
        ("?", "\udc80", True),
        ("a\nb", "a\nb", True),
    ],
)
def test_globs_match_as_in_go(glob: str, text: str, *, expected: bool):
    assert compile_glob(glob).fullmatch(text) is expected


@pytest.mark.parametrize(
    "glob", ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "a\\", "[\\", "[a-"]
)
def test_malformed_globs_as_in_go(glob: str):
    with pytest.raises(BadPattern):
        compile_glob(glob)


@given(st.text())
def test_every_text_is_a_glob_or_is_refused(text: str):
    try:
        compile_glob(text).fullmatch(text)
    except BadPattern:
        assert set(text) & set("[\\")


@given(st.text(alphabet=string.printable))
def test_an_escaped_glob_matches_itself_only(text: str):
    glob = compile_glob("".join(f"\\{c}" for c in text))
    assert glob.fullmatch(text)
    assert not glob.fullmatch(f"{text}a")


def test_groups_and_replacement():
    pattern = compile_pattern("(.*?)(a.*b)", dot_matches_newline=True)
    assert pattern.groups("xaxbayb") == ("x", "axbayb")
    assert pattern.groups("none") is None
    assert compile_pattern("a.").replace("abacad", "\\0") == "\\0\\0\\0"
    assert compile_pattern("a.").replace("abacad", "-", count=1) == "-acad"
    assert compile_pattern("ab").replace("abab", "-", count=1) == "-ab"
    assert compile_pattern("a*").replace("baac", "x") == "xbxcx"
    assert compile_pattern(".*").replace("abc", "x") == "x"
    assert compile_pattern("é.").replace("éaé\udc80", "") == ""


def test_literal_texts_do_not_import_re2():
    code = (
        "import sys; from palan.patterns import compile_pattern as c;"
        "c('^/web-1$').search('x'); c('my_app').search('x');"
        "assert 're2' not in sys.modules; c('a.b').search('x'); assert 're2' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
