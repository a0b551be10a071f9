"""The main job, end to end: the shipped program with its window, a real exchange, and hands on mouse and keys."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.window import Row, Workstation, connect_and_log_in, environment, listening_port, price, workplace
from tests.exchange import PaperExchange, eventually
from tests.program import ROOT

OPENING = ("--opening-position", "NSE:RELIANCE=50@MIS", "--opening-position", "NSE:SBIN=200@MIS")


@pytest.mark.packaged
@pytest.mark.timeout(170)
def test_a_trader_connects_trades_guards_syncs_and_comes_back_after_a_power_cut(tmp_path: Path) -> None:
    with PaperExchange(tmp_path / "exchange", *OPENING) as exchange, workplace(tmp_path) as work:
        work.start()
        work.create_vault()
        connect_and_log_in(work, exchange.urls)
        eventually(lambda: work.positions().keys() == {"RELIANCE", "SBIN"})
        assert work.positions()["RELIANCE"]["Qty"] == "50"

        buy_itc(work, exchange)
        stop_out_itc(work, exchange)
        sync_brings_the_trade_home_net_of_charges(work, exchange)
        again = work.cli("sync")["accounts"]
        assert [(a["step"], a["created"], a["updated"]) for a in again] == [("completed", 0, 0)]
        assert again[0]["skipped"] == again[0]["fetched"] > 0

        # A stop on another position, moved once, is armed when the power goes.
        work.chart_of("RELIANCE")
        work.arm()
        first = work.trigger("RELIANCE")
        work.drag_stop(work.armed_line(), 15)
        eventually(lambda: work.trigger("RELIANCE") < first)
        moved = work.trigger("RELIANCE")
        work.shot("moved")
        book, positions = trades(work), {s: (r["Qty"], r["Avg"]) for s, r in work.positions().items()}
        work.kill()
        assert exchange.exits("RELIANCE") == []

        work.start()
        work.unlock()
        work.wait_feed("live")
        work.wait_armed(1)
        eventually(lambda: {s: (r["Qty"], r["Avg"]) for s, r in work.positions().items()} == positions)
        eventually(lambda: trades(work) == book)
        eventually(lambda: work.stops().get("RELIANCE", {}).get("State") == "armed")
        assert work.trigger("RELIANCE") == moved
        assert [row["Instrument"] for row in work.table("ctrl+1")][-1:] == ["ITC"]
        work.chart_of("RELIANCE")
        work.armed_line()
        work.shot("after the power cut")
        exchange.price(**{"NSE:RELIANCE": moved})
        eventually(lambda: exchange.quantity("RELIANCE") == 0)
        assert [order["status"] for order in exchange.exits("RELIANCE")] == ["COMPLETE"]
        assert exchange.exits("SBIN") == []
        assert len(exchange.exits("ITC")) == 1
        assert work.quit() == 0


def buy_itc(work: Workstation, exchange: PaperExchange) -> None:
    """The search adds an instrument, its chart opens; B and Return buy a hundred."""
    work.search("itc", "ITC")
    work.screen.key("b")
    work.screen.type("100")
    work.shot("ticket")
    work.screen.key("Return")
    eventually(lambda: exchange.quantity("ITC") == 100)
    (bought,) = exchange.exits("ITC", "BUY")
    assert (bought["status"], bought["quantity"], bought["product"]) == ("COMPLETE", 100, "MIS")
    assert bought["tag"].isalnum()
    eventually(lambda: work.positions().get("ITC", {}).get("Qty") == "100")


def stop_out_itc(work: Workstation, exchange: PaperExchange) -> None:
    """A stop line is dragged on the chart; the price reaches it; the position is closed, once."""
    work.chart_of("ITC")
    work.arm()
    work.armed_line()
    work.shot("armed")
    stop = work.stops()["ITC"]
    assert (stop["State"], stop["Exit"], stop["Qty"]) == ("armed", "SELL", "100")
    assert exchange.exits("ITC") == []
    exchange.price(**{"NSE:ITC": price(stop["Trigger"])})
    eventually(lambda: exchange.quantity("ITC") == 0)
    (exit_order,) = exchange.exits("ITC")
    assert (exit_order["status"], exit_order["filled_quantity"]) == ("COMPLETE", 100)
    assert exit_order["tag"].isalnum()
    eventually(lambda: work.positions()["ITC"]["Qty"] == "0")
    eventually(lambda: work.stops()["ITC"]["State"] == "closed")
    work.shot("stopped out")


def sync_brings_the_trade_home_net_of_charges(work: Workstation, exchange: PaperExchange) -> None:
    """One key; the schedule may have been quicker, with what was there then."""
    work.front()
    work.screen.key("ctrl+r")
    fills = [f for f in exchange.book()["trades"] if f["tradingsymbol"] == "ITC"]
    bought = sum(f["quantity"] * f["average_price"] for f in fills if f["transaction_type"] == "BUY")
    sold = sum(f["quantity"] * f["average_price"] for f in fills if f["transaction_type"] == "SELL")

    def whole() -> dict[str, str] | None:
        row = trades(work).get("ITC")
        if row is None or not any(mark.isdigit() for mark in row["Gross"]):  # still open, as the schedule saw it
            return None
        return row if price(row["Gross"].replace("₹", "")) == pytest.approx(sold - bought, abs=0.005) else None

    trade = eventually(whole)
    work.shot("trade book")
    net, gross, charges = (price(trade[column].replace("₹", "")) for column in ("Net", "Gross", "Charges"))
    assert gross == pytest.approx(sold - bought, abs=0.005)
    assert net == pytest.approx(gross - charges, abs=0.005)
    assert charges == pytest.approx(intraday_charges(bought, sold), abs=0.02)


def intraday_charges(bought: float, sold: float) -> float:
    """NSE shares from 2026-04, one order each way: brokerage, exchange, regulator, tax on services, transaction tax
    in whole rupees, stamp duty."""
    both = bought + sold
    fees = min(20.0, bought * 0.0003) + min(20.0, sold * 0.0003) + both * 0.000030699 + both * 0.000001
    return fees * 1.18 + round(sold * 0.00025) + bought * 0.00003


def trades(work: Workstation) -> dict[str, Row]:
    """The trade book by symbol."""
    return {row["Instrument"]: row for row in work.table("ctrl+6")}


@pytest.mark.timeout(170)
def test_the_paper_exchange_beside_the_window_survives_a_power_cut_of_either(tmp_path: Path) -> None:
    with workplace(tmp_path, "--paper") as work:
        work.start()
        work.create_vault()
        user_id, password, _ = work.paper_strip()
        work.type_login(user_id, password, lambda: work.paper_strip()[2])
        work.screen.gone("Log in to")
        work.wait_account("active")
        work.wait_feed("live")
        eventually(lambda: work.positions().keys() == {"RELIANCE", "SBIN"})
        exchange = work.exchange()
        (pid,) = work.exchange_pids()

        work.chart_of("SBIN")
        work.arm()
        trigger = work.trigger("SBIN")
        work.kill()
        assert work.exchange_pids() == [pid]

        # Started again it takes over the exchange and the session: nobody is asked to log in.
        work.start()
        work.unlock()
        work.wait_feed("live")
        work.wait_armed(1)
        assert work.exchange_pids() == [pid]
        assert not work.screen.has_window("Log in to")

        # Now the exchange's power is cut: the program starts it again, the book and the stop are still there.
        before = exchange.book()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: (pids := work.exchange_pids()) and pids != [pid], 30)
        eventually(lambda: "The paper exchange stopped" in work.notices())
        work.wait_feed("live")
        assert listening_port(work.exchange_pids()[0]) == urlsplit(exchange.urls["api_url"]).port
        assert exchange.book()["trades"] == before["trades"]
        work.wait_armed(1)
        exchange.price(**{"NSE:SBIN": trigger})
        eventually(lambda: exchange.quantity("SBIN") == 0)
        assert [order["status"] for order in exchange.exits("SBIN")] == ["COMPLETE"]
        work.shot("stopped out")

        # Closing the window ends both.
        assert work.quit() == 0
        assert work.exchange_pids() == []


@pytest.mark.timeout(60)
def test_a_second_start_on_the_same_profile_brings_the_first_window_forward(tmp_path: Path) -> None:
    with workplace(tmp_path) as work:
        work.start()
        work.create_vault()
        work.screen.cover()
        assert not work.in_front()
        second = subprocess.run(
            work.command(), capture_output=True, timeout=30, cwd=ROOT, env=environment(work.screen), check=False
        )
        assert second.returncode == 0
        assert b"already running on this profile" in second.stderr
        eventually(work.in_front)
        assert work.quit() == 0
