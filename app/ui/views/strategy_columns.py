"""Columns of the strategies table."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.ids import split_instrument_id
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.stop import TriggerSource
from app.domain.strategy import Strategy, StrategyState
from app.ui import format as fmt
from app.ui.models.table import Column, Tone, account_column, tone_of
from app.ui.views.strategy_words import (
    NOTHING_OUT,
    Out,
    clock_of,
    days_words,
    entry_word,
    exit_word,
    level_words,
    result_of,
    state_tone,
    state_words,
    times_words,
    when,
)
from app.ui.views.words import price_of, quantity_of, side_tone, symbol_of

S = StrategyState


@dataclass(frozen=True, slots=True)
class StrategyRow:
    """One strategy as the table shows it."""

    strategy: Strategy
    instrument: Instrument | None
    last: Price | None
    account: str
    """What a trader calls the account."""
    out: Out = NOTHING_OUT
    """What its exit has closed so far."""
    multiplier: int | None = 1
    """What one of its units holds, of a contract that is counted in lots; None: not told."""

    @property
    def held(self) -> int:
        """Units that are still its own."""
        return max(0, self.strategy.held - self.out.units)

    @property
    def result(self) -> int | None:
        """Gross, in paise."""
        scale = 100 if self.instrument is None else self.instrument.price_scale
        return result_of(self.strategy, self.last, scale, self.out, self.multiplier)

    @property
    def following(self) -> str:
        """What it does next, in words."""
        strategy, plan = self.strategy, self.strategy.plan
        if strategy.state in (S.WAITING, S.PAUSED) and strategy.entry_at is not None:
            word = entry_word(plan.side).lower()
            return f"{word} {when(strategy.entry_at)}" + (" (paused)" if strategy.state is S.PAUSED else "")
        if strategy.state is S.SELLING:
            return f"{exit_word(plan.side).lower()} now"
        if strategy.state.is_open and strategy.exit_at is not None:
            same_day = fmt.moment(strategy.exit_at).date() == strategy.day
            return f"{exit_word(plan.side).lower()} {when(strategy.exit_at, day=not same_day)}"
        if strategy.goes_on:
            return f"{entry_word(plan.side).lower()} next day" + (" (paused)" if strategy.paused else "")
        return ""


def _price(row: StrategyRow, value: Price | None) -> str:
    return price_of(row.instrument, value)


def _tip(row: StrategyRow) -> str:
    plan = row.strategy.plan
    levels = [("stop", plan.stop), ("target", plan.target), ("trail", plan.trail)]
    levels += [("break-even after", plan.break_even), ("backstop behind it", plan.backstop)]
    told = [f"{name} {level_words(level, row.instrument)}" for name, level in levels if level is not None]
    if plan.range_trail is not None:
        told.append(f"trails {plan.range_trail.amount.normalize():f} x ATR of {plan.range_trail.period} candles")
    if plan.by_underlying and plan.underlying is not None:
        told.append(f"stop and target are prices of {split_instrument_id(plan.underlying)[1]}")
        told += [] if plan.own_stop is None else [f"own stop {level_words(plan.own_stop, row.instrument)}"]
    elif plan.source is not TriggerSource.LAST:
        told.append(f"stop looks at {plan.source}")
    what = f"{entry_word(plan.side)} {clock_of(plan.entry_second)}, {exit_word(plan.side).lower()} "
    what += clock_of(plan.exit_second) + (f" {plan.carry} trading days later" if plan.carry else "")
    return "\n".join([f"{plan.instrument} · {plan.product} · {row.account}", f"{what}, {days_words(plan)}", *told])


COLUMNS: tuple[Column[StrategyRow], ...] = (
    Column("name", "Strategy", lambda r: r.strategy.plan.name, tip=_tip, width=112),
    Column(
        "symbol",
        "Instrument",
        lambda r: r.strategy.plan.instrument,
        shown=lambda r: symbol_of(r.strategy.plan.instrument),
        tip=_tip,
        whole=True,
        width=96,
    ),
    Column(
        "state",
        "State",
        lambda r: r.strategy.state,
        shown=lambda r: state_words(r.strategy.state, r.strategy.plan.side),
        tone=lambda r: state_tone(r.strategy.state),
        tip=lambda r: r.strategy.note,
        whole=True,
        width=86,
    ),
    account_column(),
    Column(
        "side",
        "Side",
        lambda r: r.strategy.plan.side,
        shown=lambda r: "long" if r.strategy.plan.side.sign > 0 else "short",
        tone=lambda r: side_tone(r.strategy.plan.side),
        width=50,
        spare=6,
    ),
    Column(
        "quantity",
        "Qty",
        lambda r: r.strategy.plan.quantity,
        shown=lambda r: quantity_of(r.instrument, r.strategy.plan.quantity),
        number=True,
        width=60,
        spare=2,
    ),
    Column("times", "Times", lambda r: times_words(r.strategy.plan), whole=True, width=108, spare=4, help="IST"),
    Column(
        "days",
        "Days",
        lambda r: days_words(r.strategy.plan),
        tone=lambda _r: Tone.DIM,
        width=112,
        spare=5,
    ),
    Column("next", "Next", lambda r: r.following, whole=True, width=96, spare=1),
    Column(
        "held",
        "Held",
        lambda r: r.held or None,
        shown=lambda r: quantity_of(r.instrument, r.held),
        number=True,
        width=60,
        spare=7,
        help="Units of the position that are its own",
    ),
    Column(
        "entry",
        "Entry",
        lambda r: r.strategy.entry_average,
        shown=lambda r: _price(r, r.strategy.entry_average),
        number=True,
        width=78,
        spare=3,
        help="Average price of the entry",
    ),
    Column(
        "result",
        "P&L",
        lambda r: r.result,
        fmt.pnl,
        number=True,
        tone=lambda r: tone_of(r.result),
        width=84,
        help="Of what it holds at the last price, or of what it closed; before charges",
    ),
    Column("note", "Note", lambda r: r.strategy.note, tone=lambda _r: Tone.DIM, width=140, spare=2),
)
