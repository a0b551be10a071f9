"""Commands that open the pages of a broker's extra services, beside the window."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from app.domain.ids import InstrumentId
from app.ui.actions import Command
from app.ui.dialogs.alerts import AlertsPage
from app.ui.dialogs.approval import ApprovalPage
from app.ui.dialogs.auctions import AuctionsPage
from app.ui.dialogs.baskets import BasketPage
from app.ui.dialogs.chain import ChainPage
from app.ui.dialogs.expired import ExpiredPage
from app.ui.dialogs.notes import NotesPage
from app.ui.dialogs.services import ServicePage

if TYPE_CHECKING:
    from app.ui.shell.main_window import MainWindow


def declare_services(window: MainWindow) -> None:
    """Adds the commands. A page that is open comes forward instead of opening twice."""
    add = window.actions_.add
    bridge, facts = window.bridge, window.facts

    def opens(name: str, make: Callable[[], ServicePage]) -> Callable[[], None]:
        def run() -> None:
            page = window.findChild(ServicePage, name) or make()
            page.show()
            page.raise_()
            page.activateWindow()

        return run

    def chain() -> ServicePage:
        page = ChainPage(bridge, facts, window, _underlying(window))
        page.ticket_asked.connect(window.open_ticket)
        page.chart_asked.connect(window.show_chart)
        return page

    for name, words, group, key, make in (
        ("basket", "&Basket: margin and charges first…", "&Trade", "Ctrl+Shift+B", BasketPage),
        ("alerts", "&Alerts at the broker…", "&Trade", "Ctrl+Shift+L", AlertsPage),
        ("auctions", "A&uctions of holdings…", "&Trade", "Ctrl+Shift+H", AuctionsPage),
        ("notes", "Contract &note of today…", "&Book", "Ctrl+Shift+C", NotesPage),
        ("approval", "&Log in by approval on the phone…", "&Accounts", "Ctrl+Shift+P", ApprovalPage),
    ):
        add(Command(f"services.{name}", words, group, opens(name, partial(make, bridge, facts, window)), key))
    add(Command("services.chain", "&Option chain…", "&Trade", opens("chain", chain), "Ctrl+Shift+O"))
    add(
        Command(
            "services.expired",
            "&Expired contracts…",
            "&Book",
            opens("expired", lambda: ExpiredPage(bridge, facts, window, _underlying(window))),
            "Ctrl+Shift+E",
        )
    )


def _underlying(window: MainWindow) -> InstrumentId | None:
    """What the chart shows, where it is no derivative itself."""
    shown = window.chart.instrument
    return None if shown is None or shown.expiry is not None else shown.id
