"""One open position as the table shows it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from app.domain.coverage import Coverage
from app.domain.instrument import Instrument
from app.domain.portfolio import Position
from app.domain.quotes import PolledPrice
from app.domain.stop import Stop
from app.ui import format as fmt
from app.ui.models.table import Column, Tone, account_column, tone_of
from app.ui.views.price_age import age_tip, age_tone
from app.ui.views.source import source_tip
from app.ui.views.words import lots_words, price_of, quantity_of, symbol_of
from app.ui.widgets.coverage_meter import coverage_tip, coverage_words


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One position as the table shows it."""

    position: Position
    instrument: Instrument | None
    last: int
    stop: Stop | None
    blind: bool
    closing: bool
    coverage: Coverage | None
    account: str
    """What a trader calls the account."""
    age: int = 0
    """Seconds since the instrument last ticked, where its market trades."""
    polled: PolledPrice | None = None
    """Who tells the price when no feed brings it."""
    twin: bool = False
    """The account holds the instrument in another product too: only the product tells the two rows apart."""

    @property
    def pnl(self) -> Decimal:
        """Since the entry, in rupees, before charges."""
        return self.position.pnl_at(self.last)


def _symbol(row: PositionRow) -> str:
    """The product is said where it is needed: its own column is the first that a narrow table leaves out."""
    key = row.position.key
    return f"{symbol_of(key.instrument)} {key.product}" if row.twin else symbol_of(key.instrument)


def _average(row: PositionRow) -> str:
    """With the decimals that the instrument's prices have."""
    tick = 1 if row.instrument is None else row.instrument.tick_size
    return fmt.decimal(row.position.average_price, fmt.price_places(row.position.price_scale, tick))


def _stop_words(row: PositionRow) -> str:
    if row.position.quantity == 0:
        return ""
    if row.stop is None:
        return "" if row.position.sold_shares else "Set stop"
    words = price_of(row.instrument, row.stop.trigger, row.stop.price_scale)
    return f"{words} blind" if row.blind else words


def _coverage_tone(row: PositionRow) -> Tone:
    covered = row.coverage
    if covered is None:
        return Tone.DIM
    return Tone.WARN if covered.protected < covered.units else Tone.PLAIN


def _exit_words(row: PositionRow) -> str:
    if row.position.quantity == 0:
        return ""
    if row.closing:
        return "Closing…"
    return "Buy back" if row.position.sold_shares else "Exit"


def _stop_tip(row: PositionRow) -> str:
    if row.position.quantity == 0:
        return ""
    if row.stop is None and row.position.sold_shares:
        return "Shares sold out of your holdings: there is nothing to guard."
    if row.stop is None:
        return "No stop guards this position. Click to set one."
    return "Armed, but no live price reaches it." if row.blind else f"Stop is {row.stop.state}. Click to move it."


def _pnl_tip(row: PositionRow) -> str:
    """What of a position of an earlier day is today's."""
    if not row.position.carried_quantity:
        return ""
    if not row.position.close_price:
        return "Carried over. The broker tells no previous close: all of it counts as today's."
    return f"Carried over. Today {fmt.rupees(row.position.day_pnl_at(row.last), signed=True)}."


def _exit_tip(row: PositionRow) -> str:
    if row.position.quantity == 0:
        return ""
    side = row.position.exit_side
    return (
        f"{side.capitalize()}s {quantity_of(row.instrument, abs(row.position.quantity))} at market. "
        f"Last {price_of(row.instrument, row.last)}, P&L {fmt.rupees(row.pnl, signed=True)}."
    )


COLUMNS: tuple[Column[PositionRow], ...] = (
    Column(
        "symbol",
        "Instrument",
        lambda r: (r.position.key.instrument, r.position.key.product if r.twin else ""),
        shown=_symbol,
        tip=lambda r: f"{r.position.key.instrument} · {r.position.key.product} · {r.account}{age_tip(r.age)}",
        tone=lambda r: age_tone(r.age) if r.position.quantity else Tone.PLAIN,
        whole=True,
        width=128,
    ),
    Column(
        "quantity",
        "Qty",
        lambda r: r.position.quantity,
        shown=lambda r: quantity_of(r.instrument, r.position.quantity),
        number=True,
        width=76,
        tip=lambda r: lots_words(r.position.quantity, r.position.multiplier),
        tone=lambda r: Tone.DIM if r.position.quantity == 0 else Tone.BUY if r.position.quantity > 0 else Tone.SELL,
        help="As the broker counts: lots of commodities and currencies, units of everything else; negative when short",
    ),
    Column(
        "average",
        "Avg",
        lambda r: r.position.average_price if r.position.quantity else None,
        shown=_average,
        number=True,
        width=78,
        help="Average price as the broker computes it",
        spare=1,
    ),
    Column(
        "last",
        "Last",
        lambda r: r.last,
        shown=lambda r: price_of(r.instrument, r.last, r.position.price_scale),
        tip=lambda r: source_tip(r.polled),
        tone=lambda r: Tone.PLAIN if r.polled is None else Tone.WARN,
        number=True,
        width=78,
    ),
    Column(
        "pnl",
        "P&L",
        lambda r: r.pnl,
        lambda v: fmt.rupees(v, signed=True),
        number=True,
        width=90,
        tip=_pnl_tip,
        tone=lambda r: tone_of(r.pnl),
        help="Realised and unrealised since the entry, before charges. The foot and the portfolio stop count today's.",
    ),
    Column(
        "stop",
        "Stop",
        _stop_words,
        whole=True,
        width=82,
        tip=_stop_tip,
        tone=lambda r: Tone.WARN if r.blind or r.stop is None else Tone.PLAIN,
        help="The local stop that guards it. Click to set or move.",
    ),
    Column(
        "coverage",
        "Protection",
        lambda r: None if r.coverage is None else r.coverage.unprotected,
        shown=lambda r: coverage_words(r.coverage),
        tip=lambda r: coverage_tip(r.coverage),
        tone=_coverage_tone,
        width=104,
        help="What would close it, and how much of it. Sorts by the money that nothing protects.",
        spare=4,
    ),
    Column("exit", "", _exit_words, width=60, tip=_exit_tip, tone=lambda _r: Tone.SELL),
    Column(
        "product",
        "Product",
        lambda r: r.position.key.product,
        tone=lambda _r: Tone.DIM,
        help="MIS intraday, NRML carried, CNC delivery",
        width=62,
        spare=2,
    ),
    account_column(),
)
