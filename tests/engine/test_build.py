"""Builds: instructions, the resulting images, and the cache."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.build import build, context, output
from tests.support.engine import TestEngine
from tests.support.tar import TAR, entry, tarball


pytestmark = pytest.mark.root

BUILDKIT = (
    " option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to"
    " build images with BuildKit enabled"
)


@pytest.fixture
def engine(shared_engine: TestEngine) -> Iterator[TestEngine]:
    """Yield the engine of the session, and remove containers and images of builds at the end."""
    yield shared_engine
    shared_engine.remove_all()
    for line in shared_engine.api.get("/images/json").json:
        if any(tag.startswith("built:") for tag in line["RepoTags"]):
            shared_engine.api.delete(f"/images/{line['Id']}?force=1")
    shared_engine.api.post("/images/prune")


def inspect(engine: TestEngine, image: str) -> Any:
    return engine.api.get(f"/images/{image}/json").json


EVERYTHING = """ARG BASE=nowhere
FROM $BASE AS first
LABEL rec=1 "two words"=x
ARG WHO=nobody
ENV GREETING=hello OTHER="a b"
RUN echo $GREETING $WHO > /greeting
FROM first AS second
COPY file.txt data/
WORKDIR /data
WORKDIR sub
EXPOSE 80 90-91/udp
VOLUME /store
USER app
HEALTHCHECK --interval=5s CMD true
STOPSIGNAL SIGINT
SHELL ["/bin/sh", "-ec"]
MAINTAINER somebody
ENTRYPOINT ["cat"]
CMD /greeting
"""


def test_all_instructions_make_the_image_that_dockerd_makes(engine):
    built = build(
        engine,
        EVERYTHING,
        {"file.txt": "x"},
        t=["built:1", "built:2"],
        buildargs={"BASE": "busybox"},
    )
    image = inspect(engine, built.image)
    assert image["Config"] == {
        "User": "app",
        "ExposedPorts": {"80/tcp": {}, "90/udp": {}, "91/udp": {}},
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "GREETING=hello",
            "OTHER=a b",
        ],
        "Entrypoint": ["cat"],
        "Cmd": ["/bin/sh", "-ec", "/greeting"],
        "Volumes": {"/store": {}},
        "WorkingDir": "/data/sub",
        "Labels": {"rec": "1", "two words": "x"},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000},
        "Shell": ["/bin/sh", "-ec"],
    }
    assert image["Author"] == "somebody"
    assert sorted(image["RepoTags"]) == ["built:1", "built:2"]
    assert built.text.startswith("Step 1/19 : ARG BASE=nowhere\nStep 2/19 : FROM $BASE AS first\n")
    assert built.text.endswith(
        f"Successfully built {built.image[7:19]}\n"
        "Successfully tagged built:1\nSuccessfully tagged built:2\n"
    )
    told = [item["CreatedBy"] for item in engine.api.get("/images/built:1/history").json]
    assert told[:-4] == [
        '/bin/sh -ec #(nop)  CMD ["/bin/sh" "-ec" "/greeting"]',
        '/bin/sh -ec #(nop)  ENTRYPOINT ["cat"]',
        "/bin/sh -ec #(nop)  MAINTAINER somebody",
        "/bin/sh -ec #(nop)  SHELL [/bin/sh -ec]",
        "/bin/sh -c #(nop)  STOPSIGNAL SIGINT",
        (
            "/bin/sh -c #(nop)  HEALTHCHECK &{Test:[CMD-SHELL true] Interval:5s Timeout:0s"
            " StartPeriod:0s StartInterval:0s Retries:0}"
        ),
        "/bin/sh -c #(nop)  USER app",
        "/bin/sh -c #(nop)  VOLUME [/store]",
        "/bin/sh -c #(nop)  EXPOSE 80 90-91/udp",
        "/bin/sh -c #(nop) WORKDIR /data/sub",
        "/bin/sh -c #(nop) WORKDIR /data",
        told[11],
        "|1 WHO=nobody /bin/sh -c echo $GREETING $WHO > /greeting",
    ]
    assert told[11].startswith("/bin/sh -c #(nop) COPY file:")
    assert told[11].endswith(" in data/ ")


def test_a_build_again_makes_nothing_again(engine):
    text = "FROM busybox\nENV A=1\nRUN echo $A > /a\nCOPY file /x/\nWORKDIR /x\nCMD ls\n"
    first = build(engine, text, {"file": "1"})
    again = build(engine, text, {"file": "1"})
    assert (again.image, again.hits) == (first.image, 5)
    changed = build(engine, text, {"file": "2"})
    assert changed.hits == 2
    assert changed.image != first.image
    anew = build(engine, text, {"file": "1"}, nocache=1)
    assert anew.hits == 0
    # After the first miss the cache is not consulted any more.
    between = build(engine, text.replace("COPY", "LABEL x=y\nCOPY"), {"file": "1"})
    assert between.hits == 2


def test_steps_are_taken_from_the_images_that_the_client_names(engine):
    text = "FROM busybox\nENV A=1\nRUN touch /a\nCOPY f /\n"
    first = build(engine, text, {"f": "1"}, t="built:from")
    assert build(engine, text, {"f": "1"}, cachefrom=["built:from"]).hits == 3
    assert build(engine, text, {"f": "1"}, cachefrom=["built:none"]).hits == 0
    # A loaded image is matched by its history.
    data = engine.api.get("/images/built:from/get").body
    engine.api.delete("/images/built:from")
    engine.api.post("/images/prune")
    engine.api.post("/images/load", data, headers=TAR)
    assert build(engine, text, {"f": "1"}).hits == 0
    again = build(engine, text + "LABEL more=1\n", {"f": "1"}, cachefrom=["built:from"])
    assert again.hits == 3
    assert inspect(engine, again.image)["Parent"] == first.image


def test_health_checks_keep_what_they_do_not_say(engine):
    built = build(
        engine,
        "FROM busybox\nHEALTHCHECK --interval=90s --retries=3 CMD a\nHEALTHCHECK NONE\n"
        "HEALTHCHECK --retries=2 CMD b\n",
    )
    check = {"Test": ["CMD-SHELL", "b"], "Interval": 90 * 10**9, "Retries": 2}
    assert inspect(engine, built.image)["Config"]["Healthcheck"] == check
    assert built.text.count("Note: overriding previous HEALTHCHECK: [CMD-SHELL a]\n") == 1


def test_directories_of_volumes_are_like_others(engine):
    built = build(
        engine,
        "FROM busybox\nVOLUME /v /deep/er\nRUN echo lost > /v/f\nRUN stat -c '%n %a' /v /deep"
        " /deep/er; ls /v\n",
    )
    assert output(built) == ["/v 755", "/deep 755", "/deep/er 755"]


def test_arguments_count_for_the_cache_but_proxies_do_not(engine):
    text = "FROM busybox\nARG WHO\nRUN echo $WHO $http_proxy\n"
    first = build(engine, text, buildargs={"WHO": "me", "http_proxy": "http://one"})
    assert output(first) == ["me http://one"]
    other = build(engine, text, buildargs={"WHO": "me", "http_proxy": "http://two"})
    assert (other.image, other.hits) == (first.image, 2)
    third = build(engine, text, buildargs={"WHO": "you", "UNUSED": "x", "NOVALUE": None})
    assert third.hits == 1
    assert "[Warning] One or more build-args [NOVALUE UNUSED] were not consumed\n" in third.text
    history = engine.api.get(f"/images/{first.image}/history").json
    assert history[0]["CreatedBy"] == "|1 WHO=me /bin/sh -c echo $WHO $http_proxy"


def test_stages_are_built_up_to_the_target(engine):
    text = (
        "FROM busybox AS One\nRUN echo 1 > /one\nFROM busybox AS two\nCOPY --from=one /one /two\n"
        "FROM two\nCOPY --from=0 /one /three\nRUN cat /two /three\n"
    )
    assert output(build(engine, text)) == ["1", "1"]
    target = build(engine, text, target="TWO")
    assert "Step 4/4 :" in target.text
    absent = build(engine, text, target="third")
    assert (absent.answer.status, absent.answer.message) == (
        400,
        'target stage "third" could not be found',
    )


def test_triggers_run_in_the_builds_that_begin_with_their_image(engine):
    base = build(
        engine, "FROM busybox\nONBUILD RUN echo triggered\nONBUILD COPY file /\n", t="built:on"
    )
    assert inspect(engine, base.image)["Config"]["OnBuild"] == ["RUN echo triggered", "COPY file /"]
    child = build(engine, "FROM built:on\nRUN cat /file\n", {"file": "there\n"})
    assert "# Executing 2 build triggers\n" in child.text
    assert output(child) == ["triggered", "there"]
    assert "OnBuild" not in inspect(engine, child.image)["Config"]


def test_run_steps_have_the_limits_and_the_network_of_the_build(engine):
    text = (
        "FROM busybox\nRUN ls /sys/class/net; ulimit -n; df -k /dev/shm | tail -1; grep other"
        " /etc/hosts\nUSER app\nRUN id -u; echo err >&2\n"
    )
    built = build(
        engine,
        text,
        networkmode="none",
        shmsize=1 << 20,
        ulimits=[{"Name": "nofile", "Soft": 99, "Hard": 99}],
        extrahosts="other:10.0.0.1",
        memory=64 << 20,
    )
    lines = output(built)
    assert lines[:2] == ["lo", "99"]
    assert lines[2].split()[1] == "1024"
    assert lines[3].split() == ["10.0.0.1", "other"]
    assert {"1000", "\x1b[91merr"} <= set(lines[4:])


def test_labels_of_the_request_are_steps_and_are_not_expanded(engine):
    built = build(engine, "FROM busybox\nENV A=1\n", labels={"z": "$A", "a": "2"})
    assert inspect(engine, built.image)["Config"]["Labels"] == {"a": "2", "z": "$A"}
    assert "Step 3/4 : LABEL a=2\n" in built.text
    assert "Step 4/4 : LABEL z=$A\n" in built.text


def test_a_quiet_build_says_the_id_or_what_went_wrong(engine):
    built = build(engine, "FROM busybox\nLABEL a=b\n", q=1)
    assert len(built.lines) == 1
    assert inspect(engine, built.text.strip())["Config"]["Labels"] == {"a": "b"}
    failed = build(engine, "FROM busybox\nRUN echo out; exit 3\n", q=1)
    assert failed.lines[-1]["errorDetail"] == {
        "code": 3,
        "message": "The command '/bin/sh -c echo out; exit 3' returned a non-zero code: 3",
    }
    assert "out\n" in failed.text


def test_scratch_is_nothing_to_begin_with(engine):
    built = build(engine, "FROM scratch\nLABEL a=b\nCOPY file /dir/\n", {"file": "x"})
    image = inspect(engine, built.image)
    assert len(image["RootFS"]["Layers"]) == 1
    assert " ---> \n" in built.text
    assert (
        build(engine, "FROM scratch\n").error == "No image was generated. Is your Dockerfile empty?"
    )
    assert "no such file or directory" in build(engine, "FROM scratch\nRUN true\n").error


def test_texts_in_the_dockerfile_are_files_and_scripts(engine):
    built = build(
        engine,
        "FROM busybox\nENV A=1\nCOPY <<one <<-'two' /t/\na $A \"q\"\none\n\t\tb $A\ntwo\n"
        "RUN <<EOF\ncat /t/one\ncat /t/two\nEOF\nRUN cat <<EOF | tr a-z A-Z\nxyz $A\nEOF\n"
        "RUN <<EOF\n#!/bin/awk -f\nBEGIN { print 6 * 7 }\nEOF\n",
    )
    assert output(built) == ['a 1 "q"', "b $A", "XYZ 1", "42"]


def test_compressed_contexts_and_other_names_of_the_dockerfile(engine):
    text = b"FROM busybox\nCOPY . /c/\nRUN ls -A /c\n"
    files = (entry("sub/My.file", text), entry(".dockerignore", b"sub\n.docker*\n"), entry("kept"))
    for mode in ("w:gz", "w:bz2", "w:xz"):
        built = build(engine, tarball(*files, mode=mode), dockerfile="sub/My.file", nocache=1)
        assert output(built) == ["kept", "sub"]
    lower = tarball(entry("dockerfile", b"FROM busybox\nLABEL low=1\n"))
    assert build(engine, lower).image


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM busybox\nBOGUS x\n", "dockerfile parse error on line 2: unknown instruction: BOGUS"),
        ("RUN x\n", "no build stage in current context"),
        ("", "the Dockerfile (Dockerfile) cannot be empty"),
        ("# nothing\n", "failed to parse Dockerfile: file with no instructions"),
    ],
)
def test_an_invalid_dockerfile_is_a_400(engine, text, message):
    answer = build(engine, text).answer
    assert (answer.status, answer.message) == (400, message)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"version": "2"}, "version 2 is BuildKit"),
        ({"version": "9"}, 'invalid version "9"'),
        ({"t": "UPPER"}, "invalid reference format: repository name (library/UPPER) must be"),
        ({"t": "a@sha256:" + "0" * 64}, "build tag cannot contain a digest"),
        ({"platform": "a/b/c/d"}, '"a/b/c/d": cannot parse platform specifier: invalid argument'),
        ({"buildargs": "WHO"}, "error reading build args: invalid character 'W' looking for"),
        ({"labels": "[]"}, "error reading labels: "),
        ({"ulimits": "{"}, "error reading ulimit settings: "),
        ({"cachefrom": "7"}, "error reading cache-from: "),
        ({"squash": 1}, "squash is only supported with experimental mode"),
        ({"securityopt": "[]"}, "security options are not supported on linux"),
        ({"dockerfile": "absent"}, "Cannot locate specified Dockerfile: absent"),
        ({"dockerfile": "../x"}, "forbidden path outside the build context: ../x ()"),
        ({"remote": "client-session"}, "experimental session with v1 builder is no longer"),
        ({"remote": "nonsense"}, "remoteURL (nonsense) could not be recognized as URL"),
    ],
)
def test_a_request_that_makes_no_sense_is_a_400(engine, query, message):
    answer = build(engine, "FROM busybox\n", **query).answer
    assert answer.status == 400
    assert answer.message.startswith(message)


def test_an_invalid_archive_is_a_400(engine):
    for body in (b"no archive", context("FROM busybox\n")[:700], b"\x1f\x8bno gzip"):
        assert build(engine, body).answer.status == 400
    empty = build(engine, b"").answer
    assert (empty.status, empty.message) == (
        400,
        "Cannot locate specified Dockerfile: Dockerfile",
    )


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("RUN exit 7", "The command '/bin/sh -c exit 7' returned a non-zero code: 7"),
        ("RUN --mount=type=cache,target=/x true", f"the --mount{BUILDKIT}"),
        ("COPY --chmod=755 Dockerfile /", f"the --chmod{BUILDKIT}"),
        ("COPY --from=5 /x /", "invalid from flag value 5: index out of bounds"),
        ("COPY --from=0 /x /", "invalid from flag value 0: refers to current build stage"),
        ("COPY http://127.0.0.1/x /", "COPY failed: source can't be a URL for COPY"),
        ("COPY ../x /", "COPY failed: forbidden path outside the build context: ../x ()"),
        (
            "COPY absent /",
            (
                "COPY failed: file not found in build context or excluded by .dockerignore:"
                " stat absent: file does not exist"
            ),
        ),
        ("COPY *.zip /", "COPY failed: no source files were specified"),
        (
            "COPY Dockerfile Dockerfile /x",
            (
                "When using COPY with more than one source file, the destination must be a"
                " directory and end with a /"
            ),
        ),
        (
            "COPY --chown=nobodyx Dockerfile /",
            (
                "unable to convert uid/gid chown string to host mapping: can't find uid for user"
                " nobodyx: no such user: nobodyx"
            ),
        ),
        ("EXPOSE 99999", "invalid containerPort: 99999"),
        ("STOPSIGNAL FOO", "invalid signal: FOO"),
        ("ENV A=${x:?oops}", 'failed to process "${x:?oops}": x: oops'),
        ("FROM $NOTHING", "base name ($NOTHING) should not be blank"),
    ],
)
def test_a_failed_step_is_reported_in_the_stream(engine, step, message):
    built = build(engine, f"FROM busybox\n{step}\n", forcerm=1)
    assert built.answer.status == 200
    assert built.error == message
    assert built.lines[-1]["errorDetail"]["message"] == message
    assert engine.api.get("/containers/json?all=1").json == []


def test_containers_of_steps_stay_where_that_is_asked_for(engine):
    build(engine, "FROM busybox\nRUN exit 1\n")
    [failed] = engine.api.get("/containers/json?all=1").json
    assert failed["State"] == "exited"
    engine.remove(failed["Id"])
    kept = build(engine, "FROM busybox\nLABEL kept=1\nRUN true\n", rm=0)
    assert "Removed intermediate" not in kept.text
    ids = {line["Id"][:12] for line in engine.api.get("/containers/json?all=1").json}
    assert len(ids) == 2
    assert all(f" ---> Running in {each}\n" in kept.text for each in ids)


def test_intermediate_images_are_out_of_sight_and_go_with_the_last_name(engine):
    before = {line["Id"] for line in engine.api.get("/images/json?all=1").json}
    built = build(engine, "FROM busybox\nLABEL a=1\nLABEL b=1\nLABEL c=1\n", t="built:chain")
    shown = [line["Id"] for line in engine.api.get("/images/json").json]
    made = {line["Id"] for line in engine.api.get("/images/json?all=1").json} - before
    assert len(made) == 3
    assert made & set(shown) == {built.image}
    dangling = engine.api.get('/images/json?filters={"dangling":["true"]}').json
    assert not made & {line["Id"] for line in dangling}
    assert inspect(engine, built.image)["Parent"] in made
    # An image that others were built upon only loses its name.
    middle = inspect(engine, built.image)["Parent"]
    engine.api.post(f"/images/{middle}/tag?repo=built&tag=middle")
    assert engine.api.delete("/images/built:middle").json == [{"Untagged": "built:middle"}]
    gone = engine.api.delete("/images/built:chain").json
    assert gone[0] == {"Untagged": "built:chain"}
    assert {item["Deleted"] for item in gone[1:]} == made


def test_a_prune_of_the_build_cache_removes_images(engine):
    answer = engine.api.post("/build/prune?all=1")
    assert (answer.status, answer.json) == (200, {"CachesDeleted": None, "SpaceReclaimed": 0})
    bad = engine.api.post("/build/prune?filters=%7B%22bogus%22:%5B%22x%22%5D%7D")
    assert (bad.status, bad.message) == (400, "failed to prune build cache: invalid filter 'bogus'")
    assert engine.api.post("/build/cancel").message == "build ID not provided"
    assert engine.api.post("/build/cancel?id=absent").status == 200


# ---- odd instructions ----------------------------------------------------------------


def test_a_run_without_words_runs_the_program_of_the_image(engine):
    text = 'FROM busybox\nCMD ["touch", "/made"]\nRUN []\nRUN test -e /made\n'
    assert build(engine, text, nocache=1).image


@pytest.mark.parametrize("path", ["/file", "/link", "/directory/../file"])
def test_a_volume_needs_a_directory(engine, path):
    text = (
        "FROM busybox\nRUN touch /file && ln -s file /link && mkdir /directory\n"
        f"VOLUME /directory /new\nVOLUME {path}\n"
    )
    assert build(engine, text).error == (
        f"cannot mount volume over existing file, file exists {path}"
    )


@pytest.mark.parametrize(("cut", "message"), [(0, ""), (1, "unexpected EOF"), (512, "")])
def test_an_archive_with_a_damaged_end(engine, cut, message):
    archive = tarball(entry("inside", b"x"))[:2048]
    files = {"a.tar": archive[: len(archive) - cut]}
    answer = build(engine, "FROM busybox\nADD a.tar /\n", files)
    assert answer.error == (f"failed to copy files: {message}" if message else "")


def test_labels_of_the_request_may_be_null(engine):
    image = build(engine, "FROM busybox\n", labels={"empty": None, "full": "x"}).image
    assert inspect(engine, image)["Config"]["Labels"] == {"empty": "", "full": "x"}


def test_each_image_of_a_build_has_an_event(engine):
    begin = time.time()
    image = build(engine, "FROM busybox\nENV a=b\nLABEL c=d\n", nocache=1).image
    target = f"/events?since={begin}&until={time.time()}&filters=%7B%22type%22:%5B%22image%22%5D%7D"
    events = [json.loads(line) for line in engine.api.get(target).body.splitlines()]
    created = [event["Actor"] for event in events if event["Action"] == "create"]
    assert len(created) == 2
    assert created[1] == {"ID": image, "Attributes": {"name": image, "c": "d"}}
    old = engine.api.at("1.45").get(target).body
    assert b'"create"' not in old
