"""Keys and a token typed in by hand: proved with real calls, stored only when they are right, each failure in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.bootstrap import build_desk
from app.desk.desk import LocalDesk
from app.domain.errors import AppError, Denied, LoginFailed, Unreachable
from app.domain.events import Event, FeedChanged, FeedState, Noticed, SessionState
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side, Variety
from app.domain.portfolio import PositionKey
from app.domain.stop import StopPlan
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from tests.contract.zerodha.test_session import log_in
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange

INFY = InstrumentId("NSE:INFY")


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with paper_exchange("--seed", "9", "--clock", "2026-11-20T10:00:00", "--order-delay", "0") as running:
        yield running


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[LocalDesk]:
    paths = ProfilePaths(tmp_path / "profile")
    paths.create()
    made = await build_desk(paths, paper=False)
    await made.session.create_vault(Secret("correct horse battery"), False)
    yield made
    await made.stop()


async def connect(desk: LocalDesk, exchange: PaperExchange, token: Secret, **changes: str) -> SessionState:
    keys = exchange.credentials
    endpoints = replace(exchange.endpoints, **changes)
    view = await desk.session.connect_by_hand("zerodha", keys.api_key, keys.api_secret, token, endpoints)
    return view.state


async def test_a_living_token_connects_without_a_page(desk: LocalDesk, exchange: PaperExchange) -> None:
    session = await log_in(exchange)
    assert await connect(desk, exchange, session.access_token) is SessionState.ACTIVE
    (view,) = await desk.session.accounts()
    assert (view.user_id, view.client_name) == (session.user_id, session.user_name)
    assert view.token_expires_at == session.expires_at
    assert await connect(desk, exchange, session.access_token) is SessionState.ACTIVE
    assert len(await desk.session.accounts()) == 1
    # Nobody looks at it, so no feed brings it: the ticket asks the broker what it costs.
    shown = await desk.trading.preview(OrderRequest(view.id, INFY, Side.BUY, 1, Product.MIS, OrderKind.MARKET))
    assert not shown.denied
    assert shown.margin > 0


async def test_a_new_secret_takes_the_place_of_the_old_one_only_when_a_login_has_proved_it(
    desk: LocalDesk, exchange: PaperExchange
) -> None:
    keys, endpoints = exchange.credentials, exchange.endpoints

    async def log_in_by_page(account: AccountId) -> SessionState:
        page = await desk.session.begin_login(account)
        return (await desk.session.complete_login(account, await exchange.log_in(page.url))).state

    account = await desk.session.add_account("zerodha", keys.api_key, keys.api_secret, endpoints)
    assert await log_in_by_page(account) is SessionState.ACTIVE
    assert await desk.session.add_account("zerodha", keys.api_key, Secret("mistyped"), endpoints) == account
    with pytest.raises(LoginFailed, match="secret"):
        await log_in_by_page(account)
    assert await log_in_by_page(account) is SessionState.ACTIVE  # with the one that was right all along
    await desk.session.add_account("zerodha", keys.api_key, Secret("mistyped"), endpoints)
    await desk.session.begin_login(account)
    await desk.session.cancel_login(account)
    assert await log_in_by_page(account) is SessionState.ACTIVE
    other = replace(endpoints, redirect_url=endpoints.redirect_url + "?to=stopline")
    await desk.session.add_account("zerodha", keys.api_key, keys.api_secret, other)
    assert await log_in_by_page(account) is SessionState.ACTIVE
    assert desk._workspace.record(account).endpoints == other


async def test_an_order_for_after_the_market_is_refused_here_while_it_trades(
    desk: LocalDesk, exchange: PaperExchange
) -> None:
    await connect(desk, exchange, (await log_in(exchange)).access_token)
    (view,) = await desk.session.accounts()
    request = OrderRequest(view.id, INFY, Side.BUY, 1, Product.CNC, OrderKind.MARKET, variety=Variety.AMO)
    assert "market is open" in (await desk.trading.preview(request)).denied
    with pytest.raises(Denied, match="market is open"):
        await desk.trading.place(request)
    assert await desk.trading.orders() == []


async def test_an_order_for_after_the_market_is_taken_in_the_evening(desk: LocalDesk) -> None:
    evening = ("--seed", "9", "--clock", "2026-11-20T19:00:00", "--fault", "hours=clock")
    with paper_exchange(*evening) as exchange:
        await connect(desk, exchange, (await log_in(exchange)).access_token)
        (view,) = await desk.session.accounts()
        request = OrderRequest(view.id, INFY, Side.BUY, 1, Product.CNC, OrderKind.MARKET, variety=Variety.AMO)
        assert (await desk.trading.preview(request)).denied == ""
        await desk.trading.place(request)
        (order,) = await desk.trading.orders()
        assert order.variety == Variety.AMO
        assert order.status is not OrderStatus.REJECTED


@pytest.mark.parametrize(
    ("token", "changes", "kind", "words"),
    [
        ("not a token!", {}, LoginFailed, "no access token of Zerodha"),
        ("abcdefgh12345678abcdefgh12345678", {}, LoginFailed, "does not accept this access token with this API key"),
        ("abcdefgh", {"api_url": "http://127.0.0.1:9"}, Unreachable, "127.0.0.1"),
        ("abcdefgh", {"api_url": "https://api.example"}, Denied, "neither Zerodha's nor all on this machine"),
    ],
)
async def test_what_is_wrong_is_said_in_words_and_nothing_is_stored(
    desk: LocalDesk, exchange: PaperExchange, token: str, changes: dict[str, str], kind: type[AppError], words: str
) -> None:
    with pytest.raises(kind, match=words) as told:
        await connect(desk, exchange, Secret(token), **changes)
    assert told.value.next_step
    assert exchange.credentials.api_secret.reveal() not in str(told.value)
    assert list(await desk.session.accounts()) == []


async def test_a_live_account_is_never_turned_into_a_paper_one(desk: LocalDesk, exchange: PaperExchange) -> None:
    await desk.session.add_account("zerodha", exchange.credentials.api_key, Secret("live"))
    session = await log_in(exchange)
    with pytest.raises(Denied, match="real money"):
        await connect(desk, exchange, session.access_token)


async def test_a_key_without_data_rights_is_no_dead_session_and_arms_no_stop(
    desk: LocalDesk, exchange: PaperExchange
) -> None:
    heard: list[Event] = []
    desk.listen(heard.append)
    session = await log_in(exchange)
    await exchange.control("POST", "/faults", {"faults": ["plan=personal"]})
    try:
        assert await connect(desk, exchange, session.access_token) is SessionState.ACTIVE
        told = [event for event in heard if isinstance(event, Noticed) and "no live prices" in event.title]
        assert told
        assert "Local stops cannot be armed" in told[0].next_step
        (view,) = await desk.session.accounts()
        request = OrderRequest(view.id, INFY, Side.BUY, 1, Product.MIS, OrderKind.MARKET)
        shown = await desk.trading.preview(request)
        assert not shown.denied  # an order at market needs no price of ours
        assert "gives no prices" in shown.warnings[0]
        await desk.trading.place(request)
        key = PositionKey(view.id, INFY, Product.MIS)

        async def held() -> bool:
            return any(position.key == key and position.quantity for position in await desk.portfolio.positions())

        await eventually(held)
        with pytest.raises(Denied, match="gives no live prices"):
            await desk.stops.arm(key, StopPlan(100_000))
        await asyncio.sleep(0)
        assert (await desk.session.accounts())[0].state is SessionState.ACTIVE

        # The plan is taken meanwhile: one button, and no new login.
        await exchange.control("POST", "/faults", {"faults": ["plan=connect"]})
        await desk.health.reconnect(view.id)

        async def live() -> bool:
            return (await desk.session.accounts())[0].feed is FeedState.LIVE

        await eventually(live)
        stop = await desk.stops.arm(key, StopPlan(100_000))
        await desk.stops.disarm(stop.id)
    finally:
        await exchange.control("POST", "/faults", {"faults": ["plan=connect"]})


async def test_a_stream_that_was_refused_for_no_reason_of_ours_comes_back_by_itself(
    desk: LocalDesk, exchange: PaperExchange
) -> None:
    """What stands before the broker answers a redial with its page of status 403. Token and key are good."""
    heard: list[Event] = []
    desk.listen(heard.append)
    session = await log_in(exchange)
    assert await connect(desk, exchange, session.access_token) is SessionState.ACTIVE

    def states() -> list[FeedState]:
        return [event.state for event in heard if isinstance(event, FeedChanged)]

    async def live() -> bool:
        return bool(states()) and states()[-1] is FeedState.LIVE

    await eventually(live)
    heard.clear()
    # Paper's way to answer a handshake with 403 while the session lives.
    await exchange.control("POST", "/faults", {"faults": ["plan=personal", "ticker-disconnect"]})
    try:

        async def refused() -> bool:
            return FeedState.REFUSED in states()

        await eventually(refused)
    finally:
        await exchange.control("POST", "/faults", {"faults": ["plan=connect"]})
    await eventually(live, within=15)
    assert (await desk.session.accounts())[0].state is SessionState.ACTIVE
    assert [event for event in heard if isinstance(event, Noticed) and "no live prices" in event.title] == []
