from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.brokers.base import Profile
from app.brokers.documents import decode_json
from app.brokers.rows import PRICE_SCALE, candle_from_row, to_exact_price, to_price
from app.brokers.zerodha import mapping, orders, quotes
from app.domain.errors import BadAnswer
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId, Nanos, Tag
from app.domain.instrument import Exchange, InstrumentKind, Product, Segment
from app.domain.market import Candle
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side, Validity
from app.domain.portfolio import FundedShares, Funds, Holding, Position, PositionKey
from tests.shared_data import shared_data

A = AccountId("zerodha-AB1234")
INFY = InstrumentId("NSE:INFY")


def sample(name: str) -> Any:
    return decode_json(shared_data("kite", name).read_bytes())["data"]


def utc(text: str) -> Nanos:
    """Nanoseconds of an ISO time, worked out by the standard library alone."""
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) * 1_000_000_000


def test_trades_of_the_brokers_sample() -> None:
    fills = [mapping.fill_from_row(row, A) for row in sample("trades.json")]
    order = BrokerOrderId("200000000000000")
    assert fills[0] == Fill(
        id=FillId("zerodha", A, "NSE", "equity", "2021-05-31", order, "10000000", "BUY"),
        account=A,
        instrument=InstrumentId("NSE:SBIN"),
        segment=Segment.EQUITY,
        kind=InstrumentKind.SHARE,
        product=Product.CNC,
        side=Side.BUY,
        quantity=1,
        price=42065,
        filled_at=utc("2021-05-31T09:16:39+05:30"),
        broker_order_id=order,
    )
    currency = fills[1]
    assert (currency.segment, currency.kind, currency.price, currency.price_scale) == (
        Segment.CURRENCY,
        InstrumentKind.FUTURE,
        727_550_000,
        10_000_000,
    )
    assert fills[2].segment is Segment.COMMODITY
    assert len({fill.id for fill in fills}) == 4


def test_history_of_the_brokers_sample_goes_through_every_state() -> None:
    history = [orders.order_from_row(row, A) for row in sample("order_info.json")]
    submitted, is_open = OrderStatus.SUBMITTED, OrderStatus.OPEN
    assert [o.status for o in history] == [submitted] * 3 + [is_open] * 5
    assert history[-1] == Order(
        account=A,
        broker_order_id=BrokerOrderId("171229000724687"),
        instrument=InstrumentId("NSE:SBIN"),
        side=Side.BUY,
        product=Product.CNC,
        kind=OrderKind.LIMIT,
        status=OrderStatus.OPEN,
        quantity=1,
        filled_quantity=0,
        pending_quantity=1,
        average_price=None,
        price=30010,
        exchange_order_id="1300000001887410",
        placed_at=utc("2017-12-29T11:08:16+05:30"),
        updated_at=utc("2017-12-29T11:08:16+05:30"),
    )


def test_the_postback_sample_is_an_order() -> None:
    order = orders.order_from_update(decode_json(shared_data("kite", "postback.json").read_bytes()), A)
    assert (order.status, order.filled_quantity, order.average_price, order.kind) == (
        OrderStatus.FILLED,
        1,
        47000,
        OrderKind.MARKET,
    )
    assert order.tag is None
    assert order.status_text is None


def test_an_update_decoded_with_floats_gives_the_same() -> None:
    path = shared_data("kite", "postback.json")
    exact = orders.order_from_update(decode_json(path.read_bytes()), A)
    assert orders.order_from_update(json.loads(path.read_bytes()), A) == exact


def test_margins_are_those_of_the_equity_segment() -> None:
    assert mapping.funds_from(sample("margins.json"), A) == Funds(A, 9972505, 14570655, 24543160)


def test_margins_fall_back_to_commodity_where_equity_is_off() -> None:
    data = sample("margins.json")
    data["equity"]["enabled"] = False
    assert mapping.funds_from(data, A).available == 10066170


def test_holdings_of_the_brokers_sample() -> None:
    aaron, sbin = (mapping.holding_from_row(row, A) for row in sample("holdings.json"))
    assert aaron == Holding(
        A, InstrumentId("NSE:AARON"), "INE721Z01010", 1, 0, Decimal(161), 35295, 35235,
        realised_quantity=1, authorised_at=utc("2025-01-17T00:00:00+05:30"), opening_quantity=1,
        funded=FundedShares(1000, 0, Decimal(100), Decimal(100000), Decimal(0)),
    )  # fmt: skip
    assert (sbin.instrument, sbin.average_price, sbin.funded) == ("BSE:SBIN", Decimal("801.78125"), None)


def test_profile_of_the_brokers_sample() -> None:
    assert mapping.profile_from(sample("profile.json")) == Profile(
        "AB1234",
        "AxAx Bxx",
        ("BFO", "MCX", "NSE", "CDS", "BSE", "BCD", "MF", "NFO"),
        ("CNC", "NRML", "MIS", "BO", "CO"),
        sells_freely=True,
    )


def test_candles_of_the_brokers_sample() -> None:
    candles = [candle_from_row(row, 100) for row in sample("historical_minute.json")["candles"]]
    assert candles[0] == Candle(utc("2017-12-15T09:15:00+05:30"), 170450, 170500, 169925, 170280, 2499)
    assert [c.start for c in candles] == sorted(c.start for c in candles)


def test_last_price_of_the_brokers_sample() -> None:
    assert dict(quotes.last_price_from(k, v) for k, v in sample("ltp.json").items()) == {INFY: 107435}


POSITION = {
    "tradingsymbol": "NIFTY26NOVFUT",
    "exchange": "NFO",
    "instrument_token": 1,
    "product": "NRML",
    "quantity": -65,
    "overnight_quantity": 0,
    "multiplier": 1,
    "average_price": Decimal("24000.025"),
    "close_price": 0,
    "last_price": Decimal("23990.5"),
    "buy_quantity": 0,
    "buy_value": 0,
    "sell_quantity": 65,
    "sell_value": Decimal("1560001.625"),
    "day_buy_value": 0,
    "day_sell_value": Decimal("1560001.625"),
}


def test_position_keeps_the_brokers_average_exact() -> None:
    assert mapping.position_from_row(POSITION, A) == Position(
        PositionKey(A, InstrumentId("NFO:NIFTY26NOVFUT"), Product.NRML),
        -65,
        Decimal("24000.025"),
        2399050,
        0,
        0,
        Decimal(0),
        65,
        Decimal("1560001.625"),
    )


@pytest.mark.parametrize(
    ("carried", "bought", "sold", "close", "last", "m2m"),
    [
        (750, 0, 0, 100, 100, 0),  # lost yesterday, nothing today
        (750, 0, 0, 100, 90, -7_500),
        (750, 250, 0, 100, 90, -7_500),  # more at 90 today
        (750, 0, 750, 100, 90, -7_500),  # closed at 90 today
        (-750, 0, 0, 100, 90, 7_500),
        (-750, 750, 250, 100, 90, 7_500),  # bought back, sold anew
        (0, 250, 0, 100, 90, 0),
        (750, 0, 0, 0, 90, -82_500),  # no previous close is told: from the entry at 200
    ],
)
def test_what_a_carried_position_has_made_today_is_the_brokers_own_figure(
    carried: int, bought: int, sold: int, close: int, last: int, m2m: int
) -> None:
    """Opened at 200 on an earlier day; what is done today is at 90."""
    row = {
        **POSITION,
        "quantity": carried + bought - sold,
        "overnight_quantity": carried,
        "close_price": close,
        "last_price": last,
        "buy_value": max(0, carried) * 200 + bought * 90,
        "sell_value": max(0, -carried) * 200 + sold * 90,
        "day_buy_value": bought * 90,
        "day_sell_value": sold * 90,
    }
    assert mapping.position_from_row(row, A).day_pnl_at(last * 100) == m2m


ORDER: dict[str, Any] = {
    "order_id": "1953341975595868160",
    "exchange_order_id": None,
    "status": "OPEN",
    "variety": "regular",
    "exchange": "NSE",
    "tradingsymbol": "TATASTEEL",
    "instrument_token": 895745,
    "order_type": "LIMIT",
    "transaction_type": "BUY",
    "validity": "DAY",
    "product": "CNC",
    "quantity": 10,
    "price": Decimal("159.82"),
    "trigger_price": 0,
    "average_price": Decimal("156.7035"),
    "filled_quantity": 4,
    "pending_quantity": 6,
    "tag": "ABCDEF123456x1s1",
    "order_timestamp": "2025-08-07 11:56:33",
    "exchange_timestamp": None,
}


def test_partly_filled_order_with_its_tag() -> None:
    order = orders.order_from_row(ORDER, A)
    assert order.status is OrderStatus.PARTIALLY_FILLED
    assert order.average_price == 15670
    assert order.tag == Tag("ABCDEF123456x1s1")
    assert order.broker_order_id == "1953341975595868160"


@pytest.mark.parametrize(
    ("status", "filled", "kind", "meaning"),
    [
        ("AMO REQ RECEIVED", 0, "LIMIT", OrderStatus.SUBMITTED),
        ("OPEN", 0, "LIMIT", OrderStatus.OPEN),
        ("TRIGGER PENDING", 0, "SL", OrderStatus.TRIGGER_PENDING),
        ("CANCEL PENDING", 4, "LIMIT", OrderStatus.CANCEL_PENDING),
        ("COMPLETE", 10, "LIMIT", OrderStatus.FILLED),
        ("CANCELLED", 4, "LIMIT", OrderStatus.CANCELLED),
        ("REJECTED", 0, "LIMIT", OrderStatus.REJECTED),
        ("UPDATE", 4, "LIMIT", OrderStatus.PARTIALLY_FILLED),
        ("UPDATE", 0, "LIMIT", OrderStatus.OPEN),
        ("UPDATE", 0, "SL-M", OrderStatus.TRIGGER_PENDING),
        ("MODIFY PENDING", 4, "LIMIT", OrderStatus.PARTIALLY_FILLED),
        ("SOMETHING NEW", 0, "LIMIT", OrderStatus.OPEN),
        ("SOMETHING NEW", 10, "LIMIT", OrderStatus.PARTIALLY_FILLED),
    ],
)
def test_a_status_that_is_not_known_to_be_final_is_alive(
    status: str, filled: int, kind: str, meaning: OrderStatus
) -> None:
    order = orders.order_from_row(ORDER | {"status": status, "filled_quantity": filled, "order_type": kind}, A)
    assert order.status is meaning


def test_nothing_is_pending_on_a_finished_order_whatever_the_row_says() -> None:
    order = orders.order_from_row(ORDER | {"status": "CANCELLED", "pending_quantity": 6}, A)
    assert order.pending_quantity == 0


def test_a_validity_from_elsewhere_does_not_blind_the_order_book() -> None:
    assert orders.order_from_row(ORDER | {"validity": "TTL"}, A).validity is Validity.TTL


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("exchange", "NYSE"),
        ("product", "XX"),
        ("transaction_type", "HOLD"),
        ("order_type", "BRACKET"),
        ("order_id", 5),
        ("order_id", None),
        ("quantity", "ten"),
        ("quantity", True),
        ("quantity", Decimal("1.5")),
        ("filled_quantity", None),
        ("status", ""),
        ("price", "NaN"),
        ("order_timestamp", "yesterday"),
        ("order_timestamp", 17),
    ],
)
def test_what_the_adapter_does_not_know_is_a_bad_answer_that_names_it(key: str, value: object) -> None:
    with pytest.raises(BadAnswer) as caught:
        orders.order_from_row(ORDER | {key: value}, A)
    assert key in caught.value.detail


def test_a_row_that_is_no_object_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer):
        orders.order_from_row(None, A)


@pytest.mark.parametrize("row", [[], ["2017-12-15T09:15:00+0530", 1, 2, 3], ["x", 1, 2, 3, 4, 5], None, {}])
def test_a_broken_candle_is_a_bad_answer(row: object) -> None:
    with pytest.raises(BadAnswer):
        candle_from_row(row, 100)


@pytest.mark.parametrize("price", [Decimal("420.655"), Decimal("420.6501")])
def test_a_fill_between_two_paise_is_a_bad_answer_not_a_rounding(price: Decimal) -> None:
    row = dict(sample("trades.json")[0]) | {"average_price": price}
    with pytest.raises(BadAnswer):
        mapping.fill_from_row(row, A)


def test_binary_noise_of_a_price_is_not_a_bad_answer() -> None:
    assert to_exact_price(Decimal("420.65000000000003"), 100) == 42065
    assert to_exact_price(Decimal("420.6499999999999"), 100) == 42065
    assert to_price(Decimal("156.705"), 100) == 15671


def test_a_fill_of_zero_units_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer):
        mapping.fill_from_row(dict(sample("trades.json")[0]) | {"quantity": 0}, A)


def test_every_exchange_has_a_price_scale() -> None:
    assert set(PRICE_SCALE) == set(Exchange)


@pytest.mark.parametrize(
    ("exchange", "symbol", "segment", "kind"),
    [
        ("NSE", "INFY", Segment.EQUITY, InstrumentKind.SHARE),
        ("BSE", "SPICE", Segment.EQUITY, InstrumentKind.SHARE),
        ("NFO", "NIFTY26NOVFUT", Segment.FUTURES, InstrumentKind.FUTURE),
        ("NFO", "NIFTY2690124350CE", Segment.OPTIONS, InstrumentKind.CALL),
        ("BFO", "SENSEX26NOV80000PE", Segment.OPTIONS, InstrumentKind.PUT),
        ("MCX", "CRUDEOIL26NOV5500CE", Segment.COMMODITY, InstrumentKind.CALL),
        ("CDS", "USDINR26NOVFUT", Segment.CURRENCY, InstrumentKind.FUTURE),
        ("BCD", "USDINR26NOVFUT", Segment.CURRENCY, InstrumentKind.FUTURE),
        ("NCO", "GOLD26NOVFUT", Segment.COMMODITY, InstrumentKind.FUTURE),
    ],
)
def test_market_of_a_contract(exchange: str, symbol: str, segment: Segment, kind: InstrumentKind) -> None:
    assert mapping.market_of(Exchange(exchange), symbol) == (segment, kind)


def test_a_contract_of_no_kind_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer):
        mapping.market_of(Exchange.NFO, "NIFTY")


def request(**changes: Any) -> OrderRequest:
    base: dict[str, Any] = {
        "account": A,
        "instrument": InstrumentId("NSE:M&M"),
        "side": Side.SELL,
        "quantity": 10,
        "product": Product.MIS,
        "kind": OrderKind.MARKET,
        "tag": Tag("T1"),
    }
    return OrderRequest(**(base | changes))


def test_a_market_order_carries_protection_and_tag() -> None:
    assert orders.order_form(request()) == {
        "exchange": "NSE",
        "tradingsymbol": "M&M",
        "transaction_type": "SELL",
        "quantity": "10",
        "product": "MIS",
        "order_type": "MARKET",
        "validity": "DAY",
        "market_protection": "-1",
        "tag": "T1",
    }


def test_prices_go_out_as_plain_decimals() -> None:
    limit = orders.order_form(request(kind=OrderKind.LIMIT, price=15982, validity=Validity.IOC))
    assert (limit["price"], limit["validity"]) == ("159.82", "IOC")
    assert "market_protection" not in limit
    stop = orders.order_form(request(kind=OrderKind.SL, price=100000, trigger_price=100500))
    assert (stop["price"], stop["trigger_price"]) == ("1000", "1005")
    stop_market = orders.order_form(request(kind=OrderKind.SL_M, trigger_price=5, market_protection=3))
    assert (stop_market["trigger_price"], stop_market["market_protection"]) == ("0.05", "3")
    currency = InstrumentId("CDS:USDINR26NOVFUT")
    assert orders.order_form(request(kind=OrderKind.LIMIT, price=727_550_000, instrument=currency))["price"] == "72.755"


def test_a_limit_may_leave_its_price_open_for_the_firing_tick() -> None:
    assert "price" not in orders.order_form(request(kind=OrderKind.LIMIT))
