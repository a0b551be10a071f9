"""A grouped mapping answers as one that looks through everything would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.engine.grouped import Grouped


def last_digits(value: int) -> tuple[str, ...]:
    """By the last digit; and with the odd ones, if it is odd."""
    return (f"ends in {value % 10}", *(("odd",) if value % 2 else ()))


@given(st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 99)))))
def test_groups_are_those_of_the_values_whatever_came_and_went(steps: list[tuple[int, int | None]]) -> None:
    known: Grouped[int, int, str] = Grouped(last_digits)
    plain: dict[int, int] = {}
    for key, value in steps:
        if value is None:
            assert known.pop(key, None) == plain.pop(key, None)
        else:
            known[key] = plain[key] = value
    assert dict(known) == plain
    assert list(known.values()) == list(plain.values())
    assert {group for value in plain.values() for group in last_digits(value)} == set(known.groups)
    for group in (*known.groups, "nobody's"):
        assert sorted(known.of(group)) == sorted(value for value in plain.values() if group in last_digits(value))


def test_a_group_is_in_the_order_of_arrival_and_a_change_keeps_the_place() -> None:
    known: Grouped[str, int, str] = Grouped(last_digits)
    known["first"], known["second"] = 11, 21
    known["first"] = 31
    assert known.of("ends in 1") == [31, 21]
