"""``kill -9`` of the engine while networks are created, removed, connected and disconnected."""

import pytest
from tests.support.chaos import Chaos, acknowledged
from tests.support.crash import exec_output, running
from tests.support.user_networks import SLEEP, interfaces, networks_of, subnet


pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def whole():
    with running() as engine:
        yield Chaos(engine)


@pytest.fixture
def chaos(whole):
    yield whole
    whole.reset_checks()
    for network in whole.api.get('/networks?filters={"type":["custom"]}').json:
        assert whole.api.delete(f"/networks/{network['Id']}").status == 204


def make(chaos, name="alpha", text="10.234.1.0/24"):
    body = {"Name": name, "IPAM": subnet(text), "EnableIPv6": True}
    return chaos.api.post("/networks/create", body)


def remove_networks(chaos):
    for network in chaos.api.get('/networks?filters={"type":["custom"]}').json:
        assert chaos.api.delete(f"/networks/{network['Id']}").status == 204


def steps(last, count):
    return [last * i / (count - 1) / 1000 for i in range(count)]


@pytest.mark.parametrize("delay", steps(25, 4))
def test_create(chaos, delay):
    answer = chaos.kill_during(lambda: make(chaos), delay)
    chaos.start()
    found = chaos.api.get("/networks/alpha")
    if acknowledged(answer, 201):
        assert found.status == 200
    if found.status == 404:
        assert make(chaos).status == 201  # name, subnet and interface are free again
    container = chaos.engine.run(*SLEEP, host={"NetworkMode": "alpha"})
    assert networks_of(chaos.engine, container)["alpha"]["IPAddress"] == "10.234.1.2"
    chaos.engine.remove_all()
    remove_networks(chaos)
    chaos.assert_clean()


@pytest.mark.parametrize("delay", steps(20, 3))
def test_remove(chaos, delay):
    make(chaos)
    answer = chaos.kill_during(lambda: chaos.api.delete("/networks/alpha"), delay)
    chaos.start()
    found = chaos.api.get("/networks/alpha")
    if acknowledged(answer, 204):
        assert found.status == 404
    remove_networks(chaos)
    chaos.assert_clean()


@pytest.mark.parametrize("delay", steps(40, 5))
def test_connect(chaos, delay):
    make(chaos)
    container = chaos.engine.run(*SLEEP)
    body = {"Container": container}
    answer = chaos.kill_during(lambda: chaos.api.post("/networks/alpha/connect", body), delay)
    chaos.start()
    shown = networks_of(chaos.engine, container)
    there = interfaces(chaos.engine, container)
    if acknowledged(answer, 200):
        assert "alpha" in shown
    # The API's answers agree with the kernel.
    assert ("eth1" in there) is ("alpha" in shown)
    if "alpha" in shown:
        assert there["eth1"] == f"{shown['alpha']['IPAddress']}/24"
        assert shown["alpha"]["IPAddress"] in exec_output(
            chaos.engine, container, "cat", "/etc/hosts"
        )
    else:
        assert chaos.api.post("/networks/alpha/connect", body).status == 200
        assert "eth1" in interfaces(chaos.engine, container)
    chaos.engine.remove_all()
    remove_networks(chaos)
    chaos.assert_clean()


@pytest.mark.parametrize("delay", steps(40, 5))
def test_disconnect(chaos, delay):
    make(chaos)
    container = chaos.engine.run(*SLEEP)
    body = {"Container": container}
    assert chaos.api.post("/networks/alpha/connect", body).status == 200
    answer = chaos.kill_during(lambda: chaos.api.post("/networks/alpha/disconnect", body), delay)
    chaos.start()
    shown = networks_of(chaos.engine, container)
    if acknowledged(answer, 200):
        assert "alpha" not in shown
    assert ("eth1" in interfaces(chaos.engine, container)) is ("alpha" in shown)
    assert chaos.api.get("/networks/alpha").json["Containers"].keys() <= {container}
    chaos.engine.remove_all()
    remove_networks(chaos)
    chaos.assert_clean()
