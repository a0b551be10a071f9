"""What a refused exit was refused for, read from the broker's words, and what that means for the next one. Pure.

Brokers name the cause in plain text only: Kite's `error_type` says OrderException or InputException for all of these,
Upstox's code the same for most. What is not recognised is `OTHER`: then the other kind of order is tried.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from app.domain.errors import AppError, AuthorisationNeeded, printable
from app.domain.money import Price
from app.engine.pricing import NO_BOUNDS, Bounds


class Cause(StrEnum):
    """Why an exit was turned down."""

    PRICE_BAND = "price band"
    """Too far from the exchange's reference price."""
    CIRCUIT = "circuit limit"
    """Outside the day's price range."""
    MARKET = "market order"
    """No market orders on this contract, or not without protection."""
    FREEZE = "freeze quantity"
    """More than one order may carry."""
    MARGIN = "margin"
    """The broker's risk check wants money for it: another order on the same position blocks the units."""
    AUTHORISATION = "authorisation"
    """The shares are not released at the depository."""
    HOLDING = "holding"
    """The broker does not see the units under this product."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal, read."""

    cause: Cause
    words: str
    """The broker's, for the trader."""
    bounds: Bounds = NO_BOUNDS
    """What the words say of the price range."""
    quantity: int = 0
    """How many units the largest order may have, by the words or by what was asked; 0: not known."""

    @property
    def next_step(self) -> str:
        """What Stopline does, and what the trader can do."""
        return _NEXT[self.cause]


_NEXT = {
    Cause.PRICE_BAND: "The next order asks for less, inside the price band.",
    Cause.CIRCUIT: "The next order is priced at the circuit limit; nobody may be there to trade.",
    Cause.MARKET: "A limit order follows at once.",
    Cause.FREEZE: "The exit goes out again in smaller orders.",
    Cause.MARGIN: "Cancel other orders on this position, or add funds. Stopline keeps trying.",
    Cause.AUTHORISATION: "Authorise the sale at the depository (TPIN) now. Stopline keeps trying.",
    Cause.HOLDING: "Check the position and its product at the broker. Stopline keeps trying.",
    Cause.OTHER: "The next price or kind follows at once.",
}

_PATTERNS: tuple[tuple[Cause, re.Pattern[str]], ...] = tuple(
    (cause, re.compile(pattern, re.IGNORECASE))
    for cause, pattern in (
        (Cause.AUTHORISATION, r"authoris|authoriz|\btpin\b|\bedis\b|\bddpi\b"),
        (Cause.FREEZE, r"freeze|freezing|exceeds the (maximum|max)[a-z ]*quantity|quantity (limit )?exceed"),
        (Cause.CIRCUIT, r"circuit limit of|daily range|circuit"),
        (Cause.PRICE_BAND, r"price protection|\blpp\b|price band|execution range|protection range|price range"),
        (
            Cause.MARKET,
            r"market protection|market orders? (are|is) (not|blocked)|market orders?.*not allowed|udapi1158",
        ),
        (Cause.MARGIN, r"insufficient funds|margin"),
        (Cause.HOLDING, r"holding|no open position|insufficient (stock|quantity)"),
        (Cause.MARGIN, r"\brms\b"),
    )
)
_LOWER = re.compile(r"lower than[^0-9]*([0-9][0-9,]*(?:\.[0-9]+)?)", re.IGNORECASE)
_HIGHER = re.compile(r"higher than[^0-9]*([0-9][0-9,]*(?:\.[0-9]+)?)", re.IGNORECASE)
_MOST = re.compile(r"freez\w*(?: quantity| qty)?(?: limit)?(?: of| is|:)? *([0-9][0-9,]*)", re.IGNORECASE)


def read_refusal(answer: AppError | str, price_scale: int, asked: int = 0, lot: int = 1) -> Refusal:
    """Of an error answer, or of the status text of a rejected order. `asked`: units of the order; where the words do
    not say how much it may carry, or count another way (in lots, or what a lot holds), half of that is taken."""
    words = answer if isinstance(answer, str) else str(answer)
    text = answer if isinstance(answer, str) else f"{answer.detail} {answer.cause} {getattr(answer, 'kind', '')}"
    if isinstance(answer, AuthorisationNeeded):
        where = f" {answer.url}" if answer.url else ""
        return Refusal(Cause.AUTHORISATION, f"{words}{where}")
    cause = next((cause for cause, pattern in _PATTERNS if pattern.search(text)), Cause.OTHER)
    bounds, quantity = NO_BOUNDS, 0
    if cause is Cause.CIRCUIT:
        bounds = Bounds(_price(_LOWER.search(text), price_scale), _price(_HIGHER.search(text), price_scale))
    elif cause is Cause.FREEZE:
        found = _MOST.search(text)
        quantity = int(found.group(1).replace(",", "")) if found else 0
        if asked and not lot <= quantity < asked:
            quantity = asked // 2
    return Refusal(cause, printable(words), bounds, quantity)


def _price(found: re.Match[str] | None, scale: int) -> Price | None:
    if found is None:
        return None
    try:
        price = int(Decimal(found.group(1).replace(",", "")) * scale)
    except InvalidOperation:
        return None
    return price if price > 0 else None
