"""The official client, unchanged, against the paper exchange: every public method works or refuses in a typed way."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from kiteconnect import KiteConnect
from kiteconnect import exceptions as kite_errors

from tests.paper_exchange import PaperExchange

INFY = 408065


def place(kite: Any, **changed: Any) -> str:
    order = {
        "variety": "regular",
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "quantity": 5,
        "product": "MIS",
        "order_type": "MARKET",
        "market_protection": -1,
    }
    order_id: str = kite.place_order(**{**order, **changed})
    return order_id


def resting(kite: Any) -> str:
    """An order that waits far below the market, at the exchange."""
    order_id = place(kite, order_type="LIMIT", price=1050.0, market_protection=None)
    until_status(kite, order_id, "OPEN")
    return order_id


def until_status(kite: Any, order_id: str, status: str) -> Any:
    row: dict[str, Any] = {}
    for _ in range(2000):
        row = kite.order_history(order_id)[-1]
        if row["status"] == status:
            return row
    pytest.fail(f"order {order_id} is still {row.get('status')}")


def calculator_items() -> list[dict[str, Any]]:
    item = {
        "order_id": "1",
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "variety": "regular",
        "product": "CNC",
        "order_type": "LIMIT",
        "quantity": 10,
        "price": 1100.5,
        "average_price": 1100.5,
    }
    return [item, {**item, "transaction_type": "SELL", "product": "MIS"}]


def call_login_url(kite: Any) -> None:
    assert "api_key=" in kite.login_url()


def call_generate_session(kite: Any, exchange: PaperExchange) -> None:
    other = KiteConnect(api_key=exchange.line["api_key"], root=exchange.line["api_url"])
    session = other.generate_session(exchange.request_token(), api_secret=exchange.line["api_secret"])
    assert session["login_time"].date() == date(2026, 11, 20)
    assert other.profile()["user_id"] == exchange.line["user_id"]


def call_invalidate_access_token(kite: Any, exchange: PaperExchange) -> None:
    other = KiteConnect(api_key=exchange.line["api_key"], root=exchange.line["api_url"])
    other.generate_session(exchange.request_token(), api_secret=exchange.line["api_secret"])
    assert other.invalidate_access_token() is True
    with pytest.raises(kite_errors.TokenException):
        other.profile()


def call_set_access_token(kite: Any, exchange: PaperExchange) -> None:
    other = KiteConnect(api_key=exchange.line["api_key"], root=exchange.line["api_url"])
    other.set_access_token(kite.access_token)
    assert other.profile()["broker"] == "ZERODHA"


def call_set_session_expiry_hook(kite: Any, exchange: PaperExchange) -> None:
    expired: list[bool] = []
    other = KiteConnect(api_key=exchange.line["api_key"], access_token="dead", root=exchange.line["api_url"])
    other.set_session_expiry_hook(lambda: expired.append(True))
    with pytest.raises(kite_errors.TokenException, match=r"Incorrect `api_key` or `access_token`\."):
        other.orders()
    assert expired == [True]


def call_renew_access_token(kite: Any) -> None:
    with pytest.raises(kite_errors.TokenException):  # as for every individual
        kite.renew_access_token("no refresh token", "secret")


def call_invalidate_refresh_token(kite: Any) -> None:
    with pytest.raises(kite_errors.TokenException):
        kite.invalidate_refresh_token("no refresh token")


def call_profile(kite: Any) -> None:
    assert "NFO" in kite.profile()["exchanges"]


def call_margins(kite: Any) -> None:
    assert kite.margins()["equity"]["net"] == kite.margins("equity")["net"] > 0
    assert kite.margins("commodity")["enabled"] is True


def call_place_order(kite: Any) -> None:
    order_id = place(kite, tag="stop1A1S1")
    row = until_status(kite, order_id, "COMPLETE")
    assert (row["filled_quantity"], row["tag"]) == (5, "stop1A1S1")
    with pytest.raises(kite_errors.InputException, match="without market protection"):
        place(kite, market_protection=None)
    # the Python client has no class for MarginException and falls back to the general one
    with pytest.raises(kite_errors.GeneralException, match=r"Insufficient funds\. Required margin is"):
        place(kite, product="CNC", quantity=300_000)


def call_place_autoslice_order(kite: Any) -> None:
    future = next(row for row in kite.instruments("NFO") if row["instrument_type"] == "FUT" and row["name"] == "NIFTY")
    answer = kite.place_autoslice_order(
        "regular",
        "NFO",
        future["tradingsymbol"],
        "BUY",
        future["lot_size"] * 30,
        "NRML",
        "MARKET",
        market_protection=-1,
    )
    children = [child["order_id"] for child in answer["children"]]
    assert answer["order_id"] == children[0]
    assert len(children) == 2


def test_orders_of_every_variety(kite: Any) -> None:
    waits = {"order_type": "LIMIT", "price": 1050.0, "market_protection": None}
    iceberg = place(kite, variety="iceberg", quantity=10, iceberg_legs=2, iceberg_quantity=5, **waits)
    assert until_status(kite, iceberg, "OPEN")["variety"] == "iceberg"
    kite.cancel_order("iceberg", iceberg)
    cover = place(kite, variety="co", trigger_price=1000.0)
    until_status(kite, cover, "COMPLETE")
    stop = next(row for row in kite.orders() if row["parent_order_id"] == cover)["order_id"]
    until_status(kite, stop, "TRIGGER PENDING")
    assert kite.exit_order("co", stop, parent_order_id=cover) == stop
    until_status(kite, stop, "COMPLETE")
    with pytest.raises(kite_errors.OrderException, match="only when the market is closed"):
        place(kite, variety="amo", **waits)
    bid = {**waits, "transaction_type": "SELL", "product": "CNC", "auction_number": "1"}
    with pytest.raises(kite_errors.InputException, match="Invalid `auction_number`"):
        place(kite, variety="auction", **bid)


def call_modify_order(kite: Any) -> None:
    order_id = resting(kite)
    assert kite.modify_order("regular", order_id, price=1051.0, quantity=6) == order_id
    row = until_status(kite, order_id, "OPEN")
    assert (row["price"], row["quantity"]) == (1051, 6)
    kite.cancel_order("regular", order_id)


def call_cancel_order(kite: Any) -> None:
    order_id = resting(kite)
    assert kite.cancel_order("regular", order_id) == order_id
    until_status(kite, order_id, "CANCELLED")
    with pytest.raises(kite_errors.OrderException):
        kite.cancel_order("regular", order_id)


def call_exit_order(kite: Any) -> None:
    order_id = resting(kite)
    assert kite.exit_order("regular", order_id) == order_id


def call_orders(kite: Any) -> None:
    order_id = place(kite)
    row = next(row for row in kite.orders() if row["order_id"] == order_id)
    assert isinstance(row["order_timestamp"], datetime)


def call_order_history(kite: Any) -> None:
    assert kite.order_history(place(kite))[0]["status"] == "PUT ORDER REQ RECEIVED"


def call_trades(kite: Any) -> None:
    order_id = place(kite)
    until_status(kite, order_id, "COMPLETE")
    assert order_id in {row["order_id"] for row in kite.trades()}


def call_order_trades(kite: Any) -> None:
    order_id = place(kite)
    until_status(kite, order_id, "COMPLETE")
    assert sum(row["quantity"] for row in kite.order_trades(order_id)) == 5


def call_positions(kite: Any) -> None:
    until_status(kite, place(kite), "COMPLETE")
    assert {row["tradingsymbol"] for row in kite.positions()["day"]} >= {"INFY"}


def call_convert_position(kite: Any) -> None:
    until_status(kite, place(kite), "COMPLETE")

    def held(product: str) -> int:
        rows = kite.positions()["net"]
        return sum(row["quantity"] for row in rows if (row["tradingsymbol"], row["product"]) == ("INFY", product))

    before = held("MIS"), held("CNC")
    assert kite.convert_position("NSE", "INFY", "BUY", "day", 2, "MIS", "CNC") is True
    assert (held("MIS"), held("CNC")) == (before[0] - 2, before[1] + 2)
    with pytest.raises(kite_errors.InputException, match="can be converted between"):
        kite.convert_position("NSE", "INFY", "BUY", "day", 1, "MIS", "NRML")


def call_holdings(kite: Any) -> None:
    assert [(row["tradingsymbol"], row["quantity"]) for row in kite.holdings()] == [("SBIN", 10)]


def call_get_auction_instruments(kite: Any) -> None:
    assert kite.get_auction_instruments() == []


def call_instruments(kite: Any) -> None:
    rows = kite.instruments()
    infy = next(row for row in rows if row["instrument_token"] == INFY)
    assert (infy["tradingsymbol"], infy["exchange"], infy["lot_size"]) == ("INFY", "NSE", 1)
    assert {row["exchange"] for row in kite.instruments("NFO")} == {"NFO"}
    assert any(isinstance(row["expiry"], date) for row in rows)


def call_quote(kite: Any) -> None:
    quotes = kite.quote("NSE:INFY", "NSE:NIFTY 50", "NSE:NOSUCH")
    assert set(quotes) == {"NSE:INFY", "NSE:NIFTY 50"}
    assert isinstance(quotes["NSE:INFY"]["timestamp"], datetime)
    assert len(quotes["NSE:INFY"]["depth"]["buy"]) == 5


def call_ohlc(kite: Any) -> None:
    found = kite.ohlc(["NSE:INFY"])["NSE:INFY"]
    assert found["ohlc"]["low"] <= found["last_price"] <= found["ohlc"]["high"]


def call_ltp(kite: Any) -> None:
    assert kite.ltp("NSE:INFY")["NSE:INFY"]["instrument_token"] == INFY


def call_historical_data(kite: Any) -> None:
    end = datetime(2026, 11, 20, 11)  # noqa: DTZ001 - the client sends wall time of India
    rows = kite.historical_data(INFY, end - timedelta(days=2), end, "minute", oi=True)
    assert rows == sorted(rows, key=lambda row: row["date"])
    assert set(rows[0]) == {"date", "open", "high", "low", "close", "volume", "oi"}
    assert rows[-1]["date"].utcoffset() == timedelta(hours=5, minutes=30)
    with pytest.raises(kite_errors.InputException, match="interval exceeds max limit: 60 days"):
        kite.historical_data(INFY, end - timedelta(days=61), end, "minute")


def call_trigger_range(kite: Any) -> None:
    found = kite.trigger_range("BUY", "NSE:INFY")["NSE:INFY"]
    assert found["lower"] < found["upper"]


def call_order_margins(kite: Any) -> None:
    found = kite.order_margins(calculator_items())
    assert [row["total"] for row in found] == [11005, 2201]


def call_basket_order_margins(kite: Any) -> None:
    found = kite.basket_order_margins(calculator_items(), consider_positions=True, mode="compact")
    assert found["initial"]["total"] == 13206
    assert len(found["orders"]) == 2


def call_get_virtual_contract_note(kite: Any) -> None:
    first, second = kite.get_virtual_contract_note(calculator_items())
    assert first["charges"]["transaction_tax"] == pytest.approx(11.005)
    assert second["charges"]["transaction_tax"] == pytest.approx(2.75125)


def gtt(*triggers: float) -> tuple[Any, ...]:
    order = {"transaction_type": "SELL", "quantity": 1, "order_type": "LIMIT", "product": "CNC", "price": 1000.0}
    return (
        "single" if len(triggers) == 1 else "two-leg",
        "INFY",
        "NSE",
        list(triggers),
        1100.0,
        [order] * len(triggers),
    )


def call_place_gtt(kite: Any) -> None:
    assert kite.place_gtt(*gtt(1000.0))["trigger_id"] < kite.place_gtt(*gtt(1000.0, 1200.0))["trigger_id"]
    with pytest.raises(kite_errors.InputException, match="on both sides of the last price"):
        kite.place_gtt(*gtt(1000.0, 1050.0))


def call_get_gtt(kite: Any) -> None:
    made = kite.place_gtt(*gtt(1000.0, 1200.0))["trigger_id"]
    row = kite.get_gtt(made)
    assert (row["id"], row["type"], row["status"], len(row["orders"])) == (made, "two-leg", "active", 2)


def call_get_gtts(kite: Any) -> None:
    made = kite.place_gtt(*gtt(1000.0))["trigger_id"]
    row = next(row for row in kite.get_gtts() if row["id"] == made)
    assert row["condition"]["trigger_values"] == [1000]


def call_modify_gtt(kite: Any) -> None:
    made = kite.place_gtt(*gtt(1000.0))["trigger_id"]
    assert kite.modify_gtt(made, *gtt(990.0))["trigger_id"] == made
    assert kite.get_gtt(made)["condition"]["trigger_values"] == [990]


def call_delete_gtt(kite: Any) -> None:
    made = kite.place_gtt(*gtt(1000.0))["trigger_id"]
    assert kite.delete_gtt(made)["trigger_id"] == made
    assert kite.get_gtt(made)["status"] == "deleted"
    with pytest.raises(kite_errors.InputException, match="Trigger is deleted"):
        kite.delete_gtt(made)


def call_mf_orders(kite: Any) -> None:
    assert kite.mf_orders() == []
    with pytest.raises(kite_errors.GeneralException, match="Couldn't find"):
        kite.mf_orders("1")


def call_mf_sips(kite: Any) -> None:
    assert kite.mf_sips() == []


def call_mf_holdings(kite: Any) -> None:
    assert kite.mf_holdings() == []


def call_mf_instruments(kite: Any) -> None:
    rows = kite.mf_instruments()
    assert {row["plan"] for row in rows} == {"direct", "regular"}
    assert all(row["last_price"] > 0 and isinstance(row["last_price_date"], date) for row in rows)


NO_PAYMENT = "buying a fund needs a payment by bank, so the broker itself takes no such orders through its API"
REFUSED: dict[str, tuple[str, Callable[[Any], object]]] = {
    "place_mf_order": (NO_PAYMENT, lambda kite: kite.place_mf_order("INF000P01011", "BUY", amount=500)),
    "cancel_mf_order": (NO_PAYMENT, lambda kite: kite.cancel_mf_order("1")),
    "place_mf_sip": (NO_PAYMENT, lambda kite: kite.place_mf_sip("INF000P01011", 500, 12, "monthly")),
    "modify_mf_sip": (NO_PAYMENT, lambda kite: kite.modify_mf_sip("1")),
    "cancel_mf_sip": (NO_PAYMENT, lambda kite: kite.cancel_mf_sip("1")),
}
PREFIX = "call_"
CALLED = {name.removeprefix(PREFIX): call for name, call in list(globals().items()) if name.startswith(PREFIX)}
PUBLIC = sorted(name for name, _ in inspect.getmembers(KiteConnect, inspect.isfunction) if not name.startswith("_"))


def test_every_public_method_is_called_or_listed_with_a_reason() -> None:
    assert sorted({*CALLED, *REFUSED}) == PUBLIC
    assert not CALLED.keys() & REFUSED.keys()
    assert all(reason for reason, _ in REFUSED.values())


@pytest.mark.parametrize("name", sorted(CALLED))
def test_it_works(name: str, kite: Any, exchange: PaperExchange) -> None:
    call = CALLED[name]
    call(kite, exchange) if "exchange" in inspect.signature(call).parameters else call(kite)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_the_broker_does_not_take_is_a_typed_refusal(name: str, kite: Any) -> None:
    _, call = REFUSED[name]
    with pytest.raises((kite_errors.GeneralException, kite_errors.InputException), match="not available"):
        call(kite)
