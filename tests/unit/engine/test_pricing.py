"""Which kind, how far, how large: the tables, the price, and what a refusal teaches."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import AuthorisationNeeded, Rejected
from app.domain.ids import InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment
from app.domain.order import OrderKind, Side
from app.engine.exit_plan import cut
from app.engine.pricing import Bounds, Reach, pricer
from app.engine.refusals import Cause, read_refusal
from app.engine.rules import MAX_SLICES, ExitRules
from app.engine.terms import ExitTerms
from app.runtime.clock import AccountClock
from tests.fakes.trading import ACCOUNT, EXIT_RULES, INFY, TABLES

DAY = date(2026, 11, 20)


def contract(
    exchange: Exchange,
    segment: Segment,
    kind: InstrumentKind,
    name: str,
    lot: int,
    tick: int = 5,
    scale: int = 100,
    expiry: date = date(2026, 11, 24),
) -> Instrument:
    strike = None if kind is InstrumentKind.FUTURE else Decimal(100)
    return Instrument(
        InstrumentId(f"{exchange}:{name}X"), 1, exchange, segment, kind, name, tick, lot, scale, expiry, strike
    )


NIFTY = contract(Exchange.NFO, Segment.OPTIONS, InstrumentKind.CALL, "NIFTY", 65)
STOCK = contract(Exchange.NFO, Segment.OPTIONS, InstrumentKind.PUT, "RELIANCE", 500)
CRUDE = contract(Exchange.MCX, Segment.COMMODITY, InstrumentKind.FUTURE, "CRUDEOIL", 1, 100)
CRUDE_PUT = contract(Exchange.MCX, Segment.COMMODITY, InstrumentKind.PUT, "CRUDEOIL", 1, 10)
DOLLAR = contract(Exchange.CDS, Segment.CURRENCY, InstrumentKind.FUTURE, "USDINR", 1, 25, 10_000)
DOLLAR_CALL = contract(Exchange.CDS, Segment.CURRENCY, InstrumentKind.CALL, "USDINR", 1, 25, 10_000)


@pytest.mark.parametrize("broker", ["zerodha", "upstox"])
@pytest.mark.parametrize(
    ("instrument", "kind"),
    [
        (INFY, OrderKind.MARKET),
        (contract(Exchange.NFO, Segment.FUTURES, InstrumentKind.FUTURE, "NIFTY", 65), OrderKind.MARKET),
        (NIFTY, OrderKind.MARKET),
        (replace(NIFTY, expiry=date(2027, 3, 30)), OrderKind.LIMIT),
        (STOCK, OrderKind.LIMIT),
        (CRUDE, OrderKind.MARKET),
        (CRUDE_PUT, OrderKind.LIMIT),
        (DOLLAR, OrderKind.MARKET),
        (DOLLAR_CALL, OrderKind.LIMIT),
    ],
    ids=lambda value: value.id if isinstance(value, Instrument) else str(value),
)
def test_every_class_of_contract_has_its_kind(broker: str, instrument: Instrument, kind: OrderKind) -> None:
    assert EXIT_RULES.rule(broker, instrument, DAY).kind is kind
    assert EXIT_RULES.pricer(broker, instrument, Side.SELL, DAY)(200_000) % instrument.tick_size == 0


def test_a_currency_price_has_four_decimals() -> None:
    # 0.5 % below 83.5000 is 83.0825, on a tick of 0.0025
    assert EXIT_RULES.pricer("zerodha", DOLLAR, Side.SELL, DAY)(835_000) == 830_825
    assert EXIT_RULES.pricer("zerodha", DOLLAR, Side.BUY, DAY)(835_000) == 839_175


def test_the_freeze_quantity_is_cut_to_whole_lots() -> None:
    assert EXIT_RULES.slice_size(NIFTY, DAY) == 1_755  # 27 lots of 65 within 1,800
    assert EXIT_RULES.slice_size(STOCK, DAY) == 0
    assert cut(4_000, 1_755) == (1_755, 1_755, 490)
    assert cut(100, 0) == (100,)
    assert len(cut(1_000_000, 1_755)) == MAX_SLICES


def test_an_option_stays_inside_the_price_protection() -> None:
    # 40 rupees: 20 rupees either way are allowed; three times the usual 3 % is 3.60
    assert EXIT_RULES.pricer("zerodha", STOCK, Side.SELL, DAY, widen=3)(4_000) == 3_640
    narrow = (Reach(None, 100, percent=True),)  # 1 %
    assert pricer((Reach(None, 500, percent=True),), 5, True, narrow)(10_005) == 9_905, "never outside of it"


def test_a_table_that_is_broken_names_itself_and_its_line() -> None:
    exits = (TABLES / "exits.csv").read_text("utf-8")
    with pytest.raises(ValueError, match="price protection, line 2"):
        ExitRules.parse(exits, "class,since,reach\nindex option,2016-01-01,50:much\n")
    with pytest.raises(ValueError, match="freeze quantities, line 2"):
        ExitRules.parse(exits, "", "exchange,underlying,since,quantity\nNFO,NIFTY,2016-01-01,0\n")


def test_a_circuit_limit_that_the_market_has_passed_stands_no_more() -> None:
    sell, buy = (
        pricer((Reach(None, 300, percent=True),), 5, selling, bounds=Bounds(3_882, 6_000)) for selling in (True, False)
    )
    assert (sell(3_885), sell(3_700), buy(5_995), buy(6_100)) == (3_885, 3_585, 6_000, 6_285)


prices = st.integers(5, 10_000_000)


@given(
    prices,
    st.booleans(),
    st.integers(1, 500),
    st.integers(1, 3_000),
    st.none() | prices,
    st.none() | prices,
    st.none() | st.integers(1, 4_000),
)
def test_a_price_is_on_a_tick_and_inside_whatever_is_known(
    last: int, selling: bool, tick: int, reach: int, lower: int | None, upper: int | None, protection: int | None
) -> None:
    if lower is not None and upper is not None and lower + 2 * tick > upper:
        return
    last = max(last // tick, 1) * tick  # nothing trades between two ticks
    allowed = () if protection is None else (Reach(None, protection, percent=True),)
    price = pricer((Reach(None, reach, percent=True),), tick, selling, allowed, Bounds(lower, upper))(last)
    assert price > 0
    assert price % tick == 0
    assert lower is None or price >= lower or last < lower + tick
    assert upper is None or price <= upper or upper < tick or last > upper - tick
    if lower is None and upper is None and price > tick:
        assert price <= last if selling else price >= last - last % tick
        assert abs(price - last) <= last * min(reach, protection or reach) // 10_000 + tick


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Market orders are not allowed for stock options. Place a limit order instead.", Cause.MARKET),
        ("Market orders without market protection are not allowed via API.", Cause.MARKET),
        ("Your order price is lower than the current lower circuit limit of 1306.65.", Cause.CIRCUIT),
        ("Order price is outside the limit price protection range (LPP).", Cause.PRICE_BAND),
        ("Quantity 2000 is above the freeze quantity 1800 of NIFTY. Split the order, or use autoslice.", Cause.FREEZE),
        ("Insufficient funds. Required margin is 95417.84 but available margin is 74251.80.", Cause.MARGIN),
        ("RMS:Margin Exceeds, Required:1, Available:0", Cause.MARGIN),
        ("75 quantity needs authorisation at depository.", Cause.AUTHORISATION),
        ("Insufficient stock holding to place this order.", Cause.HOLDING),
        ("RMS:Rule: Check holdings including BTST for entity account-AB1234", Cause.HOLDING),
        ("RMS:Blocked for nse_cm RELIANCE-EQ block type: ALL", Cause.MARGIN),
        ("The exchange is not amused.", Cause.OTHER),
    ],
)
def test_the_brokers_words_say_why(words: str, cause: Cause) -> None:
    told = read_refusal(Rejected("The broker refused.", detail=words, kind="OrderException"), 100)
    assert told.cause is cause
    assert read_refusal(words, 100).cause is cause
    assert told.next_step


def test_a_refusal_names_the_circuit_and_the_freeze_quantity() -> None:
    low = read_refusal("Your order price is lower than the current lower circuit limit of 1,306.65.", 100)
    assert low.bounds == Bounds(lowest=130_665)
    high = read_refusal("Your order price is higher than the current upper circuit limit of 90.", 100)
    assert high.bounds == Bounds(highest=9_000)
    assert read_refusal("Quantity 2000 is above the freeze quantity 1800 of NIFTY.", 100, 2_000).quantity == 1_800
    assert read_refusal("Order quantity exceeds the freeze quantity.", 100, 2_000).quantity == 1_000
    assert read_refusal("Quantity is above the freeze quantity 10000 of CRUDEOIL.", 100, 150).quantity == 75, "lots"
    assert read_refusal("Quantity is above the freeze quantity of 24 lots.", 100, 1_950, 65).quantity == 975


def test_an_authorisation_tells_its_page() -> None:
    needed = AuthorisationNeeded("Not released.", url="https://depository/x")
    assert "https://depository/x" in read_refusal(needed, 100).words


def test_what_a_refusal_taught_holds_until_the_next_day() -> None:
    clock = AccountClock()
    clock.set(1_795_150_000 * 10**9)  # 2026-11-20
    terms = ExitTerms(EXIT_RULES, clock)
    assert terms.kind(ACCOUNT, NIFTY) is OrderKind.MARKET
    terms.learn(NIFTY, read_refusal("Market orders are not allowed for NIFTYX.", 100))
    terms.learn(NIFTY, read_refusal("Quantity 1755 is above the freeze quantity 1000 of NIFTYX.", 100))
    terms.learn(NIFTY, read_refusal("lower than the current lower circuit limit of 98.00.", 100))
    assert terms.kind(ACCOUNT, NIFTY) is OrderKind.LIMIT
    assert terms.slice_size(NIFTY) == 975, "whole lots of 65"
    assert terms.pricer(ACCOUNT, NIFTY, Side.SELL)(10_000) == 9_800
    assert terms.kind(ACCOUNT, replace(NIFTY, id=InstrumentId("NFO:OTHER"))) is OrderKind.MARKET
    clock.set(clock.now() + 86_400 * 10**9)
    assert terms.kind(ACCOUNT, NIFTY) is OrderKind.MARKET
    assert terms.slice_size(NIFTY) == 1_755
