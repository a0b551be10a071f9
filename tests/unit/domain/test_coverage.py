"""What protects a position, and how much money nothing protects."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.coverage import Coverage, Protection, coverage_of, sum_of
from app.domain.gtt import Gtt, GttKind, GttLeg, GttResult, GttRole, GttStatus
from app.domain.ids import AccountId, BrokerOrderId, GttId, InstrumentId, StopId, Tag
from app.domain.instrument import Product
from app.domain.order import Order, OrderKind, OrderStatus, Side
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, StopPlan, StopState, exit_tag

KEY = PositionKey(AccountId("zerodha-X"), InstrumentId("NSE:INFY"), Product.MIS)
LONG = Position(KEY, 100, Decimal(1000), 100_000, 100_000, 0, Decimal(0), 0, Decimal(0))
STOP = Stop(StopId("0" * 12), KEY, Side.SELL, 99_000, 100, StopState.ARMED, 1, StopPlan(99_000))
CLOSED = replace(STOP, state=StopState.CLOSED)
SL = Order(
    KEY.account,
    BrokerOrderId("1"),
    KEY.instrument,
    Side.SELL,
    Product.MIS,
    OrderKind.SL,
    OrderStatus.TRIGGER_PENDING,
    40,
    0,
    40,
    None,
)
LEG = GttLeg(98_000, Side.SELL, 30, Product.MIS, 97_500)
GTT = Gtt(
    KEY.account, GttId("7"), KEY.instrument, GttKind.SINGLE, GttStatus.ACTIVE, 100_000, (LEG,), (None,), 1, 1, None
)

ENTRY, TARGET, EXIT = (
    replace(LEG, trigger=trigger, side=side, role=role)
    for trigger, side, role in (
        (99_000, Side.BUY, GttRole.ENTRY),
        (120_000, Side.SELL, GttRole.TARGET),
        (95_000, Side.SELL, GttRole.STOP),
    )
)
BRACKET = replace(GTT, kind=GttKind.BRACKET, legs=(ENTRY, TARGET, EXIT), results=(None, None, None))
ENTERED = replace(BRACKET, results=(GttResult("success", BrokerOrderId("3"), None, None), None, None))


def cover(
    *stops: Stop, live: bool = True, backed: int = 0, orders: tuple[Order, ...] = (), gtts: tuple[Gtt, ...] = ()
) -> Coverage:
    rows = coverage_of([LONG], stops, live=live, backed={STOP.id: backed}, orders=orders, gtts=gtts)
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize(
    ("row", "kind", "protected"),
    [
        (cover(), Protection.NONE, 0),
        (cover(STOP), Protection.LOCAL, 100),
        (cover(STOP, live=False), Protection.BLIND, 0),
        (cover(STOP, backed=100), Protection.TWIN, 100),
        (cover(STOP, backed=100, live=False), Protection.BROKER, 100),
        (cover(STOP, backed=60), Protection.LOCAL, 100),
        (cover(STOP, backed=60, live=False), Protection.BROKER, 60),
        (cover(replace(STOP, plan=StopPlan(99_000, strategy="S1"))), Protection.STRATEGY, 100),
        (cover(replace(STOP, quantity=75)), Protection.LOCAL, 75),
        (cover(CLOSED), Protection.NONE, 0),
        (cover(orders=(SL,)), Protection.BROKER, 40),
        (cover(CLOSED, orders=(replace(SL, tag=exit_tag(STOP.id, 1)),)), Protection.NONE, 0),
        (cover(orders=(replace(SL, tag=exit_tag(STOP.id, 1)),)), Protection.BROKER, 40),
        (cover(orders=(replace(SL, tag=Tag("elsewhere")),)), Protection.BROKER, 40),
        (cover(orders=(replace(SL, side=Side.BUY),)), Protection.NONE, 0),
        (cover(orders=(replace(SL, status=OrderStatus.CANCELLED),)), Protection.NONE, 0),
        (cover(gtts=(GTT,)), Protection.GTT, 30),
        (cover(gtts=(replace(GTT, legs=(replace(LEG, trigger=110_000),)),)), Protection.NONE, 0),
        (cover(gtts=(replace(GTT, status=GttStatus.TRIGGERED),)), Protection.NONE, 0),
        (cover(orders=(SL,), gtts=(GTT,)), Protection.GTT, 70),
        (cover(gtts=(BRACKET,)), Protection.NONE, 0),
        (cover(gtts=(ENTERED,)), Protection.GTT, 30),
        (cover(gtts=(replace(ENTERED, legs=(ENTRY, TARGET)),)), Protection.NONE, 0),
    ],
)
def test_each_kind_of_protection_is_named_with_its_units(row: Coverage, kind: Protection, protected: int) -> None:
    assert (row.kind, row.protected) == (kind, protected)
    assert row.at_risk == 10_000_000
    assert row.unprotected == (100 - protected) * 100_000
    assert sum(units for _, units in row.parts) == row.units == 100


def test_a_suspended_stop_protects_nothing() -> None:
    assert cover(replace(STOP, state=StopState.SUSPENDED)).kind is Protection.NONE


def test_money_counts_the_contracts_size_and_the_short_side() -> None:
    crude = replace(LONG, quantity=-2, multiplier=100, last_price=600_000)
    row = coverage_of([crude], [], live=True, backed={}, last={KEY.instrument: 610_000})[0]
    assert row.at_risk == row.unprotected == 2 * 100 * 610_000
    short = replace(STOP, side=Side.BUY, quantity=2)
    assert coverage_of([crude], [short], live=True, backed={})[0].unprotected == 0
    assert coverage_of([crude], [STOP], live=True, backed={})[0].protected == 0, "a SELL closes nothing of a short"


def test_flat_positions_are_left_out_and_the_rest_adds_up() -> None:
    other = replace(LONG, key=replace(KEY, instrument=InstrumentId("NSE:TCS")), quantity=50)
    rows = coverage_of([LONG, replace(LONG, quantity=0), other], [STOP], live=True, backed={})
    assert [row.key for row in rows] == [KEY, other.key]
    total = sum_of(rows)
    assert (total.at_risk, total.unprotected, total.protected_share) == (15_000_000, 5_000_000, 66)
    assert sum_of([]).protected_share == 100


@given(
    st.integers(-500, 500).filter(bool),
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 300), st.booleans()), max_size=4),
    st.booleans(),
    st.integers(0, 200),
)
def test_what_is_protected_never_exceeds_what_is_open(
    held: int, stops: list[tuple[int, int, bool]], live: bool, elsewhere: int
) -> None:
    position = replace(LONG, quantity=held)
    plans = [StopPlan(99_000, strategy="S" if strategy else None) for *_, strategy in stops]
    armed = [
        replace(STOP, id=StopId(f"{n:012d}"), side=position.exit_side, quantity=quantity, plan=plan)
        for n, ((quantity, _, _), plan) in enumerate(zip(stops, plans, strict=True))
    ]
    backed = {stop.id: units for stop, (_, units, _) in zip(armed, stops, strict=True)}
    order = replace(SL, side=position.exit_side, quantity=elsewhere)
    row = coverage_of([position], armed, live=live, backed=backed, orders=[order])[0]
    assert 0 <= row.protected <= row.units == abs(held) == sum(units for _, units in row.parts)
    assert row.at_risk * (row.units - row.protected) == row.unprotected * row.units
    assert row.kind.protects == (row.protected > 0)
