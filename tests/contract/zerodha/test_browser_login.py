"""A login through the trader's own browser: the paper exchange's page, then the listener on this machine."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.cli.commands import COULD_NOT_START, FINE, Connect
from app.cli.connect import run_connect
from app.cli.output import Output
from app.desk.browser_login import listening_port
from app.desk.desk import LocalDesk
from app.desk.messages import LoginPage
from app.desk.verbs import DirectDesk
from app.domain.errors import Cancelled, Denied, LoginFailed
from app.domain.events import Noticed, SessionState
from app.domain.ids import AccountId
from app.runtime.paths import ProfilePaths
from tests.contract.zerodha.desks import connected, new_desk
from tests.fakes.browser import browser
from tests.fakes.paper_exchange import PaperExchange, paper_exchange


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with paper_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00") as running:
        yield running


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[LocalDesk]:
    async with new_desk(ProfilePaths(tmp_path / "profile")) as desk:
        yield desk


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def registered() -> str:
    """A redirect URL as a trader would register it, on a port that is free."""
    return f"http://127.0.0.1:{free_port()}/stopline"


async def log_in(exchange: PaperExchange, page: LoginPage, *, cancel: bool = False) -> str:
    """Where the browser ends. The exchange's app is registered with an address of its own; here it is ours."""
    _, _, query = (await exchange.log_in(page.url, cancel=cancel)).partition("?")
    return f"{page.redirect_url}?{query}"


async def visit(url: str) -> httpx.Response:
    async with browser() as opened:
        return await opened.get(url)


async def test_the_browser_comes_back_and_the_page_says_who_is_logged_in(
    desk: LocalDesk, exchange: PaperExchange
) -> None:
    account = await connected(desk, exchange)
    page = await desk.browser.begin(account, registered())
    waiting = asyncio.create_task(desk.browser.finish(account))
    redirected_to = await log_in(exchange, page)
    # What else a browser asks for, and what another page on this machine may try, end nothing.
    assert (await visit(page.redirect_url.rpartition("/")[0] + "/favicon.ico")).status_code == 404
    forged = await visit(f"{page.redirect_url}?request_token=stolen&status=success&state=guessed")
    assert forged.status_code == 400
    assert "not ours" in forged.text
    shown = await visit(redirected_to)
    view = await waiting
    assert (view.state, view.user_id) == (SessionState.ACTIVE, exchange.line["user_id"])
    assert f"Logged in as {view.client_name}" in shown.text
    assert "window.close()" in shown.text
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert shown.headers["cache-control"] == "no-store"
    with pytest.raises(httpx.ConnectError):
        await visit(redirected_to)  # nobody listens any more
    with pytest.raises(LoginFailed):
        await desk.browser.finish(account)


async def test_a_browser_that_asks_twice_at_once_is_logged_in_once(desk: LocalDesk, exchange: PaperExchange) -> None:
    account = await connected(desk, exchange)
    page = await desk.browser.begin(account, registered())
    waiting = asyncio.create_task(desk.browser.finish(account))
    redirected_to = await log_in(exchange, page)
    shown = await asyncio.gather(*(visit(redirected_to) for _ in range(3)))
    assert (await waiting).state is SessionState.ACTIVE
    assert ["Logged in" in answer.text for answer in shown] == [True] * 3


async def test_a_login_that_is_cancelled_at_the_broker_is_said_on_the_page_and_at_the_desk(
    desk: LocalDesk, exchange: PaperExchange
) -> None:
    account = await connected(desk, exchange)
    page = await desk.browser.begin(account, registered())
    waiting = asyncio.create_task(desk.browser.finish(account))
    shown = await visit(await log_in(exchange, page, cancel=True))
    assert "Not logged in" in shown.text
    assert "cancelled at the broker" in shown.text
    with pytest.raises(LoginFailed, match="cancelled at the broker"):
        await waiting


async def test_a_port_that_is_taken_is_said_in_words_and_nothing_listens(
    desk: LocalDesk, exchange: PaperExchange
) -> None:
    account = await connected(desk, exchange)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Denied, match=f"Port {port} of this computer is taken"):
            await desk.browser.begin(account, f"http://127.0.0.1:{port}/kite")
        assert not desk.session.awaits_login(account)


async def test_a_redirect_url_that_is_entered_stays_once_a_login_has_come_back_to_it(
    desk: LocalDesk, exchange: PaperExchange
) -> None:
    """One that is mistyped, or not registered, would else spoil the login in the window too."""
    account = await connected(desk, exchange)
    before = (await desk.session.begin_login(account)).redirect_url
    entered = registered()
    assert (await desk.browser.begin(account, entered)).redirect_url == entered
    waiting = asyncio.create_task(desk.browser.finish(account))
    await asyncio.sleep(0)
    await desk.browser.cancel(account)
    with pytest.raises(Cancelled):
        await waiting
    assert (await desk.session.begin_login(account)).redirect_url == before
    page = await desk.browser.begin(account, entered)
    waiting = asyncio.create_task(desk.browser.finish(account))
    await visit(await log_in(exchange, page))
    assert (await waiting).state is SessionState.ACTIVE
    assert (await desk.session.begin_login(account)).redirect_url == entered


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not known"),
        ("https://example.com/callback", "only come back to this computer"),
        ("https://127.0.0.1:8765/kite", "http, not https"),
        ("http://127.0.0.1/kite", "names no port"),
        ("http://127.0.0.1:99999/kite", "names no port"),
    ],
)
def test_an_address_at_which_nobody_can_listen_is_denied_in_words(url: str, words: str) -> None:
    with pytest.raises(Denied, match=words):
        listening_port(url)


async def test_two_accounts_of_one_broker_stand_beside_each_other(desk: LocalDesk, exchange: PaperExchange) -> None:
    first = await connected(desk, exchange)
    with paper_exchange("--seed", "8", "--clock", "2026-11-20T10:00:00") as other:
        second = await connected(desk, other)
        assert first != second
        for account, where in ((first, exchange), (second, other)):
            page = await desk.session.begin_login(account)
            await desk.session.complete_login(account, await where.log_in(page.url))
        views = {view.id: view for view in await desk.session.accounts()}
        assert {views[first].user_id, views[second].user_id} == {exchange.line["user_id"], other.line["user_id"]}
        assert [view.state for view in views.values()] == [SessionState.ACTIVE] * 2
        await desk._workspace.account(first).recovered()
        await desk._workspace.account(second).recovered()
        summary = await desk.portfolio.sync()
        assert {(run.account, run.step) for run in summary.accounts} == {(first, "completed"), (second, "completed")}
        alone = await desk.portfolio.sync(second)
        assert [run.account for run in alone.accounts] == [second]
        # One of them goes: its tokens are gone, its session is dead at the broker, its history and the other stay.
        dead = desk._workspace.account(second).session
        assert dead is not None
        await desk.session.disconnect(second)
        stored = {record.id: record for record in await desk._workspace.book.accounts.load()}
        assert (stored[second].sealed_token, stored[second].state) == (None, SessionState.LOGGED_OUT)
        assert stored[second].disconnected_at is not None
        assert stored[first].state is SessionState.ACTIVE
        async with browser() as client:
            header = {"Authorization": f"token {other.line['api_key']}:{dead.access_token.reveal()}"}
            answer = await client.get(f"{other.line['api_url']}/user/profile", headers=header)
        assert (answer.status_code, answer.json()["error_type"]) == (403, "TokenException")
        assert [run.account for run in (await desk.portfolio.sync(first)).accounts] == [first]
        # A broker that cannot be asked keeps no token here alive, and it is said.
        notices: list[Noticed] = []
        desk.listen(lambda event: notices.append(event) if isinstance(event, Noticed) else None)
        await exchange.control("PUT", "/faults", {"faults": ["status=503:route=session"]})
        await desk.session.disconnect(first)
        assert {r.id: r.sealed_token for r in await desk._workspace.book.accounts.load()}[first] is None
        assert "could not be ended at the broker" in notices[-1].title


async def test_a_wrong_login_of_a_known_account_is_refused(desk: LocalDesk, exchange: PaperExchange) -> None:
    account = await connected(desk, exchange)
    record = desk._workspace.record(account)
    await desk._workspace.save(replace(record, user_id="SOMEONE"))
    page = await desk.browser.begin(account, registered())
    waiting = asyncio.create_task(desk.browser.finish(account))
    shown = await visit(await log_in(exchange, page))
    assert "belongs to" in shown.text
    with pytest.raises(LoginFailed, match="SOMEONE"):
        await waiting


async def test_the_command_line_opens_the_browser_and_waits_for_it(
    desk: LocalDesk, exchange: PaperExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def system_browser(url: str) -> bool:
        loop.call_soon_threadsafe(opened.put_nowait, url)
        return True

    monkeypatch.setattr("webbrowser.open", system_browser)
    secret = tmp_path / "secret"
    secret.write_text(exchange.line["api_secret"])
    endpoints = replace(exchange.endpoints, redirect_url=registered())
    command = Connect(
        tmp_path, "zerodha", exchange.line["api_key"], secret, None, endpoints, as_json=True, browser=True
    )
    out = Output(io.StringIO(), io.StringIO(), as_json=True)
    running = asyncio.create_task(run_connect(DirectDesk(desk), command, out, lambda: ""))
    page = LoginPage(AccountId(""), await opened.get(), endpoints.redirect_url, ())
    shown = await visit(await log_in(exchange, page))
    assert "Logged in as" in shown.text
    assert await running == FINE
    told = json.loads(out.stdout.getvalue())  # type: ignore[attr-defined]  # a StringIO
    assert (told["ok"], told["account"]["user_id"]) == (True, exchange.line["user_id"])
    assert page.url in out.stderr.getvalue()  # type: ignore[attr-defined]  # a StringIO
    wrong = replace(command, endpoints=replace(endpoints, redirect_url="https://example.com/callback"))
    assert await run_connect(DirectDesk(desk), wrong, out, lambda: "") == COULD_NOT_START
