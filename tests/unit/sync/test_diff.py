from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Side
from app.sync.diff import Conflict, Difference, compare

A = AccountId("zerodha-AB1234")


def fill(trade: str = "1", *, order: str = "10", side: Side = Side.BUY, quantity: int = 5, price: int = 10000) -> Fill:
    return Fill(
        id=FillId("zerodha", A, "NSE", "equity", "2026-11-20", BrokerOrderId(order), trade, side),
        account=A,
        instrument=InstrumentId("NSE:INFY"),
        segment=Segment.EQUITY,
        kind=InstrumentKind.SHARE,
        product=Product.MIS,
        side=side,
        quantity=quantity,
        price=price,
        filled_at=1_000,
        broker_order_id=BrokerOrderId(order),
    )


def book(*fills: Fill) -> dict[FillId, Fill]:
    return {f.id: f for f in fills}


def test_new_fills_are_created_and_two_fills_of_one_order_stay_two() -> None:
    two = (fill("1"), fill("2"))
    assert compare({}, two, whole_day=True) == Difference(created=two)


def test_a_self_match_has_one_trade_id_and_two_fills() -> None:
    both = (fill("1", order="10", side=Side.BUY), fill("1", order="11", side=Side.SELL))
    assert compare({}, both, whole_day=True).created == both


def test_the_same_again_is_skipped_and_changes_nothing() -> None:
    difference = compare(book(fill()), [fill()], whole_day=True)
    assert difference == Difference(skipped=1)
    assert difference.empty


def test_a_row_listed_twice_counts_once() -> None:
    assert compare({}, [fill(), fill()], whole_day=True) == Difference(created=(fill(),), skipped=1)


def test_a_row_listed_twice_with_two_stories_is_a_conflict() -> None:
    other = fill(price=10005)
    assert compare({}, [fill(), other], whole_day=True) == Difference(
        created=(fill(),), conflicting=(Conflict(fill(), other),)
    )


def test_what_the_broker_owns_is_updated() -> None:
    converted = replace(fill(), product=Product.CNC)
    difference = compare(book(fill()), [converted], whole_day=True)
    assert difference == Difference(updated=(converted,))
    assert not difference.empty


def test_another_price_under_the_same_identity_is_a_conflict_and_is_not_written() -> None:
    other = fill(price=10005)
    difference = compare(book(fill()), [other], whole_day=True)
    assert difference == Difference(conflicting=(Conflict(fill(), other),))
    assert difference.empty


def test_what_the_broker_no_longer_lists_is_withdrawn() -> None:
    difference = compare(book(fill("1"), fill("2")), [fill("2")], whole_day=True)
    assert difference == Difference(skipped=1, withdrawn=(fill("1"),))
    assert not difference.empty


def test_a_list_that_may_lack_a_part_of_the_day_withdraws_nothing() -> None:
    assert compare(book(fill("1")), [], whole_day=False) == Difference()


fills = st.builds(
    fill,
    st.sampled_from("123"),
    order=st.sampled_from(["10", "11"]),
    side=st.sampled_from(Side),
    quantity=st.integers(1, 3),
    price=st.integers(1, 3),
)


@given(st.lists(fills), st.lists(fills))
def test_writing_the_difference_and_syncing_again_changes_nothing(first: list[Fill], second: list[Fill]) -> None:
    known: dict[FillId, Fill] = {}
    for answer in (first, second):
        for _ in range(2):
            difference = compare(known, answer, whole_day=True)
            known |= {row.id: row for row in difference.created + difference.updated}
            for row in difference.withdrawn:
                del known[row.id]
        again = compare(known, answer, whole_day=True)
        assert again.empty
        assert again.skipped + len(again.conflicting) == len(answer)
    assert set(known) == {row.id for row in second}
