"""What the paper exchange lists: the shipped sample, or a broker's instrument file.

Prices are integers in the wire's unit of their segment (`price_scale`): paise but for currencies.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path

COLUMNS = (
    "instrument_token",
    "exchange_token",
    "tradingsymbol",
    "name",
    "last_price",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "instrument_type",
    "segment",
    "exchange",
)
"""The columns of Kite's dump, in its order. A file may add `isin`, `previous_close`, `lower_circuit`,
`upper_circuit`, `freeze_quantity` and `day_volume`."""

PRICE_SCALE = {3: 10_000_000, 6: 10_000, 12: 10_000}
"""Segment id (low byte of the token) -> wire units in a rupee; 100 for all others."""


def scale_of(token: int) -> int:
    """Price units in a rupee of what a token names."""
    return PRICE_SCALE.get(token & 0xFF, 100)


@dataclass(frozen=True, slots=True)
class Listing:
    """One contract of the exchange. A new one replaces it when a day begins with other limits."""

    token: int
    exchange_token: int
    tradingsymbol: str
    name: str
    """Company name; for derivatives the underlying's symbol."""
    expiry: date | None
    strike: Decimal
    """In rupees; 0 for everything but options."""
    tick_size: int
    """0 for an index, as in the real list."""
    lot_size: int
    instrument_type: str
    segment: str
    exchange: str
    isin: str = ""
    previous_close: int = 0
    lower_circuit: int = 0
    upper_circuit: int = 0
    """Prices outside are refused; 0 and 0: no limits."""
    freeze_quantity: int = 0
    """Largest quantity of one order; 0: none."""
    day_volume: int = 0
    """Units traded on a usual day: how busy the random market makes it."""

    @property
    def key(self) -> str:
        """How the quote calls name it: `NSE:INFY`."""
        return f"{self.exchange}:{self.tradingsymbol}"

    @property
    def tradable(self) -> bool:
        """False for an index."""
        return self.segment != "INDICES"

    @property
    def price_scale(self) -> int:
        """Price units in a rupee."""
        return scale_of(self.token)

    @property
    def is_option(self) -> bool:
        """A call or a put."""
        return self.instrument_type in ("CE", "PE")

    @property
    def underlying(self) -> str:
        """Symbol of what a derivative derives from; empty for others."""
        return self.name if self.is_option or self.instrument_type == "FUT" else ""

    def on_tick(self, price: float) -> int:
        """The nearest price that can trade, at least one tick."""
        step = self.tick_size or 5
        return max(step, round(price / step) * step)


class Listings:
    """All that is listed, by token and by key."""

    def __init__(self, rows: Iterable[Listing]) -> None:
        self.by_token: dict[int, Listing] = {}
        self.by_key: dict[str, Listing] = {}
        for row in rows:
            if row.token in self.by_token:
                raise ValueError(f"instrument token {row.token} is listed twice ({row.key})")
            self.replace(row)

    def replace(self, row: Listing) -> None:
        """Lists it, in the place of its token's last row."""
        self.by_token[row.token] = row
        self.by_key[row.key] = row

    def __len__(self) -> int:
        return len(self.by_token)

    def csv(self, exchange: str | None) -> bytes:
        """The instrument file as `GET /instruments[/{exchange}]` serves it, before compression."""
        lines = [",".join(COLUMNS)]
        for row in self.by_token.values():
            if exchange is not None and row.exchange != exchange:
                continue
            name = row.name.replace('"', '""')
            lines.append(
                f'{row.token},{row.exchange_token},{row.tradingsymbol},"{name}",0,{row.expiry or ""},'
                f"{plain(row.strike)},{plain(Decimal(row.tick_size) / row.price_scale)},{row.lot_size},"
                f"{row.instrument_type},{row.segment},{row.exchange}"
            )
        return ("\n".join(lines) + "\n").encode()


def plain(number: Decimal) -> str:
    """Without exponent or trailing zeros: `0.05`, `24500`, `0`."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def samples() -> Path:
    """The folder of the shipped samples, also inside a frozen program."""
    frozen = getattr(sys, "_MEIPASS", None)
    root = Path(frozen) if frozen else Path(__file__).resolve().parents[2]
    return root / "resources" / "samples"


def load_sample(on: date | None = None) -> Listings:
    """The shipped set. Its derivatives, whose month passes, are moved on to the month that is near on the day `on`."""
    with (samples() / "instruments.csv").open(encoding="utf-8", newline="") as file:
        rows = read_rows(file, "the shipped instrument sample")
    if on is not None:
        rows = roll_months(rows, on)
    return priced(rows, on)


def load_file(path: Path | str, on: date | None = None) -> Listings:
    """A Kite instrument file, plain or gzip by content. Rows without prices get made-up, repeatable ones.

    Raises ValueError, in words, for a file that is none.
    """
    raw = Path(path).read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    rows = read_rows(io.StringIO(raw.decode("utf-8-sig")), Path(path).name)
    if not rows:
        raise ValueError(f"{Path(path).name} lists nothing")
    return priced(rows, on)


def read_rows(lines: Iterable[str], source: str) -> list[Listing]:
    """Parses a dump, header included. `source` names it in errors."""
    reader = csv.DictReader(lines)
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"{source} is no instrument file: no column {missing[0]}")
    rows = []
    for number, fields in enumerate(reader, start=2):
        try:
            rows.append(_row(fields))
        except (ValueError, InvalidOperation, TypeError, KeyError) as error:
            raise ValueError(f"{source}, line {number}: not an instrument row ({error})") from error
    return rows


def _row(fields: Mapping[str, str]) -> Listing:
    token = int(fields["instrument_token"])
    scale = scale_of(token)

    def price(column: str) -> int:
        value = Decimal(fields.get(column) or 0) * scale
        return int(value.to_integral_value(ROUND_HALF_UP))

    def count(column: str) -> int:
        return int(Decimal(fields.get(column) or 0))

    for column in ("tradingsymbol", "instrument_type", "segment", "exchange"):
        if not fields[column]:
            raise ValueError(f"no {column}")
    index = fields["segment"] == "INDICES"
    return Listing(
        token=token,
        exchange_token=count("exchange_token"),
        tradingsymbol=fields["tradingsymbol"],
        name=fields["name"],
        expiry=date.fromisoformat(fields["expiry"]) if fields["expiry"] else None,
        strike=Decimal(fields["strike"] or 0),
        tick_size=price("tick_size") if index else max(1, price("tick_size")),
        lot_size=count("lot_size") if index else max(1, count("lot_size")),
        instrument_type=fields["instrument_type"],
        segment=fields["segment"],
        exchange=fields["exchange"],
        isin=fields.get("isin") or "",
        previous_close=price("previous_close"),
        lower_circuit=price("lower_circuit"),
        upper_circuit=price("upper_circuit"),
        freeze_quantity=count("freeze_quantity"),
        day_volume=count("day_volume"),
    )


def roll_months(rows: list[Listing], on: date) -> list[Listing]:
    """Moves every derivative on by whole months until none has expired on the day `on`.

    Expiry is the month's last Tuesday (NSE since 2025-09), holidays not considered.
    """
    expiries = [row.expiry for row in rows if row.expiry is not None]
    if not expiries or min(expiries) >= on:
        return rows
    near = min(expiries)
    months = (on.year - near.year) * 12 + on.month - near.month
    if last_tuesday(on.year, on.month) < on:
        months += 1
    rolled = []
    for row in rows:
        if row.expiry is None:
            rolled.append(row)
            continue
        count = row.expiry.year * 12 + row.expiry.month - 1 + months
        expiry = last_tuesday(count // 12, count % 12 + 1)
        rest = row.tradingsymbol[len(row.name) + len(month_code(row.expiry)) :]
        rolled.append(replace(row, expiry=expiry, tradingsymbol=row.name + month_code(expiry) + rest))
    return rolled


def month_code(expiry: date) -> str:
    """`26DEC`: how a monthly contract's symbol names its expiry."""
    names = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
    return f"{expiry.year % 100:02}{names[expiry.month - 1]}"


def last_tuesday(year: int, month: int) -> date:
    """Of a month."""
    after = date(year + month // 12, month % 12 + 1, 1)
    return after - timedelta(days=(after.weekday() - 2) % 7 + 1)


def band(price: int, tick: int, percent: int) -> tuple[int, int]:
    """Price limits `percent` around a price, on the tick, inside the band."""
    low = Decimal(price) * (100 - percent) / 100
    high = Decimal(price) * (100 + percent) / 100
    lower = int((low / tick).to_integral_value(ROUND_CEILING)) * tick
    upper = int((high / tick).to_integral_value(ROUND_FLOOR)) * tick
    return max(tick, lower), max(tick, upper)


def priced(rows: list[Listing], on: date | None = None) -> Listings:
    """Fills in the prices and limits that a row lacks; see `app.simulator.starting`."""
    from app.simulator.starting import fill

    return Listings(fill(rows, on))
