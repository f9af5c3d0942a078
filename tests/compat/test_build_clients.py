"""Builds of images by clients: the docker CLI, docker-py, Compose, and Palan's own."""

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import docker as docker_py
import pytest
from tests.compat.test_docker_compose import compose_in
from tests.support.docker_cli import Docker
from tests.support.engine import TestEngine

import palan


pytestmark = [
    pytest.mark.root,
    # docker-py leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _without_other_images(engine: TestEngine) -> Iterator[None]:
    yield
    engine.remove_all()
    for line in engine.api.get("/images/json").json:
        for name in line["RepoTags"]:
            if name != "busybox:latest":
                engine.api.delete(f"/images/{name}?force=1")
    engine.api.post("/images/prune")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    (directory / "src").mkdir(parents=True)
    (directory / "src/app.sh").write_text("echo $GREETING from app\n")
    (directory / "src/secret").write_text("not for the image\n")
    (directory / ".dockerignore").write_text("**/secret\n.dockerignore\nDockerfile\n")
    (directory / "Dockerfile").write_text(
        "ARG BASE=busybox\nFROM ${BASE} AS base\nARG WHO=nobody\nENV GREETING=hello\n"
        "RUN echo for $WHO > /who\nFROM base\nCOPY . /app/\nWORKDIR /app\nCMD sh src/app.sh\n"
    )
    return directory


@pytest.mark.parametrize("buildkit", [None, "0"])
def test_docker_build(docker: Docker, project: Path, tmp_path: Path, buildkit: str | None):
    if buildkit is not None:
        docker.env["DOCKER_BUILDKIT"] = buildkit
    done = docker("build", "-t", "app", "-t", "app:2", "--build-arg", "WHO=me", str(project))
    assert "Successfully tagged app:latest\nSuccessfully tagged app:2\n" in done.out
    assert docker("run", "--rm", "app").out == "hello from app\n"
    shown = docker("run", "--rm", "app", "sh", "-c", "cat /who; find /app -type f").lines
    assert shown == ["for me", "/app/src/app.sh"]
    assert docker("build", str(project), "--build-arg", "WHO=me").out.count("Using cache") == 6
    identity = docker("build", "-q", "--build-arg", "WHO=me", str(project)).word
    assert identity == docker.inspect("app", "{{.Id}}")
    # A Dockerfile on standard input: alone, and for a context.
    failed = docker("build", "-", stdin="FROM busybox\nRUN exit 5\n", code=5)
    assert "The command '/bin/sh -c exit 5' returned a non-zero code: 5" in failed.err
    iid = tmp_path / "iid"
    docker(
        *("build", "-f", "-", "--label", "a=b", "--iidfile", str(iid), str(project)),
        stdin="FROM busybox\nCOPY src/app.sh /\n",
    )
    assert docker.inspect(iid.read_text(), "{{.Config.Labels}}") == "map[a:b]"
    assert "base" in docker("build", "--target", "base", "--no-cache", str(project)).out
    missing = docker("build", "--target", "none", str(project), code=1)
    assert 'target stage "none" could not be found' in missing.err


def test_docker_build_that_is_broken_off(docker: Docker):
    with docker.background("build", "-") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"FROM busybox\nRUN echo begun && sleep 60\n")
        process.stdin.close()
        with contextlib.suppress(StopIteration):
            while next(process.stdout) != b"begun\n":
                pass
        process.terminate()
    for _ in range(100):
        if not docker("ps", "-aq").out:
            break
    assert docker("ps", "-aq").out == ""


@pytest.mark.parametrize("version", ["1.24", "auto"])
def test_docker_py(engine: TestEngine, project: Path, version: str):
    client = docker_py.DockerClient(base_url=engine.url, version=version, timeout=30)
    image, lines = client.images.build(
        path=str(project), tag="app:py", buildargs={"WHO": "py"}, labels={"by": "py"}, rm=True
    )
    assert "Successfully tagged app:py\n" in [line.get("stream") for line in lines]
    assert image.tags == ["app:py"]
    assert client.containers.run("app:py", remove=True) == b"hello from app\n"
    if version != "1.24":  # at 1.24, docker-py has no labels of builds
        assert image.labels["by"] == "py"
    with pytest.raises(docker_py.errors.BuildError, match="returned a non-zero code: 4"):
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 4\n"), forcerm=True)
    with pytest.raises(docker_py.errors.APIError, match="unknown instruction: NONSENSE"):
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nNONSENSE\n"))
    assert client.api.prune_builds()["SpaceReclaimed"] == 0 if version != "1.24" else True
    client.close()


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="there is no docker-compose")
def test_compose(engine: TestEngine, project: Path):
    (project / "docker-compose.yml").write_text(
        'version: "2.4"\nservices:\n  app:\n    network_mode: none\n    build:\n      context: .\n'
        "      args: {WHO: compose}\n      labels: {by: compose}\n"
        "  other:\n    network_mode: none\n    image: named\n"
        "    build: {context: ., target: base}\n"
        "    command: cat /who\n"
    )
    compose = compose_in(project, engine)
    try:
        assert "Successfully tagged proj_app:latest" in compose("build")
        compose("up")
        assert "hello from app" in compose("logs", "app")
        assert "for nobody" in compose("logs", "other")
        labels = engine.api.get("/images/proj_app/json").json["Config"]["Labels"]
        assert labels["by"] == "compose"
        (project / "src/app.sh").write_text("echo changed\n")
        compose("up", "--build")
        assert "changed" in compose("logs", "app")
    finally:
        compose("down", "-v", "-t", "0", "--rmi", "all")


def test_our_own_client(engine: TestEngine, project: Path):
    with palan.Client(engine.url) as client:
        built = client.images.build(project, tags="app:own", build_args={"WHO": "own"})
        assert client.images.inspect("app:own").id == built.id
        with pytest.raises(palan.errors.OperationFailed, match="non-zero code: 3"):
            (project / "Dockerfile").write_text("FROM busybox\nRUN exit 3\n")
            client.images.build(project)
