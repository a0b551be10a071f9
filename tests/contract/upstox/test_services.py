"""What only Upstox has, as the trader's desk gives it: a whole desk against the paper exchange."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from app.domain.errors import Denied, LoginFailed, PlanRefused
from app.domain.events import SessionState
from app.domain.ids import InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from tests.contract.upstox.conftest import upstox_exchange
from tests.contract.upstox.test_desk import INFY, seated
from tests.fakes.paper_exchange import eventually
from tests.fakes.scripted_server import ScriptedServer, Seen, answer

NIFTY = InstrumentId("NSE:NIFTY 50")


async def test_chains_baskets_notes_and_what_has_expired(tmp_path: Path) -> None:
    taken: list[bytes] = []

    def listen(seen: Seen) -> bytes:
        taken.append(seen.body)
        return answer(b"{}")

    with upstox_exchange(
        "--seed", "7", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off", "--fault", "funds_night=open"
    ) as exchange:
        async with (
            seated(exchange, ProfilePaths(tmp_path / "profile"), first=True) as seat,
            ScriptedServer(listen) as at,
        ):
            services, account = seat.desk.services, seat.account
            expiry = (await services.expiries(account, NIFTY))[0]
            chain = await services.option_chain(account, NIFTY, expiry)
            assert [row.strike for row in chain.strikes] == sorted(row.strike for row in chain.strikes)
            call = next(row.call for row in chain.strikes if row.call is not None)
            assert (await seat.desk.market.instrument(call.instrument)).expiry == expiry
            await seat.last()
            order = OrderRequest(account, INFY, Side.BUY, 10, Product.MIS, OrderKind.MARKET)
            plan = await services.plan_basket([order, order])
            assert plan.margin is not None
            assert len(plan.notes) == 2
            assert Decimal(0) < plan.margin.final.total < plan.available
            await seat.desk.trading.place(order)

            async def noted() -> bool:
                note = await services.contract_note(account)
                done = [(line.note.instrument, line.note.quantity) for line in note.lines]
                return done == [(INFY, 10)] and note.total > 0 and note.computed_by == "brokerage calculator"

            assert await eventually(noted)
            for refused in (services.alerts(account), services.auctions(account)):
                with pytest.raises(Denied, match="Upstox"):
                    await refused
            with pytest.raises(PlanRefused):
                await services.past_expiries(account, NIFTY)
            # The next day's session begins with a yes on the phone, whose token arrives somewhere else.
            await exchange.control("POST", "/faults", {"faults": ["plus_plan=on"]})
            await exchange.control("PUT", "/webhook", {"notifier": at.url + "/login"})
            await exchange.control("PUT", "/clock", {"now": f"{expiry + timedelta(days=1)}T10:00:00"})
            asked = await services.request_approval(account)
            assert asked.notified == at.url + "/login"
            await exchange.control("POST", "/approve", {})

            async def arrived() -> bytes | None:
                return taken[0] if taken else None

            notice = (await eventually(arrived)).decode()
            forged = notice.replace(exchange.line["user_id"], "XX0000")
            with pytest.raises(LoginFailed):
                await services.take_approval(account, Secret(forged))
            view = await services.take_approval(account, Secret(notice))
            assert view.state is SessionState.ACTIVE
            assert await services.past_expiries(account, NIFTY) == [expiry]
            gone = await services.expired(account, NIFTY, expiry)
            days = await services.expired_days(account, gone[0])
            assert days
            assert [day.start for day in days] == sorted(day.start for day in days)
