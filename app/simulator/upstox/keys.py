"""Instrument keys and trading symbols as Upstox writes them (B7.1, B10, B13). Pure.

A share's key holds its ISIN, an index's its display name, everything else the exchange's token. A share that the list
knows no ISIN of gets a made-up one, the same every time: its class digits are 01, as of every ordinary share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date

from app.simulator.listing import Listing

SEGMENTS = {
    "NSE": "NSE_EQ",
    "BSE": "BSE_EQ",
    "NFO": "NSE_FO",
    "BFO": "BSE_FO",
    "CDS": "NCD_FO",
    "BCD": "BCD_FO",
    "MCX": "MCX_FO",
    "NCO": "NSE_COM",
}
"""Our exchange -> segment of its instruments."""
EXCHANGES = {
    "NSE_EQ": "NSE",
    "BSE_EQ": "BSE",
    "NSE_FO": "NSE",
    "BSE_FO": "BSE",
    "NCD_FO": "NSE",
    "BCD_FO": "BSE",
    "MCX_FO": "MCX",
    "NSE_COM": "NSE",
    "NSE_INDEX": "NSE",
    "BSE_INDEX": "BSE",
}
"""Segment -> the exchange that the instrument file names."""
INDEX_NAMES = {
    "NIFTY 50": "Nifty 50",
    "NIFTY BANK": "Nifty Bank",
    "NIFTY FIN SERVICE": "Nifty Fin Service",
    "NIFTY MID SELECT": "NIFTY MID SELECT",
    "INDIA VIX": "India VIX",
    "SENSEX": "SENSEX",
    "BANKEX": "BANKEX",
}
INDEX_UNDERLYINGS = {
    "NIFTY": "NSE_INDEX|Nifty 50",
    "BANKNIFTY": "NSE_INDEX|Nifty Bank",
    "FINNIFTY": "NSE_INDEX|Nifty Fin Service",
    "SENSEX": "BSE_INDEX|SENSEX",
    "BANKEX": "BSE_INDEX|BANKEX",
}
SHAPE = re.compile(r"(?:[A-Z]+_[A-Z]+)\|[\w -]+")
"""What a key looks like, whether it is listed or not."""
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LARGEST_DIGIT = 9


def isin_of(listing: Listing) -> str:
    """The listing's ISIN, or a made-up one; empty for what has none."""
    if listing.isin or listing.exchange not in ("NSE", "BSE") or not listing.tradable:
        return listing.isin
    number, text = listing.exchange_token, ""
    for _ in range(4):
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    body = f"INE{text}0101"
    return body + _check_digit(body)


def _check_digit(body: str) -> str:
    """The ISIN's own (ISO 6166): letters as two digits, every second one doubled from the right."""
    digits = "".join(str(_DIGITS.index(letter)) for letter in body)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > _LARGEST_DIGIT else value
    return str(-total % 10)


def segment_of(listing: Listing) -> str:
    """`NSE_EQ`, `NSE_INDEX` and so on."""
    if not listing.tradable:
        return f"{listing.exchange}_INDEX"
    return SEGMENTS.get(listing.exchange, f"{listing.exchange}_EQ")


def key_of(listing: Listing) -> str:
    """`NSE_EQ|INE002A01018`."""
    segment = segment_of(listing)
    if not listing.tradable:
        return f"{segment}|{index_name(listing)}"
    return f"{segment}|{isin_of(listing) or listing.exchange_token}"


def index_name(listing: Listing) -> str:
    """An index's display name."""
    return INDEX_NAMES.get(listing.tradingsymbol, listing.tradingsymbol.title())


def day_words(day: date) -> str:
    """`25 NOV 26`."""
    return day.strftime("%d %b %y").upper()


def symbol_of(listing: Listing) -> str:
    """`INFY`, `Nifty 50`, `NIFTY FUT 29 DEC 26`, `NIFTY 24000 CE 29 DEC 26`."""
    if not listing.tradable:
        return listing.tradingsymbol
    if listing.expiry is None:
        return listing.tradingsymbol
    day = day_words(listing.expiry)
    if listing.is_option:
        return f"{listing.name} {listing.strike.normalize():f} {listing.instrument_type} {day}"
    return f"{listing.name} FUT {day}"


def underlying_key(listing: Listing, shares: Mapping[str, str]) -> str:
    """The key of what a derivative derives from; empty when that is not listed. `shares`: symbol to key."""
    return INDEX_UNDERLYINGS.get(listing.underlying) or shares.get(listing.underlying, "")


class KeyBook:
    """Keys of all that is listed, both ways. Identities do not change while an exchange runs."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        self._token: dict[str, int] = {}
        self._key: dict[int, str] = {}
        self._name: dict[str, str] = {}
        for row in listings:
            key = key_of(row)
            self._token[key], self._key[row.token], self._name[key] = row.token, key, row.key

    def token(self, key: str) -> int | None:
        """The exchange's token of a key."""
        return self._token.get(key)

    def key(self, token: int) -> str:
        """The key of a token. Raises KeyError for what was never listed."""
        return self._key[token]

    def name(self, key: str) -> str:
        """`NSE:INFY`, as faults name an instrument; empty for what is not listed."""
        return self._name.get(key, "")
