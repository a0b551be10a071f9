"""Looks after tokens that run out (A6): renews where the broker can, else asks for a login in time, never at night.

`wish` decides, purely. Kite's tokens die at 06:00 and Upstox's at 03:30: nothing can be done before, and nobody wants
to be woken, so the request comes at 08:00 and at 08:45 of a trading day, with the number of stops that are blind
until then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum
from typing import Any

from app.domain.calendar import Calendar, DayKind
from app.domain.errors import AppError, SessionExpired
from app.domain.events import Event, Level, LoginAsked, Noticed, SessionState
from app.domain.ids import AccountId, Nanos
from app.domain.instrument import Segment
from app.runtime.clock import IST, from_datetime, to_datetime

log = logging.getLogger(__name__)

MINUTE: Nanos = 60_000_000_000
AHEAD = 60 * MINUTE
"""A token that expires within this is cared for."""
TRY_AGAIN = 5 * MINUTE
ASK_AT = (time(8, 0), time(8, 45))
"""For tokens that die at a fixed hour of the night."""
LAST_ASK = time(23, 30)
"""After it the last session of the day (commodities) is all but over."""
LOOK_SECONDS = 20.0
"""Between two looks, of the account's own clock."""
LEAST_SECONDS = 0.2


class Wish(StrEnum):
    """What an account's token needs now."""

    NOTHING = "nothing"
    RENEW = "renew"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """An account as its token sees it. Times in the account's exchange time."""

    state: SessionState
    expires_at: Nanos | None
    dies_at_fixed_hour: bool
    renewable: bool
    tried_at: Nanos | None = None
    """The last renewal that failed."""
    asked_at: Nanos | None = None
    markets: frozenset[Segment] = frozenset()
    """Of its armed stops: MCX trades in the evening of many a holiday of shares."""


def wish(facts: TokenFacts, now: Nanos, calendar: Calendar) -> Wish:
    """Renewal comes first; a login is asked for once, and for the tokens of the night once more before the open."""
    if facts.expires_at is None or not (facts.state is SessionState.ACTIVE or facts.state.dead):
        return Wish.NOTHING
    soon = facts.expires_at - now <= AHEAD
    if not soon and facts.state is SessionState.ACTIVE:
        return Wish.NOTHING
    if facts.renewable and (facts.tried_at is None or now - facts.tried_at >= TRY_AGAIN):
        return Wish.RENEW
    if not facts.dies_at_fixed_hour:
        return Wish.ASK if facts.asked_at is None or facts.asked_at < facts.expires_at - AHEAD else Wish.NOTHING
    if not facts.state.dead:
        return Wish.NOTHING  # a login now would die with this one
    due = _due(now, calendar, facts.markets)
    return Wish.ASK if due is not None and (facts.asked_at is None or facts.asked_at < due) else Wish.NOTHING


def _due(now: Nanos, calendar: Calendar, markets: frozenset[Segment]) -> Nanos | None:
    """The last moment of this trading day at which a login was to be asked for; None at night and on holidays."""
    moment = to_datetime(now)
    kinds = {segment: calendar.day_kind(moment.date(), segment) for segment in {Segment.EQUITY, *markets}}
    closed = kinds[Segment.EQUITY] is DayKind.CLOSED and DayKind.TRADING not in kinds.values()
    if closed or moment.time() >= LAST_ASK:
        return None
    passed = [at for at in ASK_AT if at <= moment.time()]
    return from_datetime(datetime.combine(moment.date(), passed[-1], IST)) if passed else None


@dataclass(frozen=True, slots=True)
class Watched:
    """One account as the watch needs it."""

    account: AccountId
    facts: TokenFacts
    now: Nanos
    speed: float
    calendar: Calendar
    armed: int
    """Stops that are blind without a session."""
    name: str
    """What a trader calls the account: a start asks before anybody else could say it."""


class TokenWatch:
    """Looks after all accounts until cancelled. Loop thread only."""

    def __init__(
        self,
        accounts: Callable[[], Iterable[Watched]],
        renew: Callable[[AccountId], Coroutine[Any, Any, None]],
        publish: Callable[[Event], None],
    ) -> None:
        self._accounts = accounts
        self._renew = renew
        self._publish = publish
        self._asked: dict[AccountId, Nanos] = {}
        self._tried: dict[AccountId, Nanos] = {}
        self.renewed = 0
        self.failed: list[Nanos] = []
        """When renewals failed: more than three are an alert (C12)."""

    def asked_at(self, account: AccountId) -> Nanos | None:
        """When a login was last asked for."""
        return self._asked.get(account)

    def logged_in(self, account: AccountId) -> None:
        """What was asked for is done: where this session ends too, it is asked for anew."""
        self._asked.pop(account, None)

    def tried_at(self, account: AccountId) -> Nanos | None:
        """When a renewal last failed."""
        return self._tried.get(account)

    async def run(self) -> None:
        """A look every 20 seconds of exchange time."""
        while True:
            speed = 1.0
            for watched in tuple(self._accounts()):
                speed = max(speed, watched.speed)
                await self.look(watched)
            await asyncio.sleep(max(LOOK_SECONDS / speed, LEAST_SECONDS))

    async def look(self, watched: Watched) -> None:
        """One account."""
        wanted = wish(watched.facts, watched.now, watched.calendar)
        if wanted is Wish.RENEW:
            wanted = await self._try(watched)
        if wanted is Wish.ASK:
            self._ask(watched)

    async def _try(self, watched: Watched) -> Wish:
        account = watched.account
        try:
            await self._renew(account)
        except AppError as failure:
            log.info("session of %s not renewed: %s", account, failure.cause)
            self._tried[account] = watched.now
            self.failed.append(watched.now)
            # The broker's own no is final: only the trader can help, and is asked as if nothing could be renewed.
            if isinstance(failure, SessionExpired):
                return Wish.ASK if self._asked.get(account) is None else Wish.NOTHING
            return Wish.NOTHING
        self._tried.pop(account, None)
        self._asked.pop(account, None)
        self.renewed += 1
        return Wish.NOTHING

    def _ask(self, watched: Watched) -> None:
        account, blind = watched.account, watched.armed
        self._asked[account] = watched.now
        dead = watched.facts.state.dead
        stops = f"{blind} {'stop is' if blind == 1 else 'stops are'}"
        if dead:
            words = f"{stops} blind until you do." if blind else "Its prices, orders and syncs wait for it."
        else:
            at = to_datetime(watched.facts.expires_at or 0)
            words = f"The session ends at {at:%H:%M}" + (f"; {stops} blind from then on." if blind else ".")
        self._publish(LoginAsked(account, words))
        level = Level.ALARM if blind else Level.WARNING
        self._publish(Noticed(level, f"Log in to {watched.name}", words, "Log in again.", account, f"log in:{account}"))
