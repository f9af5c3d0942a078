"""Parsing of Dockerfiles. The expected errors and their wording are those of dockerd 29.7."""

# ruff: noqa: E501 - messages stand on one line each

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.dockerfile import (
    Arg,
    Cmd,
    Command,
    Copy,
    DockerfileError,
    Entrypoint,
    Env,
    Healthcheck,
    Heredoc,
    Label,
    OnBuild,
    Run,
    Shell,
    Volume,
    parse_instruction,
    read,
)


# fmt: off
WRONG_FILES = [
    ("# only\n", "failed to parse Dockerfile: file with no instructions"),
    ("BOGUS x\n", "dockerfile parse error on line 1: unknown instruction: BOGUS"),
    ("FORM scratch\n", "dockerfile parse error on line 1: unknown instruction: FORM (did you mean FROM?)"),
    ("RUN x\n", "no build stage in current context"),
    ("FROM\n", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
    ("FROM a b\n", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
    ("FROM a as\n", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
    ("FROM a as 1x\n", 'dockerfile parse error on line 1: invalid name for build stage: "1x", name can\'t start with a number or contain symbols'),
    ("FROM a as b c\n", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
    ("FROM a AS UPPER\nFROM UPPER\nBOGUS\n", "dockerfile parse error on line 3: unknown instruction: BOGUS"),
    ("FROM --platfrom=x scratch\n", "dockerfile parse error on line 1: unknown flag: --platfrom (did you mean platform?)"),
    ("FROM --platform scratch\n", "dockerfile parse error on line 1: missing a value on flag: --platform"),
    ("FROM --platform=a --platform=b scratch\n", "dockerfile parse error on line 1: duplicate flag specified: --platform"),
    ('FROM scratch\nCOPY ["a", 1]\n', "failed to parse Dockerfile: when using JSON array syntax, arrays must be comprised of strings only"),
    ('FROM scratch\nCMD ["a", 1]\n', "failed to parse Dockerfile: when using JSON array syntax, arrays must be comprised of strings only"),
    ("FROM scratch\nENV a\n", "failed to parse Dockerfile: ENV must have two arguments"),
    ("FROM scratch\nENV a=1 b\n", 'failed to parse Dockerfile: Syntax error - can\'t find = in "b". Must be of the form: name=value'),
    ("FROM scratch\nLABEL a\n", "failed to parse Dockerfile: LABEL must have two arguments"),
    ("FROM scratch\nENV a=${b:?no b}\n", 'failed to parse Dockerfile: Syntax error - can\'t find = in "b}". Must be of the form: name=value'),
    ('FROM scratch\nHEALTHCHECK --start-interval=5s CMD ["a",1]\n', "failed to parse Dockerfile: when using JSON array syntax, arrays must be comprised of strings only"),
    ("FROM scratch\nHEALTHCHECK cmd x\nBOGUS\n", "dockerfile parse error on line 3: unknown instruction: BOGUS"),
    ("FROM scratch\nHEALTHCHECK none\nBOGUS\n", "dockerfile parse error on line 3: unknown instruction: BOGUS"),
    ("FROM scratch\nONBUILD BOGUS x\nBOGUS\n", "dockerfile parse error on line 3: unknown instruction: BOGUS"),
    ("FROM scratch\nONBUILD ENV a\nBOGUS\n", "failed to parse Dockerfile: ENV must have two arguments"),
    ("FROM scratch\nVOLUME [1]\n", "failed to parse Dockerfile: when using JSON array syntax, arrays must be comprised of strings only"),
    ("# escape=x\nFROM scratch\n", "failed to parse Dockerfile: invalid escape token 'x' does not match ` or \\"),
    ("# escape=`\n# escape=`\nFROM scratch\n", "failed to parse Dockerfile: only one escape parser directive can be used"),
    ("# escape=\nFROM scratch\nBOGUS\n", "dockerfile parse error on line 3: unknown instruction: BOGUS"),
    ("FROM scratch\nCOPY <<EOF /x\nabc\n", "failed to parse Dockerfile: unterminated heredoc"),
    ("FROM scratch\nRUN <<EOF\nabc\n", "failed to parse Dockerfile: unterminated heredoc"),
    ("FROM scratch\nENV a b\\\n\n c\nBOGUS\n", "dockerfile parse error on line 5: unknown instruction: BOGUS"),
    ("FROM scratch\nENV a b\\\\\n c\nBOGUS\n", "dockerfile parse error on line 3: unknown instruction: c (did you mean cmd?)"),
    ("FROM scratch\n  # c\n\tENV a=b\nBOGUS\n", "dockerfile parse error on line 4: unknown instruction: BOGUS"),
    ("\ufeffFROM scratch\nBOGUS\n", "dockerfile parse error on line 2: unknown instruction: BOGUS"),
]

WRONG_INSTRUCTIONS = [
    ("BOGUS x", "unknown instruction: BOGUS"),
    ("RUNN x", "unknown instruction: RUNN (did you mean RUN?)"),
    ("ADD", "ADD requires at least two arguments, but only one was provided. Destination could not be determined"),
    ("ARG", "ARG requires at least one argument"),
    ("COPY", "COPY requires at least two arguments, but only one was provided. Destination could not be determined"),
    ("ENV", "ENV requires at least one argument"),
    ("EXPOSE", "EXPOSE requires at least one argument"),
    ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
    ("LABEL", "LABEL requires at least one argument"),
    ("MAINTAINER", "MAINTAINER requires exactly one argument"),
    ("ONBUILD", "ONBUILD requires at least one argument"),
    ("SHELL", "SHELL requires at least one argument"),
    ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
    ("USER", "USER requires exactly one argument"),
    ("VOLUME", "VOLUME requires at least one argument"),
    ("WORKDIR", "WORKDIR requires exactly one argument"),
    ("COPY a", "COPY requires at least two arguments, but only one was provided. Destination could not be determined"),
    ("ADD a", "ADD requires at least two arguments, but only one was provided. Destination could not be determined"),
    ('COPY ["a"]', "COPY requires at least two arguments, but only one was provided. Destination could not be determined"),
    ("COPY --form=a b c", "unknown flag: --form (did you mean from?)"),
    ("COPY --link=maybe b c", "expecting boolean value for flag --link, not: maybe"),
    ("COPY --from a b c", "missing a value on flag: --from"),
    ("ENV =1", "ENV names can not be blank"),
    ("LABEL =x", "LABEL names can not be blank"),
    ("ARG =x", "ARG names can not be blank"),
    ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
    ("HEALTHCHECK FOO x", 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
    ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
    ("HEALTHCHECK --interval=x CMD a", 'time: invalid duration "x"'),
    ("HEALTHCHECK --interval=1us CMD a", 'Interval "interval" cannot be less than 1ms'),
    ("HEALTHCHECK --interval=-1s CMD a", 'Interval "interval" cannot be less than 1ms'),
    ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative (-1)"),
    ("HEALTHCHECK --retries=x CMD a", 'strconv.ParseInt: parsing "x": invalid syntax'),
    ("HEALTHCHECK --foo=x CMD a", "unknown flag: --foo"),
    ("HEALTHCHECK --timeout=0 CMD []", "Missing command after HEALTHCHECK CMD"),
    ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
    ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
    ("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
    ("ONBUILD --foo=1 ENV a=b\nBOGUS", "unknown flag: --foo"),
    ("SHELL bash -c", "SHELL requires the arguments to be in JSON form"),
    ("SHELL []", "SHELL requires at least one argument"),
    ('VOLUME [""]', "VOLUME specified can not be an empty string"),
    ("VOLUME []", "VOLUME requires at least one argument"),
    ("RUN --foo=x ls", "unknown flag: --foo"),
    ("RUN --network=bogus ls", 'invalid network mode "bogus"'),
    ("RUN --security=bogus ls", 'security "bogus" is not valid'),
    ("WORKDIR ", "WORKDIR requires exactly one argument"),
]
# fmt: on


@pytest.mark.parametrize(("text", "message"), WRONG_FILES)
def test_errors_have_the_wording_of_dockerd(text, message):
    with pytest.raises(DockerfileError) as caught:
        read(text.encode())
    assert str(caught.value) == message
    assert caught.value.line <= text.count("\n")


@pytest.mark.parametrize(("text", "message"), WRONG_INSTRUCTIONS)
def test_errors_of_a_single_instruction(text, message):
    with pytest.raises(DockerfileError) as caught:
        read(f"FROM scratch\n{text}\n".encode())
    assert str(caught.value) == f"dockerfile parse error on line 2: {message}"
    assert caught.value.line == 2


def only(text):
    """Return the single instruction of a stage."""
    (stage,) = read(f"FROM scratch\n{text}\n".encode()).stages
    (instruction,) = stage.instructions
    return instruction


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("ARG A B=c d=", Arg(2, "", (("A", None), ("B", "c"), ("d", "")))),
        ('CMD echo  "a"   b', Cmd(2, "", Command(('echo  "a"   b',), shell=True))),
        ('CMD ["a", "b c"] ignored', Cmd(2, "", Command(("a", "b c"), shell=False))),
        ("CMD [a]", Cmd(2, "", Command(("[a]",), shell=True))),
        ("CMD", Cmd(2, "", Command((), shell=True))),
        ("ENTRYPOINT []", Entrypoint(2, "", Command((), shell=False))),
        ("ENV a b  c", Env(2, "", (("a", "b  c"),))),
        ('ENV a="b c"d e=f\\ g', Env(2, "", (("a", '"b c"d'), ("e", "f\\ g")))),
        ("LABEL a  =b", Label(2, "", (("a", "=b"),))),
        ("run --mount=type=cache,target=/x --network=none ls -l", Run(
            2, "", Command(("ls -l",), shell=True), ("mount=type=cache,target=/x", "network=none")
        )),
        ("RUN -- --x", Run(2, "", Command(("--x",), shell=True))),
        ("RUN --network=none -- --x", Run(2, "", Command(("--x",), shell=True), ("network=none",))),
        ('SHELL ["bash", "-c"]', Shell(2, "", ("bash", "-c"))),
        ("VOLUME /a  /b", Volume(2, "", ("/a", "/b"))),
        ('VOLUME ["/a b"]', Volume(2, "", ("/a b",))),
        ("ONBUILD  run   x", OnBuild(2, "", "run   x")),
        ("COPY --from=0 --chown=1:2 --link a b/ c", Copy(
            2, "", ("a", "b/"), "c", from_="0", chown="1:2", link=True
        )),
        ("COPY --exclude=a --exclude=b . /", Copy(2, "", (".",), "/", exclude=("a", "b"))),
        ("COPY <<A <<-'B' /x\n$1\nA\n\tt\n\tB", Copy(
            2, "", ("<<A", "<<-'B'"), "/x",
            files=(Heredoc("A", "$1\n"), Heredoc("B", "\tt\n", expand=False, chomp=True)),
        )),
        ("RUN 3<<E cat\nx\nE", Run(
            2, "", Command(("3<<E cat",), shell=True), files=(Heredoc("E", "x\n", descriptor=3),)
        )),
        ("HEALTHCHECK NONE", Healthcheck(2, "", ("NONE",))),
        ("HEALTHCHECK --interval=1m30s --retries=3   CMD curl  x", Healthcheck(
            2, "", ("CMD-SHELL", "curl  x"), interval=90 * 10**9, retries=3
        )),
        ('HEALTHCHECK --timeout=0 --start-period=1.5s CMD ["a"]', Healthcheck(
            2, "", ("CMD", "a"), start_period=1_500_000_000
        )),
    ],
)  # fmt: skip
def test_instructions(text, made):
    found = only(text)
    assert found == dataclasses.replace(made, source=text.partition("\n")[0])


def test_stages_and_arguments_before_them():
    dockerfile = read(
        b"# syntax=docker/dockerfile:1\n# a comment\nARG V=1\n"
        b"FROM --platform=linux/$A base:$V AS First\nUSER a\n\nfrom first\n"
    )
    first, second = dockerfile.stages
    assert (first.name, first.base, first.platform, first.line) == (
        "first", "base:$V", "linux/$A", 4,
    )  # fmt: skip
    assert [type(each).__name__ for each in first.instructions] == ["User"]
    assert (second.name, second.base, second.instructions) == ("", "first", ())
    assert dockerfile.meta_args == (Arg(3, "ARG V=1", (("V", "1"),)),)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("ENV a=b \\\n  c=d", "ENV a=b   c=d"),
        ("ENV a=b \\  \n# comment\n  # another\nc=d", "ENV a=b c=d"),
        ("ENV a=b \\\r\nc=d\r", "ENV a=b c=d"),
        ("  ENV a=b", "ENV a=b"),
        ("ENV a=b # c=d", None),
        ("ENV a=b\\", "ENV a=b"),
    ],
)
def test_lines_are_joined(text, source):
    if source is None:
        with pytest.raises(DockerfileError):
            only(text)
    else:
        assert only(text).source == source


def test_a_long_directive_is_read_in_linear_time():
    text = "# syntax=x" + " " * 200_000 + "y\nFROM scratch\n"
    assert len(read(text.encode()).stages) == 1


def test_another_escape_character():
    dockerfile = read(b"# escape=`\nFROM x\nENV a=C:\\ `\n  b=c\n")
    assert dockerfile.escape == "`"
    assert dockerfile.stages[0].instructions[0].source == "ENV a=C:\\   b=c"


def test_empty_continuation_lines_give_a_warning():
    dockerfile = read(b"FROM scratch\nENV a b\\\n\n c\nUSER x\n")
    assert dockerfile.warnings == ("Empty continuation line found in: ENV a b c",)
    assert len(dockerfile.stages[0].instructions) == 2


def test_onbuild_triggers_are_parsed_as_instructions():
    assert parse_instruction("env a=b") == Env(0, "env a=b", (("a", "b"),))
    for wrong in ("FROM x", "BOGUS", "ENV a", ""):
        with pytest.raises(DockerfileError):
            parse_instruction(wrong)


@given(st.lists(st.sampled_from((
    b"FROM a\n", b"RUN x", b"COPY <<E /", b"ENV a=", b'"', b"\\", b"\n", b"[", b"]", b"--", b"$",
    b"{", b" ", b"\t", b"E\n", b"# escape=`\n", b"HEALTHCHECK CMD ", b"ONBUILD ", b"\xff", b"1",
))))  # fmt: skip
def test_any_input_is_parsed_or_raises_dockerfile_error(parts):
    data = b"".join(parts)
    try:
        dockerfile = read(data)
    except DockerfileError:
        return
    assert dockerfile.stages
