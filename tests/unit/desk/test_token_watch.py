from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pytest

from app.brokers.base import Session
from app.desk.token_watch import TokenFacts, TokenWatch, Watched, Wish, wish
from app.desk.tokens import pack, unpack
from app.domain.calendar import TradingCalendar
from app.domain.errors import Damaged, SessionExpired, Unreachable
from app.domain.events import Event, Level, LoginAsked, Noticed, SessionState
from app.domain.ids import AccountId, Nanos
from app.domain.instrument import Segment
from app.runtime.clock import IST, from_datetime
from app.runtime.paths import resource
from app.runtime.secret import Secret
from tests.fakes.fast_loop import run

ACCOUNT = AccountId("zerodha-1")


@pytest.fixture(scope="module")
def calendar() -> TradingCalendar:
    return TradingCalendar.parse(*(f.read_text("utf-8") for f in sorted(resource("calendar").glob("*.json"))))


def at(text: str) -> Nanos:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=IST))


def night(
    state: SessionState, asked: str = "", expires: str = "2026-11-25 06:00", markets: Iterable[Segment] = ()
) -> TokenFacts:
    """A Kite token: dies at six, cannot be renewed."""
    return TokenFacts(
        state,
        at(expires),
        dies_at_fixed_hour=True,
        renewable=False,
        asked_at=at(asked) if asked else None,
        markets=frozenset(markets),
    )


DEAD, ALIVE = SessionState.EXPIRED, SessionState.ACTIVE


@pytest.mark.parametrize(
    ("now", "facts", "wanted"),
    [
        ("2026-11-25 05:30", night(ALIVE), Wish.NOTHING),  # a login now would die with this token
        ("2026-11-25 06:01", night(DEAD), Wish.NOTHING),  # nobody is woken
        ("2026-11-25 07:59", night(DEAD), Wish.NOTHING),
        ("2026-11-25 08:00", night(DEAD), Wish.ASK),
        ("2026-11-25 08:30", night(DEAD, asked="2026-11-25 08:00"), Wish.NOTHING),
        ("2026-11-25 08:45", night(DEAD, asked="2026-11-25 08:00"), Wish.ASK),
        ("2026-11-25 11:00", night(DEAD, asked="2026-11-25 08:45"), Wish.NOTHING),
        ("2026-11-25 11:00", night(DEAD), Wish.ASK),  # the program was started late
        ("2026-11-25 23:45", night(DEAD), Wish.NOTHING),
        ("2026-11-28 09:00", night(DEAD), Wish.NOTHING),  # Saturday
        ("2026-12-25 09:00", night(DEAD), Wish.NOTHING),  # Christmas
        ("2026-11-24 09:00", night(DEAD), Wish.NOTHING),  # a holiday of shares
        ("2026-11-24 09:00", night(DEAD, markets={Segment.COMMODITY}), Wish.ASK),  # MCX trades in its evening
        ("2026-11-28 09:00", night(DEAD, markets={Segment.COMMODITY, Segment.CURRENCY}), Wish.NOTHING),
        ("2026-11-25 10:00", night(ALIVE, expires="2026-11-26 06:00"), Wish.NOTHING),
        ("2026-11-25 10:00", night(SessionState.LOGGED_OUT), Wish.NOTHING),  # the trader's own choice
    ],
)
def test_a_token_of_the_night_is_asked_for_in_the_morning(
    now: str, facts: TokenFacts, wanted: Wish, calendar: TradingCalendar
) -> None:
    assert wish(facts, at(now), calendar) is wanted


def rolling(minutes_left: int, *, renewable: bool, tried: int | None = None, asked: int | None = None) -> TokenFacts:
    """A token with a length of life. Minutes before now."""
    now = at("2026-11-25 10:00")
    minute = 60 * 10**9
    return TokenFacts(
        ALIVE,
        now + minutes_left * minute,
        dies_at_fixed_hour=False,
        renewable=renewable,
        tried_at=None if tried is None else now - tried * minute,
        asked_at=None if asked is None else now - asked * minute,
    )


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (rolling(61, renewable=True), Wish.NOTHING),
        (rolling(60, renewable=True), Wish.RENEW),
        (rolling(50, renewable=True, tried=2), Wish.ASK),  # and tried again in three minutes
        (rolling(50, renewable=True, tried=5), Wish.RENEW),
        (rolling(60, renewable=False), Wish.ASK),
        (rolling(30, renewable=False, asked=30), Wish.NOTHING),  # once
    ],
)
def test_other_tokens_are_cared_for_in_their_last_hour(
    facts: TokenFacts, wanted: Wish, calendar: TradingCalendar
) -> None:
    assert wish(facts, at("2026-11-25 10:00"), calendar) is wanted


def look(facts: TokenFacts, failure: Exception | None, calendar: TradingCalendar, armed: int) -> list[Event]:
    events: list[Event] = []

    async def renew(account: AccountId) -> None:
        assert account == ACCOUNT
        if failure is not None:
            raise failure

    async def script() -> None:
        watch = TokenWatch(list, renew, events.append)
        await watch.look(Watched(ACCOUNT, facts, at("2026-11-25 10:00"), 1.0, calendar, armed, "Zerodha AB1234"))
        assert watch.renewed == (failure is None and facts.renewable)

    run(script())
    return events


def test_a_renewed_session_disturbs_nobody(calendar: TradingCalendar) -> None:
    assert look(rolling(30, renewable=True), None, calendar, 2) == []


def test_a_broker_that_is_down_is_asked_again_before_the_trader_is(calendar: TradingCalendar) -> None:
    assert look(rolling(30, renewable=True), Unreachable("down"), calendar, 2) == []


def test_a_refused_renewal_asks_the_trader_once_with_the_stops_at_stake(calendar: TradingCalendar) -> None:
    asked, notice = look(rolling(30, renewable=True), SessionExpired("no"), calendar, 2)
    assert isinstance(asked, LoginAsked)
    assert asked.words == "The session ends at 10:30; 2 stops are blind from then on."
    assert isinstance(notice, Noticed)
    assert notice.title == "Log in to Zerodha AB1234"
    assert notice.level is Level.ALARM


def test_a_dead_session_says_what_waits_for_the_login(calendar: TradingCalendar) -> None:
    (asked, notice) = look(night(DEAD), None, calendar, 1)
    assert isinstance(asked, LoginAsked)
    assert asked.words == "1 stop is blind until you do."
    assert isinstance(notice, Noticed)
    assert (notice.level, notice.next_step) == (Level.ALARM, "Log in again.")


def test_all_tokens_of_a_session_are_kept_together_and_never_shown() -> None:
    session = Session(ACCOUNT, "AB1234", "A Trader", Secret("acc"), 1, 2, Secret("ref"), Secret("red"), 9)
    packed = pack(session)
    found = unpack(packed)
    assert (found.access, found.refresh, found.read, found.read_expires_at) == ("acc", "ref", "red", 9)
    assert "acc" not in repr(found) + repr(packed)


def test_a_stored_session_that_cannot_be_read_says_log_in_again_and_nothing_else() -> None:
    with pytest.raises(Damaged, match="cannot be read") as raised:
        unpack(Secret("canary-token"))
    assert "canary" not in repr(raised.value) + str(raised.value.__cause__)
