"""What a stop would cost, beside what the day has made already."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from app.desk.outcome import Outcome
from app.domain.fill import Fill
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.order import Side
from app.domain.portfolio import Position, PositionKey
from tests.unit.analytics.builders import BUY, SELL, fill, shipped

DAY = "2026-11-20"
ACCOUNT = AccountId("zerodha-AB1234")
SHARE = Instrument(
    InstrumentId("NSE:INFY"), 408065, Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, "INFOSYS", 10, 1
)  # fmt: skip
CRUDE = Instrument(
    InstrumentId("MCX:CRUDEOIL26DECFUT"), 7, Exchange.MCX, Segment.COMMODITY, InstrumentKind.FUTURE, "CRUDEOIL", 100, 1
)  # fmt: skip


def traded(side: Side, quantity: int, rupees: float) -> Fill:
    return fill(SHARE.id, side, quantity, rupees, DAY, product=Product.MIS)


def outcome(
    instrument: Instrument, product: Product, quantity: int, average: str, fills: list[Fill], multiplier: int = 1
) -> Outcome:
    bought = [f for f in fills if f.side.sign > 0]
    sold = [f for f in fills if f.side.sign < 0]
    value = [sum((Decimal(f.quantity * f.price * multiplier) / 100 for f in one), Decimal(0)) for one in (bought, sold)]
    position = Position(
        PositionKey(ACCOUNT, instrument.id, product), quantity, Decimal(average), 0, 0,
        sum(f.quantity for f in bought), value[0], sum(f.quantity for f in sold), value[1], multiplier,
    )  # fmt: skip
    return Outcome(position, instrument, fills, shipped(), "zerodha", DAY)


def test_the_loss_of_a_stop_leaves_out_what_was_lost_in_the_share_before() -> None:
    before = [traded(BUY, 100, 100), traded(SELL, 100, 95)]
    again = outcome(SHARE, Product.MIS, 100, "96", [*before, traded(BUY, 100, 96)])
    once = outcome(SHARE, Product.MIS, 100, "96", [traded(BUY, 100, 96)])
    assert again.open_part(94_00) == once.open_part(94_00)
    assert -210_00 < again.open_part(94_00) < -200_00
    day = again.day_result(94_00)
    assert day is not None
    assert -725_00 < day < -700_00
    assert once.day_result(94_00) is None, "one figure where there is only one"


def test_a_carried_positions_day_begins_at_the_previous_close() -> None:
    bought = outcome(CRUDE, Product.NRML, 1, "5000", [fill(CRUDE.id, BUY, 1, 5_000, DAY)])
    cost = Decimal(5_000)
    held = replace(bought.position, close_price=5_200_00, carried_quantity=1, carried_cost=cost)
    carried = replace(bought, position=held, fills=[])
    assert 50_00 < carried.open_part(5_100_00) < 100_00
    day = carried.day_result(5_100_00)
    assert day is not None
    assert -150_00 < day < -100_00


def test_at_the_line_of_break_even_a_stop_costs_nothing() -> None:
    for one in (
        outcome(SHARE, Product.MIS, -60, "101", [traded(SELL, 100, 101), traded(BUY, 40, 99)]),
        outcome(SHARE, Product.MIS, 100, "96", []),
    ):
        price = one.break_even()
        assert price is not None
        tick = one.position.exit_side.sign * 10
        assert one.open_part(price) >= 0 > one.open_part(price + tick)


def test_a_contract_counted_in_lots_pays_charges_on_what_a_lot_holds() -> None:
    bought = [fill(CRUDE.id, BUY, 1, 5_200, DAY)]
    one = outcome(CRUDE, Product.NRML, 1, "5200", bought, multiplier=100)
    assert one.open_part(5_190_00) < -1_000_00 - 50_00, "ten rupees on a hundred barrels, and charges on 5,20,000"
    price = one.break_even()
    assert price is not None
    assert 5_200_00 < price <= 5_203_00
