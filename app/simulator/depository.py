"""Selling shares without a power of attorney (A8.4): an authorisation at the depository, good for one session.

Shares that are settled need it; shares bought today or not yet delivered do not. Loop thread only.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, time, timedelta

from app.simulator.book import Book
from app.simulator.faults import Faults
from app.simulator.figures import stamp
from app.simulator.ledger import Ledger
from app.simulator.market import Market
from app.simulator.order import Order
from app.simulator.records import Records
from app.simulator.refusal import Refused, bad_input

ENDS = time(17, 30)
"""An authorisation is good until then; one that is given later is good until then of the next day."""
NEEDED = 428
REQUEST_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Authorisation:
    """Of one instrument."""

    token: int
    quantity: int
    at: str
    until: float
    """Exchange time in Unix seconds."""


class Depository:
    """See the module. Whether anything needs an authorisation is the switch `authorisation`."""

    def __init__(self, ledger: Ledger, records: Records, market: Market, book: Book, faults: Faults) -> None:
        self._ledger = ledger
        self._records = records
        self._market = market
        self._book = book
        self._faults = faults
        self._given: dict[int, Authorisation] = {}
        self._asked: dict[str, dict[int, int]] = {}
        """Request id -> token -> quantity, until it is answered."""

    def of(self, token: int) -> Authorisation | None:
        """What is in force now."""
        given = self._given.get(token)
        return given if given is not None and self._market.clock.epoch() < given.until else None

    def check(self, order: Order) -> None:
        """Raises Refused for a sale of more settled shares than are authorised."""
        if self._faults.switches.authorisation == "given" or (order.side, order.product) != ("SELL", "CNC"):
            return
        holding = self._ledger.account.holdings.get(order.token)
        if holding is None:
            return
        position = self._ledger.account.positions.get((order.token, "CNC"))
        sold = position.sold - position.bought if position else 0
        waiting = [o for o in self._records.beside(order) if (o.side, o.product) == ("SELL", "CNC")]
        wanted = sold + sum(o.left for o in waiting) + order.left - holding.t1_quantity
        given = self.of(order.token)
        missing = min(wanted, holding.quantity) - (given.quantity if given else 0)
        if missing > 0:
            raise Refused(NEEDED, "HoldingException", f"{missing} quantity needs authorisation at depository.")

    def ask(self, shares: Mapping[str, int] | None) -> str:
        """ISIN -> quantity (None: all that is held): the id under which the client answers. Raises Refused."""
        held = {self._market.listings.by_token[t]: h.quantity for t, h in self._ledger.account.holdings.items()}
        wanted = {listing.token: quantity for listing, quantity in held.items() if shares is None}
        for isin, quantity in (shares or {}).items():
            found = [listing for listing in held if listing.isin == isin]
            if not found or not 0 < quantity <= held[found[0]]:
                raise bad_input(f"Invalid `isin` or `quantity`: {quantity} of {isin} are not held.")
            wanted[found[0].token] = quantity
        request_id = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(REQUEST_LENGTH))
        self._asked[request_id] = wanted
        return request_id

    def asked(self, request_id: str) -> list[tuple[str, int]] | None:
        """What a request that is not yet answered is about: keys and quantities."""
        wanted = self._asked.get(request_id)
        if wanted is None:
            return None
        return [(self._market.listings.by_token[token].key, quantity) for token, quantity in wanted.items()]

    def answer(self, request_id: str, *, granted: bool) -> bool:
        """The client's answer; False when there is no such request (any more)."""
        wanted = self._asked.pop(request_id, None)
        if wanted is None:
            return False
        now = self._market.clock.now()
        for token, quantity in wanted.items() if granted else ():
            given = Authorisation(token, quantity, stamp(now), _ends(now).timestamp())
            self._given[token] = given
            self._book.put("authorised", str(token), asdict(given))
        self._book.commit(durable=True)
        return True

    def load(self) -> None:
        """From the book."""
        self._given = {int(key): Authorisation(**record) for key, record in self._book.load("authorised").items()}


def _ends(now: datetime) -> datetime:
    end = now.replace(hour=ENDS.hour, minute=ENDS.minute, second=0, microsecond=0)
    return end if now < end else end + timedelta(days=1)
