"""What the order ticket says in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.desk.messages import AccountView
from app.domain.broker import Capabilities, Support
from app.domain.events import SessionState
from app.domain.gtt import GttLeg, GttRequest
from app.domain.ids import AccountId
from app.domain.instrument import Instrument, Product
from app.domain.order import Order, OrderRequest, OrderStatus
from app.ui import format as fmt
from app.ui.views.words import price_of, quantity_of

PRODUCTS = {
    Product.MIS: "Intraday (MIS)",
    Product.CNC: "Delivery (CNC)",
    Product.NRML: "Carried (NRML)",
    Product.MTF: "Margin funded (MTF)",
    Product.CO: "Cover order (CO)",
}

_CARRIED = {Product.MIS: "squared off today", Product.CNC: "for delivery", Product.NRML: "carried overnight"}


@dataclass(frozen=True, slots=True)
class Intent:
    """What the trader means by pressing the button: the same intent is not sent twice while its outcome is open."""

    request: OrderRequest
    legs: tuple[GttLeg, ...] = ()
    """Of a trigger. The last price that is sent with them is no part of what is meant: it changes with every tick."""

    @classmethod
    def of(cls, request: OrderRequest, gtt: GttRequest | None) -> Intent:
        """An order, or a trigger in its place."""
        legs = () if gtt is None else gtt.legs
        return cls(request, tuple(replace(leg, trigger=0) if leg.at_once else leg for leg in legs))


def plain(request: OrderRequest, instrument: Instrument | None, view: AccountView | None, special: str) -> str:
    """The order as a sentence."""
    name = instrument.symbol if instrument else request.instrument
    at = (
        "at market, with market protection"
        if request.price is None
        else f"at {price_of(instrument, request.price)} or better"
    )
    money = "" if view is None else " Play money." if view.paper else " Real money."
    rest = _CARRIED.get(request.product, str(request.product))
    what = f"{request.side.capitalize()} {quantity_of(instrument, request.quantity)} {name}"
    return f"{what} {at}, {rest}{special}.{money}"


def barred(state: SessionState, can: Capabilities | None) -> str:
    """Why no order can be sent on an account; empty when one can. `can`: its broker, None while nobody has said."""
    if can is not None and can.trading is Support.NO:
        return "This account is only read: its broker takes no orders over its API. Choose another account."
    if state is SessionState.PAUSED:
        return "The account is paused. Resume it in the Accounts menu; positions can be closed in their list."
    return "" if state.may_live else "Log in first."


def fate(order: Order) -> tuple[str, str]:
    """What became of an order that the broker had taken, and the role of the words; empty while it is at work."""
    name = order.instrument.partition(":")[2]
    what = f"{order.side.capitalize()} {fmt.group(order.quantity)} {name}"
    if order.status is OrderStatus.REJECTED:
        return f'Turned down by the broker after it had taken it: {what}. "{order.status_text or ""}"', "strip-danger"
    if order.status is OrderStatus.FILLED:
        return f"Filled: {what}.", "strip"
    if order.status.is_final:
        return f"{order.status.capitalize()}: {what}; {fmt.group(order.filled_quantity)} filled.", "strip"
    return "", ""


def account_place(offered: Sequence[AccountView], kept: AccountId | None) -> int:
    """Which account a ticket stands on: the chosen one whatever became of it; one that was never logged in is nobody's
    choice, and the first that is logged in takes its place. -1: none is offered."""
    at = next((n for n, view in enumerate(offered) if view.id == kept), -1)
    if at >= 0 and offered[at].connected_at is not None:
        return at
    return next((n for n, view in enumerate(offered) if view.state.may_live), max(at, 0) if offered else -1)


def account_words(view: AccountView) -> str:
    """An account in the list of accounts."""
    return f"{view.name} · {'PAPER' if view.paper else 'LIVE'}"


def same(one: OrderRequest, other: OrderRequest) -> bool:
    """The same intent: the desk adds its tag before it sends."""
    mine = (one.account, one.instrument, one.side, one.quantity, one.product, one.kind, one.price, one.variety)
    return mine == (
        other.account, other.instrument, other.side, other.quantity, other.product, other.kind, other.price,
        other.variety,
    )  # fmt: skip
