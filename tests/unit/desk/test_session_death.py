"""A token dies: whoever has stops whose market trades is called."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from app.brokers.base import Session
from app.desk.tokens import pack
from app.domain.account import Endpoints
from app.domain.errors import DiskFull, SessionExpired, Unreachable
from app.domain.events import Event, Level, LoginAsked, Noticed, SessionChanged, SessionState
from app.domain.ids import AccountId
from app.domain.instrument import Exchange, Instrument, Segment
from app.engine.entry_bar import NoEntries
from app.runtime.secret import Secret
from tests.fakes.trading import OPTION
from tests.unit.desk.profiles import make_profile, opened
from tests.unit.desk.test_hours import at
from tests.unit.storage.samples import A, stop

CRUDE = replace(OPTION, exchange=Exchange.MCX, segment=Segment.COMMODITY)
SHARE = replace(OPTION, exchange=Exchange.NSE, segment=Segment.EQUITY)


@pytest.mark.parametrize(
    ("moment", "guarded", "called"),
    [
        ("2026-11-26T11:00:00", SHARE, True),
        ("2026-11-26T20:00:00", SHARE, False),
        ("2026-11-26T20:00:00", CRUDE, True),
        ("2026-11-24T20:00:00", CRUDE, True),  # a holiday of shares
        ("2026-11-27T00:10:00", CRUDE, False),
    ],
)
async def test_stops_are_blind_is_said_while_their_own_market_trades(
    tmp_path: Path, moment: str, guarded: Instrument, called: bool
) -> None:
    await make_profile(tmp_path, 3)
    async with opened(tmp_path) as desk:
        heard: list[Event] = []
        desk.listen(heard.append)
        workspace = desk._workspace
        account = workspace.account(A)
        account.clock.set(at(moment) * 10**9)
        account.hours._instrument = {stop(1).key.instrument: guarded}.get
        await workspace.session_died(A, SessionExpired("It is over."))
        said = [event.title for event in heard if isinstance(event, Noticed) and event.level is Level.ALARM]
        assert said == (["Stops are blind"] if called else [])


async def test_stops_that_are_blind_since_before_the_opening_are_said_to_be_when_their_market_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker is down when the program starts, and for hours."""
    monkeypatch.setattr("app.desk.sessions.RESUME_LONGEST", 0.0)
    await make_profile(tmp_path, 3)
    async with opened(tmp_path) as desk:
        heard, tries = list[Event](), count(1)
        desk.listen(heard.append)
        for own in desk.session._resuming:
            own.cancel()  # the program's own, of the profile as it was opened
        workspace, sessions = desk._workspace, desk.session._sessions
        monkeypatch.setattr(workspace, "guarding", True)
        account = workspace.account(A)
        account.clock.set(at("2026-11-26T08:50:00") * 10**9)
        account.hours._instrument = {stop(1).key.instrument: SHARE}.get
        sealed = workspace.vault.seal(A, pack(Session(A, "X", "X", Secret("token"), 0, 4 * 10**18)))
        await workspace.save(replace(workspace.record(A), sealed_token=sealed, token_expires_at=4 * 10**18))

        async def begin(*_: object, **__: object) -> None:
            number = next(tries)
            if number == 5:
                assert [event for event in heard if isinstance(event, Noticed)] == []
                account.clock.set(at("2026-11-26T09:20:00") * 10**9)
            if number < 9:
                raise Unreachable("The broker does not answer.")

        monkeypatch.setattr(sessions, "_begin", begin)
        await sessions.resume(A)
        said = [event.title for event in heard if isinstance(event, Noticed) and event.level is Level.ALARM]
        assert said == ["Stops are blind"]


async def test_a_session_that_dies_between_the_last_request_for_a_login_and_the_opening_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logged in on request, and ended by a login elsewhere: nobody is woken at night, but it is morning."""
    await make_profile(tmp_path, 3)
    async with opened(tmp_path) as desk:
        heard = list[Event]()
        desk.listen(heard.append)
        workspace, sessions = desk._workspace, desk.session._sessions
        account = workspace.account(A)

        async def begin(*_: object, **__: object) -> None:
            """Not here."""

        async def look(moment: str) -> int:
            heard.clear()
            account.clock.set(at(moment) * 10**9)
            for watched in sessions._watched():
                await sessions.watch.look(watched)
            return len([event for event in heard if isinstance(event, LoginAsked)])

        monkeypatch.setattr(sessions, "_begin", begin)
        token = Session(A, "X", "X", Secret("token"), 0, at("2026-11-27T06:00:00") * 10**9)
        for moment in ("2026-11-26T08:50:00", "2026-11-26T08:55:00"):
            await sessions.take(A, token)
            assert await look(moment) == 0
            await sessions.set_state(A, SessionState.REVOKED, "A login elsewhere.")
            assert [await look(moment), await look(moment)] == [1, 0]


async def test_that_a_session_is_dead_is_told_on_a_full_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_profile(tmp_path, 3)
    async with opened(tmp_path) as desk:
        heard: list[Event] = []
        desk.listen(heard.append)
        workspace = desk._workspace
        account = workspace.account(A)
        account.clock.set(at("2026-11-26T11:00:00") * 10**9)
        account.hours._instrument = {stop(1).key.instrument: SHARE}.get

        async def full(_record: object) -> None:
            raise DiskFull("There is no space left to write book.db.", "Make room.")

        monkeypatch.setattr(workspace.book.accounts, "save", full)
        await workspace.session_died(A, SessionExpired("It is over."))
        monkeypatch.undo()
        said = [event.title for event in heard if isinstance(event, Noticed)]
        assert said == ["How an account stands could not be stored", "Stops are blind"]
        *_, told = [event.state for event in heard if isinstance(event, SessionChanged) and event.account == A]
        assert told.dead


async def test_an_account_whose_broker_is_no_longer_installed_keeps_no_other_from_being_asked_to_log_in(
    tmp_path: Path,
) -> None:
    await make_profile(tmp_path, 3)
    async with opened(tmp_path) as desk:
        workspace, sessions = desk._workspace, desk.session._sessions
        known = workspace.record(A)
        gone = replace(known, id=AccountId("elsewhere-1"), broker="elsewhere", token_expires_at=1)
        await workspace.save(gone)
        desk.session._add_desk(gone)
        await workspace.save(replace(known, token_expires_at=1))
        assert [watched.account for watched in sessions._watched()] == [A]
        assert A in {target.account for target in desk.sync._targets()}


async def test_what_stops_guard_keeps_its_hours_and_its_price_where_a_later_list_leaves_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without them its ticks fire nothing, and nobody is told."""
    await make_profile(tmp_path, 3)
    async with opened(tmp_path) as desk:
        workspace = desk._workspace
        account, name = workspace.account(A), stop(1).key.instrument
        account.clock.set(at("2026-11-26T11:00:00") * 10**9)
        listed = {name: replace(SHARE, id=name)}
        monkeypatch.setattr(workspace.master, "get", lambda instrument, _list="": listed.get(instrument))
        account.stops._known(name)  # as when it is armed
        monkeypatch.setattr(account.hub, "last_price", {SHARE.token: 148_000}.get)
        for _ in range(2):
            workspace._instruments_changed()
            assert account.trades(name)
            assert account.hours.counts(name, at("2026-11-26T11:00:00"), account.clock.now())
            assert account.last_price(name) == 148_000
            listed.clear()


@pytest.mark.parametrize("meanwhile", [None, SessionState.ERROR, SessionState.EXPIRED])
async def test_a_pause_holds_from_the_first_moment_of_the_next_session_whatever_became_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: SessionState | None
) -> None:
    await make_profile(tmp_path, 3)
    async with opened(tmp_path) as desk:
        workspace, sessions = desk._workspace, desk.session._sessions
        account, bars = workspace.account(A), list[NoEntries | None]()
        here = Endpoints("http://127.0.0.1:1", "http://127.0.0.1:1", "ws://127.0.0.1:1", "http://127.0.0.1:1")
        await workspace.save(replace(workspace.record(A), state=SessionState.PAUSED, endpoints=here))

        async def begin(*_: object, **__: object) -> None:
            bars.append(account.orders.bar.why)

        monkeypatch.setattr(account, "begin", begin)
        monkeypatch.setattr(workspace, "list_instruments", begin)
        for _ in range(2):
            await sessions._begin(A, Session(A, "X", "X", Secret("token"), 0, 0))
            assert bars.pop() is NoEntries.PAUSED
            assert workspace.record(A).state is SessionState.PAUSED
            if meanwhile is not None:
                await sessions.set_state(A, meanwhile, "The broker is down.")
        await sessions.set_state(A, SessionState.PAUSED, "")
        await sessions.go_on(A)
        assert account.orders.bar.why is None


async def test_a_pause_outlives_the_program_whatever_became_of_its_session(tmp_path: Path) -> None:
    """Whoever comes back in the morning logs in first: strategies would buy then."""
    await make_profile(tmp_path, 3)
    for paused in (True, False):
        async with opened(tmp_path) as desk:
            sessions = desk.session._sessions
            await sessions.set_state(A, SessionState.PAUSED if paused else SessionState.ACTIVE, "")
            await sessions.set_state(A, SessionState.EXPIRED, "It is over.")
        async with opened(tmp_path) as desk:
            assert desk._workspace.account(A).orders.bar.stands(NoEntries.PAUSED) is paused
            assert desk.session._sessions._is_paused(A) is paused


async def test_the_end_of_a_pause_leaves_an_account_that_is_tried_again_as_it_is(tmp_path: Path) -> None:
    """What tries it stops where the account is not in error any more: its stops would be blind until a login."""
    await make_profile(tmp_path, 3)
    async with opened(tmp_path) as desk:
        workspace, sessions = desk._workspace, desk.session._sessions
        await sessions.set_state(A, SessionState.PAUSED, "")
        await sessions.set_state(A, SessionState.ERROR, "The broker is down.")
        await sessions.go_on(A)
        assert workspace.account(A).orders.bar.why is None
        assert (workspace.record(A).state, workspace.record(A).last_error) == (
            SessionState.ERROR,
            "The broker is down.",
        )


async def test_new_keys_and_addresses_are_taken_on_a_full_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login that proved them has used its one-time token."""
    await make_profile(tmp_path, 3)
    async with opened(tmp_path) as desk:
        sessions = desk.session._sessions

        async def full(_record: object) -> None:
            raise DiskFull("There is no space left to write book.db.", "Make room.")

        monkeypatch.setattr(desk._workspace.book.accounts, "save", full)
        sessions.offer_redirect(A, "http://127.0.0.1:8765/other")
        await sessions.accept(A)
        assert desk._workspace.record(A).endpoints.redirect_url == "http://127.0.0.1:8765/other"
        monkeypatch.undo()
