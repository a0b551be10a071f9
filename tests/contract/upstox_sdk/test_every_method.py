"""The official SDK, unchanged but for its hosts, against the paper exchange: every method of every API works, or is
named here with the reason why the paper exchange does not serve it, and is refused in the envelope.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
import upstox_client
from upstox_client.rest import ApiException

from tests.contract.upstox_sdk.conftest import OPTIONS, Sdk
from tests.upstox_exchange import UpstoxExchange

INFY, NIFTY = "NSE_EQ|INE009A01021", "NSE_INDEX|Nifty 50"
V = "2.0"
FAR = 1050.0
"""A price at which nothing fills."""


def body(**changed: Any) -> dict[str, Any]:
    order = {
        "quantity": 5,
        "product": "I",
        "validity": "DAY",
        "price": 0,
        "instrument_token": INFY,
        "order_type": "MARKET",
        "transaction_type": "BUY",
        "disclosed_quantity": 0,
        "trigger_price": 0,
        "is_amo": False,
    }
    return {**order, **changed}


def place(sdk: Sdk, **changed: Any) -> str:
    request = upstox_client.PlaceOrderV3Request(**body(market_protection=-1, **changed))
    (order_id,) = sdk.api("OrderApiV3").place_order(request).data.order_ids
    return str(order_id)


def until(sdk: Sdk, order_id: str, status: str) -> Any:
    row: Any = None
    for _ in range(2000):
        row = sdk.api("OrderApi").get_order_status(order_id=order_id).data
        if row.status == status:
            return row
    pytest.fail(f"order {order_id} is still {row.status}")


def resting(sdk: Sdk, **changed: Any) -> str:
    order_id = place(sdk, order_type="LIMIT", price=FAR, **changed)
    until(sdk, order_id, "open")
    return order_id


def filled(sdk: Sdk, **changed: Any) -> str:
    order_id = place(sdk, **changed)
    until(sdk, order_id, "complete")
    return order_id


def change(sdk: Sdk, **more: Any) -> dict[str, Any]:
    asked = {"validity": "DAY", "price": FAR - 1, "order_type": "LIMIT", "trigger_price": 0, "quantity": 5}
    return {"order_id": resting(sdk), **asked, **more}


def gtt(sdk: Sdk) -> str:
    rule = upstox_client.GttRule(strategy="ENTRY", trigger_type="ABOVE", trigger_price=5000)
    request = upstox_client.GttPlaceOrderRequest(
        type="SINGLE", quantity=1, product="I", instrument_token=INFY, transaction_type="BUY", rules=[rule]
    )
    (gtt_id,) = sdk.api("OrderApiV3").place_gtt_order(request).data.gtt_order_ids
    return str(gtt_id)


def bracket(sdk: Sdk) -> Any:
    """An entry with both exits, the stop trailing."""
    rules = [
        upstox_client.GttRule(strategy="ENTRY", trigger_type="ABOVE", trigger_price=5000),
        upstox_client.GttRule(strategy="TARGET", trigger_type="IMMEDIATE", trigger_price=5500),
        upstox_client.GttRule(strategy="STOPLOSS", trigger_type="IMMEDIATE", trigger_price=4900, trailing_gap=20),
    ]
    request = upstox_client.GttPlaceOrderRequest(
        type="MULTIPLE", quantity=1, product="I", instrument_token=INFY, transaction_type="BUY", rules=rules
    )
    (gtt_id,) = sdk.api("OrderApiV3").place_gtt_order(request).data.gtt_order_ids
    return sdk.api("OrderApiV3").get_gtt_order_details(gtt_order_id=gtt_id)


def changed_gtt(sdk: Sdk) -> Any:
    rule = upstox_client.GttRule(strategy="ENTRY", trigger_type="ABOVE", trigger_price=5500)
    request = upstox_client.GttModifyOrderRequest(type="SINGLE", quantity=2, rules=[rule], gtt_order_id=gtt(sdk))
    return sdk.api("OrderApiV3").modify_gtt_order(request)


def many(sdk: Sdk) -> Any:
    lines = [upstox_client.MultiOrderRequest(**body(slice=False), correlation_id=str(n)) for n in (1, 2)]
    return sdk.api("OrderApi").place_multi_order(lines)


def cancel_many(sdk: Sdk) -> Any:
    resting(sdk, tag="all")
    return sdk.api("OrderApi").cancel_multi_order(tag="all")


def exit_all(sdk: Sdk) -> Any:
    filled(sdk)
    return sdk.api("OrderApi").exit_positions()


def convert(sdk: Sdk) -> Any:
    filled(sdk)
    request = upstox_client.ConvertPositionRequest(
        instrument_token=INFY, new_product="D", old_product="I", transaction_type="BUY", quantity=1
    )
    return sdk.api("PortfolioApi").convert_positions(request, V)


def margin(sdk: Sdk) -> Any:
    item = upstox_client.Instrument(instrument_key=INFY, quantity=1, product="D", transaction_type="BUY")
    return sdk.api("ChargeApi").post_margin(upstox_client.MarginRequest(instruments=[item]))


def new_address(sdk: Sdk) -> Any:
    request = upstox_client.UpdateUserIpRequest(primary_ip="203.0.113.7")
    return Sdk(sdk.exchange).api("UserApi").update_user_ip(request)


def kill_switch(sdk: Sdk) -> Any:
    item = upstox_client.KillSwitchSegmentUpdateRequest(segment="BSE_FO", action="ENABLE")
    return sdk.api("UserApi").update_kill_switch([item])


def expiry(sdk: Sdk) -> str:
    return str(sdk.api("OptionsApi").get_option_contracts(NIFTY).data[0].expiry)[:10]


def indie(sdk: Sdk) -> Any:
    request = upstox_client.IndieUserTokenRequest(client_secret=sdk.exchange.line["api_secret"])
    return sdk.api("LoginApi").init_token_request_for_indie_user(request, sdk.exchange.line["api_key"])


def authorise(sdk: Sdk) -> Any:
    line = sdk.exchange.line
    return sdk.api("LoginApi").authorize_with_http_info(line["api_key"], line["redirect_url"], V)[1]


def token(sdk: Sdk) -> Any:
    return Sdk(sdk.exchange).token


def greek(sdk: Sdk) -> Any:
    key = sdk.api("OptionsApi").get_option_contracts(NIFTY).data[0].instrument_key
    return sdk.api("MarketQuoteV3Api").get_market_quote_option_greek(instrument_key=key)


Call = Callable[[Sdk], Any]
SINCE, UNTIL = "2026-11-18", "2026-11-19"
YEAR = ("EQ", "2627")
CALLS: dict[str, Call] = {
    "ChargeApi.get_brokerage": lambda s: s.api("ChargeApi").get_brokerage(INFY, 10, "D", "BUY", 1100.0, V),
    "ChargeApi.post_margin": margin,
    "HistoryApi.get_historical_candle_data": lambda s: s.api("HistoryApi").get_historical_candle_data(
        INFY, "day", UNTIL, V
    ),
    "HistoryApi.get_historical_candle_data1": lambda s: s.api("HistoryApi").get_historical_candle_data1(
        INFY, "30minute", UNTIL, SINCE, V
    ),
    "HistoryApi.get_intra_day_candle_data": lambda s: s.api("HistoryApi").get_intra_day_candle_data(INFY, "1minute", V),
    "HistoryV3Api.get_historical_candle_data": lambda s: s.api("HistoryV3Api").get_historical_candle_data(
        INFY, "weeks", "1", UNTIL
    ),
    "HistoryV3Api.get_historical_candle_data1": lambda s: s.api("HistoryV3Api").get_historical_candle_data1(
        INFY, "minutes", "5", UNTIL, SINCE
    ),
    "HistoryV3Api.get_intra_day_candle_data": lambda s: s.api("HistoryV3Api").get_intra_day_candle_data(
        INFY, "hours", "1"
    ),
    "InstrumentsApi.search_instrument": lambda s: s.api("InstrumentsApi").search_instrument("infy"),
    "LoginApi.authorize": authorise,
    "LoginApi.init_token_request_for_indie_user": indie,
    "LoginApi.logout": lambda s: Sdk(s.exchange).api("LoginApi").logout(V),
    "LoginApi.token": token,
    "MarketHolidaysAndTimingsApi.get_exchange_timings": lambda s: s.api(
        "MarketHolidaysAndTimingsApi"
    ).get_exchange_timings(UNTIL),
    "MarketHolidaysAndTimingsApi.get_holiday": lambda s: s.api("MarketHolidaysAndTimingsApi").get_holiday("2026-11-24"),
    "MarketHolidaysAndTimingsApi.get_holidays": lambda s: s.api("MarketHolidaysAndTimingsApi").get_holidays(),
    "MarketHolidaysAndTimingsApi.get_market_status": lambda s: s.api("MarketHolidaysAndTimingsApi").get_market_status(
        "NSE"
    ),
    "MarketQuoteApi.get_full_market_quote": lambda s: s.api("MarketQuoteApi").get_full_market_quote(INFY, V),
    "MarketQuoteApi.get_market_quote_ohlc": lambda s: s.api("MarketQuoteApi").get_market_quote_ohlc(INFY, "1d", V),
    "MarketQuoteApi.ltp": lambda s: s.api("MarketQuoteApi").ltp(f"{INFY},{NIFTY}", V),
    "MarketQuoteV3Api.get_full_market_quote_v3": lambda s: s.api("MarketQuoteV3Api").get_full_market_quote_v3(
        instrument_key=INFY
    ),
    "MarketQuoteV3Api.get_ltp": lambda s: s.api("MarketQuoteV3Api").get_ltp(instrument_key=INFY),
    "MarketQuoteV3Api.get_market_quote_ohlc": lambda s: s.api("MarketQuoteV3Api").get_market_quote_ohlc(
        "I1", instrument_key=INFY
    ),
    "MarketQuoteV3Api.get_market_quote_option_greek": greek,
    "OptionsApi.get_option_contracts": lambda s: s.api("OptionsApi").get_option_contracts(NIFTY),
    "OptionsApi.get_put_call_option_chain": lambda s: s.api("OptionsApi").get_put_call_option_chain(NIFTY, expiry(s)),
    "OrderApi.cancel_multi_order": cancel_many,
    "OrderApi.cancel_order": lambda s: s.api("OrderApi").cancel_order(resting(s), V),
    "OrderApi.exit_positions": exit_all,
    "OrderApi.get_order_book": lambda s: s.api("OrderApi").get_order_book(V),
    "OrderApi.get_order_details": lambda s: s.api("OrderApi").get_order_details(V, order_id=filled(s)),
    "OrderApi.get_order_status": lambda s: s.api("OrderApi").get_order_status(order_id=filled(s)),
    "OrderApi.get_trade_history": lambda s: s.api("OrderApi").get_trade_history(V),
    "OrderApi.get_trades_by_order": lambda s: s.api("OrderApi").get_trades_by_order(filled(s), V),
    "OrderApi.modify_order": lambda s: s.api("OrderApi").modify_order(upstox_client.ModifyOrderRequest(**change(s)), V),
    "OrderApi.place_multi_order": many,
    "OrderApi.place_order": lambda s: s.api("OrderApi").place_order(upstox_client.PlaceOrderRequest(**body()), V),
    "OrderApiV3.cancel_gtt_order": lambda s: s.api("OrderApiV3").cancel_gtt_order(
        upstox_client.GttCancelOrderRequest(gtt_order_id=gtt(s))
    ),
    "OrderApiV3.cancel_order": lambda s: s.api("OrderApiV3").cancel_order(resting(s)),
    "OrderApiV3.get_gtt_order_details": lambda s: s.api("OrderApiV3").get_gtt_order_details(gtt_order_id=gtt(s)),
    "OrderApiV3.modify_gtt_order": changed_gtt,
    "OrderApiV3.modify_order": lambda s: s.api("OrderApiV3").modify_order(
        upstox_client.ModifyOrderRequest(**change(s))
    ),
    "OrderApiV3.place_gtt_order": gtt,
    "OrderApiV3.place_order": filled,
    "PortfolioApi.convert_positions": convert,
    "PortfolioApi.get_holdings": lambda s: s.api("PortfolioApi").get_holdings(V),
    "PortfolioApi.get_mtf_positions": lambda s: s.api("PortfolioApi").get_mtf_positions(),
    "PortfolioApi.get_positions": lambda s: s.api("PortfolioApi").get_positions(V),
    "PostTradeApi.get_trades_by_date_range": lambda s: s.api("PostTradeApi").get_trades_by_date_range(
        SINCE, UNTIL, 1, 100, segment="EQ"
    ),
    "TradeProfitAndLossApi.get_profit_and_loss_charges": lambda s: s.api(
        "TradeProfitAndLossApi"
    ).get_profit_and_loss_charges(*YEAR, V),
    "TradeProfitAndLossApi.get_trade_wise_profit_and_loss_data": lambda s: s.api(
        "TradeProfitAndLossApi"
    ).get_trade_wise_profit_and_loss_data(*YEAR, 1, 100, V),
    "TradeProfitAndLossApi.get_trade_wise_profit_and_loss_meta_data": lambda s: s.api(
        "TradeProfitAndLossApi"
    ).get_trade_wise_profit_and_loss_meta_data(*YEAR, V),
    "UserApi.get_kill_switch": lambda s: s.api("UserApi").get_kill_switch(),
    "UserApi.get_profile": lambda s: s.api("UserApi").get_profile(V),
    "UserApi.get_user_fund_margin": lambda s: s.api("UserApi").get_user_fund_margin(V),
    "UserApi.get_user_fund_margin_v3": lambda s: s.api("UserApi").get_user_fund_margin_v3(),
    "UserApi.get_user_ips": lambda s: s.api("UserApi").get_user_ips(),
    "UserApi.update_kill_switch": kill_switch,
    "WebsocketApi.get_market_data_feed_authorize_v3": lambda s: s.api(
        "WebsocketApi"
    ).get_market_data_feed_authorize_v3(),
    "WebsocketApi.get_portfolio_stream_feed_authorize": lambda s: s.api(
        "WebsocketApi"
    ).get_portfolio_stream_feed_authorize(V),
    "WebsocketApi.get_market_data_feed_authorize_with_http_info_v3": lambda s: s.api(
        "WebsocketApi"
    ).get_market_data_feed_authorize_with_http_info_v3()[0],
}
ENDS_TOKENS = "UserApi.update_user_ip"
"""Called last, in a test of its own: every token of the account dies with it."""

PLUS = "expired contracts are for Upstox Plus; the test below has the plan"
COMPANY = "it is about companies, and the paper exchange has prices only"
ISSUES = "there are no new issues on the paper exchange"
ANALYTICS = "it is about other people's positions, and there are none"
FUNDS = "there are no mutual funds on the paper exchange"
MONEY = "play money comes with the account and is not paid in or out"
SOCKET = "it asks for a socket with plain HTTP; the streamers' test goes there"
V2_FEED = "the feed of v2 ended on 2025-08-22"
NOT_SERVED: dict[str, str] = {
    **{f"ExpiredInstrumentApi.{name}": PLUS for name in (
        "get_expired_future_contracts", "get_expired_historical_candle_data", "get_expired_option_contracts",
        "get_expiries",
    )},
    **{f"FundamentalsApi.{name}": COMPANY for name in (
        "get_balance_sheet", "get_cash_flow", "get_company_profile", "get_competitors", "get_corporate_actions",
        "get_income_statement", "get_key_ratios", "get_share_holdings",
    )},
    "NewsApi.get_news": COMPANY,
    **{f"IpoApi.{name}": ISSUES for name in (
        "apply_for_ipo", "cancel_ipo_order", "get_ipo_details", "get_ipo_listing", "get_ipo_order_by_id",
        "get_ipo_orders",
    )},
    **{f"MarketApi.{name}": ANALYTICS for name in (
        "get_change_oi_data", "get_dii_data", "get_fii_data", "get_max_pain_data", "get_oi_data", "get_pcr_data",
        "get_smartlist_futures", "get_smartlist_mtf", "get_smartlist_options",
    )},
    **{f"MutualFundApi.{name}": FUNDS for name in (
        "get_mutual_fund_holdings", "get_mutual_fund_order", "get_mutual_fund_orders", "get_mutual_fund_sips",
    )},
    **{f"UserApi.{name}": MONEY for name in (
        "cancel_payout", "get_payin_history", "get_payout_history", "get_payout_modes", "initiate_payout",
        "modify_payout",
    )},
    "WebsocketApi.get_market_data_feed": V2_FEED,
    "WebsocketApi.get_market_data_feed_authorize": V2_FEED,
}  # fmt: skip
NO_CALLS: dict[str, str] = {
    "WebsocketApi.get_market_data_feed_v3": SOCKET,
    "WebsocketApi.get_market_data_feed_with_http_info_v3": SOCKET,
    "WebsocketApi.get_portfolio_stream_feed": SOCKET,
    "WebsocketApi.get_websocket_parameters": "it builds the streamer's arguments and calls nothing",
}


def methods() -> set[str]:
    """Every method that the SDK offers, but the twins that also give headers."""
    found = set()
    for name, kind in inspect.getmembers(upstox_client, inspect.isclass):
        if name.endswith(("Api", "ApiV3")):
            for method, _ in inspect.getmembers(kind, inspect.isfunction):
                if not method.startswith("_") and not method.endswith("_with_http_info"):
                    found.add(f"{name}.{method}")
    return found


def test_every_method_of_the_sdk_is_accounted_for() -> None:
    named = [*CALLS, *NOT_SERVED, *NO_CALLS, ENDS_TOKENS]
    assert len(named) == len(set(named))
    assert set(named) == methods()


@pytest.mark.parametrize("name", CALLS)
def test_what_is_served_comes_back_as_the_sdks_own_model(sdk: Sdk, name: str) -> None:
    answer = CALLS[name](sdk)
    if isinstance(answer, str | int):  # an id, a token, the status of a page
        assert answer
        return
    assert answer.status == "success"
    assert answer.data is not None


@pytest.mark.parametrize("name", NOT_SERVED)
def test_what_is_not_served_is_refused_in_the_envelope(sdk: Sdk, name: str) -> None:
    kind, _, method = name.partition(".")
    call = getattr(sdk.api(kind), method)
    needed = [
        parameter
        for parameter in inspect.signature(call).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    with pytest.raises(ApiException) as refused:
        call(*({"body": {}, "api_version": V}.get(parameter.name, "1") for parameter in needed))
    assert refused.value.status in (400, 404, 410)
    (error,) = json.loads(refused.value.body or "")["errors"]
    assert error["error_code"] == ("UDAPI1149" if NOT_SERVED[name] is PLUS else "UDAPI100060")


def test_plus_clients_are_told_of_contracts_that_have_expired() -> None:
    with UpstoxExchange(*OPTIONS, "--fault", "plus_plan=on") as exchange:
        client = Sdk(exchange)
        listed = client.api("OptionsApi").get_option_contracts(NIFTY).data
        gone = str(listed[0].expiry)[:10]
        exchange.admin("PUT", "clock", {"now": f"{date.fromisoformat(gone) + timedelta(days=1)}T10:00:00"})
        client = Sdk(exchange)
        api = client.api("ExpiredInstrumentApi")
        assert [str(day)[:10] for day in api.get_expiries(NIFTY).data] == [gone]
        options = api.get_expired_option_contracts(NIFTY, gone).data
        assert len(options) == len([one for one in listed if str(one.expiry)[:10] == gone])
        (future, *_) = api.get_expired_future_contracts(NIFTY, gone).data
        key = future.instrument_key
        assert key.startswith("NSE_FO|")
        assert key.count("|") == 2
        candles = api.get_expired_historical_candle_data(key, "day", gone, "2026-11-01").data.candles
        assert candles[0][0] > candles[-1][0]
        assert not client.api("OptionsApi").get_option_contracts(NIFTY).data
        client.client.pool.close()
        client.client.pool.join()
        client.client.rest_client.pool_manager.clear()


def test_the_sandbox_of_the_sdk_takes_its_seven_calls(exchange: UpstoxExchange) -> None:
    configuration: Any = upstox_client.Configuration(sandbox=True)
    configuration.host = configuration.order_host = exchange.line["api_url"]
    configuration.access_token = exchange.line["sandbox_token"]
    client: Any = upstox_client.ApiClient(configuration)
    v2, v3 = upstox_client.OrderApi(client), upstox_client.OrderApiV3(client)
    (order_id,) = v3.place_order(
        upstox_client.PlaceOrderV3Request(**body(order_type="LIMIT", price=FAR))
    ).data.order_ids
    change = {"validity": "DAY", "price": FAR - 1, "order_type": "LIMIT", "trigger_price": 0}
    request = upstox_client.ModifyOrderRequest(order_id=order_id, **change)
    assert v3.modify_order(request).data.order_id == order_id
    assert v2.modify_order(request, V).data.order_id == order_id
    assert v3.cancel_order(order_id).data.order_id == order_id
    older = v2.place_order(upstox_client.PlaceOrderRequest(**body(order_type="LIMIT", price=FAR)), V).data.order_id
    assert v2.cancel_order(older, V).data.order_id == older
    lines = [upstox_client.MultiOrderRequest(**body(slice=False, order_type="LIMIT", price=FAR), correlation_id="1")]
    assert v2.place_multi_order(lines).summary.success == 1
    with pytest.raises(ApiException) as refused:
        v2.get_order_book(V)
    assert refused.value.status == 404
    client.pool.close()
    client.pool.join()
    client.rest_client.pool_manager.clear()


def test_the_rows_are_what_the_models_expect(sdk: Sdk) -> None:
    order_id = filled(sdk, tag="shapes")
    book = sdk.api("OrderApi").get_order_book(V).data
    (row,) = [row for row in book if row.order_id == order_id]
    assert (row.tag, row.instrument_token, row.filled_quantity) == ("shapes", INFY, 5)
    trades = sdk.api("OrderApi").get_trades_by_order(order_id, V).data
    assert sum(trade.quantity for trade in trades) == 5
    history = sdk.api("OrderApi").get_order_details(V, tag="shapes").data
    assert [state.status for state in history][-1] == "complete"
    (held,) = [row for row in sdk.api("PortfolioApi").get_holdings(V).data if row.trading_symbol == "SBIN"]
    assert (held.quantity, held.isin) == (10, "INE062A01020")
    quote = sdk.api("MarketQuoteApi").get_full_market_quote(INFY, V).data["NSE_EQ:INFY"]
    assert quote.instrument_token == INFY
    assert len(quote.depth.buy) == 5
    candles = sdk.api("HistoryV3Api").get_historical_candle_data1(INFY, "days", "1", UNTIL, SINCE).data.candles
    assert [row[0][:10] for row in candles] == [UNTIL, SINCE]


def test_an_entry_with_exits_comes_back_with_its_rules(sdk: Sdk) -> None:
    (row,) = bracket(sdk).data
    assert (row.type, [rule.strategy for rule in row.rules]) == ("MULTIPLE", ["ENTRY", "TARGET", "STOPLOSS"])
    assert [rule.transaction_type for rule in row.rules] == ["BUY", "SELL", "SELL"]
    assert row.rules[2].trailing_gap == 20


def test_a_refusal_is_the_sdks_own_exception(sdk: Sdk) -> None:
    with pytest.raises(ApiException) as refused:
        place(sdk, quantity=0)
    assert refused.value.status == 400
    assert json.loads(refused.value.body or "")["errors"][0]["errorCode"] == "UDAPI1052"


def test_partial_success_comes_back_as_207(sdk: Sdk) -> None:
    lines = [
        upstox_client.MultiOrderRequest(**body(slice=False), correlation_id="good"),
        upstox_client.MultiOrderRequest(**body(slice=False, quantity=0), correlation_id="bad"),
    ]
    answer, status, _ = sdk.api("OrderApi").place_multi_order_with_http_info(lines)
    assert (status, answer.status) == (207, "partial_success")
    assert (answer.summary.success, answer.summary.error) == (1, 1)
    assert [error.correlation_id for error in answer.errors] == ["bad"]


def test_new_addresses_end_the_session(exchange: UpstoxExchange, sdk: Sdk) -> None:
    assert new_address(sdk).data.access_tokens_invalidated is True
    with pytest.raises(ApiException) as dead:
        sdk.api("UserApi").get_profile(V)
    assert dead.value.status == 401
