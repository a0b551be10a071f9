"""What Kite has beside plain orders: forms as they go out, answers as they come in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.brokers.documents import decode_json
from app.brokers.zerodha import alerts, gtt, margins, orders
from app.brokers.zerodha.postback import checksum, order_from_postback
from app.domain.alert import AlertKind, AlertRequest, AlertStatus, Comparison
from app.domain.errors import AuthorisationNeeded, BadAnswer, Denied, OutcomeUnknown, Rejected, Unreachable
from app.domain.fill import Charges
from app.domain.gtt import Gtt, GttKind, GttLeg, GttRequest, GttResult, GttStatus
from app.domain.ids import AccountId, AlertId, BrokerOrderId, GttId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Placement, Side, SliceOutcome, Validity, Variety
from app.domain.portfolio import Conversion, PositionKey
from app.runtime.secret import Secret
from tests.fakes.scripted_server import Seen
from tests.shared_data import shared_data
from tests.unit.brokers.zerodha.test_adapter import failure, form, session, success
from tests.unit.brokers.zerodha.test_mapping import ORDER, sample, utc

A = AccountId("zerodha-AB1234")
INFY = InstrumentId("NSE:INFY")
BUY = OrderRequest(A, INFY, Side.BUY, 1000, Product.MIS, OrderKind.MARKET)
SECRET = Secret("api_secret_1")


def leg(trigger: int, price: int, side: Side = Side.SELL) -> GttLeg:
    return GttLeg(trigger, side, 1, Product.CNC, price)


TWO_LEG = GttRequest(A, INFY, 74200, (leg(70200, 70250), leg(79800, 79850)))


# -- resting triggers ------------------------------------------------------------------------------------------------


def test_a_two_leg_trigger_goes_out_as_kite_documents_it() -> None:
    sent = gtt.gtt_form(TWO_LEG)
    order = {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "SELL",
        "quantity": 1,
        "order_type": "LIMIT",
        "product": "CNC",
    }
    assert sent["type"] == "two-leg"
    assert json.loads(sent["condition"]) == {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "trigger_values": [702.0, 798.0],
        "last_price": 742.0,
    }
    assert json.loads(sent["orders"]) == [order | {"price": 702.5}, order | {"price": 798.5}]


def test_triggers_of_the_brokers_sample() -> None:
    single, failed = (gtt.gtt_from_row(row, A) for row in sample("gtt_get_orders.json"))
    assert single == Gtt(
        account=A,
        id=GttId("112127"),
        instrument=INFY,
        kind=GttKind.SINGLE,
        status=GttStatus.ACTIVE,
        last_price=79800,
        legs=(GttLeg(70200, Side.BUY, 1, Product.CNC, 70250),),
        results=(None,),
        created_at=utc("2019-09-12T13:25:16+05:30"),
        updated_at=utc("2019-09-12T13:25:16+05:30"),
        expires_at=utc("2020-09-12T13:25:16+05:30"),
    )
    assert not single.failed
    assert failed.status is GttStatus.TRIGGERED
    assert failed.failed  # triggered, and no order stands behind it
    reason = (
        "Your order price is lower than the current lower circuit limit of 70.65. "
        "Place an order within the daily range."
    )
    assert failed.results == (
        None,
        GttResult("failed", None, 10370, utc("2019-09-09T15:15:08+05:30"), reason),
    )
    assert gtt.gtt_from_row(sample("gtt_get_order.json"), A).id == "123"
    assert gtt.trigger_id_from(sample("gtt_place_order.json")) == "123"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (replace(TWO_LEG, legs=()), "one leg, or two"),
        (replace(TWO_LEG, legs=(replace(leg(70200, 70250), kind=OrderKind.MARKET),)), "limit orders only"),
        (replace(TWO_LEG, legs=(replace(leg(70200, 70250), product=Product.MIS),)), "outlives the day"),
        (replace(TWO_LEG, last_price=70200), "both sides"),
        (replace(TWO_LEG, last_price=79800), "both sides"),
        (replace(TWO_LEG, legs=(leg(70200, 70250, Side.BUY), leg(79800, 79850, Side.BUY))), "buys shares"),
    ],
)
async def test_a_trigger_that_kite_does_not_take_is_denied_before_it_is_sent(request_: GttRequest, words: str) -> None:
    async with session(lambda _: success({"trigger_id": 1})) as (broker, server):
        with pytest.raises(Denied, match=words):
            await broker.place_gtt(request_)
        with pytest.raises(Denied, match=words):
            await broker.modify_gtt(GttId("1"), request_)
        await broker.place_gtt(replace(request_, last_price=74200, legs=(leg(70200, 70250, Side.BUY),)))
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"type": "oco"},
        {"status": "asleep"},
        {"orders": []},
        {"condition": {"exchange": "NSE", "tradingsymbol": "INFY", "trigger_values": [1, 2], "last_price": 1}},
        {"condition": {"exchange": "NSE", "tradingsymbol": "INFY", "trigger_values": [None], "last_price": 1}},
    ],
)
def test_a_trigger_that_cannot_be_read_is_no_trigger(change: dict[str, Any]) -> None:
    row = sample("gtt_get_orders.json")[0]
    with pytest.raises(BadAnswer):
        gtt.gtt_from_row(row | change, A)


async def test_triggers_are_placed_changed_deleted_and_listed() -> None:
    rows = json.loads(shared_data("kite", "gtt_get_orders.json").read_bytes())["data"]

    def script(seen: Seen) -> bytes:
        if seen.method == "GET":
            return success(rows if seen.path == "/gtt/triggers" else rows[0])
        return success({"trigger_id": 9007199254740993})

    async with session(script) as (broker, server):
        number = await broker.place_gtt(TWO_LEG)
        await broker.modify_gtt(number, TWO_LEG)
        await broker.delete_gtt(number)
        assert [one.id for one in await broker.gtts()] == ["112127", "105099"]
        assert (await broker.gtt(GttId("112127"))).kind is GttKind.SINGLE
    assert number == "9007199254740993"  # beyond a float's 53 bits, to the last digit
    assert [(s.method, s.path) for s in server.seen] == [
        ("POST", "/gtt/triggers"),
        ("PUT", f"/gtt/triggers/{number}"),
        ("DELETE", f"/gtt/triggers/{number}"),
        ("GET", "/gtt/triggers"),
        ("GET", "/gtt/triggers/112127"),
    ]
    assert form(server.seen[0]) == form(server.seen[1]) == gtt.gtt_form(TWO_LEG)


async def test_a_trigger_without_an_answer_is_unknown_and_not_sent_again() -> None:
    async with session(lambda _: None) as (broker, server):
        with pytest.raises(OutcomeUnknown):
            await broker.place_gtt(TWO_LEG)
        assert len(server.seen) == 1
    async with session(lambda _: success({})) as (broker, _):
        with pytest.raises(OutcomeUnknown, match="list of triggers"):
            await broker.place_gtt(TWO_LEG)


# -- varieties of orders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "path", "fields"),
    [
        ({"variety": Variety.AMO, "kind": OrderKind.LIMIT, "price": 150005}, "/orders/amo", {"price": "1500.05"}),
        (
            {"variety": Variety.ICEBERG, "iceberg_legs": 5},
            "/orders/iceberg",
            {"iceberg_legs": "5", "iceberg_quantity": "200", "quantity": "1000"},
        ),
        (
            {"variety": Variety.CO, "trigger_price": 149000},
            "/orders/co",
            {"trigger_price": "1490", "market_protection": "-1"},
        ),
        ({"variety": Variety.AUCTION, "auction_number": "22"}, "/orders/auction", {"auction_number": "22"}),
        (
            {"validity": Validity.TTL, "valid_minutes": 2, "disclosed_quantity": 100},
            "/orders/regular",
            {"validity": "TTL", "validity_ttl": "2", "disclosed_quantity": "100"},
        ),
        ({"autoslice": True}, "/orders/regular", {"autoslice": "true"}),
    ],
)
async def test_each_variety_has_its_own_address_and_fields(
    change: dict[str, Any], path: str, fields: dict[str, str]
) -> None:
    async with session(lambda _: success({"order_id": "1953341975595868160"})) as (broker, server):
        assert await broker.place(replace(BUY, **change)) == "1953341975595868160"
    (seen,) = server.seen
    assert seen.path == path
    assert fields.items() <= form(seen).items()


def test_a_plain_order_carries_nothing_special() -> None:
    plain = set(orders.order_form(BUY))
    assert plain == {
        "exchange", "tradingsymbol", "transaction_type", "quantity", "product", "order_type", "validity",
        "market_protection",
    }  # fmt: skip


GOOD, BAD = {"order_id": "2001"}, {"error": {"code": 400, "error_type": "MarginException", "message": "Insufficient."}}


@pytest.mark.parametrize(
    ("answered", "order"),
    [({"order_id": "1999", "children": [GOOD, BAD]}, "1999"), ([GOOD, BAD], "2001")],
    ids=["parent and children", "list alone"],
)
def test_both_answers_to_a_sliced_order_are_read(answered: Any, order: str) -> None:
    placement = orders.placement_from(answered)
    assert placement == Placement(
        BrokerOrderId(order),
        (SliceOutcome(BrokerOrderId("2001"), ""), SliceOutcome(None, "Insufficient.")),
    )
    assert [one.refusal for one in placement.refused] == ["Insufficient."]


def test_a_sliced_order_of_which_nothing_went_through_is_refused() -> None:
    for answered in ({"order_id": "1999", "children": [BAD, BAD]}, [BAD]):
        with pytest.raises(Rejected, match="every slice"):
            orders.placement_from(answered)


@pytest.mark.parametrize(
    "answered", [{}, [], None, "1999", {"order_id": ""}, {"order_id": 7}, [{}], [{"order_id": ""}]]
)
def test_an_answer_without_a_number_leaves_open_whether_the_order_exists(answered: Any) -> None:
    with pytest.raises(OutcomeUnknown):
        orders.placement_from(answered)


async def test_each_slice_can_be_cancelled_without_another_look_at_the_book() -> None:
    def script(seen: Seen) -> bytes:
        return success({"order_id": "1999", "children": [GOOD]} if seen.method == "POST" else {"order_id": "2001"})

    async with session(script) as (broker, server):
        placement = await broker.place_sliced(replace(BUY, autoslice=True))
        assert placement.slices[0].order is not None
        await broker.cancel(placement.slices[0].order)
    assert [(s.method, s.path) for s in server.seen] == [
        ("POST", "/orders/regular"),
        ("DELETE", "/orders/regular/2001"),
    ]


async def test_the_second_leg_of_a_cover_order_is_changed_and_left_by_its_parent() -> None:
    def script(seen: Seen) -> bytes:
        if seen.method == "GET":
            return success([ORDER | {"variety": "co", "order_id": "78", "parent_order_id": "77"}])
        return success({"order_id": "78"})

    async with session(script) as (broker, server):
        await broker.modify(BrokerOrderId("78"), trigger_price=16000)
        await broker.cancel(BrokerOrderId("78"))
    assert form(server.seen[1]) == {"trigger_price": "160", "parent_order_id": "77"}
    assert server.seen[2].path == "/orders/co/78?parent_order_id=77"


def test_a_protected_market_order_shows_its_band_and_a_slice_its_parent() -> None:
    row = ORDER | {
        "order_id": "1953341975595868160", "order_type": "LIMIT", "price": 159.82, "average_price": 156.7,
        "tags": ["mktp", "mktp:2.00"], "status": "COMPLETE",
    }  # fmt: skip
    order = orders.order_from_row(row, A)
    assert (order.broker_order_id, order.price, order.protection) == ("1953341975595868160", 15982, Decimal("2.00"))
    assert orders.order_from_row(ORDER | {"tags": ["autoslice", "autoslice:1999"]}, A).tags[1] == "autoslice:1999"
    assert orders.order_from_row(ORDER | {"tags": ["mktp:much"]}, A).protection is None
    assert orders.order_from_row(ORDER | {"tags": None}, A).protection is None
    with pytest.raises(BadAnswer):
        orders.order_from_row(ORDER | {"tags": "mktp"}, A)


def test_an_iceberg_leg_says_which_part_of_the_whole_it_is() -> None:
    leg = {"leg": 1, "legs": 5, "leg_quantity": 200, "total_quantity": 1000, "remaining_quantity": 800}
    row = ORDER | {"variety": "iceberg", "validity": "TTL", "validity_ttl": 2, "meta": {"iceberg": leg}}
    order = orders.order_from_row(row, A)
    assert order.iceberg is not None
    assert (order.iceberg.leg, order.iceberg.total_quantity, order.iceberg.remaining_quantity) == (1, 1000, 800)
    assert order.valid_minutes == 2


# -- holdings and positions ------------------------------------------------------------------------------------------


def holding(**changes: Any) -> dict[str, Any]:
    return {
        "tradingsymbol": "INFY", "exchange": "NSE", "isin": "INE009A01021", "product": "CNC", "quantity": 5,
        "t1_quantity": 2, "used_quantity": 1, "average_price": 1400.25, "last_price": 1500, "close_price": 1490,
        **changes,
    }  # fmt: skip


async def test_an_unauthorised_sale_names_the_page_that_asks_for_the_authorisation() -> None:
    def script(seen: Seen) -> bytes:
        if seen.path == "/orders/regular":
            return failure(
                "428 Precondition Required", "HoldingException", "5 quantity needs authorisation at depository."
            )
        if seen.path == "/portfolio/holdings":
            return success([holding(), holding(tradingsymbol="SBIN", isin="INE062A01020")])
        return success({"request_id": "na8QgCeQm05UHG6NL9sAGRzdfSF64UdB"})

    async with session(script) as (broker, server):
        with pytest.raises(AuthorisationNeeded) as caught:
            await broker.place(replace(BUY, side=Side.SELL, product=Product.CNC, quantity=5))
    assert isinstance(caught.value, Rejected)
    assert "5 quantity needs authorisation" in str(caught.value)
    assert "TPIN" in caught.value.next_step
    assert caught.value.url == (
        f"{server.url}/connect/portfolio/authorise/holdings/key-1/na8QgCeQm05UHG6NL9sAGRzdfSF64UdB"
    )
    asked = parse_qsl(server.seen[-1].body.decode())
    assert asked == [("isin", "INE009A01021"), ("quantity", "6")]
    assert [s.path for s in server.seen].count("/orders/regular") == 1


async def test_without_a_page_the_refusal_still_says_what_to_do() -> None:
    def script(seen: Seen) -> bytes:
        if seen.path == "/orders/regular":
            return failure("428 Precondition Required", "HoldingException")
        return failure("503 Service Unavailable", "NetworkException")

    async with session(script) as (broker, _):
        with pytest.raises(AuthorisationNeeded) as caught:
            await broker.place(replace(BUY, side=Side.SELL, product=Product.CNC))
    assert (caught.value.url, "TPIN" in caught.value.next_step) == ("", True)


async def test_all_holdings_are_authorised_at_once_and_isins_go_out_as_repeated_fields() -> None:
    def script(seen: Seen) -> bytes:
        rows = [holding(), holding(tradingsymbol="SBIN", isin="INE062A01020")]
        return success(rows) if seen.method == "GET" else success({"request_id": "r1"})

    async with session(script) as (broker, server):
        assert (await broker.authorise()).url.endswith("/key-1/r1")
        await broker.authorise([(held.isin, held.sellable) for held in await broker.holdings()])
    assert server.seen[0].body == b""
    assert parse_qsl(server.seen[-1].body.decode()) == [
        ("isin", "INE009A01021"), ("isin", "INE062A01020"), ("quantity", "6"), ("quantity", "6"),
    ]  # fmt: skip


async def test_a_conversion_goes_out_and_only_true_is_yes() -> None:
    conversion = Conversion(PositionKey(A, INFY, Product.MIS), Side.BUY, 10, Product.CNC)
    async with session(lambda _: success(True)) as (broker, server):
        await broker.convert(conversion)
        await broker.convert(replace(conversion, overnight=True))
    assert (server.seen[0].method, server.seen[0].path) == ("PUT", "/portfolio/positions")
    assert form(server.seen[0]) == {
        "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "position_type": "day",
        "quantity": "10", "old_product": "MIS", "new_product": "CNC",
    }  # fmt: skip
    assert form(server.seen[1])["position_type"] == "overnight"
    async with session(lambda _: success(False)) as (broker, _):
        with pytest.raises(OutcomeUnknown):
            await broker.convert(conversion)
    async with session(lambda _: failure("400 Bad Request", "InputException", "no")) as (broker, _):
        with pytest.raises(Rejected):
            await broker.convert(conversion)


async def test_auctions_are_holdings_with_a_number() -> None:
    async with session(lambda _: success([holding(auction_number="22")])) as (broker, server):
        (offer,) = await broker.auctions()
    assert (offer.auction_number, offer.instrument, offer.quantity, offer.isin) == ("22", INFY, 5, "INE009A01021")
    assert server.seen[0].path == "/portfolio/holdings/auctions"


# -- money -----------------------------------------------------------------------------------------------------------

MARGIN = {
    "type": "equity", "tradingsymbol": "INFY", "exchange": "NSE", "span": 132257.58, "exposure": 56597.19,
    "option_premium": -12.5, "additional": 0, "bo": 0, "cash": 0, "var": 0,
    "pnl": {"realised": 0, "unrealised": 0}, "leverage": 1, "charges": {}, "total": 188854.77,
}  # fmt: skip


async def test_a_baskets_margin_considers_positions_and_shows_the_benefit() -> None:
    answered = {"initial": MARGIN, "final": MARGIN | {"total": 35453.209999999985}, "orders": [MARGIN, MARGIN]}
    async with session(lambda _: success(answered)) as (broker, server):
        basket = await broker.basket_margin([(BUY, 150000), (replace(BUY, variety=Variety.AMO), 150000)])
    assert (basket.initial.total, basket.final.total) == (Decimal("188854.77"), Decimal("35453.209999999985"))
    assert basket.orders[1].option_premium == Decimal("-12.5")
    (seen,) = server.seen
    assert seen.path == "/margins/basket?consider_positions=true"
    assert [item["variety"] for item in json.loads(seen.body)] == ["regular", "amo"]
    with pytest.raises(BadAnswer):
        margins.basket_from(answered, 3)


def test_the_contract_note_of_the_brokers_sample_is_kept_to_the_last_digit() -> None:
    share, gold, option = margins.notes_from(sample("virtual_contract_note.json"), 3)
    assert share.charges == Charges(
        transaction_tax=Decimal("0.56"),
        exchange_charge=Decimal("0.01876"),
        sebi_fee=Decimal("0.00056"),
        gst=Decimal("0.0033767999999999997"),
    )
    assert (share.total, share.tax, gold.tax) == (Decimal("0.5826968"), "stt", "ctt")
    assert option.instrument == InstrumentId("NFO:NIFTY2371317900PE")
    cost = margins.cost_from(margins.margin_from(decode_json(json.dumps(MARGIN).encode())), option)
    assert cost.charges == Charges(brokerage=Decimal(20), exchange_charge=Decimal("0.08"), gst=Decimal("3.61"))
    assert cost.margin == 18885477
    with pytest.raises(BadAnswer):
        margins.notes_from(sample("virtual_contract_note.json"), 2)
    with pytest.raises(Denied):
        margins.note_item(BUY, 0)


def test_funds_of_both_segments_by_head() -> None:
    equity, commodity = margins.segment_funds_from(sample("margins.json"), A)
    assert equity.net == Decimal("99725.05000000002")
    assert (equity.used.debits, equity.used.span, equity.used.m2m_realised) == (
        Decimal("145706.55"), Decimal(101989), Decimal("761.7"),
    )  # fmt: skip
    assert (commodity.segment, commodity.cash) == ("commodity", Decimal("100661.7"))


# -- alerts ----------------------------------------------------------------------------------------------------------

ALERT = {
    "type": "simple", "user_id": "AB1234", "uuid": "550e8400-e29b-41d4-a716-446655440000", "name": "NIFTY high",
    "status": "enabled", "disabled_reason": "", "lhs_attribute": "LastTradedPrice", "lhs_exchange": "INDICES",
    "lhs_tradingsymbol": "NIFTY 50", "operator": ">=", "rhs_type": "constant", "rhs_attribute": "", "rhs_exchange": "",
    "rhs_tradingsymbol": "", "rhs_constant": 27000.5, "alert_count": 0, "created_at": "2026-11-20 14:51:19",
    "updated_at": "2026-11-20 14:51:19",
}  # fmt: skip
NIFTY = InstrumentId("INDICES:NIFTY 50")


async def test_an_alert_is_created_changed_deleted_and_asked_for_its_history() -> None:
    fired = {
        "uuid": ALERT["uuid"], "type": "simple", "meta": [], "order_meta": None,
        "condition": 'LastTradedPrice("INDICES:NIFTY 50") >= 27000',
        "created_at": "2026-11-20 15:00:00",
    }  # fmt: skip

    def script(seen: Seen) -> bytes:
        if seen.path.endswith("/history"):
            return success([fired])
        if seen.method == "DELETE":
            return success(None)
        return success([ALERT] if seen.method == "GET" else ALERT)

    request = AlertRequest(A, "NIFTY high", NIFTY, Comparison.AT_LEAST, Decimal("27000.5"))
    async with session(script) as (broker, server):
        alert = await broker.create_alert(request)
        assert await broker.modify_alert(alert.id, request) == alert
        assert await broker.alerts() == (alert,)
        (firing,) = await broker.alert_history(alert.id)
        await broker.delete_alerts([alert.id, AlertId("other")])
    assert (alert.kind, alert.status, alert.amount) == (AlertKind.SIMPLE, AlertStatus.ENABLED, Decimal("27000.5"))
    assert firing.at == utc("2026-11-20T15:00:00+05:30")
    assert form(server.seen[0]) == {
        "name": "NIFTY high", "type": "simple", "lhs_exchange": "INDICES", "lhs_tradingsymbol": "NIFTY 50",
        "lhs_attribute": "LastTradedPrice", "operator": ">=", "rhs_type": "constant", "rhs_constant": "27000.5",
    }  # fmt: skip
    assert dict(parse_qsl(urlsplit(server.seen[2].path).query)) == {"page": "1", "page_size": "100"}
    assert server.seen[-1].path == f"/alerts?uuid={alert.id}&uuid=other"


def test_an_alert_that_places_orders_carries_them_as_a_basket() -> None:
    order = replace(BUY, kind=OrderKind.LIMIT, price=150005, quantity=1)
    sent = alerts.alert_form(AlertRequest(A, "dip", INFY, Comparison.BELOW, other=NIFTY, orders=(order,)))
    assert (sent["type"], sent["rhs_type"], sent["rhs_exchange"]) == ("ato", "instrument", "INDICES")
    (item,) = json.loads(sent["basket"])["items"]
    assert (item["exchange"], item["tradingsymbol"], item["type"]) == ("NSE", "INFY", "insert")
    assert item["params"]["price"] == 1500.05
    assert item["params"]["variety"] == "regular"


def test_an_alert_compares_with_exactly_one_thing_and_an_odd_one_is_no_alert() -> None:
    for amount, other in ((None, None), (Decimal(1), NIFTY)):
        with pytest.raises(Denied):
            alerts.alert_form(AlertRequest(A, "x", INFY, Comparison.BELOW, amount, other))
    for change in ({"status": "asleep"}, {"operator": "~"}, {"rhs_type": "moon"}, {"type": "loud"}):
        with pytest.raises(BadAnswer):
            alerts.alert_from_row(ALERT | change, A)


async def test_alert_pages_end_where_they_repeat() -> None:
    page = [ALERT | {"uuid": f"u{n}"} for n in range(100)]
    async with session(lambda _: success(page)) as (broker, server):
        assert len(await broker.alerts()) == 100
    assert len(server.seen) == 2


# -- postbacks -------------------------------------------------------------------------------------------------------


def test_the_checksum_of_a_postback_is_the_documented_one() -> None:
    expected = "137fad885860ba2f1570c43816c8597daba86e03906504efb92b3c260a83799b"
    assert checksum("220303000308932", "2022-03-03 09:24:25", SECRET) == expected


def test_a_postback_is_believed_only_with_our_signature() -> None:
    body = json.loads(shared_data("kite", "postback.json").read_bytes())
    with pytest.raises(BadAnswer, match="not signed"):
        order_from_postback(json.dumps(body).encode(), SECRET, A)
    signed = body | {"checksum": hashlib.sha256(b"2203030003089322022-03-03 09:24:25api_secret_1").hexdigest()}
    order = order_from_postback(json.dumps(signed).encode(), SECRET, A)
    assert (order.broker_order_id, order.status, order.average_price) == ("220303000308932", OrderStatus.FILLED, 47000)
    for forged in ({"order_timestamp": "2022-03-03 09:24:26"}, {"order_id": "1"}, {"checksum": None}):
        with pytest.raises(BadAnswer):
            order_from_postback(json.dumps(signed | forged).encode(), SECRET, A)
    with pytest.raises(BadAnswer):
        order_from_postback(b"<html>", SECRET, A)


async def test_a_broker_that_is_down_gives_no_empty_list_of_anything() -> None:
    async with session(lambda _: failure("503 Service Unavailable", "NetworkException")) as (broker, _):
        for read in (broker.gtts, broker.auctions, broker.alerts, broker.segment_funds):
            with pytest.raises(Unreachable):
                await read()
