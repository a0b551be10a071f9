"""Instruments of Upstox's list that bear the same name. Pure; runs in the helper process."""

from __future__ import annotations

from collections.abc import Iterator

from app.domain.instrument import InstrumentKind
from app.domain.listing import InstrumentRow


def is_ordinary_share(isin: str) -> bool:
    """Equity shares of an Indian company. Bonds, warrants, partly paid shares and funds are listed beside them; digits
    8 and 9 of an ISIN are the class."""
    return isin.startswith("INE") and isin[7:9] == "01"


class Namesakes:
    """NSE lists partly paid shares, warrants and bonds under the company's own symbol, and there is an index METAL
    beside a share METAL. The share keeps the name, whichever comes first in the file; the others get something
    behind it. So all but shares of those segments are held back to the end."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}
        """The key that has a name."""
        self._others: dict[str, list[InstrumentRow]] = {}

    def passes(self, segment: str, row: InstrumentRow) -> bool:
        """False: the row comes later, with `rest`, or it was there already."""
        name, key = row[0], row[11]
        if segment.endswith("_FO"):
            return True
        # The row's last item is the key, whose second part is the ISIN.
        share = segment == "BSE_EQ" or is_ordinary_share(key.partition("|")[2])
        if share and name not in self._taken:
            self._taken[name] = key
            return True
        others = self._others.setdefault(name, [])
        if self._taken.get(name) != key and all(other[11] != key for other in others):
            others.append(row)
        return False

    def rest(self) -> Iterator[InstrumentRow]:
        """Those held back."""
        for name, rows in self._others.items():
            alone = len(rows) == 1 and name not in self._taken
            for row in rows:
                behind = " INDEX" if row[4] == InstrumentKind.INDEX.value else f"-{row[11].partition('|')[2]}"
                yield row if alone else (name + behind, *row[1:])
