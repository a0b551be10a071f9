"""The columns of the stops list."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from app.domain.instrument import Instrument
from app.domain.stop import FiredBy, Stop, StopPlan, StopState, TriggerSource
from app.ui import format as fmt
from app.ui.models.table import Column, Tone, account_column
from app.ui.views.price_age import age_tip, age_tone
from app.ui.views.words import (
    at_risk,
    distance,
    plan_tip,
    plan_words,
    price_of,
    quantity_of,
    side_tone,
    stop_state,
    stop_tone,
    symbol_of,
    way_of_underlying,
)

"""Age of an instrument's own last price that colours it."""

_NEAR = Decimal("0.25")
"""Percent from the last price below which a stop is about to fire."""


@dataclass(frozen=True, slots=True)
class StopRow:
    """One stop as the table shows it."""

    stop: Stop
    instrument: Instrument | None
    last: int | None
    blind: bool
    account: str
    """What a trader calls the account."""
    age: int = 0
    """Whole seconds since the instrument last ticked."""
    multiplier: int = 1
    """What one unit of the position holds, where it is counted in lots."""
    looked: int | None = None
    """The last price of the underlying, for a stop that looks at one."""

    @property
    def way(self) -> int | None:
        """From the price that it looks at to its trigger."""
        if self.stop.plan.source is TriggerSource.UNDERLYING:
            return way_of_underlying(self.stop, self.instrument, self.looked)
        return distance(self.stop, self.last)

    @property
    def way_percent(self) -> Decimal | None:
        """The same in percent of that price."""
        way = self.way
        price = self.looked if self.stop.plan.source is TriggerSource.UNDERLYING else self.last
        return None if way is None or not price else Decimal(way) * 100 / price

    @property
    def state(self) -> str:
        """In a word or two."""
        return stop_state(self.stop, blind=self.blind)


def _age_tone(row: StopRow) -> Tone:
    """An instrument's own age only colours it: a quiet one may be in order."""
    return age_tone(row.age) if row.stop.state is StopState.ARMED else Tone.PLAIN


def _symbol_tip(row: StopRow) -> str:
    stop = row.stop
    return f"{stop.key.instrument} · {stop.key.product} · {row.account} · stop {stop.id}{age_tip(row.age)}"


def _distance_words(row: StopRow) -> str:
    percent = row.way_percent
    points = price_of(row.instrument, row.way, row.stop.price_scale)
    return points if percent is None else f"{points} ({fmt.percent(percent)})"


def _outcome_words(row: StopRow) -> str:
    stop = row.stop
    if stop.exit_average is not None:
        why = "" if stop.fired_by in (None, FiredBy.STOP) else f" by {stop.fired_by}"
        return f"out at {price_of(row.instrument, stop.exit_average, stop.price_scale)}{why}"
    if stop.fired_by is not None and stop.fired_by is not FiredBy.STOP:
        return f"{stop.fired_by}: {stop.note}" if stop.note else str(stop.fired_by)
    if stop.plan.underlying is not None and stop.plan.source is TriggerSource.UNDERLYING and not stop.state.is_final:
        looks = f"looks at {symbol_of(stop.plan.underlying)}"
        return f"{looks}; {stop.note}" if stop.note else looks
    return stop.note


COLUMNS: tuple[Column[StopRow], ...] = (
    Column(
        "symbol",
        "Instrument",
        lambda r: r.stop.key.instrument,
        shown=lambda r: symbol_of(r.stop.key.instrument),
        tone=_age_tone,
        tip=_symbol_tip,
        help="Amber: no price for 2 seconds; red: for 5",
        whole=True,
        width=112,
    ),
    Column(
        "state",
        "State",
        lambda r: r.state,
        whole=True,
        width=64,
        tone=lambda r: stop_tone(r.stop, blind=r.blind),
        tip=lambda r: "No live price reaches this stop." if r.blind else r.stop.note,
    ),
    account_column(width=108),
    Column(
        "trigger",
        "Trigger",
        lambda r: r.stop.trigger,
        shown=lambda r: price_of(r.instrument, r.stop.trigger, r.stop.price_scale),
        number=True,
        width=82,
        tip=lambda r: plan_tip(r.stop, r.instrument),
    ),
    Column(
        "kind",
        "Kind",
        lambda r: plan_words(r.stop, r.instrument),
        width=148,
        tone=lambda r: Tone.DIM if r.stop.plan == StopPlan(r.stop.plan.trigger) else Tone.PLAIN,
        tip=lambda r: plan_tip(r.stop, r.instrument),
        help="What it does beside waiting at its level: trail, target, break-even, time, what it looks at",
        spare=2,
    ),
    Column(
        "target",
        "Target",
        lambda r: r.stop.plan.target,
        shown=lambda r: (
            "" if r.stop.plan.target is None else price_of(r.instrument, r.stop.plan.target, r.stop.price_scale)
        ),
        number=True,
        width=82,
        spare=3,
    ),
    Column(
        "distance",
        "Distance",
        lambda r: r.way,
        shown=_distance_words,
        number=True,
        width=112,
        help="From the price that it looks at to the trigger",
        tone=lambda r: Tone.WARN if (p := r.way_percent) is not None and p < _NEAR else Tone.PLAIN,
    ),
    Column(
        "risk",
        "At risk",
        lambda r: at_risk(r.stop, r.last, r.multiplier),
        fmt.amount,
        number=True,
        width=84,
        help="What the way from the last price to the trigger costs, before charges",
        spare=1,
    ),
    Column(
        "last",
        "Last",
        lambda r: r.last,
        shown=lambda r: price_of(r.instrument, r.last, r.stop.price_scale),
        number=True,
        width=82,
        spare=3,
    ),
    Column("side", "Exit", lambda r: r.stop.side, tone=lambda r: side_tone(r.stop.side), width=56, spare=4),
    Column(
        "quantity",
        "Qty",
        lambda r: r.stop.quantity,
        shown=lambda r: quantity_of(r.instrument, r.stop.quantity),
        number=True,
        width=84,
        spare=2,
    ),
    Column(
        "armed",
        "Armed",
        lambda r: r.stop.armed_at,
        fmt.time,
        number=True,
        width=72,
        tone=lambda _r: Tone.DIM,
        spare=5,
    ),
    Column("outcome", "Note", _outcome_words, tone=lambda _r: Tone.DIM, width=84, spare=1),
)
