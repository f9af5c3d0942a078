"""Legacy links on the default bridge, and link aliases elsewhere."""

import pytest
from tests.support.crash import exec_output, killed, running
from tests.support.network import connect, listen, netns_of
from tests.support.user_networks import (
    SLEEP,
    connect_to,
    disconnect_from,
    network,
    networks_of,
    subnet,
)


pytestmark = pytest.mark.root

__all__ = ["network"]


def address_of(engine, container):
    return networks_of(engine, container)["bridge"]["IPAddress"]


def test_a_linked_container_is_found_by_alias_hostname_and_name(engine):
    config = {"ExposedPorts": {"5432/tcp": {}, "53/udp": {}}, "Env": ["COLOUR=red", "PATH=/bin"]}
    engine.run(*SLEEP, name="database", Hostname="dbhost", **config)
    web = engine.run(*SLEEP, name="web", host={"Links": ["database:db-1"]})
    address = address_of(engine, "database")
    hosts = exec_output(engine, web, "cat", "/etc/hosts")
    assert f"{address}\tdb-1 dbhost database\n" in hosts
    env = exec_output(engine, web, "env").splitlines()
    assert {
        f"DB_1_PORT=tcp://{address}:5432",
        f"DB_1_PORT_5432_TCP_ADDR={address}",
        "DB_1_PORT_5432_TCP_PORT=5432",
        "DB_1_PORT_53_UDP_PROTO=udp",
        "DB_1_NAME=/web/db-1",
        "DB_1_ENV_COLOUR=red",
    } <= set(env)
    assert not [line for line in env if line.startswith("DB_1_ENV_PATH")]
    assert engine.inspect(web)["HostConfig"]["Links"] == ["/database:/web/db-1"]
    (line,) = (c for c in engine.api.get("/containers/json").json if c["Id"] != web)
    assert line["Names"] == ["/database", "/web/db-1"]


def test_a_new_address_reaches_linked_containers(engine):
    engine.run(*SLEEP, name="database")
    web = engine.run(*SLEEP, name="web", host={"Links": ["database:db"]})
    before = address_of(engine, "database")
    assert engine.api.post("/containers/database/restart?t=0").status == 204
    after = address_of(engine, "database")
    assert after != before
    hosts = exec_output(engine, web, "cat", "/etc/hosts")
    assert before not in hosts
    assert f"{after}\tdb " in hosts


def test_links_follow_names_and_can_be_taken_away(engine):
    engine.run(*SLEEP, name="database")
    web = engine.run(*SLEEP, name="web", host={"Links": ["database:db"]})
    engine.api.post("/containers/database/rename?name=store")
    assert engine.inspect(web)["HostConfig"]["Links"] == ["/store:/web/db"]
    assert engine.api.delete("/containers/web/absent?link=1").status == 404
    assert engine.api.delete("/containers/web?link=1").status == 500
    assert engine.api.delete("/containers/web/db?link=1").status == 204
    assert engine.inspect(web)["HostConfig"]["Links"] is None
    assert "\tdb " not in exec_output(engine, web, "cat", "/etc/hosts")


def test_a_container_that_does_not_run_can_not_be_linked_to(engine):
    engine.create(*SLEEP, name="database")
    web = engine.create(*SLEEP, name="web", host={"Links": ["database:db"]})
    answer = engine.api.post(f"/containers/{web}/start")
    assert answer.status == 409
    assert answer.json["message"] == "Cannot link to a non running container: /database AS /web/db"
    engine.remove("database")
    assert engine.api.post(f"/containers/{web}/start").status == 204


def test_a_link_leads_to_the_container_whose_network_others_share(engine):
    owner = engine.run(*SLEEP, name="owner")
    engine.run(*SLEEP, name="sharing", host={"NetworkMode": f"container:{owner}"})
    engine.run(*SLEEP, name="nested", host={"NetworkMode": "container:sharing"})
    web = engine.run(*SLEEP, name="web", host={"Links": ["nested:db"]})
    assert engine.inspect(web)["HostConfig"]["Links"] == ["/owner:/web/db"]
    assert f"{address_of(engine, owner)}\tdb " in exec_output(engine, web, "cat", "/etc/hosts")
    engine.remove("sharing")
    body = {"Image": "busybox", "HostConfig": {"Links": ["nested:db"]}}
    answer = engine.api.post("/containers/create", body)
    assert answer.status == 400
    assert answer.json["message"].startswith("could not get container for ")


def test_on_other_networks_links_are_aliases(engine, network):
    network("alpha", IPAM=subnet("10.232.1.0/24"))
    engine.run(*SLEEP, name="database", host={"NetworkMode": "alpha"})
    endpoint = {"alpha": {"Links": ["database:db"]}}
    web = engine.run(
        *SLEEP, name="web", host={"NetworkMode": "alpha"},
        NetworkingConfig={"EndpointsConfig": endpoint},
    )  # fmt: skip
    assert networks_of(engine, web)["alpha"]["Links"] == ["database:db"]
    disconnect_from(engine, "alpha", "web")
    connect_to(engine, "alpha", "web", Links=["database:other"])
    assert networks_of(engine, web)["alpha"]["Links"] == ["database:other"]


def reaches(engine, source, address, port):
    """Return whether a TCP connection from inside of a container succeeds."""
    try:
        connect(netns_of(engine, source), address, port, timeout=1).close()
    except OSError:
        return False
    return True


def test_a_link_opens_exposed_ports_between_isolated_containers():
    with running("--icc=false") as engine:
        database = engine.run(*SLEEP, name="database", ExposedPorts={"80/tcp": {}})
        web = engine.run(*SLEEP, name="web", host={"Links": ["database:db"]})
        other = engine.run(*SLEEP, name="other")
        for _ in range(2):
            address = address_of(engine, database)
            with listen(netns_of(engine, database), 80), listen(netns_of(engine, database), 81):
                assert reaches(engine, web, address, 80)
                assert not reaches(engine, web, address, 81)
                assert not reaches(engine, other, address, 80)
            # With the target's new address, and after a crash.
            engine.api.post("/containers/database/restart?t=0")
            with killed(engine):
                pass
        engine.remove(web)
        later = engine.run(*SLEEP, name="later")
        with listen(netns_of(engine, database), 80):
            assert not reaches(engine, later, address_of(engine, database), 80)
