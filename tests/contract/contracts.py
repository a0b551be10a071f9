"""Contracts whose orders count lots, which the shipped sample has none of: a dollar, a call on it, crude oil, gold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.desk.desk import LocalDesk
from app.domain.fill import Charges
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import FiredBy, Stop, StopPlan
from app.simulator.listing import COLUMNS
from tests.fakes.paper_exchange import eventually

Control = Callable[[str, str, object], Awaitable[Any]]
LOTS = 3

DOLLAR = InstrumentId("CDS:USDINR26DECFUT")
DOLLAR_CALL = InstrumentId("CDS:USDINR26DEC85CE")
CRUDE = InstrumentId("MCX:CRUDEOIL26DECFUT")
GOLD = InstrumentId("NCO:GOLD26DECFUT")

_ROWS = (
    "256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE,24448.4,0",
    "408065,1594,INFY,INFOSYS,0,,0,0.1,1,EQ,NSE,NSE,1120,9000000",
    # The broker's list says a lot of 1; a lot is 1,000 dollars. Tokens end in the segment: 3, 7 and 12.
    "458499,1791,USDINR26DECFUT,USDINR,0,2026-12-29,0,0.0025,1,FUT,CDS-FUT,CDS,84.1225,4000000",
    "458755,1792,USDINR26DEC85CE,USDINR,0,2026-12-29,85,0.0025,1,CE,CDS-OPT,CDS,0.35,4000000",
    "115463,451,CRUDEOIL26DECFUT,CRUDEOIL,0,2026-12-18,0,1,100,FUT,MCX-FUT,MCX,5800,400000",
    "115719,452,CRUDEOIL26DEC5800CE,CRUDEOIL,0,2026-12-16,5800,0.1,100,CE,MCX-OPT,MCX,150,400000",
    "231436,904,GOLD26DEC12000CE,GOLD,0,2026-12-29,12000,0.5,100,CE,NCO-OPT,NCO,300,400000",
    "231180,903,GOLD26DECFUT,GOLD,0,2026-12-29,0,1,100,FUT,NCO-FUT,NCO,12000,400000",
)


def listed(folder: Path) -> str:
    """The list as a file, for `--instruments`."""
    file = folder / "contracts.csv"
    file.write_text("\n".join([",".join([*COLUMNS, "previous_close", "day_volume"]), *_ROWS]) + "\n")
    return str(file)


async def out_by_its_stop(
    desk: LocalDesk, account: AccountId, control: Control, instrument: InstrumentId, side: Side, prices: tuple[str, str]
) -> Position:
    """Three lots are opened, guarded half-way to the second price, and the market goes there.

    `prices`: rupees. Returns what the broker's books say of the position when the stop is done.
    """
    key = PositionKey(account, instrument, Product.NRML)
    engine = desk._workspace.account(account)
    await desk.market.subscribe("test", (instrument,))
    await control("PUT", "/market", {instrument: float(prices[0])})
    contract = await desk.market.instrument(instrument)
    scale, tick = contract.price_scale, contract.tick_size
    worst = int(Decimal(prices[0]) * scale * (105 if side is Side.BUY else 95) / 100) // tick * tick
    order = OrderRequest(account, instrument, side, LOTS, Product.NRML, OrderKind.LIMIT, price=worst)
    await desk.trading.place(order)

    async def held() -> Position | None:
        found = (await engine.state.read_positions()).positions.get(key)
        return found if found is not None and abs(found.quantity) == LOTS else None

    opened: Position = await eventually(held)
    half_way = sum((Decimal(price) for price in prices), Decimal(0)) * scale / 2
    stop = await desk.stops.arm(key, StopPlan(int(half_way) // tick * tick))
    assert (stop.quantity, opened.quantity > 0) == (LOTS, side is Side.BUY)

    async def ended() -> Stop | None:
        await control("PUT", "/market", {instrument: float(prices[1])})  # again: the random market draws it back
        (now,) = [each for each in await desk.stops.stops() if each.id == stop.id]
        return now if now.state.is_final else None

    assert (await eventually(ended, 20)).fired_by is FiredBy.STOP

    async def flat() -> Position | None:
        found = (await engine.state.read_positions()).positions.get(key)
        return found if found is not None and found.quantity == 0 else None

    position: Position = await eventually(flat)
    return position


def earned(trades: list[dict[str, object]], symbol: str, units: int) -> Decimal:
    """Rupees, from the executions that the exchange itself wrote down."""
    total = Decimal(0)
    for trade in trades:
        if trade["tradingsymbol"] == symbol:
            value = Decimal(str(trade["average_price"])) * int(str(trade["quantity"])) * units
            total += value if trade["transaction_type"] == "SELL" else -value
    return total


async def booked(desk: LocalDesk, account: AccountId, done: Position, units: int) -> None:
    """After a sync the trade book says of the position what the broker says of it, and of its charges what the
    broker's own contract note says."""
    await desk.portfolio.sync(account)
    instrument = done.key.instrument
    page = await desk.portfolio.trades(text=instrument.partition(":")[2], account=account)
    assert (page.unsized, {t.multiplier for t in page.trades}) == (0, {units})
    assert sum(t.quantity for t in page.trades) == LOTS, "counted as the broker counts"
    earned_here = sum(t.gross for t in page.trades)
    assert abs(earned_here - (done.sell_value - done.buy_value) * 100) <= len(page.trades)
    if instrument.startswith("NCO:"):
        return  # no rates are on file
    ours = sum((t.charges for t in page.trades), Charges())
    note = await desk.services.contract_note(account)
    theirs = sum((line.note.charges for line in note.lines if line.note.instrument == instrument), Charges())
    # The program's note rounds the day's tax to the rupee, the broker's answers leave it as it is.
    for head, most in (("brokerage", 0), ("transaction_tax", 1), ("exchange_charge", 0), ("sebi_fee", 0), ("gst", 0)):
        here, there = getattr(ours, head), getattr(theirs, head)
        assert abs(here - there) <= most + Decimal("0.05"), (head, here, there)
    assert abs(ours.stamp_duty - theirs.stamp_duty) <= 1
    assert ours.total > Decimal("0.5") * LOTS, "of a whole lot, not of a unit"
