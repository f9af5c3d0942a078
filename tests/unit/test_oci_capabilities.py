import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.errors import InvalidParameter
from palan.engine.oci.capabilities import (
    DEFAULT,
    KNOWN,
    from_mask,
    granted,
    missing_warnings,
    normalize,
    oci_capabilities,
    wanted,
)


def test_there_are_fourteen_by_default_and_forty_one_in_all():
    assert len(DEFAULT) == 14
    assert len(set(KNOWN)) == 41
    assert set(DEFAULT) < set(KNOWN)


def test_names_may_lack_the_prefix_and_be_in_any_case():
    assert normalize(["net_admin", "CAP_sys_time", "all"], "CapAdd") == [
        "CAP_NET_ADMIN",
        "CAP_SYS_TIME",
        "ALL",
    ]


@pytest.mark.parametrize("field", ["CapAdd", "CapDrop"])
def test_unknown_names_are_refused_in_dockerds_words(field):
    with pytest.raises(InvalidParameter) as caught:
        normalize(["bogus"], field)
    assert caught.value.message == f'invalid {field}: unknown capability: "CAP_BOGUS"'


def test_adding_and_dropping():
    assert wanted(None, None) == DEFAULT
    assert wanted(["NET_ADMIN"], ["MKNOD"]) == (
        *(name for name in DEFAULT if name != "CAP_MKNOD"),
        "CAP_NET_ADMIN",
    )
    assert wanted(["CHOWN"], ["CHOWN"])[-1] == "CAP_CHOWN", "what is both is added"
    assert wanted(None, ["ALL"]) == ()
    assert wanted(["KILL"], ["ALL"]) == ("CAP_KILL",)
    assert wanted(["ALL"], None) == KNOWN
    assert "CAP_SYS_ADMIN" not in wanted(["ALL"], ["SYS_ADMIN"])
    assert wanted(["ALL"], ["ALL"]) == KNOWN
    assert wanted(None, ["ALL"], privileged=True) == KNOWN


@given(st.lists(st.sampled_from(KNOWN)), st.lists(st.sampled_from(KNOWN)))
def test_nothing_is_there_twice_and_what_is_added_is_there(add, drop):
    names = wanted(add, drop)
    assert len(set(names)) == len(names)
    assert set(add) <= set(names)
    assert not (set(drop) - set(add)) & set(names)


def test_capabilities_that_the_machine_lacks_are_left_out_and_reported():
    bounding = frozenset(KNOWN) - {"CAP_SYS_RESOURCE"}
    assert "CAP_SYS_RESOURCE" not in granted(KNOWN, bounding)
    assert missing_warnings(None, bounding) == []
    assert missing_warnings(["CHOWN"], bounding) == []
    for warnings in (
        missing_warnings(["sys_resource"], bounding),
        missing_warnings(["ALL"], bounding),
        missing_warnings(None, bounding, privileged=True),
    ):
        assert len(warnings) == 1
        assert warnings[0].endswith("CAP_SYS_RESOURCE")


def test_masks():
    assert from_mask(0b1001) == {"CAP_CHOWN", "CAP_FOWNER"}
    assert from_mask(0x1FFFFFFFFFF) == set(KNOWN)


def test_no_program_inherits_them():
    sets = oci_capabilities(["CAP_KILL"])
    assert sets["effective"] == sets["permitted"] == sets["bounding"] == ["CAP_KILL"]
    assert not sets["inheritable"] + sets["ambient"]
