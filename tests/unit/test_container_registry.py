import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.containers import make_container

from palan.api.errors import Conflict, InvalidParameter, NotFound
from palan.engine.containers.container import Container
from palan.engine.containers.registry import ContainerRegistry


def make(*ids: str, **names: str) -> ContainerRegistry:
    registry = ContainerRegistry()
    for number, container_id in enumerate(ids):
        registry.add(make_container(id=container_id, name=f"name{number}"))
    for name, container_id in names.items():
        registry.add(make_container(id=container_id, name=name))
    return registry


async def test_containers_are_found_by_id_name_and_beginning_of_their_id():
    registry = make("ab" + "0" * 62, "ac" + "0" * 62)
    assert registry.get("ab" + "0" * 62).name == "name0"
    assert registry.get("name1").name == "name1"
    assert registry.get("/name1").name == "name1"
    assert registry.get("ac").name == "name1"
    assert registry.get("ab00000").name == "name0"


async def test_a_beginning_of_several_ids_is_refused():
    registry = make("ab" + "0" * 62, "ac" + "0" * 62)
    with pytest.raises(InvalidParameter, match=r"multiple IDs found with provided prefix: a$"):
        registry.get("a")
    with pytest.raises(InvalidParameter):
        registry.find("a")


async def test_a_name_goes_before_the_beginning_of_an_id():
    registry = make("ab" + "0" * 62, ab="c" * 64)
    assert registry.get("ab").id == "c" * 64


async def test_an_id_goes_before_a_name():
    registry = make("a" * 64, **{"a" * 64: "b" * 64})
    assert registry.get("a" * 64).id == "a" * 64


async def test_absent_objects():
    registry = make("a" * 64)
    for reference in ("b", "absent", "A", "a" * 65, "/", "a b", "a\n"):
        with pytest.raises(NotFound, match=rf"^No such container: {re.escape(reference)}$"):
            registry.get(reference)
        assert registry.find(reference) is None
    with pytest.raises(InvalidParameter):
        registry.get("")


async def test_a_reserved_name_is_taken_before_its_container_is_there():
    registry = ContainerRegistry()
    registry.reserve("web", "a" * 64)
    registry.reserve("web", "a" * 64)
    assert not registry.is_free("web")
    with pytest.raises(Conflict) as caught:
        registry.reserve("web", "b" * 64)
    assert caught.value.message == (
        f'Conflict. The container name "/web" is already in use by container "{"a" * 64}".'
        " You have to remove (or rename) that container to be able to reuse that name."
    )
    with pytest.raises(NotFound):
        registry.get("web")
    registry.release("web")
    registry.release("web")
    assert registry.is_free("web")


async def test_discarding_frees_the_name_of_that_container_only():
    registry = make(web="a" * 64)
    first = registry.get("web")
    registry.discard(first)
    registry.discard(first)
    assert registry.is_free("web")
    assert len(registry) == 0
    registry.add(make_container(id="b" * 64, name="web"))
    registry.discard(first)
    assert registry.get("web").id == "b" * 64


async def test_a_walk_over_all_stands_changes():
    registry = make("a" * 64, "b" * 64)
    for container in registry:
        registry.discard(container)
    assert list(registry) == []


class Stub(Container):
    """A container without an event loop, with only the attributes that the registry reads."""

    def __init__(self, container_id: str, name: str) -> None:
        self._id, self._name = container_id, name

    @property
    def id(self) -> str:
        return self._id

    @property
    def name(self) -> str:
        return self._name


IDS = st.lists(st.text("ab", min_size=6, max_size=6), unique=True, max_size=12)


@given(IDS, st.text("ab", min_size=1, max_size=6))
def test_a_beginning_is_found_if_and_only_if_it_is_of_one(ids, start):
    registry = ContainerRegistry()
    for number, container_id in enumerate(ids):
        registry.add(Stub(container_id, f"n{number}"))
    fits = [i for i in ids if i.startswith(start)]
    if len(fits) == 1:
        assert registry.get(start).id == fits[0]
    else:
        with pytest.raises(InvalidParameter if fits else NotFound):
            registry.get(start)
