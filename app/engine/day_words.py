"""What a portfolio stop says: its alarms, and its lines in the journal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from app.domain.day_stop import DayLimits, DayStop
from app.domain.errors import AppError
from app.domain.events import Level, Noticed
from app.domain.gtt import Gtt
from app.domain.money import Paise, in_rupees, said_money


def halt(stop: DayStop, how_far: str) -> Noticed:
    """That the account is halted, and what has come of its positions: one call, whose words change."""
    if not stop.overdue:
        entries = f"No entries until {day_name(stop.until)}."
    else:
        entries = "No entries until everything is closed."
    cause = f"The day stood at {said(stop.halted_net)}. {how_far}"
    return _alarm(stop, "day stop", f"Portfolio stop: {stop.halted}", cause, entries)


def over(stop: DayStop) -> Noticed:
    """What the halt's own day had left is closed on the next one."""
    cause = "What it had left open is closed. Shares bought for delivery are holdings by now, and were not sold."
    return _alarm(stop, "day stop", f"Portfolio stop: {stop.halted}", cause, "Entries are possible again.")


def given_up(stop: DayStop) -> Noticed:
    """A halt that ended before everything was closed."""
    cause = f"It was to hold until {day_name(stop.until)}, and was never seen to have closed everything."
    return _alarm(
        stop,
        "day stop",
        f"Portfolio stop ({stop.halted}) has ended",
        cause,
        "Look at your positions: it closes none of them any more. Entries are possible again.",
    )


def unread(stop: DayStop, failure: AppError) -> Noticed:
    """Nothing is known of a limit or a halt."""
    step = "It guards nothing until the journal can be read; Stopline keeps trying."
    return _alarm(stop, "day stop unread", "The portfolio stop could not be read", str(failure), step)


def unsaved(stop: DayStop, failure: AppError) -> Noticed:
    """A restart would not know of it."""
    step = "It holds until the program ends."
    return _alarm(stop, "day stop unsaved", "The portfolio stop could not be journalled", str(failure), step)


def not_closed(stop: DayStop, failure: AppError) -> Noticed:
    """One order or position stays for now."""
    title = "The portfolio stop could not close everything yet"
    return _alarm(stop, "day stop step", title, str(failure), "Stopline keeps trying.", f":{failure.cause}")


def blind(stop: DayStop) -> Noticed:
    """It decides nothing now."""
    cause = "Positions are open and trade, and no price comes: no limit of the day is watched."
    step = "Watch the day's loss elsewhere; Stopline dials again and again."
    return _alarm(stop, "day stop blind", "The portfolio stop is blind", cause, step)


def sees_again(stop: DayStop) -> Noticed:
    """It decides again, or there is nothing to decide."""
    title, key = "The portfolio stop is not blind any more", f"day stop blind over:{stop.account}"
    return Noticed(Level.INFO, title, "Prices come, or nothing that is open trades now.", "", stop.account, key)


def entering(stop: DayStop, entries: Sequence[Gtt]) -> Noticed:
    """Triggers at the broker that no halt takes back."""
    names = ", ".join(f"{gtt.legs[0].side.capitalize()} {gtt.instrument}" for gtt in entries)
    cause = f"The account is halted, and these wait: {names}."
    step = "Take them back in the list of triggers (GTT) if you do not want them."
    return _alarm(stop, "day stop triggers", "Triggers at the broker can still open positions", cause, step)


def _alarm(stop: DayStop, kind: str, title: str, cause: str, step: str, key: str = "") -> Noticed:
    return Noticed(Level.ALARM, title, cause, step, stop.account, f"{kind}:{stop.account}{key}")


def rupees(amount: Paise | None) -> str:
    """Plainly, for the journal."""
    return "not known" if amount is None else in_rupees(amount, 100)


def said(amount: Paise | None) -> str:
    """For the trader."""
    return "an unknown amount" if amount is None else said_money(amount)


def day_name(iso: str) -> str:
    """Of an ISO date."""
    return f"{date.fromisoformat(iso):%d %B}" if iso else "the next trading day"


def limits_words(stop: DayStop) -> str:
    """For the journal."""

    def told(limits: DayLimits) -> str:
        parts = [("loss", limits.loss), ("profit", limits.profit), ("drawdown", limits.drawdown)]
        return ", ".join(f"{name} {rupees(value)}" for name, value in parts if value is not None) or "none"

    later = "" if stop.tomorrow is None else f"; from tomorrow {told(stop.tomorrow)}"
    return f"today {told(stop.limits)}{later}"
