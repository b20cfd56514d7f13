"""The rules of the list: what it lets pass, and what it does not."""

import pytest

from run import judge, kind_of, step_names


def entry(kind):
    return {"kind": kind, "reason": "r"}


@pytest.mark.parametrize(
    "kind, listed, unlisted, stale",
    [
        (None, None, False, False),
        ("text", None, True, False),
        ("value", None, True, False),
        ("text", "text", False, False),
        ("value", "value", False, False),
        ("value", "text", True, False),
        ("text", "value", False, True),
        (None, "text", False, True),
        (None, "value", False, True),
    ],
)
def test_a_step_is_held_to_its_entry(kind, listed, unlisted, stale):
    key = ("file", "step")
    found = judge({key: kind}, {key: entry(listed)} if listed else {})
    assert found == ([key] if unlisted else [], [key] if stale else [])


def test_an_entry_for_a_step_that_is_gone_is_stale():
    assert judge({}, {("file", "gone"): entry("text")}) == ([], [("file", "gone")])


def test_repeated_step_names_are_told_apart():
    assert step_names([{"name": "a"}, {"name": "b"}, {"name": "a"}, {}]) == ["a", "b", "a#2", ""]


def test_one_wrong_value_outweighs_texts():
    assert kind_of([("text", "", 1, 2), ("value", "", 1, 2)]) == "value"
    assert kind_of([("text", "", 1, 2)]) == "text"
    assert kind_of([]) is None
