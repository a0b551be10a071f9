from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.broker import StreamLimits
from app.market.spread import in_order, spread

TOKENS = st.frozensets(st.integers(min_value=1, max_value=40), max_size=30)


def test_what_is_guarded_has_a_connection_of_its_own() -> None:
    plan = spread({1, 2}, {2, 3, 4}, {9}, StreamLimits(3, 100))
    assert plan.lanes == (frozenset({1, 2, 9}), frozenset({3, 4, 9}), frozenset())


def test_one_connection_carries_everything_guarded_first() -> None:
    plan = spread({5, 6}, {1, 2}, {9}, StreamLimits(1, 4))
    assert plan.lanes == (frozenset({5, 6, 9, 1}),)
    assert plan.left_out == {2}


def test_an_instrument_stays_on_its_connection_while_it_is_wanted() -> None:
    limits = StreamLimits(3, 2)
    first = spread(frozenset(), {1, 2, 3, 4}, frozenset(), limits)
    assert first.lanes[1:] == (frozenset({1, 2}), frozenset({3, 4}))
    second = spread(frozenset(), {2, 3, 4, 5}, frozenset(), limits, first.lanes)
    assert second.lanes[1:] == (frozenset({2, 5}), frozenset({3, 4}))


def test_who_comes_first_has_the_room_whoever_was_there() -> None:
    limits = StreamLimits(2, 2)
    first = spread(frozenset(), [7, 5, 3], frozenset(), limits)
    assert (first.lanes[1], first.left_out) == (frozenset({7, 5}), frozenset({3}))
    second = spread(frozenset(), [1, 7, 5, 3], frozenset(), limits, first.lanes)
    assert (second.lanes[1], second.left_out) == (frozenset({1, 7}), frozenset({5, 3}))


def test_a_chart_comes_before_a_ticket_and_a_ticket_before_a_long_list() -> None:
    assert in_order({"view:list": (9, 4, 6), "view:ticket": (4,), "charts": (8, 6)}) == [8, 6, 4, 9]


def test_a_stop_takes_its_instrument_from_the_crowd_to_the_guarding_connection() -> None:
    limits = StreamLimits(2, 10)
    before = spread(frozenset(), {1, 2}, frozenset(), limits).lanes
    assert spread({1}, {1, 2}, frozenset(), limits, before).lanes == (frozenset({1}), frozenset({2}))


@given(
    guarded=TOKENS,
    others=TOKENS,
    canaries=st.frozensets(st.integers(41, 43), max_size=2),
    connections=st.integers(1, 4),
    room=st.integers(3, 12),
    before=st.lists(TOKENS, max_size=4),
)
def test_nothing_is_lost_or_carried_twice_or_beyond_the_limit(
    guarded: frozenset[int],
    others: frozenset[int],
    canaries: frozenset[int],
    connections: int,
    room: int,
    before: list[frozenset[int]],
) -> None:
    plan = spread(guarded, others, canaries, StreamLimits(connections, room), before)
    assert len(plan.lanes) == connections
    assert all(len(lane) <= room for lane in plan.lanes)
    carried = [token for lane in plan.lanes for token in lane - canaries]
    assert len(carried) == len(set(carried))
    assert set(carried) | plan.left_out == guarded | others
    assert set(carried) & plan.left_out == set()
    assert canaries <= plan.lanes[0]
    assert all(canaries <= lane for lane in plan.lanes if lane)
    if plan.left_out & guarded:
        assert set(carried) <= guarded
