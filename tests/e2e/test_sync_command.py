"""`sync --json` on a profile with a Zerodha and an Upstox paper account: counts, the second run, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.bootstrap import build_desk
from app.domain.account import Endpoints
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from app.vault.vault import Vault
from tests.contract.upstox.conftest import Upstox
from tests.e2e.host import CHEAP, PASSPHRASE
from tests.exchange import ROOT, PaperExchange
from tests.fakes.paper_exchange import eventually

INFY = InstrumentId("NSE:INFY")


class BothBrokers(PaperExchange):
    """One book of orders behind two wires."""

    def start(self) -> BothBrokers:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, cwd=ROOT)
        assert self._process.stdout is not None
        lines = json.loads(self._process.stdout.readline())
        self.urls, self.upstox = lines["zerodha"], lines["upstox"]
        return self


def command(profile: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and what it printed."""
    environment = {**os.environ, "STOPLINE_PASSPHRASE": PASSPHRASE.reveal()}
    line = [sys.executable, str(ROOT / "main.py"), "sync", "--json", "--profile", str(profile), *words]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=90, check=False)
    return done.returncode, json.loads(done.stdout)


async def connected(paths: ProfilePaths, exchange: BothBrokers) -> list[AccountId]:
    """Both accounts, logged in as a trader would; one trade at each."""
    vault = Vault(paths.root, cost=CHEAP)
    vault.create(PASSPHRASE, False)
    vault.lock()
    desk = await build_desk(paths, paper=False, guarding=False)
    found = []
    try:
        await desk.session.unlock(PASSPHRASE)
        for name, line in (("zerodha", exchange.urls), ("upstox", exchange.upstox)):
            where = Endpoints(line["api_url"], line["login_url"], line["ws_url"], line["redirect_url"])
            account = await desk.session.add_account(name, line["api_key"], Secret(line["api_secret"]), where)
            page = (await desk.session.begin_login(account)).url
            if name == "zerodha":
                state = parse_qs(parse_qs(urlsplit(page).query)["redirect_params"][0])["state"][0]
                arrived = exchange.log_in(state)
            else:
                arrived = await Upstox(line).browse(page)
            await desk.session.complete_login(account, arrived)
            broker = desk._workspace.account(account).broker
            await broker.place(OrderRequest(account, INFY, Side.BUY, 7, Product.MIS, OrderKind.MARKET))
            found.append(account)

        async def filled() -> bool:
            bought: int = sum(row["quantity"] for row in exchange.book()["trades"])
            return bought == 14

        await eventually(filled)
    finally:
        await desk.stop()
    return found


@pytest.mark.slow
async def test_both_accounts_come_home_once(tmp_path: Path) -> None:
    paths = ProfilePaths(tmp_path / "profile")
    paths.create()
    options = ("--broker", "both", "--seed", "5", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off")
    with BothBrokers(None, *options) as exchange:
        zerodha, upstox = await connected(paths, exchange)
        listed = len(exchange.book()["trades"])
        code, first = command(paths.root)
        assert (code, first["ok"]) == (0, True), first
        runs = {run["account"]: run for run in first["accounts"]}
        assert set(runs) == {zerodha, upstox}
        for run in runs.values():
            assert (run["step"], run["fetched"], run["created"], run["skipped"]) == ("completed", listed, listed, 0)
        code, again = command(paths.root)
        assert code == 0
        for run in again["accounts"]:
            assert (run["created"], run["updated"], run["skipped"]) == (0, 0, listed)
        code, refused = command(paths.root, "--account", zerodha, "--from", "2026-11-02")
        assert code == 2  # nothing was done
        assert "today only" in json.dumps(refused)
        exchange.faults("limits=off", "status=503:route=trades,count=0")
        code, failed = command(paths.root, "--account", zerodha)
        assert (code, failed["ok"]) == (1, False)
        assert failed["accounts"][0]["error_class"] == "server"
