"""Today's orders: what was asked, what the broker says, and what can still be changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.domain.errors import AppError, OutcomeUnknown
from app.domain.ids import AccountId
from app.domain.instrument import Instrument
from app.domain.order import Order, OrderKind, OrderStatus, Variety
from app.domain.order_use import LimitUse, OrderUseChanged
from app.domain.origin import placed_here
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.frame import NextFrame
from app.ui.models.facts import Facts, OrderKey, order_key
from app.ui.models.table import Column, Key, TableModel, Tone, account_column
from app.ui.views.buttons import ButtonDelegate
from app.ui.views.order_strip import OrderStrip
from app.ui.views.table_view import TableView, action
from app.ui.views.words import STATUS_TONES, filled_of, price_of, side_tone, symbol_of
from app.ui.widgets.text import Message, label

_ELSEWHERE = "Placed elsewhere (phone, broker's site, another program): Stopline never changes it by itself."
_CHANGEABLE = frozenset({OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING, OrderStatus.PARTIALLY_FILLED})


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order as the table shows it."""

    order: Order
    instrument: Instrument | None
    busy: bool
    account: str
    """What a trader calls the account."""
    allowance: int | None = None
    """How often the broker lets it be changed."""

    @property
    def waits(self) -> bool:
        """It has not left: it waits for its turn."""
        order = self.order
        return order.status is OrderStatus.SUBMITTED and (order.status_text or "").startswith("Waits")

    @property
    def can_change(self) -> bool:
        """The broker still works it, and no request of ours about it is under way."""
        return self.order.status in _CHANGEABLE and not self.busy and bool(self.order.broker_order_id)


def _priced(row: OrderRow, value: int | None) -> str:
    return price_of(row.instrument, value)


def _price_words(row: OrderRow) -> str:
    order = row.order
    if order.protection is not None:
        return "market"  # the broker shows it as a LIMIT at the edge of its band
    if order.kind in (OrderKind.MARKET, OrderKind.SL_M):
        return "market" if order.trigger_price is None else f"market at {_priced(row, order.trigger_price)}"
    limit = _priced(row, order.price)
    return limit if order.trigger_price is None else f"{limit} at {_priced(row, order.trigger_price)}"


def _price_tip(row: OrderRow) -> str:
    protection = row.order.protection
    if protection is None:
        return ""
    at = _priced(row, row.order.price)
    return f"Market order with {protection.normalize():f} % protection; what is left stands as a limit at {at}."


def _status_words(row: OrderRow) -> str:
    return "queued" if row.waits else str(row.order.status)


def _status_tip(row: OrderRow) -> str:
    order = row.order
    lines = [order.status_text or ""]
    if order.changes:
        of = "" if row.allowance is None else f" of the {row.allowance} times that the broker allows"
        lines.append(f"Changed {order.changes}{of or ' times'} from here.")
    if not placed_here(order):
        lines.append(_ELSEWHERE)
    return "\n".join(line for line in lines if line)


def _way_words(order: Order) -> str:
    kind = _kind_words(order)
    if placed_here(order):
        return kind
    return f"elsewhere, {kind}" if kind else "elsewhere"


def _kind_words(order: Order) -> str:
    if order.iceberg is not None:
        return f"iceberg {order.iceberg.leg} of {order.iceberg.legs}"
    sliced = any(tag.startswith("autoslice") for tag in order.tags)
    return "slice" if sliced else "" if order.variety == Variety.REGULAR else str(order.variety)


COLUMNS: tuple[Column[OrderRow], ...] = (
    Column("time", "Time", lambda r: r.order.placed_at, fmt.time, number=True, width=72, tone=lambda _r: Tone.DIM),
    Column(
        "symbol",
        "Instrument",
        lambda r: r.order.instrument,
        shown=lambda r: symbol_of(r.order.instrument),
        tip=lambda r: f"{r.order.instrument} · {r.account} · order {r.order.broker_order_id or 'without id yet'}",
        whole=True,
        width=112,
    ),
    Column("side", "Side", lambda r: r.order.side, tone=lambda r: side_tone(r.order.side), width=54),
    Column(
        "quantity",
        "Qty",
        lambda r: (r.order.quantity, r.order.filled_quantity),
        shown=lambda r: filled_of(r.order),
        number=True,
        width=64,
        help="Filled / ordered units",
    ),
    Column(
        "price",
        "Price",
        lambda r: (r.order.price or 0, r.order.trigger_price or 0),
        shown=_price_words,
        tip=_price_tip,
        number=True,
        width=80,
    ),
    Column(
        "average",
        "Avg",
        lambda r: r.order.average_price,
        shown=lambda r: _priced(r, r.order.average_price),
        number=True,
        width=84,
        help="Average price of the fills",
        spare=1,
    ),
    Column(
        "status",
        "Status",
        lambda r: (r.order.status, r.order.status_text or "", r.order.changes),
        shown=_status_words,
        tone=lambda r: STATUS_TONES[r.order.status],
        whole=True,
        width=88,
        tip=_status_tip,
    ),
    Column(
        "cancel",
        "",
        lambda r: "Take back" if r.waits and not r.busy else "Cancel" if r.can_change else "",
        width=78,
        tip=lambda r: "It has not left yet: it is not sent then (Del)" if r.waits else "Cancel this order (Del)",
    ),
    account_column(),
    Column("product", "Product", lambda r: r.order.product, tone=lambda _r: Tone.DIM, width=62, spare=2),
    Column(
        "variety",
        "Way",
        lambda r: _way_words(r.order),
        tone=lambda _r: Tone.DIM,
        width=84,
        tip=lambda r: "" if placed_here(r.order) else _ELSEWHERE,
        spare=3,
        help="After market (amo), iceberg leg, slice, cover order (co), auction; elsewhere: not sent from here",
    ),
    Column(
        "words",
        "Broker says",
        lambda r: r.order.status_text or "",
        tone=lambda _r: Tone.DIM,
        width=160,
        tip=lambda r: r.order.status_text or "",
        spare=2,
    ),
)


_SPANS = {1: "/s", 60: "/min", 86_400: " a day"}


def _most_used(uses: Iterable[OrderUseChanged]) -> dict[int, LimitUse]:
    """Of each limit, by its seconds, the account that has used most of it."""
    most: dict[int, LimitUse] = {}
    for limit in (limit for use in uses for limit in use.limits):
        known = most.get(limit.seconds)
        if known is None or limit.used * known.allowed > known.used * limit.allowed:
            most[limit.seconds] = limit
    return most


def use_words(uses: Iterable[OrderUseChanged], seconds: Sequence[int] = (1, 86_400)) -> str:
    """`3 of 10/s · 48 of 3,000 a day`; empty where nothing was sent."""
    shown = [one for one in _most_used(uses).values() if one.seconds in seconds]
    told = [f"{fmt.group(one.used)} of {fmt.group(one.allowed)}{_span(one.seconds)}" for one in shown]
    return " · ".join(told) if any(one.used for one in shown) else ""


def _span(seconds: int) -> str:
    return _SPANS.get(seconds, f" in {seconds} s")


class OrdersPanel(QWidget):
    """Orders of all accounts, newest first."""

    chart_asked = Signal(object)

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._busy: set[OrderKey] = set()
        self._agreed: Key | None = None
        """An order from elsewhere whose cancel was asked for once."""
        self._model: TableModel[OrderRow] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model,
            name="orders.table",
            title="Orders",
            empty="No order today",
            hint="Press B or S on an instrument to open the order ticket.",
        )
        self.table.sortable()
        cancel = ButtonDelegate(self.table)
        cancel.clicked.connect(self.cancel)
        self.table.setItemDelegateForColumn(self._model.column("cancel"), cancel)
        self.table.set_menu(self._menu)
        self.table.key("Del", lambda: self.cancel(self.table.current))
        self.table.key("E", lambda: self.modify(self.table.current))
        self.table.activated_key.connect(self.modify)
        self.strip = OrderStrip(bridge, facts)
        self.message = Message(name="orders.message")
        self._modify_button = QPushButton("&Modify")
        self._modify_button.setObjectName("orders.modify")
        self._modify_button.clicked.connect(lambda: self.modify(self.table.current))
        self._cancel_button = QPushButton("&Cancel order")
        self._cancel_button.setObjectName("orders.cancel")
        self._cancel_button.clicked.connect(lambda: self.cancel(self.table.current))
        self._sum = label("", "muted", name="orders.summary")
        self._use: dict[AccountId, OrderUseChanged] = {}
        foot = QWidget()
        foot_layout = QHBoxLayout(foot)
        foot_layout.setContentsMargins(8, 4, 12, 4)
        foot_layout.addWidget(self._modify_button)
        foot_layout.addWidget(self._cancel_button)
        foot_layout.addStretch(1)
        foot_layout.addWidget(self._sum)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.message)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.strip)
        layout.addWidget(foot)
        self.table.want_with_several(facts, "account")
        facts.order_changed.connect(self._on_order)
        bridge.subscribe(OrderUseChanged, self._on_use)
        facts.order_gone.connect(self._model.drop)
        facts.instruments_known.connect(self._on_known)
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self._show_foot())
        self._rebuild = NextFrame(self, self.refresh)
        self._summing = NextFrame(self, self._show_foot)
        self._model.flushed.connect(lambda _keys: self._summing.ask_for(len(facts.orders)))
        self._show_foot()

    def refresh(self) -> None:
        """Newest first."""
        orders = sorted(self._facts.orders.values(), key=lambda o: o.placed_at or 0, reverse=True)
        self._model.replace((order_key(o), self._row(o)) for o in orders)
        self._show_foot()

    def cancel(self, key: Key | None) -> None:
        """Asks the broker to cancel. A request is not a cancellation: the row says what the broker says."""
        waiting = self._waiting(key)
        if waiting is not None:
            self._set_busy(waiting, busy=True)
            self._bridge.start(self._take_back(waiting), "take back order")
            return
        order = self._changeable(key)
        if order is None:
            return
        if not placed_here(order) and self._agreed != key:
            self._agreed = key
            self.message.say(
                f"{order.side.capitalize()} {order.quantity} {order.instrument} was placed elsewhere."
                " Cancel it again to agree.",
                "strip-danger",
            )
            return
        self._agreed = None
        self._set_busy(order, busy=True)
        self._bridge.start(self._cancel(order), "cancel order")

    def modify(self, key: Key | None) -> None:
        """Opens the line for a new price or quantity."""
        order = self._changeable(key)
        if order is not None:
            self.strip.open_for(order)

    async def _take_back(self, order: Order) -> None:
        self.message.clear()
        try:
            if order.id is not None:
                await self._bridge.call(self._bridge.desk.trading.take_back(order.account, order.id))
        except AppError as failure:
            self.message.say(f"{order.instrument} was not taken back: {failure}", "strip-danger")
        finally:
            self._set_busy(order, busy=False)

    async def _cancel(self, order: Order) -> None:
        self.message.clear()
        try:
            await self._bridge.call(self._bridge.desk.trading.cancel(order.account, order.broker_order_id))
        except OutcomeUnknown as unknown:
            self.message.say(f"Not known yet whether {order.instrument} was cancelled. {unknown}", "strip-danger")
        except AppError as failure:
            self.message.say(f"{order.instrument} was not cancelled: {failure}", "strip-danger")
        finally:
            self._set_busy(order, busy=False)

    def _set_busy(self, order: Order, *, busy: bool) -> None:
        key = order_key(order)
        (self._busy.add if busy else self._busy.discard)(key)
        latest = self._facts.orders.get(key)
        if latest is not None:
            self._model.put(key, self._row(latest))
            self._model.flush()
        self._show_foot()

    def _row(self, order: Order) -> OrderRow:
        busy, allowance = order_key(order) in self._busy, self._facts.allowance(order.account)
        name = self._facts.account_name(order.account)
        return OrderRow(order, self._facts.instruments.get(order.instrument), busy, name, allowance)

    def _changeable(self, key: Key | None) -> Order | None:
        order = self._facts.orders.get(key) if isinstance(key, tuple) else None
        return order if order is not None and self._row(order).can_change else None

    def _waiting(self, key: Key | None) -> Order | None:
        order = self._facts.orders.get(key) if isinstance(key, tuple) else None
        row = None if order is None else self._row(order)
        return order if row is not None and row.waits and not row.busy else None

    def _on_use(self, use: OrderUseChanged) -> None:
        """How near the broker's limits are, where an account is at work."""
        self._use[use.account] = use
        self._summing.ask()

    def _on_order(self, order: Order) -> None:
        if self._model.latest(order_key(order)) is None:
            self._rebuild.ask_for(len(self._facts.orders))
        else:
            self._model.put(order_key(order), self._row(order))

    def _on_known(self, _instruments: list[str]) -> None:
        self.refresh()
        self._model.touch_all()

    def _menu(self, key: Key) -> Sequence[QAction]:
        order = self._facts.orders.get(key) if isinstance(key, tuple) else None
        can, waits = self._changeable(key) is not None, self._waiting(key) is not None
        end = "Take back\tDel" if waits else "Cancel order\tDel"
        return (
            action(self, "Modify\tE", lambda: self.modify(key), "edit", enabled=can),
            action(self, end, lambda: self.cancel(key), "cancel", enabled=can or waits),
            action(self, "Chart", lambda: self.chart_asked.emit(order.instrument if order else None), "chart"),
        )

    def _show_foot(self) -> None:
        working = sum(1 for o in self._facts.orders.values() if not o.status.is_final)
        unknown = sum(1 for o in self._facts.orders.values() if o.status is OrderStatus.UNKNOWN)
        words = f"{len(self._facts.orders)} today · {working} working"
        words += f" · {unknown} unknown" if unknown else ""
        used, spans = use_words(self._use.values()), sorted(_most_used(self._use.values()))
        self._sum.setText(f"{words} · {used}" if used else words)
        whole = use_words(self._use.values(), spans)
        self._sum.setToolTip(f"Orders that the broker counts now: {whole}. Some are kept for exits." if whole else "")
        can, waits = self._changeable(self.table.current) is not None, self._waiting(self.table.current) is not None
        self._modify_button.setEnabled(can)
        self._cancel_button.setEnabled(can or waits)
        self._cancel_button.setText("Ta&ke back" if waits else "&Cancel order")
