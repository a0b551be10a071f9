"""The pages of a broker's extra services, over a real desk on two paper exchanges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication, QLabel, QWidget

from app.domain.ids import InstrumentId
from app.domain.instrument import Instrument, Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.ui.dialogs.alerts import AlertsPage
from app.ui.dialogs.approval import ApprovalPage
from app.ui.dialogs.auctions import AuctionsPage
from app.ui.dialogs.baskets import BasketPage
from app.ui.dialogs.chain import ChainPage
from app.ui.dialogs.expired import ExpiredPage
from app.ui.dialogs.notes import NotesPage
from app.ui.dialogs.services import ServicePage
from app.ui.views.table_view import TableView
from tests.ui.dialogs.live import Live, live

INFY, NIFTY = InstrumentId("NSE:INFY"), InstrumentId("NSE:NIFTY 50")


@pytest.fixture(scope="module")
def at(qapp: QApplication, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(qapp, tmp_path_factory.mktemp("profile")) as found:
        yield found


def known(at: Live, name: InstrumentId) -> Instrument:
    return at.run(at.desk.market.instrument(name))


def rows(table: TableView) -> list[list[str]]:
    model = table.model()
    return [
        [str(model.index(row, column).data() or "") for column in range(model.columnCount())]
        for row in range(model.rowCount())
    ]


def text(page: QWidget, name: str) -> str:
    found = page.findChild(QLabel, name)
    assert found is not None
    return found.text()


def shown(at: Live, page: ServicePage) -> None:
    page.show()
    at.until(lambda: not page.busy)


def test_alerts_are_made_changed_and_deleted_and_tell_when_they_fired(at: Live) -> None:
    page = AlertsPage(at.bridge, at.facts, at.window)
    shown(at, page)
    assert page.accounts.count() == 1, "Upstox keeps no alerts"
    page.submit()
    assert page.message.text == "The alert needs a name."
    page.name.setText("breakout")
    page.pick(known(at, INFY))
    page.level.setText("99,999")
    page.submit()
    at.until(lambda: len(rows(page.table)) == 1 and not page.busy)
    assert rows(page.table)[0][:5] == ["breakout", "INFY", "at or above", "99,999.00", "enabled"]
    page.change(page.table.current)
    page.level.setText("1")
    page.submit()
    at.until(lambda: rows(page.table)[0][3] == "1.00" and not page.busy)

    def fired() -> bool:
        if not page.busy:
            page.look()
        return rows(page.table)[0][5] == "1"

    at.until(fired)
    at.until(lambda: len(rows(page.history)) == 1)  # of the alert that is selected, without another press
    at.until(lambda: not page.busy)
    page.delete(page.table.selected)
    at.until(lambda: not rows(page.table) and not page.busy)
    page.close()
    assert not at.problems


def test_a_basket_is_worked_out_before_it_is_sent_and_every_line_has_its_outcome(at: Live) -> None:
    page = BasketPage(at.bridge, at.facts, at.window)
    shown(at, page)
    assert page.accounts.count() == 2
    page.accounts.setCurrentIndex(page.accounts.findData(at.accounts["zerodha"]))
    page.pick(known(at, INFY))
    page.quantity.set_value(None)
    page.add()
    assert page.message.text == "Type a quantity."
    for quantity in (5, 10_000_000):
        page.pick(known(at, INFY))
        page.product.setCurrentIndex(page.product.findData(Product.MIS))
        page.quantity.set_value(quantity)
        page.add()
        at.until(lambda: not page.busy)
    assert [row[5] != "" and row[6] != "" for row in rows(page.table)] == [True, True]
    assert "more than there is" in text(page, "basket.summary")
    page.ask_to_send()
    assert page.question.isVisible()
    assert page.table.model().rowCount() == 2
    page.send()
    at.until(lambda: not page.busy)
    sent, refused = (row[7] for row in rows(page.table))
    assert sent == "sent"
    assert refused not in ("", "sent")
    assert page.message.text.startswith("1 of them")
    page.close()


@pytest.mark.parametrize("broker", ["zerodha", "upstox"])
def test_the_note_has_a_line_for_each_order_that_was_done(at: Live, broker: str) -> None:
    account = at.accounts[broker]
    order = OrderRequest(account, INFY, Side.BUY, 7, Product.MIS, OrderKind.MARKET)
    at.run(at.desk.trading.place(order))
    page = NotesPage(at.bridge, at.facts, at.window)
    shown(at, page)
    page.accounts.setCurrentIndex(page.accounts.findData(account))

    def listed() -> bool:
        if not page.busy:
            page.look()
        return any(row[:3] == ["INFY", "BUY", "7"] for row in rows(page.table))

    at.until(listed)
    at.until(lambda: not page.busy)
    assert "charges ₹" in text(page, "notes.summary")
    page.close()


def test_a_chain_opens_the_ticket_for_the_side_that_the_cursor_is_on(at: Live) -> None:
    page = ChainPage(at.bridge, at.facts, at.window, NIFTY)
    asked: list[tuple[Instrument, Side, int]] = []
    page.ticket_asked.connect(lambda *what: asked.append(what))
    shown(at, page)
    assert page.expiry.count() > 0
    assert len(rows(page.table)) > 3
    assert text(page, "chain.summary").startswith("Spot ")
    page.trade(Side.BUY)
    at.until(lambda: len(asked) == 1)
    last = page.table.model().columnCount() - 1
    page.table.setCurrentIndex(page.table.model().index(page.table.currentIndex().row(), last))
    page.trade(Side.SELL)
    at.until(lambda: len(asked) == 2)
    (call, buy, _), (put, sell, _) = asked
    assert (call.kind, buy, put.kind, sell) == ("call", Side.BUY, "put", Side.SELL)
    assert call.strike == put.strike
    page.pick(known(at, INFY))
    at.until(lambda: not page.busy)
    page.close()


def test_an_auction_takes_what_is_held(at: Live) -> None:
    page = AuctionsPage(at.bridge, at.facts, at.window)
    shown(at, page)
    assert not rows(page.table)
    at.run(at.zerodha.control("PUT", "/auction", {"instrument": "NSE:SBIN", "number": "22"}))
    page.look()
    at.until(lambda: len(rows(page.table)) == 1 and not page.busy)
    assert "auction 22" in text(page, "auctions.what")
    page.offer()
    assert page.message.text
    page.price.set_value(100_000)
    page.offer()
    at.until(lambda: not page.busy)
    assert page.message.text.startswith("Offered 20 SBIN")
    page.close()


def test_what_needs_another_plan_or_another_token_says_so(at: Live) -> None:
    page = ExpiredPage(at.bridge, at.facts, at.window, NIFTY)
    shown(at, page)
    assert "Plus" in page.message.text
    assert not rows(page.table)
    page.close()
    approval = ApprovalPage(at.bridge, at.facts, at.window)
    shown(at, approval)
    approval.ask()
    at.until(lambda: not approval.busy)
    assert "Approve on your phone until" in text(approval, "approval.how")
    approval.notice.setPlainText('{"message_type": "access_token"}')
    approval.log_in()
    assert approval.notice.toPlainText() == ""
    at.until(lambda: not approval.busy)
    assert approval.message.text
    approval.close()


def test_without_an_account_that_can_the_page_says_which_could(at: Live) -> None:
    at.facts.accounts = {k: v for k, v in at.facts.accounts.items() if v.broker == "zerodha"}
    try:
        page = ChainPage(at.bridge, at.facts, at.window)
        page.show()
        assert "Upstox does" in page.message.text
        page.close()
    finally:
        at.loop.run_until_complete(at.facts.load_accounts())
