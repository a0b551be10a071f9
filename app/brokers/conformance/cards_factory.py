"""Cards 1 to 11: what a provider says of itself, and how a session begins and ends."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from app.brokers import base, market_parts, parts
from app.brokers.configuration import endpoint_problems
from app.brokers.conformance.rig import Rig, card, raised
from app.domain.account import Endpoints
from app.domain.broker import AuthKind, Support
from app.domain.errors import Denied, LoginFailed, SessionExpired, Unreachable
from app.runtime.secret import Secret

pytestmark = pytest.mark.asyncio

PROTOCOLS: dict[str, type] = {
    "trading": base.TradeBroker,
    "streaming": base.StreamBroker,
    "quotes": base.QuoteSource,
    "candles": base.CandleSource,
    "order_cost": base.CostSource,
    "instruments": base.InstrumentSource,
    "trade_history": parts.HistoryBroker,
    "gtt": parts.GttBroker,
    "autoslice": parts.SlicingBroker,
    "order_basket": parts.BasketBroker,
    "basket_margin": parts.BasketMarginSource,
    "contract_note": parts.ContractNoteSource,
    "pnl_report": parts.ReportSource,
    "conversion": parts.ConversionBroker,
    "holdings_authorisation": parts.AuthorisationBroker,
    "auctions": parts.AuctionSource,
    "alerts": parts.AlertBroker,
    "calendar": parts.CalendarSource,
    "registered_address": parts.AddressSource,
    "address_change": market_parts.AddressRegistrar,
    "kill_switch": market_parts.KillSwitchBroker,
    "market_status": market_parts.MarketStatusSource,
    "option_chain": market_parts.OptionSource,
    "expired_contracts": market_parts.ExpiredSource,
}
"""Which protocol stands behind an ability."""


class TestWhatItSaysOfItself:
    """Cards 1 to 4."""

    @card(1, "The registry knows how to log in, how often to ask, where the documentation is, and when it was checked.")
    async def test_metadata_is_complete(self, rig: Rig) -> None:
        """Shown to the trader before anything is entered."""
        info = rig.bench.factory().info
        assert info.title
        assert urlsplit(info.documentation).scheme == "https"
        assert date.fromisoformat(info.as_of) > date(2020, 1, 1)
        assert info.session_dies_at == "" or re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", info.session_dies_at)
        assert info.history_days is None or info.history_days >= 1
        assert all(field.label and field.help for field in info.fields)
        assert any(field.secret for field in info.fields)
        assert {limit.kind for limit in info.rate_limits} >= {"read"}
        assert all(limit.amount > 0 and limit.seconds > 0 for limit in info.rate_limits)
        traded = info.capabilities.trading is Support.YES
        assert not traded or any(limit.kind == "order" for limit in info.rate_limits)

    @card(2, "An ability said to be there is implemented, and one that is implemented is said to be there.")
    async def test_abilities_are_told_as_they_are(self, rig: Rig) -> None:
        """YES if and only if the session has the part; history has a depth."""
        session = await rig.session()
        info = rig.bench.factory().info
        said = info.capabilities.said()
        for name, protocol in PROTOCOLS.items():
            assert (said[name] is Support.YES) == isinstance(session, protocol), f"{name} is said to be {said[name]}"
        if said["trade_history"] is Support.YES:
            assert info.history_days is not None
            assert info.history_days > 1
        login = rig.bench.factory().login(rig.bench.account, rig.bench.credentials, rig.endpoints)
        assert (said["refresh_token"] is Support.YES) == isinstance(login, parts.RefreshingLogin)
        assert (said["approval_login"] is Support.YES) == isinstance(login, market_parts.ApprovalLogin)
        assert (said["access_token"] is Support.YES) == isinstance(login, parts.TokenLogin)

    @card(3, "Live secrets go to the broker's own encrypted addresses, or to none: others are Denied before a request.")
    async def test_secrets_never_go_to_strange_addresses(self, rig: Rig) -> None:
        """Neither by a login nor by a session."""
        factory, bench = rig.bench.factory(), rig.bench
        living = await rig.living()
        assert endpoint_problems(factory.info, factory.info.endpoints) == ()
        seen = len(rig.door.passed)
        own = factory.info.endpoints
        strange: list[Endpoints] = [
            replace(own, api_url="https://api.example"),
            replace(own, api_url=rig.door.url),
            replace(rig.endpoints, login_url=own.login_url),
            replace(own, api_url=own.api_url.replace("https:", "http:")),
        ]
        for endpoints in strange:
            with pytest.raises(Denied) as told:
                factory.login(bench.account, bench.credentials, endpoints)
            rig.check_words(told.value)
            with pytest.raises(Denied):
                factory.session(living, bench.credentials, endpoints)
        assert len(rig.door.passed) == seen

    @card(4, "No secret is in the repr of anything that an adapter hands out.")
    async def test_nothing_prints_a_secret(self, rig: Rig) -> None:
        """Factory, login, session, adapter, and what it keeps."""
        living = await rig.living()
        session = await rig.session()
        await session.profile()
        factory = rig.bench.factory()
        login = factory.login(rig.bench.account, rig.bench.credentials, rig.endpoints)
        things: list[object] = [factory, login, living, session, *vars(session).values(), *vars(login).values()]
        if isinstance(session, base.BrokerSession):
            things.append(session.exit_line().prepare(rig.order("CARD4")))
        for thing in things:
            rig.check_hidden(f"{thing} {thing!r} {[thing]}")


class TestHowASessionBegins:
    """Cards 5 to 11."""

    @card(5, "A login page is the broker's own and carries our state, so that it comes back with the redirect (A1).")
    async def test_the_login_page_carries_the_state(self, rig: Rig) -> None:
        """For a provider with a page."""
        factory = rig.bench.factory()
        if factory.info.auth is not AuthKind.LOGIN_PAGE:
            pytest.skip("it has no login page")
        url = factory.login(rig.bench.account, rig.bench.credentials, rig.endpoints).login_url("st-4711_x")
        assert url.startswith(rig.endpoints.login_url)
        given = parse_qs(urlsplit(url).query)
        assert any("st-4711_x" in unquote(value) for values in given.values() for value in values)
        rig.check_hidden(url)

    @card(6, "A login ends in a session of the account that says who it is, since when and until when.")
    async def test_a_login_ends_in_a_session(self, rig: Rig) -> None:
        """And the session agrees with the profile."""
        living = await rig.log_in()
        assert living.account == rig.bench.account
        assert living.user_id
        assert living.user_name
        assert living.access_token
        assert type(living.issued_at) is int
        assert living.expires_at > living.issued_at
        session = await rig.session(living)
        assert session.account == rig.bench.account
        assert session.paper
        assert (await session.profile()).user_id == living.user_id

    @card(7, "A one-time token that is not one is LoginFailed, in words that show no secret.")
    async def test_a_wrong_token_fails_in_words(self, rig: Rig) -> None:
        """Never SessionExpired: there was no session."""
        login = rig.bench.factory().login(rig.bench.account, rig.bench.credentials, rig.endpoints)
        with pytest.raises(LoginFailed) as told:
            await login.exchange("not-a-token")
        rig.check_words(told.value)
        assert told.value.next_step

    @card(8, "A one-time token works once.")
    async def test_a_one_time_token_works_once(self, rig: Rig) -> None:
        """For a provider with a page."""
        factory = rig.bench.factory()
        if factory.info.auth is not AuthKind.LOGIN_PAGE:
            pytest.skip("its token is no one-time token")
        login = factory.login(rig.bench.account, rig.bench.credentials, rig.endpoints)
        token = await rig.bench.one_time_token(login.login_url("s"))
        rig.bench.remembered = await login.exchange(token)
        with pytest.raises(LoginFailed):
            await login.exchange(token)

    @card(9, "A logout kills the session at the broker; one that is dead already is fine.")
    async def test_a_logout_kills_the_session(self, rig: Rig) -> None:
        """What reads then is SessionExpired."""
        living = await rig.log_in()
        session = await rig.session(living)
        login = rig.bench.factory().login(rig.bench.account, rig.bench.credentials, rig.endpoints)
        await login.logout(living)
        rig.bench.remembered = None
        await login.logout(living)
        assert isinstance(await raised(session.orders), SessionExpired)
        forged = replace(living, access_token=Secret("forged-token"))
        assert isinstance(await raised((await rig.session(forged)).orders), SessionExpired)

    @card(10, "A token that the trader has is proved with a real call: a session, or LoginFailed in words (A4).")
    async def test_a_token_is_adopted_or_refused(self, rig: Rig) -> None:
        """For a provider that takes one."""
        login = rig.bench.factory().login(rig.bench.account, rig.bench.credentials, rig.endpoints)
        if not isinstance(login, parts.TokenLogin):
            pytest.skip("it takes no token by hand")
        living = await rig.living()
        seen = len(rig.door.passed)
        adopted = await login.adopt(living.access_token)
        assert len(rig.door.passed) > seen
        assert (adopted.account, adopted.user_id) == (living.account, living.user_id)
        assert adopted.expires_at > adopted.issued_at
        for wrong in ("", "not a token", living.access_token.reveal()[::-1]):
            with pytest.raises(LoginFailed) as told:
                await login.adopt(Secret(wrong))
            rig.check_words(told.value)
            assert told.value.next_step
            assert not wrong or wrong not in str(told.value)

    @card(11, "A broker that is not there is Unreachable, at the login and in every read.")
    async def test_a_broker_that_is_not_there_is_unreachable(self, rig: Rig) -> None:
        """Not a failed login, not an empty answer."""
        session = await rig.session()
        reads = await rig.reads(session)
        login = rig.bench.factory().login(rig.bench.account, rig.bench.credentials, rig.endpoints)
        await rig.door.shut()
        with pytest.raises(Unreachable) as told:
            await login.exchange("whatever")
        rig.check_words(told.value)
        for name, read in reads.items():
            failure = await raised(read)
            assert isinstance(failure, Unreachable), f"{name}: {failure!r}"
            rig.check_words(failure)
