"""Instruments, prices and a day's facts for view tests. Invented numbers, real shapes."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from decimal import Decimal

from app.domain.day_stop import DayLimits, DayStop
from app.domain.fill import Charges, Trade
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos, OrderId, StopId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.market import Candle, Tick
from app.domain.order import Order, OrderKind, OrderStatus, Side
from app.domain.portfolio import Funds, Holding, Position, PositionKey
from app.domain.stop import Stop, StopPlan, StopState
from app.runtime.clock import IST, SECOND, from_datetime

ACCOUNT = AccountId("zerodha-AB1234")
DAY = datetime(2026, 11, 20, 9, 15, tzinfo=IST)
NOW: Nanos = from_datetime(DAY + timedelta(hours=2, minutes=17, seconds=8))


def share(symbol: str, name: str, token: int, tick: int = 10) -> Instrument:
    """An NSE share."""
    return Instrument(
        InstrumentId(f"NSE:{symbol}"), token, Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, name, tick, 1
    )


INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument(
        InstrumentId("NSE:NIFTY 50"), 256265, Exchange.NSE, Segment.INDEX, InstrumentKind.INDEX, "NIFTY 50", 5, 1
    ),
    share("INFY", "INFOSYS", 408065),
    share("RELIANCE", "RELIANCE INDUSTRIES", 738561),
    share("HDFCBANK", "HDFC BANK", 341249),
    share("TCS", "TATA CONSULTANCY SERVICES", 2953217),
    share("SBIN", "STATE BANK OF INDIA", 779521, 5),
    share("TATASTEEL", "TATA STEEL", 895745, 1),
    share("M&M", "MAHINDRA & MAHINDRA", 519937),
    Instrument(
        InstrumentId("NFO:NIFTY26NOVFUT"),
        13368834,
        Exchange.NFO,
        Segment.FUTURES,
        InstrumentKind.FUTURE,
        "NIFTY",
        10,
        75,
        expiry=date(2026, 11, 24),
    ),
    Instrument(
        InstrumentId("NFO:NIFTY26NOV26000CE"),
        11912706,
        Exchange.NFO,
        Segment.OPTIONS,
        InstrumentKind.CALL,
        "NIFTY",
        5,
        75,
        expiry=date(2026, 11, 24),
        strike=Decimal(26000),
    ),
    Instrument(
        InstrumentId("NFO:NIFTY26NOV25800PE"),
        11912962,
        Exchange.NFO,
        Segment.OPTIONS,
        InstrumentKind.PUT,
        "NIFTY",
        5,
        75,
        expiry=date(2026, 11, 24),
        strike=Decimal(25800),
    ),
)

CLOSES = {
    "NSE:NIFTY 50": 25_910_45,
    "NSE:INFY": 1_512_30,
    "NSE:RELIANCE": 1_498_60,
    "NSE:HDFCBANK": 996_80,
    "NSE:TCS": 3_104_00,
    "NSE:SBIN": 968_35,
    "NSE:TATASTEEL": 172_41,
    "NSE:M&M": 3_688_90,
    "NFO:NIFTY26NOVFUT": 25_962_10,
    "NFO:NIFTY26NOV26000CE": 118_35,
    "NFO:NIFTY26NOV25800PE": 64_80,
}
LASTS = {
    "NSE:NIFTY 50": 26_013_70,
    "NSE:INFY": 1_531_80,
    "NSE:RELIANCE": 1_489_20,
    "NSE:HDFCBANK": 1_003_50,
    "NSE:TCS": 3_141_60,
    "NSE:SBIN": 962_90,
    "NSE:TATASTEEL": 172_41,
    "NSE:M&M": 3_731_20,
    "NFO:NIFTY26NOVFUT": 26_058_40,
    "NFO:NIFTY26NOV26000CE": 152_90,
    "NFO:NIFTY26NOV25800PE": 41_15,
}


def tick(instrument: str, last: int, at: Nanos = NOW) -> Tick:
    """A quote of an instrument at a price."""
    close = CLOSES[instrument]
    return Tick(
        InstrumentId(instrument),
        last,
        at,
        exchange_time=at,
        volume=1_234_567,
        open=close,
        high=max(last, close),
        low=min(last, close),
        close=close,
    )


def key(instrument: str, product: Product) -> PositionKey:
    """A position of the scripted account."""
    return PositionKey(ACCOUNT, InstrumentId(instrument), product)


def positions() -> list[Position]:
    """A long share, a long future, a short option and one closed today."""
    return [
        Position(
            key("NSE:INFY", Product.MIS),
            200,
            Decimal("1522.40"),
            LASTS["NSE:INFY"],
            CLOSES["NSE:INFY"],
            200,
            Decimal("304480.00"),
            0,
            Decimal(0),
        ),
        Position(
            key("NFO:NIFTY26NOVFUT", Product.NRML),
            75,
            Decimal("25988.30"),
            LASTS["NFO:NIFTY26NOVFUT"],
            CLOSES["NFO:NIFTY26NOVFUT"],
            75,
            Decimal("1949122.50"),
            0,
            Decimal(0),
        ),
        Position(
            key("NFO:NIFTY26NOV25800PE", Product.NRML),
            -150,
            Decimal("52.75"),
            LASTS["NFO:NIFTY26NOV25800PE"],
            CLOSES["NFO:NIFTY26NOV25800PE"],
            0,
            Decimal(0),
            150,
            Decimal("7912.50"),
        ),
        Position(
            key("NSE:SBIN", Product.MIS),
            0,
            Decimal(0),
            LASTS["NSE:SBIN"],
            CLOSES["NSE:SBIN"],
            500,
            Decimal("483350.00"),
            500,
            Decimal("482100.00"),
        ),
    ]


def stops() -> list[Stop]:
    """One armed on the future, one that closed the bank share."""
    return [
        Stop(
            StopId("7K2M9QXV4T1B"),
            key("NFO:NIFTY26NOVFUT", Product.NRML),
            Side.SELL,
            25_930_00,
            75,
            StopState.ARMED,
            NOW - 3600 * SECOND,
            StopPlan(25_930_00),
            tick_size=10,
        ),
        Stop(
            StopId("0A8DWJ3C6HNE"),
            key("NSE:SBIN", Product.MIS),
            Side.SELL,
            964_30,
            500,
            StopState.CLOSED,
            NOW - 5400 * SECOND,
            StopPlan(964_30),
            fired_at=NOW - 1800 * SECOND,
            fired_price=964_20,
            closed_at=NOW - 1799 * SECOND,
            exit_average=964_20,
            note="Position is flat: 500 sold at 964.20.",
        ),
    ]


def orders() -> list[Order]:
    """One open, some filled, one rejected with the broker's words."""

    def order(
        number: int,
        symbol: str,
        side: Side,
        product: Product,
        kind: OrderKind,
        status: OrderStatus,
        quantity: int,
        filled: int,
        average: int | None,
        price: int | None = None,
        text: str | None = None,
    ) -> Order:
        at = NOW - (6000 - number * 600) * SECOND
        return Order(
            ACCOUNT,
            BrokerOrderId(f"26112000000{number:04d}"),
            InstrumentId(symbol),
            side,
            product,
            kind,
            status,
            quantity,
            filled,
            quantity - filled,
            average,
            price,
            id=OrderId(f"o{number}"),
            placed_at=at,
            updated_at=at + SECOND,
            status_text=text,
        )

    buy, sell, mis, nrml = Side.BUY, Side.SELL, Product.MIS, Product.NRML
    market, limit = OrderKind.MARKET, OrderKind.LIMIT
    return [
        order(1, "NSE:SBIN", buy, mis, market, OrderStatus.FILLED, 500, 500, 966_70),
        order(2, "NSE:INFY", buy, mis, limit, OrderStatus.FILLED, 200, 200, 1_522_40, 1_522_50),
        order(3, "NFO:NIFTY26NOVFUT", buy, nrml, market, OrderStatus.FILLED, 75, 75, 25_988_30),
        order(4, "NSE:SBIN", sell, mis, market, OrderStatus.FILLED, 500, 500, 964_20),
        order(
            5,
            "NSE:TCS",
            buy,
            mis,
            limit,
            OrderStatus.REJECTED,
            100,
            0,
            None,
            3_100_00,
            "Insufficient funds. Required margin is 62000.00 but available margin is 41214.55.",
        ),
        order(6, "NFO:NIFTY26NOV25800PE", sell, nrml, limit, OrderStatus.FILLED, 150, 150, 52_75, 52_75),
        order(7, "NSE:RELIANCE", buy, mis, limit, OrderStatus.OPEN, 100, 0, None, 1_482_00),
        order(8, "NSE:HDFCBANK", buy, mis, limit, OrderStatus.PARTIALLY_FILLED, 300, 120, 1_001_00, 1_001_00),
    ]


def holdings() -> list[Holding]:
    """Settled shares."""
    return [Holding(ACCOUNT, InstrumentId("NSE:TCS"), "INE467B01029", 40, 10, Decimal("2980.15"), 3_141_60, 3_104_00)]


def funds() -> list[Funds]:
    """Cash and margin."""
    return [Funds(ACCOUNT, 41_214_55, 4_58_785_45, 5_00_000_00)]


def trades() -> list[Trade]:
    """Round trips of the last days, and one still open."""
    found: list[Trade] = []
    shape = random.Random(7)
    for number in range(64):
        symbol = shape.choice(["NSE:INFY", "NSE:RELIANCE", "NSE:SBIN", "NFO:NIFTY26NOVFUT", "NSE:HDFCBANK"])
        entry = CLOSES[symbol] + shape.randint(-900, 900) // 5 * 5
        leave = entry + shape.randint(-1500, 1700) // 5 * 5
        quantity = 75 if symbol.startswith("NFO") else shape.choice([50, 100, 200, 500])
        side = shape.choice([Side.BUY, Side.BUY, Side.SELL])
        gross = (leave - entry) * quantity * side.sign
        charges = Charges(
            Decimal("40.00"), Decimal("31.20"), Decimal("9.84"), Decimal("0.31"), Decimal("4.10"), Decimal("9.03")
        )
        opened = NOW - (number * 5400 + 1900) * SECOND
        still_open = number == 1
        found.append(
            Trade(
                ACCOUNT,
                InstrumentId(symbol),
                Segment.FUTURES if symbol.startswith("NFO") else Segment.EQUITY,
                Product.NRML if symbol.startswith("NFO") else Product.MIS,
                side,
                quantity,
                entry,
                opened,
                None if still_open else leave,
                None if still_open else opened + 1500 * SECOND,
                0 if still_open else gross,
                charges,
                (0 if still_open else gross) - int(charges.total * 100),
            )
        )
    return found


def candles(instrument: str, seconds: int, count: int) -> tuple[Candle, ...]:
    """A random walk that ends at the last price, one candle after another."""
    shape = random.Random(instrument)
    price = LASTS[instrument]
    step = max(5, price // 2500)
    found: list[Candle] = []
    start = NOW // (seconds * SECOND) * seconds * SECOND
    for _ in range(count):
        opened = price + shape.randint(-step, step) // 5 * 5
        high = max(opened, price) + shape.randint(0, step) // 5 * 5
        low = min(opened, price) - shape.randint(0, step) // 5 * 5
        found.append(Candle(start, opened, high, low, price, shape.randint(400, 9000)))
        price, start = opened, start - seconds * SECOND
    return tuple(reversed(found))


def day_stops() -> list[DayStop]:
    """A loss limit, and half of it lost."""
    limits = DayLimits(loss=25_000_00, drawdown=15_000_00)
    return [DayStop(ACCOUNT, "2026-11-20", limits, peak=9_150_00, net=4_215_50)]
