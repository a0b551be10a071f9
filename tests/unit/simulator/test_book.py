from __future__ import annotations

import random
import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.simulator.book import Book, BookInUse
from app.simulator.exchange import Opening
from tests.paper_exchange import PaperExchange
from tests.unit.simulator.conftest import MORNING, SECRETS, Make

INFY = "NSE:INFY"


def test_nothing_is_kept_before_commit(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.put("order", "1", {"quantity": 5})
    assert book.load("order") == {}
    book.commit(durable=True)
    book.put("order", "2", {})
    book.drop("order", "1")
    assert book._database is not None
    book._database.close()  # as a crash would: what is not committed is gone
    assert Book(tmp_path).load("order") == {"1": {"quantity": 5}}


def test_one_exchange_at_a_time(tmp_path: Path) -> None:
    book = Book(tmp_path)
    with pytest.raises(BookInUse, match="in use by another paper exchange"):
        Book(tmp_path)
    book.close()
    Book(tmp_path).close()


@pytest.mark.parametrize(
    "damage", [b"not a database at all, but long enough to look like one" * 50, b"SQLite format 3\0"]
)
def test_a_damaged_book_is_set_aside(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "book.sqlite3").write_bytes(damage)
    book = Book(tmp_path)
    assert book.set_aside is not None
    assert book.set_aside.read_bytes() == damage
    book.put("order", "1", 1)
    book.commit(durable=True)
    assert book.load("order") == {"1": 1}
    book.close()


async def test_a_book_of_another_client_is_set_aside(make: Make, tmp_path: Path) -> None:
    bench = await make(state=tmp_path)
    await bench.place(quantity=1)
    bench.exchange.ledger.account.user_id = "ZZ0000"
    bench.exchange.ledger.save()
    bench.exchange.book.drop("account", SECRETS.user_id)
    await make.end(bench)
    again = await make(state=tmp_path)
    assert await again.get("/orders") == []
    assert again.exchange.book.set_aside is not None
    assert again.exchange.book.set_aside.exists()


async def test_a_restart_knows_everything(make: Make, tmp_path: Path) -> None:
    bench = await make(state=tmp_path, openings=(Opening(INFY, 7, "CNC", 1000_00),))
    bench.price(INFY, 1120_00)
    bench.depth(INFY, [(1119_90, 30, 1)], [(1120_00, 30, 1)])
    filled = await bench.place(quantity=20, tag="filled")
    partial = await bench.place(quantity=50, tag="partial")
    resting = await bench.place(order_type="LIMIT", price="1050.00", quantity=5)
    stop = await bench.place(
        transaction_type="SELL", quantity=20, order_type="SL", price="1090.00", trigger_price="1100.00"
    )
    header, port = bench.http.headers["Authorization"], bench.exchange.port
    paths = ("/orders", "/trades", "/portfolio/positions", "/portfolio/holdings", "/user/margins", f"/orders/{partial}")
    before = {path: await bench.get(path) for path in paths}
    await make.end(bench)

    again = await make(state=tmp_path, openings=(Opening(INFY, 7, "CNC", 1000_00),), login=False)
    again.http.headers["Authorization"] = header
    assert again.exchange.port == port
    assert again.last(INFY) == 1120_00
    assert {path: await again.get(path) for path in paths} == before
    # what was on its way goes on
    again.depth(INFY, [(1099_00, 50, 1)], [(1120_10, 500, 1)], last=1100_00)
    assert (await again.order(partial))["status"] == "COMPLETE"
    assert (await again.order(stop))["status"] == "COMPLETE"
    assert (await again.order(resting))["status"] == "OPEN"
    assert (await again.order(filled))["filled_quantity"] == 20
    ids = [row["trade_id"] for row in await again.get("/trades")]
    assert len(set(ids)) == len(ids)
    assert int(await again.place(quantity=1)) > int(stop)


async def test_orders_in_transit_arrive_after_a_restart(make: Make, tmp_path: Path) -> None:
    bench = await make(state=tmp_path)
    order_id = await bench.place(order_type="LIMIT", price="1050.00")
    bench.exchange.oms._delay = (60.0, 60.0)
    in_transit = (await bench.try_place()).json()["data"]["order_id"]
    await bench.http.delete(f"/orders/regular/{order_id}")
    header = bench.http.headers["Authorization"]
    await make.end(bench)
    again = await make(state=tmp_path, login=False)
    again.http.headers["Authorization"] = header
    await again.settle()
    assert (await again.order(in_transit))["status"] == "COMPLETE"
    assert (await again.order(order_id))["status"] == "CANCELLED"


async def test_no_secret_is_in_the_book(make: Make, tmp_path: Path) -> None:
    bench = await make(state=tmp_path)
    token = bench.http.headers["Authorization"].partition(":")[2]
    await bench.place()
    files = contents(tmp_path)
    assert sum(map(len, files)) > 1000
    for secret in (token, SECRETS.password, SECRETS.api_secret, SECRETS.totp_secret):
        assert not any(secret.encode() in content for content in files)


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


GIVEN = {
    "api_key": "key0123456789abc",
    "api_secret": "api-secret-canary-5e1f",
    "user_id": "CD5678",
    "password": "password-canary-77aa",
    "totp_secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
}


def test_given_credentials_are_on_no_command_line_in_no_file_and_not_printed(tmp_path: Path, few: Path) -> None:
    options = ("--state", str(tmp_path / "state"), "--instruments", str(few), "--fault", "limits=off")
    with PaperExchange(*options, credentials=GIVEN) as exchange:
        printed = {key for key in exchange.line if key not in GIVEN}
        assert printed == {"api_url", "login_url", "ws_url", "redirect_url"}
        token = exchange.login()
        with exchange.client() as http:
            assert http.get("/user/profile").json()["data"]["user_id"] == "CD5678"
        port = exchange.line["api_url"]
        command = Path(f"/proc/{exchange.pid}/cmdline")
        if command.exists():
            assert not any(GIVEN[name].encode() in command.read_bytes() for name in ("api_secret", "password"))
        exchange.restart()
        assert exchange.line["api_url"] == port
        with exchange.client() as http:  # the token of before the crash
            assert http.get("/user/profile").status_code == 200
        exchange.kill()
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in (token, GIVEN["api_secret"], GIVEN["password"], GIVEN["totp_secret"]):
                assert secret.encode() not in content, path


def test_alone_the_credentials_are_kept_for_the_owner_only(tmp_path: Path, few: Path) -> None:
    options = ("--state", str(tmp_path), "--instruments", str(few))
    with PaperExchange(*options) as exchange:
        first = dict(exchange.line)
        exchange.restart()
        assert exchange.line == first
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600


class Trader(threading.Thread):
    """Places and cancels until the line breaks; remembers what was acknowledged."""

    def __init__(self, exchange: PaperExchange, seed: int) -> None:
        super().__init__()
        self._client = exchange.client()
        self._random = random.Random(seed)
        self.acknowledged: list[str] = []
        self.completed: set[str] = set()

    def run(self) -> None:
        with self._client as http:
            try:
                while True:
                    self._act(http)
            except httpx.TransportError:
                return

    def _act(self, http: httpx.Client) -> None:
        form = {
            "exchange": "NSE",
            "tradingsymbol": "INFY",
            "transaction_type": self._random.choice(["BUY", "SELL"]),
            "quantity": self._random.randint(1, 40),
            "product": "MIS",
            "order_type": "MARKET",
            "market_protection": -1,
            "tag": f"n{len(self.acknowledged)}",
        }
        answer = http.post("/orders/regular", data=form).json()
        if answer["status"] == "success":
            self.acknowledged.append(answer["data"]["order_id"])
        for row in http.get("/orders").json()["data"]:
            if row["status"] == "COMPLETE":
                self.completed.add(row["order_id"])


def check(book: Any, trader: Trader) -> None:
    rows = {row["order_id"]: row for row in book["orders"]}
    assert set(trader.acknowledged) <= rows.keys()
    assert len(rows) <= len(trader.acknowledged) + 1  # at most the one that was never answered
    assert all(rows[order_id]["status"] == "COMPLETE" for order_id in trader.completed)
    filled: dict[str, int] = {}
    net = 0
    for fill in book["trades"]:
        filled[fill["order_id"]] = filled.get(fill["order_id"], 0) + fill["quantity"]
        net += fill["quantity"] if fill["transaction_type"] == "BUY" else -fill["quantity"]
    assert {order_id: row["filled_quantity"] for order_id, row in rows.items() if row["filled_quantity"]} == filled
    assert sum(row["quantity"] for row in book["net"]) == net
    ids = [fill["trade_id"] for fill in book["trades"]]
    assert len(set(ids)) == len(ids)


def test_killed_at_any_moment_it_keeps_what_it_acknowledged(tmp_path: Path, few: Path) -> None:
    options = ("--state", str(tmp_path), "--instruments", str(few), "--fault", "limits=off", "--order-delay", "0-4")
    chance = random.Random(7)
    with PaperExchange(*options) as exchange:
        exchange.login()
        kept: set[str] = set()
        for seed in range(4):
            trader = Trader(exchange, seed)
            trader.acknowledged = sorted(kept)
            trader.start()
            time.sleep(chance.uniform(0.1, 0.5))
            exchange.kill()
            trader.join(20)
            exchange.start()
            book = exchange.book()
            check(book, trader)
            kept = {row["order_id"] for row in book["orders"]}
        assert len(kept) > 8


def test_the_file_is_what_sqlite_says_it_is(tmp_path: Path) -> None:
    Book(tmp_path).close()
    with sqlite3.connect(tmp_path / "book.sqlite3") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


async def test_candles_and_prices_survive_in_rounds(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await make(state=tmp_path)
    history = "/instruments/historical/408065/minute"
    query = {"from": "2026-11-20 09:15:00", "to": "2026-11-20 12:00:00"}
    for minute in range(30):
        bench.exchange.market.clock.set(MORNING + timedelta(minutes=minute))
        bench.price(INFY, 1120_00 + minute * 10)
        bench.price("NSE:SBIN", bench.last("NSE:SBIN") + 5)
        bench.exchange.memory.round()
    bench.exchange.book.commit()
    token = bench.http.headers["Authorization"]
    before = await bench.get(history, **query)
    monkeypatch.setattr(bench.exchange.memory, "everything", lambda: None)  # as if it was killed after the round
    await make.end(bench)
    again = await make(state=tmp_path, login=False)
    again.http.headers["Authorization"] = token
    after = await again.get(history, **query)
    # the market has gone on since: only the running minute may have changed, and it begins where it began
    assert after["candles"][:-1] == before["candles"][:-1]
    assert after["candles"][-1][:2] == before["candles"][-1][:2]
    assert len(before["candles"]) >= 75
