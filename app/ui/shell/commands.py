"""The window's commands, each once. Keys with a `where` belong to the tables and are listed for the map of keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from app.domain.order import Side
from app.ui.actions import Command
from app.ui.dialogs.data import DataDialog
from app.ui.dialogs.diagnostics import DiagnosticsDialog
from app.ui.dialogs.flatten import FlattenDialog
from app.ui.dialogs.guarding import GuardingDialog
from app.ui.dialogs.instruments import InstrumentsDialog
from app.ui.dialogs.palette import CommandPalette, KeyMap
from app.ui.dialogs.quotes import QuotesDialog
from app.ui.shell.everywhere import Everywhere
from app.ui.shell.service_pages import declare_services

if TYPE_CHECKING:
    from app.ui.shell.main_window import MainWindow

_FLATTEN = "Ctrl+Shift+X"


def declare(window: MainWindow) -> None:
    """Adds every command to the window's actions."""
    add = window.actions_.add
    docks = window.docks
    add(
        Command("account.connect", "&Connect an account…", "&Accounts", window.accounts.connect_account, "Ctrl+Shift+A")
    )
    panel = window.accounts_panel
    for name, text, do in (
        ("login", "&Log in to the chosen account…", panel.log_in),
        ("turn", "&Pause or resume the chosen account", panel.turn),
        ("disconnect", "&Disconnect the chosen account…", panel.disconnect_chosen),
    ):
        add(Command(f"account.{name}", text, "&Accounts", partial(_with_account, window, do)))
    add(
        Command(
            "trade.buy", "&Buy what the chart shows…", "&Trade", lambda: window.open_ticket_of_chart(Side.BUY), "Ctrl+B"
        )
    )
    add(
        Command(
            "trade.sell",
            "&Sell what the chart shows…",
            "&Trade",
            lambda: window.open_ticket_of_chart(Side.SELL),
            "Ctrl+D",
        )
    )
    add(Command("trade.buy_row", "Buy the selected row…", "&Trade", _nothing, "B", "in the watchlist, in positions"))
    add(Command("trade.sell_row", "Sell the selected row…", "&Trade", _nothing, "S", "in the watchlist, in positions"))
    add(Command("trade.stop", "Set or move the stop", "&Trade", _nothing, "T", "in positions, in stops"))
    add(Command("trade.exit", "Exit the selected position", "&Trade", _nothing, "X", "in positions"))
    add(Command("trade.flatten", "&Flatten all…", "&Trade", lambda: _flatten(window), _FLATTEN))
    Everywhere(window, _FLATTEN, lambda: _flatten(window))
    add(Command("trade.convert", "Convert the selected position", "&Trade", _nothing, "C", "in positions"))
    add(Command("trade.modify", "Change the selected order or trigger", "&Trade", _nothing, "E", "in orders, triggers"))
    add(
        Command(
            "trade.cancel",
            "Cancel the order, disarm the stop, delete the row",
            "&Trade",
            _nothing,
            "Del",
            "in tables",
        )
    )
    add(Command("trade.chart", "Show the row's chart", "&Trade", _nothing, "Return", "in tables"))
    add(Command("trade.copy", "Copy rows", "&Trade", _nothing, "Ctrl+C", "in tables"))
    add(Command("trade.strategy", "&New strategy…", "&Trade", window.strategies.new, "Ctrl+Shift+N"))
    add(Command("book.sync", "&Sync all accounts", "&Book", lambda: _sync(window), "Ctrl+R"))
    add(Command("book.cancel", "&Cancel the sync", "&Book", window.sync.cancel))
    add(Command("book.data", "&Data: backups, keys, health…", "&Book", lambda: _data(window), "Ctrl+Shift+D"))
    add(Command("book.instruments", "&Instruments…", "&Book", lambda: _instruments(window), "Ctrl+Shift+I"))
    add(Command("book.preflight", "&Pre-flight…", "&Book", window.open_preflight, "Ctrl+Shift+F"))
    add(Command("book.guarding", "&Guarding…", "&Book", lambda: _guarding(window), "Ctrl+Shift+G"))
    add(Command("book.quotes", "Where prices come &from…", "&Book", lambda: _quotes(window), "Ctrl+Alt+P"))
    add(Command("view.search", "&Find an instrument", "&View", lambda: _search(window), "Ctrl+F"))
    for name, title, key in window.view_keys():
        add(Command(f"view.{name}", title, "&View", partial(docks.bring, name), key))
    add(Command("view.chart", "&Chart", "&View", window.chart.setFocus, "Ctrl+G"))
    add(Command("view.reset", "&Reset the layout", "&View", window.reset_layout))
    add(Command("help.diagnostics", "&Diagnostics and report…", "&Help", lambda: _diagnostics(window), "Ctrl+Alt+D"))
    add(Command("help.keys", "&Keys", "&Help", lambda: window.open_dialog(KeyMap(window.actions_, window)), "F1"))
    add(Command("help.question", "Keys", "&Help", lambda: window.open_dialog(KeyMap(window.actions_, window)), "?", ""))
    add(
        Command(
            "help.palette",
            "&Commands…",
            "&Help",
            lambda: window.open_dialog(CommandPalette(window.actions_, window)),
            "Ctrl+K",
        )
    )
    declare_services(window)
    add(Command("app.lock", "&Lock the screen", "&Accounts", window.lock.lock, "Ctrl+L"))
    add(Command("app.quit", "&Quit", "&Accounts", window.close, "Ctrl+Q"))


def _with_account(window: MainWindow, do: Callable[[], object]) -> None:
    """Shows first which account is the chosen one; where there is only one, that is it."""
    window.docks.bring("accounts")
    do()


def _sync(window: MainWindow) -> None:
    window.docks.bring("sync")
    window.sync.start()


def _flatten(window: MainWindow) -> None:
    shown = window.findChild(FlattenDialog)
    if shown is not None and shown.isVisible():
        shown.activateWindow()
        return
    window.open_dialog(FlattenDialog(window.bridge, window.facts, window))


def _data(window: MainWindow) -> None:
    window.open_dialog(DataDialog(window.bridge, window))


def _diagnostics(window: MainWindow) -> None:
    window.open_dialog(DiagnosticsDialog(window.bridge, window, window.facts.named))


def _instruments(window: MainWindow) -> None:
    window.open_dialog(InstrumentsDialog(window.bridge, window))


def _quotes(window: MainWindow) -> None:
    window.open_dialog(QuotesDialog(window.bridge, window))


def _guarding(window: MainWindow) -> None:
    dialog = GuardingDialog(window.bridge, window.facts, window)
    dialog.saved.connect(lambda settings: window.lock.after(settings.lock_minutes))
    window.open_dialog(dialog)


def _search(window: MainWindow) -> None:
    window.docks["watchlist"].show()
    window.docks["watchlist"].raise_()
    window.watchlist.search.setFocus()
    window.watchlist.search.selectAll()


def _nothing() -> None:
    """The tables act on these keys themselves; here they are only listed."""
