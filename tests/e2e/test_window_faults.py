"""What goes wrong, as the trader meets it: said in words, nothing lost, work goes on in place."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.window import code_of, connect, connect_and_log_in, workplace
from tests.exchange import PaperExchange, eventually

RELIANCE = ("--opening-position", "NSE:RELIANCE=50@MIS")
FUTURE = "RELIANCE26DECFUT"
CARRIED = ("--opening-position", f"NFO:{FUTURE}=500@NRML")
"""What is held over the change of the day at 06:00, which is when tokens die."""


@pytest.mark.timeout(90)
def test_a_wrong_passphrase_is_said_and_the_right_one_still_opens(tmp_path: Path) -> None:
    with workplace(tmp_path) as work:
        work.start()
        work.create_vault()
        assert work.quit() == 0
        work.start()
        work.type_passphrase("granite orchid lantern 74")
        said = work.words()
        work.shot("wrong passphrase")
        assert "passphrase" in said
        assert "try again" in said
        assert work.status()["vault"] == "locked"
        work.unlock_again()
        assert work.quit() == 0


@pytest.mark.timeout(90)
@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_a_damaged_book_is_set_aside_and_the_program_runs(tmp_path: Path, damage: str) -> None:
    with workplace(tmp_path) as work:
        work.start()
        work.create_vault()
        assert work.quit() == 0
        book = work.paths.book
        if damage == "truncated":
            book.write_bytes(book.read_bytes()[:9000])
        else:
            book.unlink()
            with closing(sqlite3.connect(book)) as foreign:
                foreign.execute("CREATE TABLE trades (id INTEGER)")
                foreign.commit()
        spoilt = book.read_bytes()
        work.start()
        work.unlock()
        notices = eventually(work.notices)
        assert "Sync brings" in notices
        work.shot(f"{damage} book")
        assert "The trade book had to be started anew" in notices
        kept = [file for file in work.profile.iterdir() if file.is_file() and file.read_bytes() == spoilt]
        assert len(kept) == 1
        assert kept[0].name in notices
        assert work.quit() == 0


@pytest.mark.timeout(120)
def test_a_login_that_fails_or_is_cancelled_says_why_and_can_be_tried_again(tmp_path: Path) -> None:
    with PaperExchange(None, *RELIANCE) as exchange, workplace(tmp_path) as work:
        line = exchange.urls
        work.start()
        work.create_vault()
        connect(work, {**line, "api_secret": "nota" + line["api_secret"][4:]})
        work.type_login(line["user_id"], line["password"], lambda: code_of(line["totp_secret"]))
        said = work.words()
        work.shot("wrong secret")
        assert "API" in said
        assert "secret" in said
        assert work.status()["accounts"][0]["state"] == "logged out"

        # The right secret, typed into the dialog again, is the same account; this time the trader cancels on the page.
        work.screen.key("Escape")
        work.screen.gone("Log in to")
        connect(work, line)
        work.cancel_on_page()
        said = work.words()
        work.shot("cancelled")
        assert "cancelled" in said

        # Try again, in place: a fresh page with a fresh mark.
        work.screen.window("Log in to")
        work.screen.key("alt+t")
        work.log_in(line["user_id"], line["password"], line["totp_secret"])
        work.wait_account("active")
        work.wait_feed("live")
        assert work.quit() == 0


@pytest.mark.timeout(120)
def test_a_token_that_dies_leaves_stops_blind_until_the_login_in_place(tmp_path: Path) -> None:
    with PaperExchange(None, "--clock", "2026-11-20T05:50:00", *CARRIED) as exchange, workplace(tmp_path) as work:
        line = exchange.urls
        work.start()
        work.create_vault()
        connect_and_log_in(work, line)
        eventually(lambda: FUTURE in work.positions())
        work.chart_of(FUTURE)
        work.arm()
        trigger = work.trigger(FUTURE)

        exchange.call("PUT", "/simulator/clock", {"now": "2026-11-20T06:00:05+05:30"})
        work.wait_account("expired", 60)
        eventually(lambda: "blind" in work.stops()[FUTURE]["State"])
        said = work.words()
        work.shot("token dead")
        assert "1 stop" in said
        assert "blind" in said
        exchange.price(**{f"NFO:{FUTURE}": trigger - 10})
        assert "Stops are blind" in work.notices()
        assert exchange.exits(FUTURE) == []

        # Logged in again in place, beyond the stop: it fires, once.
        work.press_banner()
        work.log_in(line["user_id"], line["password"], line["totp_secret"])
        work.wait_account("active")
        eventually(lambda: exchange.quantity(FUTURE) == 0)
        assert [order["status"] for order in exchange.exits(FUTURE)] == ["COMPLETE"]
        work.shot("after the login")
        assert work.quit() == 0


@pytest.mark.timeout(240)
def test_an_exchange_that_dies_in_the_middle_is_said_to_and_work_goes_on_when_it_is_back(tmp_path: Path) -> None:
    with PaperExchange(tmp_path / "exchange", *RELIANCE) as exchange, workplace(tmp_path) as work:
        work.start()
        work.create_vault()
        connect_and_log_in(work, exchange.urls)
        eventually(lambda: "RELIANCE" in work.positions())
        work.chart_of("RELIANCE")
        work.arm()
        trigger = work.trigger("RELIANCE")

        # Packets that are no packets: the feed goes on, the stop stays.
        exchange.faults("ticker-malformed:count=5")
        eventually(lambda: struck(exchange) == 5)
        exchange.faults()
        work.wait_feed("live")
        assert work.status()["armed"] == 1

        # It dies in the middle of a sync and of the tick stream.
        exchange.faults("delay=20:route=trades,count=0")
        work.front()
        work.screen.key("ctrl+r")
        eventually(lambda: struck(exchange) >= 1)
        exchange.kill()
        failing = eventually(lambda: [r for r in work.table("ctrl+8") if r["State"] in ("network", "paused")], 40)
        assert all(row["Why"] for row in failing)
        eventually(lambda: "blind" in work.stops()["RELIANCE"]["State"], 40)
        work.shot("exchange down")
        assert work.answers()
        exchange.start()
        work.wait_feed("live", 60)
        eventually(lambda: work.stops()["RELIANCE"]["State"] == "armed")

        def synced() -> bool:
            """A broker that failed five times is left alone for a minute, whoever asks."""
            work.front()
            work.screen.key("ctrl+r")
            return [r["State"] for r in work.table("ctrl+8") if r["Data"] == "trades"] == ["good"]

        eventually(synced, 90, 2.0)

        # It dies in the middle of an order: done there, not answered. Found out when it is back, and not sent again.
        exchange.faults("delay=20:route=place")
        work.search("itc", "ITC")
        work.screen.key("b")
        work.screen.type("7")
        work.screen.key("Return")
        eventually(lambda: exchange.quantity("ITC") == 7)
        exchange.kill()
        work.shot("order unknown")
        exchange.start()
        work.wait_feed("live", 60)
        eventually(lambda: [o["Status"] for o in work.table("ctrl+4") if o["Instrument"] == "ITC"] == ["filled"], 60)
        eventually(lambda: work.positions()["ITC"]["Qty"] == "7")
        assert len(exchange.exits("ITC", "BUY")) == 1
        work.shot("order found")

        # The stop has outlived it all.
        exchange.price(**{"NSE:RELIANCE": trigger})
        eventually(lambda: exchange.quantity("RELIANCE") == 0)
        assert [order["status"] for order in exchange.exits("RELIANCE")] == ["COMPLETE"]
        assert work.quit() == 0


def struck(exchange: PaperExchange) -> int:
    """How often the scripted faults came to pass."""
    return sum(fault["struck"] for fault in exchange.call("GET", "/simulator/faults")["faults"])
