"""Flatten all: what there is, in numbers; one click; then what the broker's books show."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QDialog, QGridLayout, QPushButton, QVBoxLayout, QWidget

from app.desk.flatten_messages import FlattenChoice, FlattenPlan, FlattenReport
from app.domain.errors import AppError
from app.domain.ids import AccountId
from app.domain.order import Order
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.widgets.foot import foot
from app.ui.widgets.text import Message, caption, label, selectable

AGAIN_MS = 5_000
"""What there is changes while the dialog is open: a stop fires, a strategy buys."""
_UNREAD = {"holdings": "holdings of ", "gtts": "triggers (GTT) of "}
"""How what could not be read is named in a plan."""
_SHOWN = 6
"""Orders or positions that are named one by one."""


class FlattenDialog(QDialog):
    """Asks once, with numbers. Enter leaves everything as it is: the button does it, or Ctrl+Enter."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("flatten")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Flatten all")
        self.setFixedWidth(620)
        self._bridge = bridge
        self._facts = facts
        self._running = False
        self._head = label("Reading orders and positions…", "heading", wrap=True, name="flatten.head")
        self._account = QComboBox()
        self._account.setObjectName("flatten.account")
        self._account.setAccessibleName("Which account")
        self._account.addItem("All accounts that are logged in", None)
        for view in facts.accounts.values():
            if view.state.may_live:
                self._account.addItem(caption(facts.account_name(view.id)), view.id)
        self._account.currentIndexChanged.connect(lambda _index: self._look())
        self._words = {
            name: selectable(label("", wrap=True, name=f"flatten.{name}")) for name in ("orders", "positions")
        }
        self._titles = (label("Cancel", "muted"), label("Exit", "muted"))
        self._more = {
            "elsewhere": QCheckBox("Orders from &elsewhere"),
            "holdings": QCheckBox("Sell the &holdings"),
            "gtts": QCheckBox("Delete the &triggers (GTT)"),
        }
        self._counts = {name: label("", "muted", wrap=True, name=f"flatten.{name}.count") for name in self._more}
        self.message = Message(name="flatten.message")
        self._do = QPushButton("&Flatten now")
        self._do.setObjectName("flatten.go")
        self._do.setToolTip("Ctrl+Enter")
        self._do.setAutoDefault(False)
        self._do.setEnabled(False)
        theme.set_role(self._do, "danger")
        self._do.clicked.connect(self.go)
        self._close = QPushButton("&Leave as it is")
        self._close.setObjectName("flatten.close")
        self._close.clicked.connect(self.reject)
        self._plan: FlattenPlan | None = None
        self._more["holdings"].toggled.connect(lambda _on: self._count_triggers())
        self._lay_out()
        self._again = QTimer(self)
        self._again.setInterval(AGAIN_MS)
        self._again.timeout.connect(lambda: self._bridge.start(self._read(), "flatten plan again"))
        self._look()

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        top = Qt.AlignmentFlag.AlignTop
        rows: list[tuple[QWidget, QWidget]] = [
            (self._titles[0], self._words["orders"]),
            (self._titles[1], self._words["positions"]),
            *((box, self._counts[name]) for name, box in self._more.items()),
        ]
        for row, (left, right) in enumerate(rows):
            grid.addWidget(left, row, 0, top)
            grid.addWidget(right, row, 1, top)
        for name, box in self._more.items():
            box.setObjectName(f"flatten.{name}")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 20, 24, 20)
        layout.setSpacing(12)
        layout.addWidget(self._head)
        layout.addWidget(self._account)
        layout.addLayout(grid)
        layout.addWidget(self.message)
        layout.addLayout(foot(self._close, self._do))

    def _choice(self) -> FlattenChoice:
        account = self._account.currentData()
        return FlattenChoice(
            () if account is None else (AccountId(account),),
            elsewhere=self._more["elsewhere"].isChecked(),
            holdings=self._more["holdings"].isChecked(),
            gtts=self._more["gtts"].isChecked(),
        )

    # -- what there is -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._do.setEnabled(False)
        self.message.clear()
        self._again.start()
        self._bridge.start(self._read(), "flatten plan")

    async def _read(self) -> None:
        accounts = self._choice().accounts
        try:
            plan = await self._bridge.call(self._bridge.desk.flatten.plan(self._choice()))
        except AppError as failure:
            if self._asks(accounts):
                self._do.setEnabled(False)
                self._head.setText("Nothing can be flattened now")
                self.message.say(self._facts.named(str(failure)), "strip-danger")
            return
        if self._asks(accounts):
            self.show_plan(plan)

    def _asks(self, accounts: tuple[AccountId, ...]) -> bool:
        """It still shows what there is, of these: another account may have been chosen meanwhile, and is being read."""
        return accounts == self._choice().accounts and self._again.isActive()

    def show_plan(self, plan: FlattenPlan) -> None:
        """In numbers, each named."""
        orders, positions = len(plan.orders), len(plan.positions)
        self._head.setText(
            f"{_count(orders, 'order')} to cancel, {_count(positions, 'position')} to exit"
            if not plan.empty
            else "No order of yours works, and no position is open"
        )
        self._words["orders"].setText(
            _named(
                [f"{o.side} {fmt.group(o.quantity - o.filled_quantity)} {_symbol(o.instrument)}" for o in plan.orders]
            )
        )
        several = len({position.key.account for position in plan.positions}) > 1
        shown = [
            f"{_symbol(p.key.instrument)} {fmt.group(p.quantity)} "
            f"({f'{self._facts.account_name(p.key.account)}, ' if several else ''}{p.key.product})"
            for p in plan.positions
        ]
        they = "exits its share itself" if plan.stops == 1 else "exit their share themselves"
        guarded = f" {_count(plan.stops, 'stop')} on them {they}." if plan.stops else ""
        following = f" {_count(plan.exiting, 'exit')} on the way already." if plan.exiting else ""
        worth = f" Worth {fmt.amount(plan.value)}." if positions else ""
        what = "1 running strategy is" if plan.strategies == 1 else f"{plan.strategies} running strategies are"
        paused = f" {what} paused first." if plan.strategies else ""
        more = f"{worth}{guarded}{following}{paused}"
        self._words["positions"].setText(f"{_named(shown)}{'.' if shown or more else ''}{more}")
        self._plan = plan
        names = [_order(order) for order in plan.elsewhere]
        for name, number in self._offer().items():
            words = f"{number}, left alone unless ticked" if number else self._none(name)
            self._counts[name].setText(f"{words}: {_named(names)}" if name == "elsewhere" and number else words)
        self._count_triggers()
        self._do.setEnabled(bool(plan.accounts))
        told = [f"Could not be read, and will be tried: {'; '.join(plan.unread)}."] if plan.unread else []
        told += [f"{words}." for words in plan.out_of_reach]
        if told:
            self.message.say(self._facts.named(" ".join(told)), "strip-danger")
        else:
            self.message.clear()
        self._fit()

    def _offer(self) -> dict[str, int]:
        """What may be ticked, and how much of it there is."""
        plan = self._plan
        found = dict.fromkeys(self._more, 0)
        if plan is not None:
            found |= {"elsewhere": len(plan.elsewhere), "holdings": plan.holdings, "gtts": plan.gtts}
        for name, number in found.items():
            self._more[name].setEnabled(number > 0 or self._is_unread(name))
            if not self._more[name].isEnabled():
                self._more[name].setChecked(False)
        return found

    def _is_unread(self, name: str) -> bool:
        """Whether there is any is not known, and may be asked for all the same."""
        unread = () if self._plan is None else self._plan.unread
        return name in _UNREAD and any(words.startswith(_UNREAD[name]) for words in unread)

    def _none(self, name: str) -> str:
        return "not known, left alone unless ticked" if self._is_unread(name) else "none"

    def _count_triggers(self) -> None:
        if self._plan is not None:
            words = _triggers(self._plan, sold=self._more["holdings"].isChecked())
            self._counts["gtts"].setText(self._none("gtts") if words == "none" else words)

    def _fit(self) -> None:
        """What is exited may take several lines."""
        layout = self.layout()
        if layout is not None:
            layout.activate()
            self.resize(self.width(), layout.totalHeightForWidth(self.width()))

    # -- and what became of it ---------------------------------------------------------------------------------------

    def go(self) -> None:
        """Does it."""
        if not self._running and self._do.isEnabled():
            self._running = True
            self._again.stop()
            for widget in (self._do, self._account, *self._more.values()):
                widget.setEnabled(False)
            self._head.setText("Flattening…")
            self._close.setText("&Hide this")
            self._close.setToolTip("Flattening goes on; a notice says how it ended.")
            self.message.clear()
            self._fit()
            self._bridge.start(self._run(self._choice()), "flatten all")

    async def _run(self, choice: FlattenChoice) -> None:
        try:
            self.show_report(await self._bridge.call(self._bridge.desk.flatten.run(choice)))
        except AppError as failure:
            self._head.setText("Nothing was flattened")
            self.message.say(self._facts.named(str(failure)), "strip-danger")
            self._close.setText("&Leave as it is")
            self._close.setToolTip("")
            self._do.setEnabled(True)
            self._account.setEnabled(True)
            self._offer()
        finally:
            self._running = False

    def show_report(self, report: FlattenReport) -> None:
        """Verified, or what is left."""
        took = fmt.age(report.took_ms)
        done = f"{_count(report.cancelled, 'order')} cancelled, {_count(report.exited, 'position')} exited"
        if report.sold:
            done += f", {_count(report.sold, 'holding')} sold"
        if report.paused:
            done += f", {fmt.group(report.paused)} {'strategy' if report.paused == 1 else 'strategies'} paused"
        if report.deleted:
            done += f", {_count(report.deleted, 'trigger')} deleted"
        self._head.setText(f"Verified flat in {took}" if report.verified else f"Not flat after {took}")
        self._words["orders"].setText(done)
        for title, words in zip(self._titles, ("Done", "Left alone"), strict=True):
            title.setText(words)
        alone = "; ".join(self._facts.named(words) for words in report.left_alone)
        self._words["positions"].setText(alone or "nothing")
        for name, box in self._more.items():
            box.hide()
            self._counts[name].hide()
        if not report.verified:
            self.message.say("; ".join(self._facts.named(words) for words in report.not_flat), "strip-danger")
            self._do.setText("&Try again")
            self._do.setEnabled(True)
        else:
            self._do.hide()
        self._close.setText("&Close")
        self._close.setToolTip("")
        self._close.setDefault(True)
        self._fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt. Ctrl+Enter flattens; Enter alone must not."""
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.go()
        elif not enter or not self._running:
            super().keyPressEvent(event)


def _triggers(plan: FlattenPlan, *, sold: bool) -> str:
    """Those of others, which the box is about, and Stopline's own behind stops, which go with what they guard."""
    words = f"{plan.gtts}, left alone unless ticked" if plan.gtts else "none of yours"
    if plan.behind:
        words += f"; {plan.behind} behind stops on these positions {'goes' if plan.behind == 1 else 'go'} with them"
    if plan.kept:
        verb = "go with them" if sold else "stay"
        if plan.kept == 1:
            verb = "goes with them" if sold else "stays"
        words += f"; {plan.kept} behind stops on shares that are held {verb}"
    return words if plan.gtts or plan.behind or plan.kept else "none"


def _count(number: int, noun: str) -> str:
    return f"{fmt.group(number)} {noun}{'' if number == 1 else 's'}"


def _order(order: Order) -> str:
    return f"{order.side} {fmt.group(order.quantity - order.filled_quantity)} {_symbol(order.instrument)}"


def _symbol(instrument: str) -> str:
    return instrument.partition(":")[2]


def _named(words: list[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return f"{', '.join(words[:_SHOWN])}{more}" if words else "nothing"
