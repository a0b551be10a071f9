"""Round trips, lots and P&L, against an oracle that matches unit by unit."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.fill import Charges, Fill, Trade
from app.domain.ids import AccountId
from app.domain.instrument import Product
from app.domain.order import Side
from app.sync.recompute import group_of, recompute
from tests.unit.analytics.builders import BUY, SELL, allocate, build_trades, fill, shipped

FUTURE = "NFO:NIFTY26DECFUT"
DAY = "2026-04-01"


def deal(side: Side, quantity: int, rupees: float, at: int, instrument: str = FUTURE) -> Fill:
    return fill(instrument, side, quantity, rupees, DAY, order=f"{at:04d}", at=at)


def row(trade: Trade) -> tuple[Side, int, int, int | None, int]:
    return (trade.side, trade.quantity, trade.entry_price, trade.exit_price, trade.gross)


def test_long_round_trip_is_one_trade() -> None:
    trades = build_trades([deal(BUY, 75, 100, 1), deal(SELL, 75, 102, 9)])
    assert [row(trade) for trade in trades] == [(BUY, 75, 10000, 10200, 15000)]
    assert (trades[0].opened_at, trades[0].closed_at) == (1, 9)


def test_short_round_trip() -> None:
    trades = build_trades([deal(SELL, 75, 102, 1), deal(BUY, 75, 100, 2)])
    assert [row(trade) for trade in trades] == [(SELL, 75, 10200, 10000, 15000)]


def test_scaling_in_and_out_stays_one_trade_until_flat() -> None:
    fills = [deal(BUY, 50, 100, 1), deal(BUY, 25, 103, 2), deal(SELL, 60, 104, 3), deal(SELL, 15, 99, 4)]
    assert [row(trade) for trade in build_trades(fills)] == [(BUY, 75, 10100, 10300, 15000)]


def test_partly_closed_shows_closed_part_and_open_rest() -> None:
    fills = [deal(BUY, 50, 100, 1), deal(BUY, 50, 110, 2), deal(SELL, 60, 120, 3)]
    closed, rest = build_trades(fills)
    # first in, first out: 50 at 100 and 10 at 110
    assert row(closed) == (BUY, 60, 10167, 12000, 50 * 2000 + 10 * 1000)
    assert row(rest) == (BUY, 40, 11000, None, 0)
    assert (closed.closed_at, rest.closed_at) == (3, None)


def test_going_through_zero_splits_the_fill() -> None:
    fills = [deal(BUY, 50, 100, 1), deal(SELL, 80, 110, 2), deal(BUY, 30, 105, 3)]
    charges = {fills[1].id: Charges(brokerage=Decimal("0.15"), gst=Decimal("0.08"))}
    long, short = build_trades(fills, charges)
    assert row(long) == (BUY, 50, 10000, 11000, 50000)
    assert row(short) == (SELL, 30, 11000, 10500, 15000)
    assert (long.charges.brokerage, short.charges.brokerage) == (Decimal("0.09"), Decimal("0.06"))
    assert (long.charges.gst, short.charges.gst) == (Decimal("0.05"), Decimal("0.03"))
    assert long.net == 50000 - 14
    assert short.net == 15000 - 9


def test_charges_of_an_open_entry_count_at_once() -> None:
    entry = deal(BUY, 75, 22000, 1)
    (trade,) = build_trades([entry], allocate([entry], shipped()))
    assert trade.gross == 0
    assert trade.net == -int(trade.charges.total * 100) < 0


def test_net_of_vector_20_and_23() -> None:
    option = [
        fill("NFO:NIFTY26DEC24000CE", BUY, 1100, 90, DAY, at=1),
        fill("NFO:NIFTY26DEC24000CE", SELL, 1100, 100, DAY, at=2),
    ]
    (trade,) = build_trades(option, allocate(option, shipped()))
    assert trade.net == 1069696
    future = [deal(BUY, 75, 22000, 1), deal(SELL, 75, 22100, 2)]
    (trade,) = build_trades(future, allocate(future, shipped()))
    assert trade.net == 651547


def test_products_and_accounts_are_apart() -> None:
    fills = [
        deal(BUY, 10, 100, 1),
        replace(deal(SELL, 10, 101, 2), product=Product.MIS),
        replace(deal(SELL, 10, 101, 3), account=AccountId("other")),
    ]
    assert [trade.closed_at for trade in build_trades(fills)] == [None, None, None]


def test_same_second_fills_go_by_order_id() -> None:
    later = fill(FUTURE, SELL, 10, 101, DAY, order="0002", at=5)
    earlier = fill(FUTURE, BUY, 10, 100, DAY, order="0001", at=5)
    assert [row(t) for t in build_trades([later, earlier])] == [(BUY, 10, 10000, 10100, 1000)]


def test_currency_prices_have_more_decimals_than_paise() -> None:
    pair = "CDS:USDINR26DECFUT"
    fills = [
        fill(pair, BUY, 1000, 84.1025, DAY, scale=10_000_000, at=1),
        fill(pair, SELL, 1000, 84.1050, DAY, scale=10_000_000, at=2),
    ]
    (trade,) = build_trades(fills)
    assert trade.gross == 250


_DEALS = st.lists(
    st.tuples(
        st.sampled_from([FUTURE, "NSE:SBIN"]),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 40),
        st.integers(1, 5000),
    ),
    max_size=30,
).map(
    lambda rows: [
        fill(instrument, side, quantity, paise / 100, DAY, order=f"{n:04d}", at=n // 2)
        for n, (instrument, side, quantity, paise) in enumerate(rows)
    ]
)


def _oracle(fills: list[Fill]) -> tuple[dict[str, int], dict[str, list[tuple[int, int]]]]:
    """Realised P&L and open units by instrument, matching single units from a queue."""
    queues: dict[str, list[tuple[int, int]]] = defaultdict(list)
    gains: dict[str, int] = defaultdict(int)
    for one in fills:
        for _ in range(one.quantity):
            queue = queues[one.instrument]
            if queue and queue[0][0] != one.side.sign:
                sign, price = queue.pop(0)
                gains[one.instrument] += sign * (one.price - price)
            else:
                queue.append((one.side.sign, one.price))
    return gains, queues


@given(_DEALS)
def test_realised_equals_unit_by_unit_matching(fills: list[Fill]) -> None:
    gains, queues = _oracle(fills)
    trades = build_trades(fills)
    for instrument in {one.instrument for one in fills}:
        mine = [trade for trade in trades if trade.instrument == instrument]
        assert sum(trade.gross for trade in mine) == gains[instrument]
        left = [trade.side.sign * trade.quantity for trade in mine if trade.closed_at is None]
        assert sum(left) == sum(sign for sign, _ in queues[instrument])
        assert len(left) <= 1
        value = sum(trade.side.sign * trade.quantity * trade.entry_price for trade in mine if trade.closed_at is None)
        assert abs(value - sum(sign * price for sign, price in queues[instrument])) <= abs(sum(left)) / 2


@settings(max_examples=50)
@given(_DEALS)
def test_trades_carry_every_paisa_of_charges(fills: list[Fill]) -> None:
    shares = allocate(fills, shipped())
    trades = build_trades(fills, shares)
    assert sum((t.charges.total for t in trades), Decimal(0)) == sum((c.total for c in shares.values()), Decimal(0))
    for trade in trades:
        assert trade.net == trade.gross - trade.charges.total * 100


@settings(max_examples=50)
@given(_DEALS)
def test_a_recompute_gives_the_same_trades(fills: list[Fill]) -> None:
    groups = {group_of(one) for one in fills}
    mine = recompute(fills, groups, shipped()).trades
    theirs = build_trades(fills, allocate(fills, shipped()))
    assert {group: list(trades) for group, trades in mine.items()} == {
        group: [trade for trade in theirs if (trade.account, trade.instrument, trade.product) == group]
        for group in groups
    }
