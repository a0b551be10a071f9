"""Contract notes of both brokers: the published vectors, and the ledger's own booking."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from app.simulator import charges
from app.simulator.charges import UPSTOX, ZERODHA, note
from app.simulator.listing import Listing, load_sample
from tests.unit.simulator.conftest import MORNING
from tests.unit.simulator.upstox.conftest import MakeUpstox, UpstoxBench

ON = date(2026, 10, 8)


def listing(exchange: str, kind: str) -> Listing:
    found = load_sample()
    return next(one for one in found.by_token.values() if (one.exchange, one.instrument_type) == (exchange, kind))


SHARE, FUTURE, OPTION = listing("NSE", "EQ"), listing("NFO", "FUT"), listing("NFO", "CE")


@pytest.mark.parametrize(
    ("broker", "one", "product", "bought", "sold", "brokerage", "total"),
    [
        # India charges reference, independent calculators: 25, 28, 29 (without its depository fee and GST on that).
        (UPSTOX, FUTURE, "NRML", 30_000, 30_000, "30", "52.37"),
        (UPSTOX, SHARE, "MIS", 10_000, 10_200, "20.20", "27.44"),
        (UPSTOX, SHARE, "CNC", 10_000, 10_200, "40", "69.66"),
        # 20: options.
        (UPSTOX, OPTION, "NRML", 99_000, 110_000, "40", "303.04"),
        (ZERODHA, OPTION, "NRML", 99_000, 110_000, "40", "303.04"),
        # 23: a future.
        (ZERODHA, FUTURE, "NRML", 1_650_000, 1_657_500, "40", "984.53"),
    ],
)
def test_the_published_notes_come_out_to_the_paisa(
    broker: str, one: Listing, product: str, bought: int, sold: int, brokerage: str, total: str
) -> None:
    notes = [note(one, product, side, Decimal(value), ON, broker) for side, value in (("BUY", bought), ("SELL", sold))]
    assert sum(each.brokerage for each in notes) == Decimal(brokerage)
    # Heads are exact here; the calculators round each of them, Zerodha's tax to whole rupees.
    within = Decimal("0.02") if broker == UPSTOX else Decimal("0.27")
    assert abs(sum(each.total for each in notes) - Decimal(total)) <= within


def test_brokerage_has_its_dates_and_never_goes_above_the_cap() -> None:
    def fee(turnover: str, on: date, product: str = "CNC") -> Decimal:
        return note(SHARE, product, "BUY", Decimal(turnover), on, UPSTOX).brokerage

    assert fee("100000", ON) == 20
    assert fee("100", ON) == Decimal("2.5"), "2.5 percent of the trade"
    assert fee("100000", date(2019, 5, 1)) == 0
    assert fee("10000", date(2020, 5, 1), "MIS") == 5
    assert fee("10000", ON, "MIS") == 10
    assert fee("100000", ON, "MTF") == 20
    assert note(SHARE, "CNC", "BUY", Decimal(100000), ON, ZERODHA).brokerage == 0


@pytest.mark.parametrize("brokers", [("upstox",), ("zerodha", "upstox")])
async def test_an_order_is_booked_at_the_rates_of_the_broker_whose_wire_it_came_over(
    make_upstox: MakeUpstox, brokers: tuple[str, ...]
) -> None:
    bench: UpstoxBench = await make_upstox(brokers=brokers)
    await bench.place(quantity=100)
    await bench.place(quantity=100, transaction_type="SELL")
    ledger, fills = bench.exchange.ledger, list(bench.exchange.oms.records.fills)
    flow = sum((1 if fill.side == "SELL" else -1) * fill.quantity * fill.price for fill in fills)
    before = ledger.account.cash
    (infy,) = {fill.token for fill in fills}
    one = bench.exchange.market.listings.by_token[infy]
    turnover = {side: sum(f.quantity * f.price for f in fills if f.side == side) for side in ("BUY", "SELL")}
    due = {
        broker: sum(
            note(one, "MIS", side, Decimal(value) / 100, MORNING.date(), broker).total
            for side, value in turnover.items()
        )
        for broker in (UPSTOX, ZERODHA)
    }
    assert due[UPSTOX] != due[ZERODHA]
    await bench.clock(MORNING + timedelta(days=1))
    assert before + flow - ledger.account.cash == round(due[UPSTOX] * 100)
    assert charges.of_fills(fills, {infy: one}, MORNING.date()) == round(due[ZERODHA] * 100)


async def test_a_sale_of_holdings_costs_the_depository_once_a_share_and_day(make_upstox: MakeUpstox) -> None:
    bench: UpstoxBench = await make_upstox(brokers=("upstox",))
    await bench.place(quantity=10, product="D")
    await bench.place(quantity=10, product="D", transaction_type="SELL")  # of the same day: nothing leaves the account
    await bench.place(quantity=10, product="D")
    ledger = bench.exchange.ledger

    async def night(day: date, days: int) -> Decimal:
        """What a day cost beyond its contract notes, rupees."""
        fills = list(bench.exchange.oms.records.fills)
        listings = bench.exchange.market.listings.by_token
        brokers = {fill.order_id: UPSTOX for fill in fills}
        flow = sum((1 if fill.side == "SELL" else -1) * fill.quantity * fill.price for fill in fills)
        before, notes = ledger.account.cash, charges.of_fills(fills, listings, day, brokers)
        await bench.clock(MORNING + timedelta(days=days))
        return Decimal(before + flow - notes - ledger.account.cash) / 100

    assert await night(MORNING.date(), 3) == 0
    await bench.login()
    for _ in range(2):
        await bench.place(quantity=4, product="D", transaction_type="SELL")
    assert await night(MORNING.date() + timedelta(days=3), 4) == Decimal("23.60")
