"""The whole way over TLS under a private authority, with the official client and the parsing in the helper process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.brokers.base import Credentials
from app.brokers.registry import Registry
from app.domain.errors import LoginFailed, Unreachable
from app.domain.ids import AccountId
from app.runtime.helper import Helper
from app.runtime.secret import Secret
from tests.fakes.paper_exchange import PaperExchange, paper_exchange

A = AccountId("zerodha-paper")


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperExchange]:
    state: Path = tmp_path_factory.mktemp("exchange")
    with paper_exchange("--seed", "5", "--tls", "--state", str(state)) as running:
        yield running


@pytest.fixture
async def helper() -> AsyncIterator[Helper]:
    helper = Helper()
    yield helper
    await helper.stop()


async def request_token(exchange: PaperExchange, login_url: str) -> str:
    redirected_to = await exchange.log_in(login_url)
    return redirected_to.partition("request_token=")[2].partition("&")[0]


async def test_login_and_reads_trust_the_private_authority_and_nobody_else(
    exchange: PaperExchange, helper: Helper
) -> None:
    assert exchange.endpoints.api_url.startswith("https:")
    factory = Registry(helper).factory("zerodha")
    login = factory.login(A, exchange.credentials, exchange.endpoints)
    session = await login.exchange(await request_token(exchange, login.login_url("x")))
    broker = factory.session(session, exchange.credentials, exchange.endpoints)
    assert (await broker.profile()).user_id == exchange.line["user_id"]
    assert len(await broker.instruments()) > 60
    await login.logout(session)
    await broker.close()

    stranger = replace(exchange.endpoints, ca_file="")
    with pytest.raises(Unreachable, match="TLS"):
        await factory.login(A, exchange.credentials, stranger).exchange("whatever")
    broker = factory.session(session, exchange.credentials, stranger)
    with pytest.raises(Unreachable, match="TLS"):
        await broker.orders()
    await broker.close()


async def test_a_failure_of_the_official_client_comes_back_in_words_from_the_helper(
    exchange: PaperExchange, helper: Helper
) -> None:
    factory = Registry(helper).factory("zerodha")
    login = factory.login(A, Credentials(exchange.credentials.api_key, Secret("wrong")), exchange.endpoints)
    with pytest.raises(LoginFailed) as caught:
        await login.exchange(await request_token(exchange, login.login_url("x")))
    assert caught.value.next_step
    exchange.kill()
    with pytest.raises(Unreachable) as gone:
        await login.exchange("whatever")
    assert "could not be reached" in gone.value.cause
