from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from aiohttp import ClientSession, WSMsgType

from app.simulator.faults import REQUEST, UPDATE, Faults
from tests.unit.simulator.conftest import SECRETS, Bench, Make, contract, lot

INFY = "NSE:INFY"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("explode", "no fault or switch called 'explode'"),
        ("delay", "delay needs a number"),
        ("delay=soon", "delay needs a number, not 'soon'"),
        ("delay=-1", "cannot be negative"),
        ("close:route=nowhere", "no route called 'nowhere'"),
        ("close:when=now", "no key 'when'"),
        ("limits=maybe", "limits takes on or off"),
        ("close:nth=x", "nth needs a number"),
    ],
)
def test_a_wrong_spec_is_named(spec: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Faults([spec])


def test_a_fault_strikes_from_the_nth_event_so_many_times() -> None:
    faults = Faults(["lost-before:route=place,instrument=NSE:INFY,nth=2,count=2"])
    events = [("place", INFY), ("place", "NSE:SBIN"), ("cancel", INFY), *[("place", INFY)] * 4]
    struck = [faults.strike(REQUEST, route, key) is not None for route, key in events]
    assert struck == [False, False, False, True, True, False, False]
    assert faults.rows()[0]["struck"] == 2


def test_count_nought_strikes_until_released() -> None:
    faults = Faults(["status=503:count=0"])
    assert all(faults.strike(REQUEST, "orders") for _ in range(10))
    faults.release(1)
    assert faults.strike(REQUEST, "orders") is None


def test_chance_is_the_same_for_the_same_seed() -> None:
    def run(seed: int) -> list[bool]:
        faults = Faults(["lost-before:chance=0.5,count=0"], seed)
        return [faults.strike(REQUEST, "place") is not None for _ in range(64)]

    assert run(1) == run(1) != run(2)
    assert 10 < sum(run(1)) < 54


def test_text_takes_the_rest_of_the_spec() -> None:
    fault = Faults().add("reject:count=3,text=RMS: no, not today: really")
    assert fault is not None
    assert (fault.count, fault.text) == (3, "RMS: no, not today: really")


def test_a_bad_list_leaves_the_old_one() -> None:
    faults = Faults(["close:count=7", "limits=off"])
    with pytest.raises(ValueError, match="nonsense"):
        faults.replace(["limits=on", "nonsense"])
    assert [row["spec"] for row in faults.rows()] == ["close:count=7"]
    assert faults.switches.limits == "off"


async def placed(bench: Bench) -> int:
    return len((await bench.http.get("/simulator/book")).json()["orders"])


@pytest.mark.parametrize(("fault", "orders"), [("lost-before", 0), ("lost-after", 1)])
async def test_a_lost_reply(bench: Bench, fault: str, orders: int) -> None:
    bench.faults(f"{fault}:route=place")
    with pytest.raises(httpx.RemoteProtocolError):
        await bench.try_place()
    assert await placed(bench) == orders
    assert (await bench.try_place()).status_code == 200


async def test_an_order_that_arrives_after_its_line_broke(bench: Bench) -> None:
    bench.faults("late-lost=0.4:route=place")
    with pytest.raises(httpx.RemoteProtocolError):
        await bench.try_place()
    assert await placed(bench) == 0
    for _ in range(200):
        if await placed(bench):
            break
        await asyncio.sleep(0.01)
    assert await placed(bench) == 1


async def test_a_client_that_gave_up_still_has_its_order_later(bench: Bench) -> None:
    bench.faults("accept-late=0.5:route=place")
    bench.http.timeout = httpx.Timeout(0.05)
    with pytest.raises(httpx.ReadTimeout):
        await bench.try_place()
    bench.http.timeout = httpx.Timeout(10.0)
    assert await placed(bench) == 0
    for _ in range(200):
        if await placed(bench):
            break
        await asyncio.sleep(0.01)
    assert await placed(bench) == 1


async def test_a_delayed_reply_is_done_at_once(bench: Bench) -> None:
    bench.faults("delay=0.2:route=place")
    before = time.monotonic()
    reply = asyncio.create_task(bench.try_place())
    for _ in range(200):
        if bench.exchange.oms.records.orders:
            break
        await asyncio.sleep(0.001)
    assert len(bench.exchange.oms.records.orders) == 1
    assert not reply.done()
    assert (await reply).status_code == 200
    assert time.monotonic() - before >= 0.2


@pytest.mark.parametrize(
    ("code", "kind"),
    [(500, "GeneralException"), (502, "DataException"), (503, "NetworkException"), (504, "DataException")],
)
async def test_server_errors_do_nothing(bench: Bench, code: int, kind: str) -> None:
    bench.faults(f"status={code}:route=place")
    answer = await bench.try_place()
    assert (answer.status_code, answer.json()["error_type"]) == (code, kind)
    assert await placed(bench) == 0


@pytest.mark.parametrize(("spec", "header"), [("throttle", None), ("throttle=7", "7")])
async def test_throttled_with_and_without_a_hint(bench: Bench, spec: str, header: str | None) -> None:
    bench.faults(f"{spec}:route=orders")
    answer = await bench.http.get("/orders")
    assert (answer.status_code, answer.headers.get("retry-after")) == (429, header)
    assert (await bench.http.get("/orders")).status_code == 200


async def test_a_firewalls_page(bench: Bench) -> None:
    bench.faults("html-403:route=positions")
    answer = await bench.http.get("/portfolio/positions")
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")


async def test_broken_answers(bench: Bench) -> None:
    bench.faults("bad-gzip:route=orders", "cut-json:route=trades", "close:route=positions")
    with pytest.raises((httpx.DecodingError, ValueError)):
        (await bench.http.get("/orders")).json()
    with pytest.raises(ValueError, match=r"."):
        (await bench.http.get("/trades")).json()
    with pytest.raises(httpx.RemoteProtocolError):
        await bench.http.get("/portfolio/positions")


async def test_a_refusal_with_its_own_words(bench: Bench) -> None:
    bench.faults("refuse=HoldingException:route=place,text=5 quantity needs authorisation at depository.")
    assert await bench.refused() == (400, "HoldingException", "5 quantity needs authorisation at depository.")


async def test_an_order_rejected_after_acceptance(bench: Bench) -> None:
    bench.faults("reject:nth=2,text=RMS: blocked")
    first, second = await bench.place(), await bench.place()
    assert (await bench.order(first))["status"] == "COMPLETE"
    row = await bench.order(second)
    assert (row["status"], row["status_message"], row["pending_quantity"]) == ("REJECTED", "RMS: blocked", 0)


async def test_a_partial_fill_waits_for_its_release(bench: Bench) -> None:
    bench.price(INFY, 1120_00)
    bench.depth(INFY, [], [(1120_00, 1000, 1)])
    bench.faults("partial=4")
    order_id = await bench.place(quantity=10)
    row = await bench.order(order_id)
    assert (row["status"], row["filled_quantity"], row["pending_quantity"]) == ("OPEN", 4, 6)
    bench.depth(INFY, [], [(1120_00, 1000, 1)])
    assert (await bench.order(order_id))["filled_quantity"] == 4
    assert (await bench.http.delete("/simulator/faults", params={"id": 1})).status_code == 200
    assert (await bench.order(order_id))["status"] == "COMPLETE"


async def test_a_contract_fills_in_whole_lots(bench: Bench) -> None:
    symbol = contract(bench, "NIFTY", "CE")
    size = lot(bench, symbol)
    bench.faults("partial=1")
    order_id = await bench.place(exchange="NFO", tradingsymbol=symbol, quantity=3 * size)
    row = await bench.order(order_id)
    assert (row["status"], row["filled_quantity"]) == ("OPEN", size)


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ("update-drop:nth=1", ["COMPLETE"]),
        ("update-duplicate:nth=2", ["OPEN", "COMPLETE", "COMPLETE"]),
        ("update-reorder:nth=1", ["COMPLETE", "OPEN"]),
    ],
)
async def test_what_can_happen_to_updates(bench: Bench, spec: str, seen: list[str]) -> None:
    sent: list[dict[str, Any]] = []
    bench.exchange.updates._send = sent.append
    bench.faults(spec)
    await bench.place(quantity=1)
    assert [update["status"] for update in sent] == seen


async def test_an_update_can_be_late(bench: Bench) -> None:
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    bench.exchange.updates._send = sent.put_nowait
    bench.faults("update-delay=0.05:nth=1")
    await bench.place(quantity=1)
    assert [(await sent.get())["status"] for _ in range(2)] == ["COMPLETE", "OPEN"]


async def test_faults_are_set_and_read_at_run_time(bench: Bench) -> None:
    document = {"faults": ["status=503:route=orders", "static_ip=on"]}
    answer = (await bench.http.put("/simulator/faults", json=document)).json()
    assert [row["spec"] for row in answer["faults"]] == ["status=503:route=orders"]
    assert answer["switches"]["static_ip"] == "on"
    assert (await bench.http.get("/orders")).status_code == 503
    assert (await bench.http.get("/simulator/faults")).json()["faults"][0]["struck"] == 1
    assert (await bench.http.put("/simulator/faults", json={"faults": []})).json()["faults"] == []
    bad = await bench.http.put("/simulator/faults", json={"faults": ["nonsense"]})
    assert (bad.status_code, "nonsense" in bad.json()["message"]) == (400, True)
    assert (await bench.http.delete("/simulator/faults", params={"id": 99})).status_code == 400


async def frames(bench: Bench, spec: str) -> list[tuple[WSMsgType, Any]]:
    """What a subscriber of INFY receives when its price moves twice, the fault striking the second time."""
    token = bench.http.headers["Authorization"].partition(":")[2]
    url = f"{bench.exchange.urls['ws_url']}?api_key={SECRETS.api_key}&access_token={token}"
    received = []
    async with ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json({"a": "subscribe", "v": [408065]})
        await socket.receive(5)
        bench.faults(spec)
        bench.price(INFY, 1121_00)
        while True:
            message = await socket.receive(5)
            received.append((message.type, message.data))
            tick = message.type is WSMsgType.BINARY and len(message.data) > 40
            if message.type is not WSMsgType.BINARY or tick:
                return received


async def test_the_ticker_can_break_off(bench: Bench) -> None:
    assert (await frames(bench, "ticker-disconnect"))[-1][0] is not WSMsgType.BINARY


async def test_the_ticker_can_break_in_the_middle(bench: Bench) -> None:
    got = await frames(bench, "ticker-cut")
    cut = bytes.fromhex("0002000800063a0100026683002c00063a0100026683")
    assert cut in [data for _, data in got]


async def test_the_ticker_can_send_rubbish(bench: Bench) -> None:
    got = await frames(bench, "ticker-malformed")
    assert bytes.fromhex("0002000700063a0100ffff002c") in [data for _, data in got]


async def test_the_ticker_can_fall_silent(bench: Bench) -> None:
    def silent() -> bool:
        return bench.exchange.hub.silent

    bench.faults("ticker-silence=0.05")
    bench.price(INFY, 1121_00)
    assert silent()
    for _ in range(200):
        if not silent():
            break
        await asyncio.sleep(0.01)
    assert not silent()


def test_every_update_fault_is_known() -> None:
    for name in UPDATE:
        spec = f"{name}=1" if name == "update-delay" else name
        assert Faults([spec]).rows()


@pytest.fixture
async def bench(make: Make) -> Bench:
    return await make()
