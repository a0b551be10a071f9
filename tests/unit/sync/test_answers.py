"""Answers that no broker should give: each is named for what it is, and the book stays as it was. A failed read is
never an empty list.
"""

from __future__ import annotations

import json
from typing import Any

from app.domain.events import SyncPaused, SyncStep
from app.domain.sync import DataSet, ErrorClass
from app.storage.book import Book
from app.sync.service import SyncService
from tests.fakes.scripted_server import answer
from tests.unit.sync.conftest import DAY, A, Desk, charge_table, trade_row
from tests.unit.sync.test_guard import Time


def said(data: Any, status: str = "200 OK", **more: Any) -> bytes:
    return answer(json.dumps({"status": "success", "data": data, **more}).encode(), status=status)


def whole(text: str) -> bytes:
    return answer(text.encode())


def with_row(**changes: Any) -> bytes:
    return said([trade_row(1), trade_row(2, **changes)])


def raw_row(field: str, value: str) -> bytes:
    """A row with a field as no JSON library would write it."""
    return answer(
        json.dumps({"status": "success", "data": [trade_row(2, **{field: "?"})]})
        .encode()
        .replace(b'"?"', value.encode())
    )


def left_alone_long_enough(service: SyncService) -> None:
    """The breaker, as a minute later."""
    for breaker in service.guard.breakers:
        breaker.succeeded()


NOT_TRADES = {
    "null": said(None),
    "an object": said({}),
    "a text": said("none"),
    "a number": said(0),
    "no data at all": whole('{"status": "success"}'),
    "an empty body": answer(b""),
    "an empty object": whole("{}"),
    "an empty list": whole("[]"),
    "a null document": whole("null"),
    "a status that nobody knows": whole('{"status": "partial", "data": []}'),
    "a long error with an empty list": whole(f'{{"status": "error", "message": "{"x" * 70_000}", "data": []}}'),
    "text": answer(b"OK", kind="text/plain"),
    "a page": answer(b"<html>Log in to the hotel's network</html>", kind="text/html"),
    "endless nesting": whole("[" * 100_000),
    "not UTF-8": answer(b'{"status": "success", "data": ["\xff\xfe"]}'),
    "rows that are none": said([1, 2]),
    "a row of nothing": said([{}]),
    "no trade id": with_row(trade_id=""),
    "a trade id of null": with_row(trade_id=None),
    "no order": with_row(order_id=None),
    "a quantity of 0": with_row(quantity=0),
    "a quantity below 0": with_row(quantity=-5),
    "half a share": with_row(quantity=1.5),
    "a quantity in words": with_row(quantity="ten"),
    "a quantity beyond this world": with_row(quantity=10**40),
    "a quantity that cannot be counted": raw_row("quantity", "1e999999999"),
    "a price of null": with_row(average_price=None),
    "a price below nothing": with_row(average_price=-5),
    "a price between two paise": with_row(average_price=1500.0512),
    "a price beyond this world": with_row(average_price=1e300),
    "a price that cannot be counted": raw_row("average_price", "1e999999999"),
    "a side in small letters": with_row(transaction_type="buy"),
    "a side that nobody knows": with_row(transaction_type="SHORT"),
    "a product that nobody knows": with_row(product="XYZ"),
    "an exchange that nobody knows": with_row(exchange="NASDAQ"),
    "a contract that is none": with_row(exchange="NFO", tradingsymbol="NIFTY"),
    "no time": with_row(fill_timestamp=None, exchange_timestamp=None),
    "a time of day alone": with_row(fill_timestamp="09:16:39"),
    "a day that does not exist": with_row(fill_timestamp="2026-11-31 10:00:00"),
    "a time beyond the counter": with_row(fill_timestamp="9999-12-31 10:00:00"),
}


async def test_what_is_no_list_of_trades_is_never_taken_for_an_empty_one(
    service: SyncService, desk: Desk, book: Book
) -> None:
    desk.trades = [trade_row(1)]
    await service.run()
    before = await book.fills.all()
    for name, broken in NOT_TRADES.items():
        desk.broken["/trades"] = [broken]
        (result,) = await service.run()
        assert (name, result.step, result.error_class) == (name, SyncStep.FAILED, ErrorClass.ANSWER), result.error
        assert result.error
        assert await book.fills.all() == before, name
        assert await book.leases.load() == []
        left_alone_long_enough(service)
    (result,) = await service.run()
    assert (result.step, result.skipped) == (SyncStep.COMPLETED, 1)


async def test_an_error_that_is_called_fine_takes_nothing_back(service: SyncService, desk: Desk, book: Book) -> None:
    """200 on the outside, an error within, and an empty list where the trades should be."""
    desk.trades = [trade_row(1)]
    await service.run()
    for kind in ('"error_type": "NewException", ', ""):
        desk.broken["/trades"] = [whole(f'{{"status": "error", {kind}"message": "Busy", "data": []}}')] * 3
        (result,) = await service.run()
        assert (result.step, result.error_class) == (SyncStep.FAILED, ErrorClass.SERVER), result.error
        assert "Busy" in result.error
        assert len(await book.fills.all()) == 1
        left_alone_long_enough(service)


async def test_positions_holdings_and_funds_are_not_taken_from_nothing_either(service: SyncService, desk: Desk) -> None:
    for path in ("/portfolio/positions", "/portfolio/holdings", "/user/margins"):
        for broken in (said(None), said({"net": None, "equity": None}), whole("{}"), answer(b"")):
            desk.broken[path] = [broken]
            (result,) = await service.run()
            found = (path, broken, result.step, result.error_class)
            assert found == (path, broken, SyncStep.FAILED, ErrorClass.ANSWER), result.error
            left_alone_long_enough(service)


REFUSALS = {
    "a code that only says no": ('{"status": "error", "message": "No such route"}', "404 Not Found"),
    "a gateway's own words": ('{"message": "Forbidden"}', "403 Forbidden"),
    "gone": ('{"status": "error", "message": "x", "error_type": "GeneralException"}', "410 Gone"),
    "an input that it does not take": (
        '{"status": "error", "message": "x", "error_type": "InputException"}',
        "400 Bad",
    ),
}


async def test_a_refusal_is_said_and_skipped_and_the_rest_is_saved(
    service: SyncService, desk: Desk, book: Book
) -> None:
    for name, (body, status) in REFUSALS.items():
        desk.trades.append(trade_row(len(desk.trades)))
        desk.broken["/portfolio/holdings"] = [answer(body.encode(), status=status)]
        (result,) = await service.run()
        found = (name, result.step, result.error_class, result.created)
        assert found == (name, SyncStep.FAILED, ErrorClass.CLIENT, 1), result.error
        assert desk.pauses == []
        states = {state.data_set: state for state in await book.data_sets.load()}
        assert states[DataSet.HOLDINGS].error_class is ErrorClass.CLIENT


DEAD = [
    answer(b'{"status": "error", "message": "x", "error_type": "TokenException"}', status="403 Forbidden"),
    answer(b'{"status": "error", "message": "x", "error_type": "TokenException"}', status="200 OK"),
    answer(b'{"status": "error", "message": "x", "error_type": "GeneralException"}', status="401 Unauthorized"),
    answer(b'{"message": "Unauthorized"}', status="401 Unauthorized"),
]


async def test_a_dead_session_asks_for_a_login_whatever_the_status(service: SyncService, desk: Desk) -> None:
    for dead in DEAD:
        desk.dead.clear()
        desk.broken["/trades"] = [dead]
        (result,) = await service.run()
        assert (dead, result.step, result.error_class) == (dead, SyncStep.FAILED, ErrorClass.AUTH), result.error
        assert desk.dead == [A]


BUSY = {
    "a page": answer(b"<html>timeout</html>", status="408 Request Timeout", kind="text/html"),
    "nothing, called JSON": answer(b"", status="503 Service Unavailable"),
    "half a document": answer(b'{"status": "err', status="500 Internal Server Error"),
    "a page of the gateway": answer(b"<html>", status="502 Bad Gateway", kind="text/html"),
    "too many, in a page": answer(
        b"<html>", status="429 Too Many Requests", kind="text/html", extra="Retry-After: 2\r\n"
    ),
    "too many, and nothing": answer(b"", status="429 Too Many Requests", extra="Retry-After: 2\r\n"),
}


async def test_a_server_that_is_busy_is_asked_again_whatever_its_body(service: SyncService, desk: Desk) -> None:
    for name, busy in BUSY.items():
        desk.trades.append(trade_row(len(desk.trades)))
        desk.broken["/trades"] = [busy]
        (result,) = await service.run()
        found = (name, result.step, result.created, result.retries)
        assert found == (name, SyncStep.COMPLETED, 1, 1), result.error


DATED = "Date: Fri, 20 Nov 2026 06:30:00 GMT\r\n"


ASKED = [
    ("Retry-After: 7\r\n", 7),
    ("Retry-After:   7.5 \r\n", 7.5),
    ("Retry-After: 0\r\n", 0),
    (DATED + "Retry-After: Fri, 20 Nov 2026 06:30:25 GMT\r\n", 25),
    (DATED + "Retry-After: Fri, 20 Nov 2026 06:29:00 GMT\r\n", 0),
    ("Retry-After: -5\r\n", 60),
    ("Retry-After: soon\r\n", 60),
    ("Retry-After: nan\r\n", 60),
    ("Retry-After: inf\r\n", 60),
    ("Retry-After: 1e9\r\n", 60),
    ("Retry-After: \r\n", 60),
    ("", 60),
]


async def test_what_retry_after_says_is_waited_and_what_makes_no_sense_is_a_minute(
    service: SyncService, desk: Desk
) -> None:
    for headers, seconds in ASKED:
        desk.events.clear()
        desk.pauses.clear()
        desk.broken["/trades"] = [answer(b"{}", status="429 Too Many Requests", extra=headers)]
        (result,) = await service.run()
        assert (headers, result.step, desk.pauses) == (headers, SyncStep.COMPLETED, [seconds]), result.error
        assert [event.seconds for event in desk.told(SyncPaused)] == [seconds]


async def test_a_broker_that_asks_for_longer_than_a_run_waits_is_left_alone_by_all_runs(
    service: SyncService, desk: Desk, book: Book
) -> None:
    """For as long as it asked, but not for years: each hour it is asked once."""
    time = Time()
    guarded = SyncService(
        book, charge_table(), service._targets, desk.events.append, desk.on_dead, sleep=desk.sleep, clock=time
    )
    for status, seconds, left_alone in (
        ("429 Too Many Requests", 600, 600),
        ("503 Service Unavailable", 900, 900),
        ("429 Too Many Requests", 999_999_999, 3_600),
    ):
        desk.broken["/trades"] = [answer(b"{}", status=status, extra=f"Retry-After: {seconds}\r\n"), answer(b"never")]
        (result,) = await guarded.run()
        assert (result.step, desk.pauses) == (SyncStep.FAILED, []), result.error
        if status.startswith("429"):
            assert f"left alone for {left_alone // 60} minutes, as it asked" in result.error
        (pause,) = guarded.guard.pauses()
        assert (pause.account, pause.data_set, pause.seconds_left) == (A, DataSet.TRADES, left_alone)
        time.now += left_alone - 245
        (again,) = await guarded.run(trigger="scheduled")
        assert (again.step, again.error_class) == (SyncStep.FAILED, ErrorClass.RATE_LIMIT)
        assert f"left alone for {left_alone // 60} minutes, as it asked" in again.error
        assert len(desk.broken["/trades"]) == 1, "nothing was sent"
        time.now += 246
        desk.broken.clear()
        (over,) = await guarded.run()
        assert (over.step, guarded.guard.pauses()) == (SyncStep.COMPLETED, ())


ODD_BUT_TRUE = {
    "nineteen digits": trade_row(1, order_id="9223372036854775809", trade_id="99999999999999999999"),
    "a name in Hindi": trade_row(1, tradingsymbol="इंफोसिस"),
    "a share that no list knows": trade_row(1, tradingsymbol="NEVERLISTED-ZZ"),
    "a contract that expired long ago": trade_row(1, exchange="NFO", tradingsymbol="NIFTY19DEC12000CE", product="NRML"),
    "a fill at midnight": trade_row(1, fill_timestamp=f"{DAY} 00:00:00"),
    "no time of the exchange": trade_row(1, exchange_timestamp=None),
    "an hour ahead of us": trade_row(1, fill_timestamp=f"{DAY} 13:00:00"),
    "with a zone": trade_row(1, fill_timestamp=f"{DAY}T06:00:00+00:00"),
    "a field that is new": trade_row(1, liquidity={"maker": True}),
}


async def test_what_is_odd_and_true_is_stored_once(service: SyncService, desk: Desk, book: Book) -> None:
    for number, (name, row) in enumerate(ODD_BUT_TRUE.items(), 2):
        before = {fill.id for fill in await book.fills.all()}
        listed = {**row, "order_id": row["order_id"] if name == "nineteen digits" else str(number)}
        desk.trades += [listed, listed]
        (first,) = await service.run()
        assert (name, first.step, first.created) == (name, SyncStep.COMPLETED, 1), first.error
        (new,) = {fill.id for fill in await book.fills.all()} - before
        assert new.trade_date == DAY
        (again,) = await service.run()
        assert (again.created, again.updated, again.skipped) == (0, 0, len(desk.trades))


async def test_a_fill_late_in_the_evening_by_another_zone_belongs_to_the_indian_day(
    service: SyncService, desk: Desk, book: Book
) -> None:
    desk.trades = [trade_row(1, fill_timestamp="2026-11-19T18:45:00+00:00")]  # 00:15 of the 20th in India
    await service.run()
    (fill,) = await book.fills.all()
    assert fill.id.trade_date == DAY
