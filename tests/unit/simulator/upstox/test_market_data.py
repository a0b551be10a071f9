from __future__ import annotations

import gzip
import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.simulator.upstox.greeks import greeks
from app.simulator.upstox.keys import isin_of, key_of
from tests.unit.simulator.conftest import MORNING
from tests.unit.simulator.upstox.conftest import AGENT, INFY, NIFTY, MakeUpstox, UpstoxBench

KEY = "NSE:INFY"


async def test_quotes_are_keyed_by_symbol_and_hold_the_key_that_was_asked(upstox: UpstoxBench) -> None:
    upstox.price(KEY, 111_235)
    asked = f"{INFY},{NIFTY},NSE_EQ|INE000000000"
    for version, name in (("v2", "symbol"), ("v3", "instrument_key")):
        rows = await upstox.get(f"/{version}/market-quote/quotes", **{name: asked})
        assert rows.keys() == {"NSE_EQ:INFY", "NSE_INDEX:NIFTY 50"}, "unknown keys are left out"
        row = rows["NSE_EQ:INFY"]
        assert (row["instrument_token"], row["last_price"]) == (INFY, 1112.35)
        assert isinstance(row["last_trade_time"], str)
        assert row["timestamp"] == "2026-11-20T10:00:00.000+05:30"
        assert len(row["depth"]["buy"]) == len(row["depth"]["sell"]) == 5
        assert rows["NSE_INDEX:NIFTY 50"]["depth"]["buy"] == [{"quantity": 0, "price": 0.0, "orders": 0}] * 5
        assert (await upstox.get(f"/{version}/market-quote/ltp", **{name: INFY}))["NSE_EQ:INFY"][
            "last_price"
        ] == 1112.35
    row = (await upstox.get("/v3/market-quote/quotes", instrument_key=INFY))["NSE_EQ:INFY"]
    assert row["year_low"] <= row["last_price"] <= row["year_high"]
    assert row["ohlc"]["close"] == 1112.35


async def test_candles_of_the_running_interval(upstox: UpstoxBench) -> None:
    day = (await upstox.get("/v3/market-quote/ohlc", instrument_key=INFY, interval="1d"))["NSE_EQ:INFY"]
    assert day["prev_ohlc"] is None
    minute = (await upstox.get("/v3/market-quote/ohlc", instrument_key=INFY, interval="I1"))["NSE_EQ:INFY"]
    assert minute["live_ohlc"]["ts"] - minute["prev_ohlc"]["ts"] == 60_000
    assert (await upstox.get("/v2/market-quote/ohlc", symbol=INFY, interval="I30"))["NSE_EQ:INFY"]["ohlc"]["open"] > 0


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/v2/market-quote/ltp", {}, "UDAPI1009"),
        ("/v2/market-quote/ltp", {"symbol": "INFY"}, "UDAPI1011"),
        ("/v2/market-quote/ltp", {"symbol": ",".join([INFY] * 501)}, "UDAPI100042"),
        ("/v3/market-quote/option-greek", {"instrument_key": ",".join([INFY] * 51)}, "UDAPI100043"),
        ("/v2/market-quote/ohlc", {"symbol": INFY}, "UDAPI1027"),
        ("/v2/market-quote/ohlc", {"symbol": INFY, "interval": "5m"}, "UDAPI1028"),
        (f"/v3/historical-candle/{INFY}/minutes/301/2026-11-19", {}, "UDAPI1028"),
        (f"/v3/historical-candle/{INFY}/minutes/1/2026-11-19/2026-09-19", {}, "UDAPI1148"),
        (f"/v3/historical-candle/{INFY}/days/1/yesterday", {}, "UDAPI1088"),
        ("/v3/historical-candle/NSE_EQ|INE000000000/days/1/2026-11-19", {}, "UDAPI100011"),
        (f"/v2/historical-candle/intraday/{INFY}/day", {}, "UDAPI1028"),
        ("/v2/market/status/NYSE", {}, "UDAPI1089"),
        ("/v2/trade/profit-loss/metadata", {"financial_year": "2627"}, "UDAPI1067"),
        ("/v2/trade/profit-loss/metadata", {"segment": "XX", "financial_year": "2627"}, "UDAPI1066"),
        ("/v2/trade/profit-loss/metadata", {"segment": "EQ", "financial_year": "2629"}, "UDAPI100036"),
    ],
)
async def test_what_is_asked_wrongly_has_its_code(
    upstox: UpstoxBench, path: str, query: dict[str, str], code: str
) -> None:
    assert await upstox.refused("GET", path, params=query) == (400, code)


async def test_candles_come_newest_first_and_end_with_yesterday(upstox: UpstoxBench) -> None:
    del upstox.http.headers["Authorization"]
    data = await upstox.get(f"/v3/historical-candle/{INFY}/minutes/5/2026-11-25/2026-11-18")
    rows = data["candles"]
    times = [row[0] for row in rows]
    assert times == sorted(times, reverse=True)
    assert (times[-1], times[0]) == ("2026-11-18T09:15:00+05:30", "2026-11-19T15:25:00+05:30")
    assert len(rows) == 150
    days = (await upstox.get(f"/v3/historical-candle/{INFY}/days/1/2026-11-19/2026-11-18"))["candles"]
    assert days[0][5] == sum(row[5] for row in rows[:75])
    weeks = (await upstox.get(f"/v3/historical-candle/{INFY}/weeks/1/2026-11-19/2026-11-09"))["candles"]
    assert [row[0][:10] for row in weeks] == ["2026-11-16", "2026-11-09"]
    upstox.faults("candles_today=included")
    more = (await upstox.get(f"/v3/historical-candle/{INFY}/days/1/2026-11-25/2026-11-19"))["candles"]
    assert [row[0][:10] for row in more] == ["2026-11-20", "2026-11-19"]
    today = (await upstox.get(f"/v3/historical-candle/intraday/{INFY}/minutes/1"))["candles"]
    assert {row[0][:10] for row in today} == {"2026-11-20"}
    assert (await upstox.get(f"/v2/historical-candle/{INFY}/day/2026-11-19/2026-11-18"))["candles"] == days


async def test_the_instrument_file_needs_no_token_and_has_ticks_in_paise(upstox: UpstoxBench) -> None:
    answer = await upstox.http.get(upstox.urls["instruments_url"] + "/complete.json.gz", headers={"Authorization": ""})
    rows = {row["instrument_key"]: row for row in json.loads(gzip.decompress(answer.content))}
    assert len(rows) == len(upstox.exchange.market.listings)
    share, index = rows[INFY], rows[NIFTY]
    assert (share["tick_size"], share["instrument_type"], share["trading_symbol"]) == (10.0, "EQ", "INFY")
    assert share["isin"] == "INE009A01021"
    assert index.keys() == {
        "segment",
        "name",
        "exchange",
        "instrument_type",
        "instrument_key",
        "exchange_token",
        "trading_symbol",
    }
    option = next(row for row in rows.values() if row["instrument_type"] == "CE" and row["asset_symbol"] == "NIFTY")
    assert (option["underlying_key"], option["underlying_type"], option["segment"]) == (NIFTY, "INDEX", "NSE_FO")
    end = datetime.fromtimestamp(option["expiry"] / 1000, MORNING.tzinfo)
    assert end.isoformat() == f"{end.date()}T23:59:59+05:30"
    assert option["trading_symbol"] == f"NIFTY {option['strike_price']:.0f} CE {end:%d %b %y}".upper()
    assert await upstox.refused("GET", upstox.urls["instruments_url"] + "/other.json.gz") == (404, "UDAPI100060")
    upstox.faults("expiry_moment=start")
    other = await upstox.http.get(upstox.urls["instruments_url"] + "/complete.json.gz")
    moved = {row["instrument_key"]: row for row in json.loads(gzip.decompress(other.content))}
    assert option["expiry"] - moved[option["instrument_key"]]["expiry"] == 86_399_000


async def test_the_type_alone_does_not_tell_an_ordinary_share(few: Path, tmp_path: Path) -> None:
    fund = "2707457,10576,NIFTYBEES,NIPPON INDIA ETF,0,,0,0.01,1,EQ,NSE,NSE,INF204KB14I2,280.5,224.4,336.6,0,100000\n"
    listed = tmp_path / "with_a_fund.csv"
    _extend(few, listed, fund)
    made = MakeUpstox(listed)
    bench = await made()
    answer = await bench.http.get(bench.urls["instruments_url"] + "/NSE.json.gz")
    rows = [row for row in json.loads(gzip.decompress(answer.content)) if row["instrument_type"] == "EQ"]
    isins = {row["trading_symbol"]: row["isin"] for row in rows if row["segment"] == "NSE_EQ"}
    await made.end(bench)
    ordinary = {symbol for symbol, isin in isins.items() if isin.startswith("INE") and isin[7:9] == "01"}
    assert isins["NIFTYBEES"] == "INF204KB14I2"
    assert ordinary == isins.keys() - {"NIFTYBEES"}


def _extend(source: Path, target: Path, line: str) -> None:
    target.write_text(source.read_text() + line)


async def test_the_cdn_guards_the_instrument_file_too(upstox: UpstoxBench) -> None:
    url = upstox.urls["instruments_url"] + "/NSE.json.gz"
    assert (await upstox.http.get(url, headers={"User-Agent": "python-httpx/0.28"})).status_code == 403
    assert (await upstox.http.get(url, headers={"User-Agent": AGENT})).status_code == 200


def test_a_made_up_isin_is_one_of_an_ordinary_share(listing_without_isin: Any) -> None:
    isin = isin_of(listing_without_isin)
    assert isin.startswith("INE")
    assert isin[7:9] == "01"
    digits = "".join(str(int(letter, 36)) for letter in isin)
    total = sum(sum(divmod(int(d) * (1 + i % 2), 10)) for i, d in enumerate(reversed(digits)))
    assert total % 10 == 0, "the check digit of ISO 6166"
    assert key_of(listing_without_isin) == f"NSE_EQ|{isin}"


@pytest.fixture
def listing_without_isin() -> Any:
    from app.simulator.feeds.identity import identify
    from app.simulator.listing import Listings

    return identify("NOBODYKNOWSIT", Listings([]))


async def test_options_of_an_underlying(upstox: UpstoxBench) -> None:
    rows = await upstox.get("/v2/option/contract", instrument_key=NIFTY)
    assert {row["underlying_key"] for row in rows} == {NIFTY}
    expiry = rows[0]["expiry"]
    date.fromisoformat(expiry)
    chain = await upstox.get("/v2/option/chain", instrument_key=NIFTY, expiry_date=expiry)
    assert [row["strike_price"] for row in chain] == sorted({row["strike_price"] for row in rows})
    call = chain[0]["call_options"]
    assert 0 < call["option_greeks"]["delta"] < 1
    assert call["market_data"]["ltp"] > 0
    found = await upstox.get("/v2/instruments/search", query="infy", segments="NSE_EQ")
    assert [row["instrument_key"] for row in found] == [INFY]


@pytest.mark.parametrize("call", [True, False])
def test_greeks_are_the_slopes_of_the_price(call: bool) -> None:
    from app.simulator.pricing import black76, forward

    spot, strike, years, sigma = 100.0, 103.0, 0.2, 0.25

    def price(at: float, left: float, vol: float) -> float:
        return black76(forward(at, left), strike, left, vol, call=call)

    found = greeks(spot, strike, years, price(spot, years, sigma), call=call)
    assert found.iv == pytest.approx(sigma, abs=1e-6)
    step = 1e-3
    slope = (price(spot + step, years, sigma) - price(spot - step, years, sigma)) / (2 * step)
    assert found.delta == pytest.approx(slope, abs=1e-4)
    assert found.vega == pytest.approx(price(spot, years, sigma + 0.005) - price(spot, years, sigma - 0.005), rel=1e-3)
    day = 1 / 365
    decay = (price(spot, years - day / 2, sigma) - price(spot, years + day / 2, sigma)) / 1
    assert found.theta == pytest.approx(decay, rel=1e-2)


async def test_the_calendar_tells_of_holidays_and_of_evenings_on_them(upstox: UpstoxBench) -> None:
    (row,) = await upstox.get("/v2/market/holidays/2026-11-24")
    assert row["holiday_type"] == "TRADING_HOLIDAY"
    assert row["closed_exchanges"] == ["NSE", "BSE", "NFO", "BFO"]
    evening = next(open_ for open_ in row["open_exchanges"] if open_["exchange"] == "MCX")
    assert datetime.fromtimestamp(evening["start_time"] / 1000, MORNING.tzinfo).strftime("%H:%M") == "17:00"
    assert await upstox.get("/v2/market/holidays/2026-11-20") == []
    assert row in await upstox.get("/v2/market/holidays")
    hours = {row["exchange"]: row for row in await upstox.get("/v2/market/timings/2026-11-20")}
    assert hours["NFO"]["end_time"] - hours["NSE"]["end_time"] == 10 * 60 * 1000
    assert await upstox.get("/v2/market/timings/2026-11-21") == []
    assert (await upstox.get("/v2/market/status/NSE"))["status"] == "NORMAL_OPEN"


async def _two_days(bench: UpstoxBench) -> None:
    """Buys ten on Friday, sells seven on Monday; both days end."""
    await bench.place(product="D", quantity=10)
    await bench.clock(MORNING + timedelta(days=3))
    await bench.login()
    await bench.place(product="D", quantity=7, transaction_type="SELL")
    await bench.clock(MORNING + timedelta(days=4))
    await bench.login()


async def test_past_trades_by_date_in_pages(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox()
    await _two_days(bench)
    await bench.place()
    query = {"start_date": "2026-11-20", "end_date": "2026-11-30", "segment": "EQ"}
    path = "/v2/charges/historical-trades"
    whole = await bench.get(path, **query, page_number="1", page_size="5000")
    assert [(row["trade_date"], row["transaction_type"]) for row in whole][:1] == [("2026-11-20", "BUY")]
    bought = sum(row["quantity"] for row in whole if row["transaction_type"] == "BUY")
    assert (bought, sum(row["quantity"] for row in whole) - bought) == (10, 7)
    one = await bench.http.get(path, params={**query, "page_number": "2", "page_size": "1"})
    assert one.json()["data"] == whole[1:2]
    page = one.json()["meta_data"]["page"]
    assert page == one.json()["metaData"]["page"]
    assert page == {"page_number": 2, "page_size": 1, "total_records": len(whole), "total_pages": len(whole)}
    bench.faults("history_today=included")
    more = await bench.get(path, **query, page_number="1", page_size="5000")
    assert sum(row["quantity"] for row in more) == 27


async def test_the_years_report_closes_lots_first_in_first_out(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox()
    await _two_days(bench)
    query = {"segment": "EQ", "financial_year": "2627"}
    count = await bench.get("/v2/trade/profit-loss/metadata", **query)
    rows = await bench.get("/v2/trade/profit-loss/data", **query, page_number="1", page_size="5000")
    assert count == {"trades_count": len(rows), "page_size_limit": 5000}
    assert sum(row["quantity"] for row in rows) == 7.0
    assert {(row["buy_date"], row["sell_date"], row["trade_type"]) for row in rows} == {
        ("20-11-2026", "23-11-2026", "EQ")
    }
    found = (await bench.get("/v2/trade/profit-loss/charges", **query))["charges_breakdown"]
    assert found["brokerage"] == 40.0, "delivery costs at Upstox"
    taxes, others = found["taxes"], found["charges"]
    assert found["total"] == pytest.approx(found["brokerage"] + sum(taxes.values()) + sum(others.values()))
    only = await bench.get("/v2/trade/profit-loss/metadata", **query, to_date="22-11-2026")
    assert only["trades_count"] == 0


async def test_brokerage_and_margins_are_worked_out(upstox: UpstoxBench) -> None:
    order = {"instrument_token": INFY, "quantity": 100, "product": "I", "transaction_type": "SELL", "price": "102"}
    found = (await upstox.get("/v2/charges/brokerage", **order))["charges"]
    assert found["brokerage"] == pytest.approx(10.2), "a tenth of a percent"
    assert found["otherTaxes"] == found["other_taxes"]
    parts = found["brokerage"] + sum(found["taxes"].values()) + sum(found["other_taxes"].values())
    assert found["total"] == pytest.approx(parts)
    item = {"instrument_key": INFY, "quantity": 10, "product": "I", "transaction_type": "BUY", "price": 1100}
    body = {"instruments": [item, {**item, "product": "D"}]}
    margin = (await upstox.http.post("/v2/charges/margin", json=body)).json()["data"]
    assert [row["total_margin"] for row in margin["margins"]] == [2200.0, 11000.0]
    assert margin["required_margin"] == margin["final_margin"] == 13200.0
    many = {"instruments": [item] * 21}
    assert await upstox.refused("POST", "/v2/charges/margin", json=many) == (400, "UDAPI100036")


async def test_a_position_changes_its_product_and_becomes_a_holding(upstox: UpstoxBench) -> None:
    await upstox.place()
    move = {"instrument_token": INFY, "new_product": "D", "old_product": "I", "transaction_type": "BUY", "quantity": 4}
    answer = await upstox.http.put("/v2/portfolio/convert-position", json=move)
    assert answer.json()["data"] == {"status": "complete"}
    rows = await upstox.get("/v2/portfolio/short-term-positions")
    assert {row["product"]: row["quantity"] for row in rows} == {"I": 6, "D": 4}
    assert (await upstox.refused("PUT", "/v2/portfolio/convert-position", json={**move, "quantity": 9}))[0] == 400
    await upstox.clock(MORNING + timedelta(days=3))
    await upstox.login()
    (held,) = await upstox.get("/v2/portfolio/long-term-holdings")
    assert (held["quantity"], held["t1_quantity"], held["isin"]) == (4, 4, "INE009A01021")
