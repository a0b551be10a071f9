"""A login at Upstox through the trader's own browser: the registered redirect URL leads to our listener (A3)."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from app.bootstrap import build_desk
from app.domain.account import Endpoints
from app.domain.errors import Denied
from app.domain.events import SessionState
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from app.simulator.clock import IST
from app.simulator.exchange import Exchange, Plan
from app.simulator.opening import open_market
from app.simulator.upstox.door import UpstoxDoor
from app.vault.vault import Vault
from tests.contract.upstox.conftest import Upstox
from tests.e2e.host import CHEAP, PASSPHRASE
from tests.fakes.browser import browser
from tests.unit.simulator.conftest import MORNING
from tests.unit.simulator.conftest import SECRETS as KITE
from tests.unit.simulator.upstox.conftest import SECRETS


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def test_the_browser_comes_back_to_the_registered_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upstox compares the address at both ends; the exchange's app is registered with ours."""
    registered = f"http://127.0.0.1:{free_port()}/stopline"
    own = vars(UpstoxDoor)["urls"].fget
    monkeypatch.setattr(UpstoxDoor, "urls", property(lambda door: {**own(door), "redirect_url": registered}))
    market = open_market("random", seed=1, speed=1.0, clock=MORNING.astimezone(IST), instruments=None)
    exchange = Exchange(Plan(market, KITE, seed=1, brokers=("upstox",), upstox=SECRETS))
    await exchange.start()
    paths = ProfilePaths(tmp_path / "profile")
    vault = Vault(paths.root, cost=CHEAP)
    await asyncio.to_thread(vault.create, PASSPHRASE, False)
    vault.lock()
    desk = await build_desk(paths, paper=False)
    try:
        assert exchange.upstox is not None
        line = exchange.upstox.line()
        await desk.session.unlock(PASSPHRASE)
        account = await desk.session.add_account(
            "upstox",
            line["api_key"],
            Secret(line["api_secret"]),
            Endpoints(line["api_url"], line["login_url"], line["ws_url"]),
        )
        with pytest.raises(Denied, match="redirect URL"):
            await desk.session.begin_login(account)
        page = await desk.browser.begin(account, registered)
        waiting = asyncio.create_task(desk.browser.finish(account))
        arrived = await Upstox(line).browse(page.url)
        assert arrived.startswith(f"{registered}?code=")
        async with browser() as opened:
            shown = await opened.get(arrived)
        view = await waiting
        assert (view.state, view.user_id) == (SessionState.ACTIVE, SECRETS.user_id)
        assert f"Logged in as {view.client_name}" in shown.text
    finally:
        await desk.stop()
        await exchange.stop()
