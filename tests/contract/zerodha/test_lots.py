"""Stops on contracts whose orders count lots, over Zerodha's wire: sizes, prices to a quarter paisa, and the money."""

from __future__ import annotations

import asyncio
from pathlib import Path

from app.bootstrap import build_desk
from app.desk.desk import LocalDesk
from app.domain.instrument import Product, Segment
from app.domain.order import OrderKind, OrderRequest, Side
from app.runtime.paths import ProfilePaths
from app.vault.vault import Vault
from tests.contract.contracts import CRUDE, DOLLAR, DOLLAR_CALL, booked, earned, listed, out_by_its_stop
from tests.contract.zerodha.desks import reopened
from tests.e2e.host import CHEAP, PASSPHRASE
from tests.fakes.paper_exchange import paper_exchange


async def test_stops_on_currencies_and_commodities_get_out_and_earn_by_the_contracts_size(tmp_path: Path) -> None:
    paths = ProfilePaths(tmp_path / "profile")
    vault = Vault(paths.root, cost=CHEAP)
    await asyncio.to_thread(vault.create, PASSPHRASE, False)
    vault.lock()
    with paper_exchange(
        *("--instruments", listed(tmp_path), "--seed", "7", "--clock", "2026-11-20T16:00:00", "--fault", "limits=off")
    ) as exchange:
        desk = await build_desk(paths, paper=False)
        try:
            await desk.session.unlock(PASSPHRASE)
            known = exchange.credentials
            account = await desk.session.add_account("zerodha", known.api_key, known.api_secret, exchange.endpoints)
            page = await desk.session.begin_login(account)
            await desk.session.complete_login(account, await exchange.log_in(page.url))
            await desk._workspace.account(account).recovered()
            out = []
            for contract, units, side, prices in (
                (DOLLAR, 1_000, Side.BUY, ("84.5", "83.5")),
                (DOLLAR_CALL, 1_000, Side.SELL, ("0.35", "0.5")),
                (CRUDE, 100, Side.SELL, ("5800", "6000")),
            ):
                done = await out_by_its_stop(desk, account, exchange.control, contract, side, prices)
                trades = (await exchange.control("GET", "/book"))["trades"]
                result = earned(trades, contract.partition(":")[2], units)
                assert (done.multiplier, done.sell_value - done.buy_value) == (units, result)
                assert result < 0, "it was stopped out"
                out.append((done, units))
            assert await synced_until_the_close_of(desk) >= {Segment.CURRENCY, Segment.COMMODITY}
            (run,) = (await desk.sync.run()).accounts
            assert run.created + run.skipped == run.fetched > 0  # one by the schedule may have brought some
            for done, units in out:
                await booked(desk, account, done, units)
            order = OrderRequest(account, CRUDE, Side.BUY, 2, Product.NRML, OrderKind.LIMIT, price=5_800_00)
            theirs = (await desk.trading.preview(order)).charges
            await exchange.control("PUT", "/faults", {"faults": ["limits=off", "status=503:route=charges"]})
            ours = await desk.trading.preview(order)
            assert (ours.estimated, ours.margin) == (True, 2 * 100 * 5_800_00), "what the order is worth"
            assert abs(ours.charges.total - theirs.total) <= 1
        finally:
            await desk.stop()
        async with reopened(paths) as again:  # nobody has logged in yet: the book remembers
            assert await synced_until_the_close_of(again) >= {Segment.CURRENCY, Segment.COMMODITY}


async def synced_until_the_close_of(desk: LocalDesk) -> set[Segment]:
    """The markets of the account's schedule, of which its plan names shares and their derivatives alone."""
    (account,) = (await desk.sync.status()).accounts
    return {*account.plan.segments}
