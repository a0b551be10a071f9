"""Button, schedule and a command line in another process at once, on a workstation that runs: one owner does the work,
over the profile's socket too, and no fill is read into the book twice."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from app.desk.remote import ProfileLock, RemoteServer
from app.desk.verbs import remote_verbs
from app.domain.ids import InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.runtime.paths import ProfilePaths
from tests.contract.zerodha.desks import connected, log_in, new_desk
from tests.exchange import ROOT
from tests.fakes.paper_exchange import eventually, paper_exchange

INFY = InstrumentId("NSE:INFY")
ONE_AFTER_THE_OTHER = 2
"""Reads at most: who asks while one reads may mean to see what has just been done."""


async def command(profile: Path) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of `sync --json` in a process of its own."""
    line = [sys.executable, str(ROOT / "main.py"), "sync", "--json", "--profile", str(profile)]
    environment = {name: value for name, value in os.environ.items() if name != "STOPLINE_PASSPHRASE"}
    program = await asyncio.create_subprocess_exec(
        *line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
    )
    out, _ = await asyncio.wait_for(program.communicate(), 60)
    return program.returncode or 0, json.loads(out)


@pytest.mark.slow
async def test_button_schedule_and_command_share_the_work(tmp_path: Path) -> None:
    paths = ProfilePaths(tmp_path / "profile")
    paths.create()
    options = ("--seed", "8", "--clock", "2026-11-20T10:00:00", "--order-delay", "0", "--fault", "limits=off")
    lock = ProfileLock(paths.lock)
    lock.acquire()
    with paper_exchange(*options) as exchange:
        async with new_desk(paths) as desk:
            account = await connected(desk, exchange)
            await log_in(desk, exchange, account, INFY)
            server = RemoteServer(paths, remote_verbs(desk, lambda: None), asyncio.get_running_loop())
            server.start()
            try:
                await desk.trading.place(OrderRequest(account, INFY, Side.BUY, 7, Product.MIS, OrderKind.MARKET))

                async def filled() -> bool:
                    return bool(sum(row["quantity"] for row in (await exchange.control("GET", "/book"))["trades"]) == 7)

                await eventually(filled)
                button, scheduled, (code, told) = await asyncio.gather(
                    desk.sync.run(account), desk.sync.run(account, "scheduled"), command(paths.root)
                )
            finally:
                await asyncio.to_thread(server.stop)
            runs = {run["run"]: run for run in told["accounts"]}
            runs |= {run.run: {"step": run.step, "created": run.created} for run in button.accounts}
            runs |= {run.run: {"step": run.step, "created": run.created} for run in scheduled.accounts}
            assert (code, told["ok"]) == (0, True), told
            assert {run["step"] for run in runs.values()} == {"completed"}
            assert len(runs) <= ONE_AFTER_THE_OTHER
            fills = await desk._workspace.book.fills.all(account)
            assert sum(run["created"] for run in runs.values()) == len(fills) > 0
            assert sum(fill.quantity for fill in fills) == 7
            assert await desk._workspace.book.leases.load() == []
    lock.release()
