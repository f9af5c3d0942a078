"""Instructions that change an image's configuration."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.errors import InvalidParameter
from palan.api.images import ImageConfig
from palan.engine.images.changes import apply_changes


def changed(*lines, **given_):
    config = ImageConfig(**given_)
    apply_changes(config, lines)
    return msgspec.to_builtins(config)


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("CMD /x", {"Cmd": ["/bin/sh", "-c", "/x"]}),
        ('CMD ["sh"]', {"Cmd": ["sh"]}),
        ("cmd [sh", {"Cmd": ["/bin/sh", "-c", "[sh"]}),
        ("CMD []", {}),
        ('ENTRYPOINT ["a", "b"]', {"Entrypoint": ["a", "b"]}),
        ("ENTRYPOINT a $b", {"Entrypoint": ["/bin/sh", "-c", "a $b"]}),
        ("ENV A=1", {"Env": ["A=1"]}),
        ("ENV A=1 B='two words' C=\"$A\" D=three\\ words", {
            "Env": ["A=1", "B=two words", "C=", "D=three words"]
        }),
        ("ENV A one two", {"Env": ["A=one two"]}),
        ("ENV A=", {"Env": ["A="]}),
        ('LABEL a=b c.d="e f"', {"Labels": {"a": "b", "c.d": "e f"}}),
        ("LABEL a b", {"Labels": {"a": "b"}}),
        ("EXPOSE 80 81/udp", {"ExposedPorts": {"80/tcp": {}, "81/udp": {}}}),
        ("EXPOSE 80-82/TCP", {"ExposedPorts": {"80/tcp": {}, "81/tcp": {}, "82/tcp": {}}}),
        ("USER app:1", {"User": "app:1"}),
        ("WORKDIR /a/../b", {"WorkingDir": "/b"}),
        ("WORKDIR a", {"WorkingDir": "/a"}),
        ("VOLUME /a /b", {"Volumes": {"/a": {}, "/b": {}}}),
        ('VOLUME ["/a b"]', {"Volumes": {"/a b": {}}}),
        ("STOPSIGNAL SIGINT", {"StopSignal": "SIGINT"}),
        ("ONBUILD RUN x", {"OnBuild": ["RUN x"]}),
        ("HEALTHCHECK NONE", {"Healthcheck": {"Test": ["NONE"]}}),
        ("HEALTHCHECK --interval=5s --retries=2 CMD true", {
            "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5 * 10**9, "Retries": 2}
        }),
        ('HEALTHCHECK --timeout=1m30s CMD ["a", "b"]', {
            "Healthcheck": {"Test": ["CMD", "a", "b"], "Timeout": 90 * 10**9}
        }),
    ],
)  # fmt: skip
def test_an_instruction(line, result):
    assert changed(line) == result


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Bogus x", "Bogus is not a valid change command"),
        ("RUN x", "RUN is not a valid change command"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", "can't find = in"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A='1", "single-quote"),
        ('ENV A="1', "double-quote"),
        ("ENV A=${B", "missing"),
        ("LABEL =x", "LABEL names can not be blank"),
        ("EXPOSE x", "invalid containerPort: x"),
        ("EXPOSE 90-80", "invalid containerPort"),
        ("EXPOSE 80/xyz", "invalid proto: xyz"),
        ("USER", "USER requires exactly one argument"),
        ('VOLUME [""]', "can not be an empty string"),
        ("CMD [1]", "arrays must be comprised of strings only"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
        ("ONBUILD FROM x", "isn't allowed as an ONBUILD trigger"),
        ("STOPSIGNAL what?", "invalid signal"),
        ("HEALTHCHECK what", 'Unknown type "WHAT"'),
        ("HEALTHCHECK CMD", "Missing command"),
        ("HEALTHCHECK --bogus=1 CMD x", "unknown flag"),
        ("HEALTHCHECK --interval=x CMD x", "invalid duration"),
        ("HEALTHCHECK --interval=1ns CMD x", "cannot be less than 1ms"),
        ("HEALTHCHECK --retries=-1 CMD x", "negative"),
    ],
)
def test_mistakes_have_a_message(line, message):
    with pytest.raises(InvalidParameter, match=message.replace("(", r"\(")):
        changed(line)


def test_instructions_see_those_before_them():
    assert changed("ENV A=1 B=$A", "ENV A=${A}2 C=${B:-none} D=${A:+set}") == {
        "Env": ["A=12", "B=", "C=none", "D=set"]
    }
    assert changed("WORKDIR /a", "WORKDIR b") == {"WorkingDir": "/a/b"}


def test_an_entrypoint_takes_the_old_command_away():
    assert changed("ENTRYPOINT x", cmd=["old"])["Entrypoint"] == ["/bin/sh", "-c", "x"]
    assert "Cmd" not in changed("ENTRYPOINT x", cmd=["old"])
    assert changed("CMD new", "ENTRYPOINT x", cmd=["old"])["Cmd"] == ["/bin/sh", "-c", "new"]


def test_several_lines_come_in_one_text():
    text = "# a comment\nENV A=1 \\\n  B=2\n\n  CMD x"
    assert changed(text) == {"Env": ["A=1", "B=2"], "Cmd": ["/bin/sh", "-c", "x"]}


def test_the_shell_of_the_image_is_used():
    assert changed("CMD x", shell=["bash", "-c"])["Cmd"] == ["bash", "-c", "x"]


@given(st.text(alphabet="aA $\\\"'{}:-+=[],\n", max_size=40))
def test_any_instruction_is_applied_or_refused(text):
    for name in ("ENV", "LABEL", "CMD", "EXPOSE", "VOLUME", "HEALTHCHECK", "WORKDIR"):
        try:
            changed(f"{name} {text}")
        except InvalidParameter:
            continue
