import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api import Filters
from palan.api.annotations import LABEL, Filter, FilterSet
from palan.api.errors import InvalidParameter


WORDS = st.text(max_size=8)
VALUES = st.dictionaries(WORDS, st.lists(WORDS, max_size=4), max_size=4)


@given(VALUES)
def test_both_forms_mean_the_same(values):
    new = Filters.parse(json.dumps(values))
    old = Filters.parse(json.dumps({k: dict.fromkeys(v, True) for k, v in values.items()}))
    for name, wanted in values.items():
        assert (name in new) is (name in old) is bool(wanted)
        assert new.get(name) == wanted
        assert set(old.get(name)) == set(wanted)


@given(st.text(max_size=30))
def test_any_text_is_filters_or_refused(text):
    with contextlib.suppress(InvalidParameter):
        Filters.parse(text)


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), WORDS),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)
        ),
    )
)
def test_any_json_is_filters_or_refused(value):
    try:
        parsed = Filters.parse(json.dumps(value))
    except InvalidParameter:
        return
    assert value is None or isinstance(value, dict)
    assert bool(parsed) is bool(value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a":["\ud800"]}', "{"])
def test_nonsense_is_refused_however_deep_it_is(text):
    with pytest.raises(InvalidParameter, match="invalid filter"):
        Filters.parse(text)


def test_nothing_is_no_filter():
    for text in ("", "null", "{}"):
        assert not Filters.parse(text)


def test_false_in_the_old_form_is_as_good_as_true():
    assert Filters.parse('{"label":{"a=b":false}}').get("label") == ["a=b"]


def test_unknown_names_are_refused_by_name():
    filters = Filters({"label": ["x"], "bogus": ["y"]})
    FilterSet(LABEL, Filter("bogus", "")).check(filters)
    with pytest.raises(InvalidParameter, match="invalid filter 'bogus'"):
        FilterSet(LABEL).check(filters)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["1"], True), (["true"], True), (["T", "1"], True), (["True"], True),
        (["0"], False), (["F"], False), (["false", "False"], False),
    ],
)  # fmt: skip
def test_booleans(given, meant):
    assert Filters({"x": given}).boolean("x", default=not meant) is meant


@pytest.mark.parametrize("given", [["maybe"], ["true", "false"], [], ["1", "yes"]])
def test_invalid_booleans_are_refused(given):
    with pytest.raises(InvalidParameter, match=r"invalid filter 'x(=\[|')"):
        Filters({"x": given}).boolean("x", default=True)


def test_an_absent_boolean_has_its_default():
    assert Filters().boolean("x", default=True)
    assert not Filters({"y": ["1"]}).boolean("x", default=False)


@given(VALUES, WORDS, WORDS)
def test_exact_is_membership_and_no_values_are_no_filter(values, name, value):
    filters = Filters(values)
    wanted = values.get(name)
    assert filters.exact(name, value) is (not wanted or value in wanted)
    assert filters.matches(name, value.__eq__) is filters.exact(name, value)


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["", "1", "2"]))


@given(LABELS, LABELS)
def test_labels_must_all_be_there_and_unwanted_ones_must_not(have, given):
    texts = [f"{key}={value}" for key, value in given.items()]
    assert Filters({"label": texts}).labels(have) is (given.items() <= have.items())
    assert Filters({"label": list(given)}).labels(have) is (given.keys() <= have.keys())
    assert Filters({"label!": list(given)}).labels(have) is given.keys().isdisjoint(have)
    assert Filters({"label!": texts}).labels(have) is given.items().isdisjoint(have.items())


def test_values_that_exclude_objects_together():
    both = Filters({"label!": ["a", "b=1"]})
    for have, excluded in (
        ({"a": "x", "b": "1"}, True),
        ({"a": "x", "b": "2"}, False),
        ({"a": "x"}, False),
        ({}, False),
    ):
        assert both.labels(have, together=True) is not excluded
    assert not Filters({"label!": []}).labels({}, together=True)
    assert Filters({}).labels({"a": "x"}, together=True)


def test_an_object_without_labels():
    assert Filters().labels(None)
    assert not Filters({"label": ["a"]}).labels(None)
    assert Filters({"label!": ["a"]}).labels(None)


def test_a_label_value_may_contain_an_equals_sign():
    assert Filters({"label": ["a=b=c"]}).labels({"a": "b=c"})
