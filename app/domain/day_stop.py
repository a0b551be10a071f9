"""The portfolio stop of an account: how much of a day may be lost, won or given back before everything is closed and
no entry is made until the next trading day. Pure.

Today a limit may only become tighter; what loosens it waits for tomorrow. All amounts in paise, positive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from app.domain.ids import AccountId, Nanos
from app.domain.money import Paise


class DayBreach(StrEnum):
    """Which limit was reached."""

    LOSS = "day loss"
    PROFIT = "day profit"
    DRAWDOWN = "drawdown"


@dataclass(frozen=True, slots=True)
class DayLimits:
    """What the trader allows a day; None: no limit. By the day's P&L with what is realised, open, and all charges."""

    loss: Paise | None = None
    profit: Paise | None = None
    drawdown: Paise | None = None
    """Below the best that the day has seen; it begins at nothing won."""

    @property
    def any(self) -> bool:
        """There is a limit at all."""
        return self != NO_LIMITS


NO_LIMITS = DayLimits()


@dataclass(frozen=True, slots=True)
class DayStop:
    """One account's portfolio stop as it stands."""

    account: AccountId
    day: str
    """ISO date in India that `peak` and `limits` are of."""
    limits: DayLimits = NO_LIMITS
    tomorrow: DayLimits | None = None
    """What is looser than today's, from the next day on; None: today's stay."""
    peak: Paise = 0
    """The best of the day."""
    net: Paise | None = None
    """The day's P&L as last reckoned; None: not known."""
    halted: DayBreach | None = None
    halted_at: Nanos | None = None
    halted_net: Paise | None = None
    until: str = ""
    """ISO date of the first day with entries again."""
    flat: bool = False
    """Everything was closed after the halt, and that was seen."""

    @property
    def overdue(self) -> bool:
        """The halt's own day is over, and what could not be closed then is still to be."""
        return self.halted is not None and not self.flat and self.day >= self.until


def changed(stop: DayStop, limits: DayLimits) -> DayStop:
    """The limits that the trader enters: what is tighter holds at once, the rest from tomorrow."""
    today = DayLimits(
        _tighter(stop.limits.loss, limits.loss),
        _tighter(stop.limits.profit, limits.profit),
        _tighter(stop.limits.drawdown, limits.drawdown),
    )
    return replace(stop, limits=today, tomorrow=None if today == limits else limits)


def _tighter(now: Paise | None, asked: Paise | None) -> Paise | None:
    if now is None or asked is None:
        return asked if now is None else now
    return min(now, asked)


def rolled(stop: DayStop, today: str) -> DayStop:
    """The same on a day: a new one begins at nothing, with what was kept for it, and without a halt that is over.

    A halt that could not close everything (shares in the closing auction) holds on the next trading day until that is
    done. No longer: a program that was not run for a week must not sell what was bought in it.
    """
    if today > stop.day:
        stop = replace(stop, day=today, limits=stop.tomorrow or stop.limits, tomorrow=None, peak=0, net=None)
    if stop.halted is not None and stop.until <= stop.day and (stop.flat or stop.until < stop.day):
        stop = replace(stop, halted=None, halted_at=None, halted_net=None, until="", flat=False)
    return stop


def reckoned(stop: DayStop, net: Paise) -> DayStop:
    """With the day's P&L now. The best is what two looks in a row saw: one freak price is nothing to give back."""
    seen = stop.peak if stop.net is None else min(stop.net, net)
    return replace(stop, net=net, peak=max(stop.peak, seen))


def breach(stop: DayStop) -> DayBreach | None:
    """The limit that the day has reached."""
    limits, net = stop.limits, stop.net
    if net is None:
        return None
    if limits.loss is not None and -net >= limits.loss:
        return DayBreach.LOSS
    if limits.drawdown is not None and stop.peak - net >= limits.drawdown:
        return DayBreach.DRAWDOWN
    if limits.profit is not None and net >= limits.profit:
        return DayBreach.PROFIT
    return None
