"""A page of the window over a real desk, logged in to a paper exchange: nothing in between is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from PySide6.QtWidgets import QApplication, QWidget
from qasync import QEventLoop

from app.bootstrap import build_desk
from app.desk.desk import LocalDesk
from app.domain.ids import AccountId
from app.runtime.loop import LoopThread
from app.runtime.paths import ProfilePaths
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.vault.vault import Vault
from tests.contract.upstox.conftest import upstox_exchange
from tests.e2e.host import CHEAP, PASSPHRASE
from tests.fakes.paper_exchange import PaperExchange, paper_exchange

T = TypeVar("T")

START = ("--seed", "7", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off")


class Live:
    """Both threads, the desk, one account at each broker, and what the window knows."""

    def __init__(self, app: QApplication, folder: Path, zerodha: PaperExchange, upstox: Any) -> None:
        self.thread = LoopThread()
        self.thread.start()
        self.loop = QEventLoop(app)
        self.zerodha, self.upstox = zerodha, upstox
        self.accounts: dict[str, AccountId] = {}
        self.desk: LocalDesk = self.run(self._sit_down(folder))
        self.bridge = Bridge(self.desk, self.thread.submit, self.loop)
        self.bridge.listen()
        self.problems: list[object] = []
        self.bridge.failed.connect(self.problems.append)
        self.facts = Facts(self.bridge)
        self.loop.run_until_complete(self.facts.load())
        self.window = QWidget()

    async def _sit_down(self, folder: Path) -> LocalDesk:
        vault = Vault(ProfilePaths(folder).root, cost=CHEAP)
        await asyncio.to_thread(vault.create, PASSPHRASE, False)
        vault.lock()
        desk = await build_desk(ProfilePaths(folder), paper=False)
        await desk.session.unlock(PASSPHRASE)
        for broker, exchange, browse in (
            ("zerodha", self.zerodha, self.zerodha.log_in),
            ("upstox", self.upstox, self.upstox.browse),
        ):
            keys = exchange.credentials
            account = await desk.session.add_account(broker, keys.api_key, keys.api_secret, exchange.endpoints)
            page = await desk.session.begin_login(account)
            await desk.session.complete_login(account, await browse(page.url))
            await desk._workspace.account(account).recovered()
            self.accounts[broker] = account
        return desk

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """On the loop thread."""
        return self.thread.submit(coroutine).result(30)

    def until(self, condition: Callable[[], bool], within: float = 10.0) -> None:
        """Lets the window live until something holds."""

        async def poll() -> None:
            async with asyncio.timeout(within):
                while not condition():  # noqa: ASYNC110  any condition of the window, not one event
                    await asyncio.sleep(0.01)

        self.loop.run_until_complete(poll())

    def close(self) -> None:
        """Ends everything in order."""
        self.loop.run_until_complete(self.bridge.close())
        self.window.deleteLater()
        self.run(self.desk.stop())
        self.thread.stop()
        self.loop.close()


@contextmanager
def live(app: QApplication, folder: Path) -> Iterator[Live]:
    """Two exchanges, a desk, and the window's side of it."""
    theme.load_fonts()
    app.setQuitOnLastWindowClosed(False)
    with ExitStack() as stack:
        zerodha = stack.enter_context(paper_exchange(*START, "--opening-position", "NSE:SBIN=20@CNC"))
        upstox = stack.enter_context(upstox_exchange(*START, "--fault", "funds_night=open"))
        found = Live(app, folder, zerodha, upstox)
        try:
            yield found
        finally:
            found.close()
