"""A whole desk at the paper exchange: a new profile, unlocked, with one account that is logged in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.bootstrap import build_desk
from app.desk.desk import LocalDesk
from app.domain.ids import AccountId, InstrumentId
from app.runtime.paths import ProfilePaths
from app.vault.vault import Vault
from tests.e2e.host import CHEAP, PASSPHRASE
from tests.fakes.paper_exchange import PaperExchange


@asynccontextmanager
async def new_desk(paths: ProfilePaths) -> AsyncIterator[LocalDesk]:
    """Of a new profile, without an account."""
    vault = Vault(paths.root, cost=CHEAP)
    await asyncio.to_thread(vault.create, PASSPHRASE, False)
    vault.lock()
    async with reopened(paths) as desk:
        yield desk


@asynccontextmanager
async def reopened(paths: ProfilePaths) -> AsyncIterator[LocalDesk]:
    """Of a profile that is there: the next start of the program."""
    desk = await build_desk(paths, paper=False)
    try:
        await desk.session.unlock(PASSPHRASE)
        yield desk
    finally:
        await desk.stop()


async def connected(desk: LocalDesk, exchange: PaperExchange) -> AccountId:
    """The exchange's account, not yet logged in."""
    keys = exchange.credentials
    return await desk.session.add_account("zerodha", keys.api_key, keys.api_secret, exchange.endpoints)


async def log_in(desk: LocalDesk, exchange: PaperExchange, account: AccountId, *watched: InstrumentId) -> None:
    """Until what was left of before is recovered, and the prices of what is watched are asked for."""
    page = await desk.session.begin_login(account)
    await desk.session.complete_login(account, await exchange.log_in(page.url))
    await desk._workspace.account(account).recovered()
    await desk.market.subscribe("test", watched)
