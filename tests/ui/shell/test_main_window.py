from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from PySide6.QtCore import QModelIndex, Qt, QTimer
from PySide6.QtGui import QFont, QFontMetrics, QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QCheckBox,
    QComboBox,
    QDialog,
    QDockWidget,
    QFrame,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QWidget,
)

from app.desk.messages import NoticeLine, WatchlistView
from app.domain.coverage import Coverage, Protection
from app.domain.errors import Denied, OutcomeUnknown
from app.domain.events import (
    CompanionsChanged,
    EngineBeat,
    FeedChanged,
    FeedState,
    Level,
    Noticed,
    PositionsChanged,
    PositionsUnknown,
    PreflightDone,
    Returned,
    SessionChanged,
    SessionState,
    StopChanged,
    TicksConflated,
)
from app.domain.guard import Absence, AwayKind, AwayLine, AwayReport, Companion, Farewell, Fate
from app.domain.health import Finding, HealthState, PreflightReport
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderStatus
from app.domain.portfolio import PositionKey
from app.domain.stop import StopState
from app.runtime.clock import SECOND
from app.ui import format as fmt
from app.ui import theme
from app.ui.dialogs.chain import ChainPage
from app.ui.dialogs.connect import ConnectDialog
from app.ui.dialogs.flatten import FlattenDialog
from app.ui.models.facts import order_key
from app.ui.models.table import KEY_ROLE, TONE_ROLE, Key, TableModel, Tone
from app.ui.shell.letters import lettered
from app.ui.shell.lock import LOOK_MS
from app.ui.shell.main_window import MainWindow
from app.ui.shell.preflight_strip import PreflightStrip
from app.ui.views.notices import Entry, _when
from app.ui.views.positions import PositionsPanel
from app.ui.views.table_view import TableView
from app.ui.views.watchlist import WatchlistPanel
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Stage

INFY = market.key("NSE:INFY", Product.MIS)
FUTURE = market.key("NFO:NIFTY26NOVFUT", Product.NRML)
Open = Callable[[], MainWindow]


@pytest.fixture
def open_window(stage: Stage, tmp_path: Path) -> Iterator[Open]:
    windows: list[MainWindow] = []

    def make() -> MainWindow:
        window = MainWindow(stage.bridge, tmp_path, paper=False)
        window.resize(1600, 1000)
        window.show()
        window.activateWindow()
        stage.loop.run_until_complete(window.load())
        window.activateWindow()  # once it is exposed
        stage.until(window.isActiveWindow)
        windows.append(window)
        return window

    yield make
    for window in windows:
        window.put_away()
    stage.loop.run_until_complete(stage.bridge.close())  # before its views go, as when the program ends
    for window in windows:
        window.hide()
        window.deleteLater()
    QApplication.processEvents()


@pytest.fixture
def window(open_window: Open) -> MainWindow:
    return open_window()


def child(window: QWidget, name: str) -> QLabel:
    found = window.findChild(QLabel, name)
    assert found is not None
    return found


def press(window: QWidget, name: str) -> None:
    found = window.findChild(QPushButton, name)
    assert found is not None
    QTest.mouseClick(found, Qt.MouseButton.LeftButton)


def press_cell(table: TableView, key: Key, column: str) -> None:
    model = table.model()
    assert isinstance(model, TableModel)
    at = model.place_of(key)
    assert at is not None
    where = table.visualRect(model.index(at, model.column(column))).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)


def saved(stage: Stage) -> tuple[InstrumentId, ...]:
    assert stage.desk.script.watchlist is not None
    return stage.desk.script.watchlist.instruments


def expire(stage: Stage) -> None:
    dead = replace(
        stage.desk.script.accounts[market.ACCOUNT],
        state=SessionState.EXPIRED,
        token_expires_at=market.NOW - 3_600_000_000_000,
    )
    stage.desk.script.accounts[market.ACCOUNT] = dead
    stage.publish(SessionChanged(market.ACCOUNT, "zerodha", "Asha Rao", SessionState.EXPIRED, paper=True))


def test_the_alarm_of_failed_syncs_goes_when_the_account_is_well_again(stage: Stage, window: MainWindow) -> None:
    name = f"account in error {market.ACCOUNT}"
    well = stage.desk.script.accounts[market.ACCOUNT]
    for view in (replace(well, state=SessionState.ERROR), well):
        stage.desk.script.accounts[market.ACCOUNT] = view
        stage.publish(SessionChanged(market.ACCOUNT, "zerodha", "Asha Rao", view.state, paper=True))
        if view.state is SessionState.ERROR:
            stage.publish(Noticed(Level.ALARM, "An account is in error", "5 syncs failed", "", market.ACCOUNT, name))
            stage.until(lambda: "in error" in window.banners.text_of(name))
            stage.until(lambda: bool(window.banners.text_of(f"session-{market.ACCOUNT}")))
    stage.until(lambda: not window.banners.text_of(name))


def test_a_login_that_is_asked_for_is_one_strip_and_goes_once_it_was_done(stage: Stage, window: MainWindow) -> None:
    name = f"log in:{market.ACCOUNT}"
    asked = Noticed(Level.ALARM, "Log in to Zerodha AB1234", "The session ends at 06:00", "", market.ACCOUNT, name)
    stage.publish(asked)
    stage.until(lambda: bool(window.banners.text_of(name)))
    stage.publish(SessionChanged(market.ACCOUNT, "zerodha", "Asha Rao", SessionState.ACTIVE, paper=True))
    stage.until(lambda: not window.banners.text_of(name))
    expire(stage)
    stage.until(lambda: bool(window.banners.text_of(f"session-{market.ACCOUNT}")))
    stage.publish(asked)  # the account's own strip says so, with the button
    stage.until(lambda: window.notices.entries[-1].times == 2)
    assert not window.banners.text_of(name)


def test_an_alarm_names_its_account_where_several_are_at_work(stage: Stage, window: MainWindow) -> None:
    second = AccountId("zerodha-9D01E77A")
    stage.desk.script.accounts[second] = replace(
        stage.desk.script.accounts[market.ACCOUNT], id=second, user_id="XY9876", state=SessionState.ACTIVE
    )
    stage.publish(SessionChanged(second, "zerodha", "Asha Rao", SessionState.ACTIVE, paper=True))
    stage.until(lambda: second in window.facts.accounts)
    stage.publish(Noticed(Level.ALARM, "An account is in error", "5 syncs failed", "", second, "in error"))
    stage.until(lambda: bool(window.banners.text_of("in error")))
    assert window.banners.text_of("in error") == "Zerodha XY9876: An account is in error. 5 syncs failed"
    said = Noticed(Level.ALARM, "Zerodha XY9876 is in error", "5 syncs failed", "", second, "said")
    stage.publish(said)
    stage.until(lambda: bool(window.banners.text_of("said")))
    assert window.banners.text_of("said") == "Zerodha XY9876 is in error. 5 syncs failed"


def test_a_paused_account_says_what_goes_on_and_is_resumed_by_a_click(stage: Stage, window: MainWindow) -> None:
    window.accounts.pause(market.ACCOUNT)
    stage.until(lambda: window.findChild(QLabel, f"banner.session-{market.ACCOUNT}.text") is not None)
    assert "paused" in child(window, f"banner.session-{market.ACCOUNT}.text").text()
    assert "Stops and exits go on" in child(window, f"banner.session-{market.ACCOUNT}.text").text()
    assert not any(window.facts.is_blind(stop) for stop in window.facts.armed())
    press(window, f"banner.session-{market.ACCOUNT}.button")
    stage.until(lambda: stage.desk.script.called("go on") == [(market.ACCOUNT,)])
    stage.until(lambda: window.facts.accounts[market.ACCOUNT].state is SessionState.ACTIVE)


def test_a_notice_of_an_account_is_timed_by_its_clock(stage: Stage, window: MainWindow) -> None:
    ahead = 5 * 3600 * SECOND
    stage.publish(EngineBeat(market.NOW, 1, 0, 0.1, None, ((market.ACCOUNT, market.NOW + ahead),)))
    for account in (market.ACCOUNT, None):
        stage.publish(Noticed(Level.WARNING, "Look here", "", "", account))
    stage.until(lambda: len(window.notices.entries) >= 2)
    assert [entry.ahead for entry in window.notices.entries[-2:]] == [ahead, ahead]
    shown = [_when(entry) for entry in window.notices.entries[-2:]]
    assert shown == [fmt.time(entry.at + ahead) for entry in window.notices.entries[-2:]]
    # A second of drift is no other clock.
    stage.publish(EngineBeat(market.NOW, 1, 0, 0.1, None, ((market.ACCOUNT, market.NOW + SECOND),)))
    stage.publish(Noticed(Level.WARNING, "And here", "", "", market.ACCOUNT))
    stage.until(lambda: window.notices.entries[-1].notice.title == "And here")
    assert window.notices.entries[-1].ahead == 0


def test_a_notice_from_before_the_accounts_were_read_calls_its_account_by_name(
    stage: Stage, window: MainWindow
) -> None:
    view = window.facts.accounts.pop(market.ACCOUNT)
    stage.publish(Noticed(Level.INFO, "Stops are watched again", f"2 of {market.ACCOUNT}", "", market.ACCOUNT))
    stage.until(lambda: window.notices.entries[-1].notice.title == "Stops are watched again")
    assert window.notices.entries[-1].account == market.ACCOUNT
    stage.loop.run_until_complete(window.facts.load_accounts())
    entry = window.notices.entries[-1]
    assert (entry.account, entry.notice.cause) == (view.name, f"2 of {view.name}")


def test_notices_of_earlier_runs_are_there_and_read_once_they_were_in_sight(stage: Stage, open_window: Open) -> None:
    blind = NoticeLine(
        4, 1_700_000_000_000_000_000, Level.ALARM, "Stops are blind",
        "2 stops of zerodha-AB1234 without prices", "Log in again.",
        market.ACCOUNT, 3, False, "blind",
    )  # fmt: skip
    stage.desk.notices.lines = [blind]
    window = open_window()
    assert window.notices.unread == 1
    assert stage.desk.script.called("notices read") == []
    assert window.docks["notices"].windowTitle() == "(1) Notices"
    window.docks.bring("notices")
    stage.until(lambda: stage.desk.notices.lines[0].read)
    stage.until(lambda: window.notices.unread == 0)
    assert window.docks["notices"].windowTitle() == "Notices"
    model = window.notices_panel.table.model()
    row = [str(model.index(0, column).data()) for column in range(model.columnCount())]
    assert row[2:4] == ["Stops are blind", "2 stops of Zerodha AB1234 without prices"]
    assert isinstance(model, TableModel)
    window.notices_panel.table.select(model.keys[0])
    assert window.notices_panel.whole.text == (
        "Stops are blind\n2 stops of Zerodha AB1234 without prices Log in again."
    )


def test_what_was_told_before_the_window_was_there_stands_in_the_list_once(stage: Stage, open_window: Open) -> None:
    died = Noticed(Level.WARNING, "Stopline ended unexpectedly last time", "The program was killed.")
    stage.publish(died)
    stage.settle()  # nobody shows it yet, and the book has it
    told = NoticeLine(9, time.time_ns(), Level.WARNING, died.title, died.cause, "", None, 1, False, "")
    stage.desk.notices.lines = [told]
    window = open_window()
    stage.until(lambda: window.notices_panel.table.model().rowCount() > 0)
    stage.settle()
    assert window.notices_panel.table.model().rowCount() == 1


def test_disconnecting_with_stops_armed_offers_to_hand_them_to_the_broker(stage: Stage, window: MainWindow) -> None:
    assert window.facts.armed()
    window.accounts.ask_disconnect(window.facts.accounts[market.ACCOUNT])
    stage.until(lambda: window.findChild(QMessageBox) is not None)
    box = window.findChild(QMessageBox)
    assert isinstance(box, QMessageBox)
    assert "armed" in box.informativeText()
    assert "GTT" in box.informativeText()
    orders = [order for order in window.facts.orders.values() if not order.status.is_final]
    left = f"{len(orders)} open order{'s'[: len(orders) != 1]} and {len(window.facts.open_positions())} open positions"
    assert orders
    assert f"{left} stay at the broker" in box.informativeText()
    press(box, "disconnect.go")
    stage.until(lambda: stage.desk.script.called("hand over") == [(market.ACCOUNT,)])
    assert stage.desk.script.called("disconnect") == []


def test_b_on_a_watched_row_opens_the_ticket_to_buy_it(stage: Stage, window: MainWindow) -> None:
    window.watchlist.table.select(InstrumentId("NSE:RELIANCE"))
    window.watchlist.table.setFocus()
    QTest.keyClick(window.watchlist.table, Qt.Key.Key_S)
    stage.until(window.ticket.send.isEnabled)
    assert window.ticket.send.text() == "Sell 1 RELIANCE"
    window.watchlist.table.setFocus()
    QTest.keyClick(window.watchlist.table, Qt.Key.Key_B)
    assert window.ticket.send.text() == "Buy 1 RELIANCE"
    assert stage.desk.script.called("place") == []


def test_letters_typed_into_the_search_are_no_trading_keys(stage: Stage, window: MainWindow) -> None:
    window.watchlist.search.setFocus()
    QTest.keyClicks(window.watchlist.search, "sbin")
    stage.until(lambda: window.watchlist.search._list.count() == 1)
    assert window.focusWidget() is window.watchlist.search
    assert stage.desk.script.called("preview_order") == []
    stage.until(lambda: "SBIN" in window.watchlist.search._list.item(0).text())
    QTest.keyClick(window.watchlist.search, Qt.Key.Key_Return)
    stage.until(lambda: window.watchlist.table.current == "NSE:SBIN")


def test_an_instrument_is_added_once_and_removed_by_a_key(stage: Stage, window: MainWindow) -> None:
    future = InstrumentId("NFO:NIFTY26NOVFUT")
    window.watchlist.add(stage.desk.script.instruments[future])
    stage.until(lambda: future in saved(stage))
    stage.until(lambda: window.watchlist.table.current == future)
    assert future in stage.desk.script.subscriptions["watchlist"]
    window.watchlist.table.setFocus()
    QTest.keyClick(window.watchlist.table, Qt.Key.Key_Delete)
    stage.until(lambda: future not in saved(stage))


def test_a_price_moves_the_position_and_nothing_else_moves(stage: Stage, window: MainWindow) -> None:
    model = window.positions._model
    window.positions.table.select(INFY)
    before = model.keys
    stage.publish(TicksConflated((market.tick("NSE:INFY", 1_540_00),)))
    stage.until(lambda: model.index(model.place_of(INFY) or 0, model.column("last")).data() == "1,540.00")
    assert model.index(model.place_of(INFY) or 0, model.column("pnl")).data() == "+₹3,520.00"
    assert window.positions.table.current == INFY
    assert model.keys == before
    stage.publish(TicksConflated((market.tick("NSE:INFY", 1_539_00),)))
    stage.until(lambda: window.facts.last(INFY.instrument) == 1_539_00)
    total = sum(int(row.pnl * 100) for key in model.keys if (row := model.row(key)) is not None)
    stage.until(lambda: child(window, "positions.total").text() == fmt.pnl(total))


def test_a_carried_position_shows_all_that_it_made_and_the_foot_only_todays(stage: Stage, window: MainWindow) -> None:
    """10 of INFY, bought at 1,200 on an earlier day, closed yesterday at 1,500."""
    row = window.facts.positions[INFY]
    carried = replace(row, quantity=10, close_price=1_500_00, carried_quantity=10, carried_cost=Decimal(12_000))
    carried = replace(carried, buy_quantity=10, buy_value=Decimal(12_000), sell_quantity=0, sell_value=Decimal(0))
    stage.publish(PositionsChanged(INFY.account, (carried,), 1))
    stage.publish(TicksConflated((market.tick("NSE:INFY", 1_490_00),)))
    model = window.positions._model
    stage.until(lambda: model.keys == (INFY,) and window.facts.last(INFY.instrument) == 1_490_00)
    cell = model.index(0, model.column("pnl"))
    stage.until(lambda: cell.data() == "+₹2,900.00")
    assert cell.data(Qt.ItemDataRole.ToolTipRole) == "Carried over. Today -₹100.00."
    stage.until(lambda: child(window, "positions.total").text() == "-₹100.00")


def test_a_stop_is_armed_from_the_line_below_the_positions(stage: Stage, window: MainWindow) -> None:
    window.positions.table.select(INFY)
    window.positions.table.setFocus()
    QTest.keyClick(window.positions.table, Qt.Key.Key_T)
    strip = window.positions.strip
    strip.price.selectAll()
    QTest.keyClicks(strip.price, "1520")
    stage.until(lambda: "at risk" in strip._meaning.text())
    QTest.keyClick(strip.price, Qt.Key.Key_Return)
    stage.until(lambda: window.facts.stop_of(INFY) is not None)
    assert stage.desk.script.called("arm") == [(INFY, 1_520_00)]
    stage.until(lambda: not strip.isVisible())


def test_a_stop_beyond_the_price_is_denied_in_words(stage: Stage, window: MainWindow) -> None:
    window.positions.set_stop(INFY)
    strip = window.positions.strip
    strip.price.selectAll()
    QTest.keyClicks(strip.price, "1600")
    stage.until(lambda: "already beyond" in strip._meaning.text())
    QTest.keyClick(strip.price, Qt.Key.Key_Return)
    stage.settle()
    assert stage.desk.script.called("arm") == []
    QTest.keyClick(strip.price, Qt.Key.Key_Escape)
    assert not strip.isVisible()


def test_moving_a_stop_is_one_modification_of_the_same_stop(stage: Stage, window: MainWindow) -> None:
    stop = window.facts.stop_of(FUTURE)
    assert stop is not None
    window.stops.table.select(stop.id)
    press(window, "stops.move")
    strip = window.stops.strip
    strip.price.selectAll()
    QTest.keyClicks(strip.price, "25950")
    QTest.keyClick(strip.price, Qt.Key.Key_Return)
    stage.until(lambda: bool(stage.desk.script.called("move")))
    assert stage.desk.script.called("move") == [(stop.id, 25_950_00)]
    assert stage.desk.script.called("arm") == []


def test_disarming_asks_first_with_its_effect(stage: Stage, window: MainWindow) -> None:
    stop = window.facts.stop_of(FUTURE)
    assert stop is not None
    window.stops.table.select(stop.id)
    press(window, "stops.disarm")
    assert "75 · 1 lot will have no stop" in child(window, "stops.question.text").text()
    assert stage.desk.script.called("disarm") == []
    press(window, "stops.question.yes")
    stage.until(lambda: window.facts.stops[stop.id].state is StopState.DISARMED)


def test_an_exit_is_one_click_and_locked_until_its_outcome(stage: Stage, window: MainWindow) -> None:
    gate = stage.desk.script.hold("square_off")
    window.positions.table.select(INFY)
    for _ in range(3):
        press_cell(window.positions.table, INFY, "exit")
    stage.until(lambda: bool(stage.desk.script.called("square_off")))
    assert len(stage.desk.script.called("square_off")) == 1
    stage.thread.loop.call_soon_threadsafe(gate.set)
    stage.until(lambda: window.facts.positions[INFY].quantity == 0)
    stage.settle()
    assert stage.desk.script.called("square_off") == [(INFY,)]
    assert not window.positions._closing


def test_a_refused_exit_says_why_and_can_be_tried_again(stage: Stage, window: MainWindow) -> None:
    stage.desk.script.fail("square_off", Denied("The market is closed."))
    window.positions.square_off(INFY)
    stage.until(lambda: "The market is closed." in window.positions.message.text)
    assert not window.positions._closing


def test_an_exit_whose_outcome_is_unknown_can_be_asked_for_again(stage: Stage, window: MainWindow) -> None:
    stage.desk.script.fail("square_off", OutcomeUnknown("The broker did not answer."))
    window.positions.square_off(INFY)
    stage.until(lambda: "did not answer" in window.positions.message.text)
    assert not window.positions._closing


def test_a_position_that_was_opened_anew_before_it_was_seen_flat_can_be_closed(
    stage: Stage, window: MainWindow
) -> None:
    stop = window.facts.stop_of(FUTURE)
    assert stop is not None
    window.positions._closing[FUTURE] = stop.tag()  # as when it left by its stop
    stage.publish(StopChanged(replace(stop, state=StopState.FIRED)))
    assert FUTURE in window.positions._closing
    stage.publish(StopChanged(replace(stop, state=StopState.CLOSED)))
    assert FUTURE not in window.positions._closing


def test_an_order_is_cancelled_and_modified(stage: Stage, window: MainWindow) -> None:
    open_order = next(o for o in stage.desk.script.orders.values() if o.status is OrderStatus.OPEN)
    window.docks.bring("orders")
    window.orders.table.select(order_key(open_order))
    press(window, "orders.modify")
    strip = window.orders.strip
    strip.price.selectAll()
    QTest.keyClicks(strip.price, "1480")
    QTest.keyClick(strip.price, Qt.Key.Key_Return)
    stage.until(lambda: bool(stage.desk.script.called("modify")))
    assert stage.desk.script.called("modify") == [(market.ACCOUNT, open_order.broker_order_id, None, 1_480_00, None)]
    stage.until(lambda: not strip.isVisible())
    window.orders.cancel(order_key(open_order))
    stage.until(lambda: window.facts.orders[order_key(open_order)].status is OrderStatus.CANCELLED)


def test_a_dead_session_is_said_at_the_top_with_what_is_blind(stage: Stage, window: MainWindow) -> None:
    expire(stage)
    name = f"session-{market.ACCOUNT}"
    stage.until(lambda: "blind" in window.banners.text_of(name))
    assert window.banners.text_of(name) == "Zerodha logged out at 10:32. 1 stop is blind."
    press(window, f"banner.{name}.button")
    stage.until(lambda: bool(stage.desk.script.called("begin_login")))
    login = next(iter(window.accounts._logins.values()))
    stage.until(lambda: "No login page is scripted" in child(login, "login.message.text").text())
    login.close()
    stage.until(lambda: bool(stage.desk.script.called("cancel_login")))


def test_a_key_without_prices_is_not_told_to_log_in_again(stage: Stage, window: MainWindow) -> None:
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.REFUSED, None, 11))
    stage.until(lambda: child(window, "status.feed.text").text() == "feed not for this key")
    expire(stage)
    stage.until(lambda: child(window, "status.feed.text").text() == "feed refused: log in again")


def test_a_blind_stop_is_marked_in_the_table_and_counted(stage: Stage, window: MainWindow) -> None:
    stop = window.facts.stop_of(FUTURE)
    assert stop is not None
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.SILENT, 12_000, 11))
    model = window.stops._model
    stage.until(lambda: model.index(model.place_of(stop.id) or 0, model.column("state")).data() == "armed · blind")
    stage.until(lambda: "1 blind" in child(window, "stops.summary").text())
    assert child(window, "status.feed.text").text().startswith("feed silent")
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.LIVE, 100, 11))
    stage.until(lambda: model.index(model.place_of(stop.id) or 0, model.column("state")).data() == "armed")


def test_a_silent_connection_of_the_watchlists_is_told_beside_a_live_feed(stage: Stage, window: MainWindow) -> None:
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.LIVE, 100, 5999, unheard=2998, left_out=3504))
    words = child(window, "status.feed.text")
    stage.until(lambda: words.text().startswith("feed live") and words.text().endswith(", 2,998 silent"))
    tip = window.bar.feed.toolTip()
    assert "5,999 instruments, 3,504 without room" in tip
    assert str(market.ACCOUNT) not in tip, "accounts go by their names"
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.LIVE, 100, 1))
    stage.until(lambda: "silent" not in words.text())
    assert "1 instrument" in window.bar.feed.toolTip()
    assert "1 instruments" not in window.bar.feed.toolTip()


def shows(cell: QModelIndex, tone: Tone) -> bool:
    return bool(cell.data(TONE_ROLE) == tone)


def test_a_price_that_is_old_colours_its_stop(stage: Stage, window: MainWindow) -> None:
    (stop,) = window.facts.armed()
    model = window.stops.table.model()
    assert isinstance(model, TableModel)
    cell = model.index(model.place_of(stop.id) or 0, model.column("symbol"))
    tick = stage.desk.script.ticks[stop.key.instrument]
    stage.publish(TicksConflated((tick,)))
    stage.until(lambda: stop.key.instrument in window.facts._heard_at)
    for seconds, tone in ((3, Tone.WARN), (6, Tone.ALARM)):
        window.facts._heard_at[stop.key.instrument] = time.monotonic() - seconds
        window.stops._ages.look()
        stage.until(partial(shows, cell, tone))
    assert "6.0 s old" in cell.data(Qt.ItemDataRole.ToolTipRole)
    stage.publish(TicksConflated((tick,)))
    stage.until(lambda: window.facts.price_age(stop.key.account, stop.key.instrument) == 0)
    window.stops._ages.look()
    stage.until(lambda: not cell.data(TONE_ROLE))


def test_the_pulse_of_the_engine_is_shown(stage: Stage, window: MainWindow) -> None:
    stage.publish(EngineBeat(market.NOW, 3, 1, 0.2, 0.714))
    stage.until(lambda: child(window, "status.engine.text").text() == "3 armed · 1 blind")
    assert child(window, "status.latency.text").text() == "exit 0.71 ms"


def test_everything_can_be_flattened_while_a_dialog_is_being_filled_in(stage: Stage, window: MainWindow) -> None:
    window.activateWindow()
    window.accounts.connect_account()
    (dialog,) = window.findChildren(ConnectDialog)
    stage.until(dialog.isActiveWindow)
    field = dialog.focusWidget()
    assert field is not None
    QTest.keyClicks(field, "abc")
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(field, Qt.Key.Key_X, both)
    stage.until(lambda: len(window.findChildren(FlattenDialog)) == 1)
    (flatten,) = window.findChildren(FlattenDialog)
    stage.until(flatten.isActiveWindow)
    QTest.keyClick(flatten, Qt.Key.Key_X, both)  # a second time changes nothing
    stage.settle()
    assert window.findChildren(FlattenDialog) == [flatten]
    flatten.reject()
    dialog.reject()


def test_closing_says_how_many_stops_are_no_longer_watched(stage: Stage, window: MainWindow) -> None:
    left: list[bool] = []
    window.leave.connect(lambda: left.append(True))
    window.close()
    box = window.findChild(QMessageBox, "leave")
    assert box is not None
    running = "2 strategies run: Opening drive, Carry over the weekend."
    limited = "The portfolio stop watches 3 positions."
    assert box.text() == f"1 stop is armed: NIFTY26NOVFUT. {running} {limited} No backstop rests at the broker."
    assert "nothing here exits these positions" in box.informativeText()
    assert "nothing is bought or sold at its time" in box.informativeText()
    box.reject()
    stage.settle()
    assert not left
    assert window.isVisible()
    window.close()
    box = window.findChild(QMessageBox, "leave")
    assert box is not None
    next(b for b in box.buttons() if "stop watching" in b.text()).click()
    stage.until(lambda: bool(left))
    assert stage.desk.guard.left == [Farewell.STAND_DOWN]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Protection.TWIN, "for 1 position an order rests at the exchange until the day ends."),
        (Protection.GTT_TWIN, "for 1 position a trigger (GTT) rests at the broker over days."),
    ],
)
def test_closing_says_what_rests_at_the_broker_and_stays(window: MainWindow, kind: Protection, words: str) -> None:
    (stop,) = window.facts.armed()
    window.facts.coverage = {stop.key: Coverage(stop.key, kind, 75, 75, 0, 0, ((kind, 75),))}
    window.close()
    box = window.findChild(QMessageBox, "leave")
    assert box is not None
    assert box.text().endswith(f"Backstops stay and act without Stopline: {words}")
    box.reject()


def test_closing_keeps_the_engine_running_where_the_trader_says_so(stage: Stage, window: MainWindow) -> None:
    left: list[bool] = []
    window.leave.connect(lambda: left.append(True))
    window.close()
    box = window.findChild(QMessageBox, "leave")
    assert box is not None
    next(b for b in box.buttons() if "Keep watching" in b.text()).click()
    stage.settle()
    assert not left
    assert window.isMinimized()  # there is no tray on this screen
    window.come_forward()
    assert not window.isMinimized()


def test_closing_hands_over_to_the_guard_that_waits(stage: Stage, window: MainWindow) -> None:
    left: list[bool] = []
    window.leave.connect(lambda: left.append(True))
    stage.publish(CompanionsChanged((Companion(7, "keyring"),), ""))
    stage.until(lambda: child(window, "status.guard.text").text() == "guard waits")
    window.close()
    box = window.findChild(QMessageBox, "leave")
    assert box is not None
    next(b for b in box.buttons() if "guard watches on" in b.text()).click()
    stage.until(lambda: bool(left))
    assert stage.desk.guard.left == [Farewell.HAND_OVER]


def test_a_locked_screen_shows_nothing_and_guards_on(stage: Stage, window: MainWindow) -> None:
    window.actions_.action("app.lock").trigger()
    stage.until(lambda: window.lock.shown is not None)
    locked = window.lock.shown
    assert locked is not None
    assert not window.isVisible()
    assert child(locked, "locked.state").text() == "Guarding goes on: 1 stop is armed and watched."
    window.come_forward()  # by a second start, or the tray
    locked.close()
    assert locked.isVisible()
    assert not window.isVisible()
    secret = Noticed(Level.ALARM, "Stop on NSE:INFY", "25 units are still open.", repeat_key="secret")
    stage.publish(secret)
    stage.until(lambda: "An alarm was raised" in locked.message.text)
    assert not any(word in locked.message.text for word in ("INFY", "25 units", "Stop on"))
    assert window.lock.on_alarm(secret.title, secret.cause)[1] == "An alarm was raised. Unlock to read what it is."
    assert "2 alarms were raised" in locked.message.text
    field = locked.findChild(QLineEdit, "locked.passphrase")
    assert field is not None
    field.setText("not this")
    QTest.keyClick(field, Qt.Key.Key_Return)
    stage.until(lambda: "does not open" in locked.message.text)
    assert not window.isVisible()
    field.setText(stage.desk.script.passphrase)
    QTest.keyClick(field, Qt.Key.Key_Return)
    stage.until(lambda: window.lock.shown is None)
    assert window.isVisible()


@pytest.mark.parametrize("name", ["watchlist", "positions"])
def test_the_name_of_an_instrument_that_no_longer_ticks_turns_amber_and_then_red(
    stage: Stage, window: MainWindow, name: str
) -> None:
    infy = InstrumentId("NSE:INFY")
    window.docks.bring(name)
    view: WatchlistPanel | PositionsPanel = getattr(window, name)
    model = view.table.model()
    assert isinstance(model, TableModel)
    stage.publish(TicksConflated((market.tick(infy, market.LASTS[infy]),)))
    stage.until(lambda: infy in window.facts._heard_at)
    names = (model.index(row, 0) for row in range(model.rowCount()))
    cell = next(index for index in names if index.data() == "INFY")
    for seconds, tone in ((3, Tone.WARN), (6, Tone.ALARM)):
        window.facts._heard_at[infy] = time.monotonic() - seconds
        view._ages.look()
        stage.until(partial(shows, cell, tone))
    assert "6.0 s old" in cell.data(Qt.ItemDataRole.ToolTipRole)
    stage.publish(TicksConflated((market.tick(infy, market.LASTS[infy]),)))
    stage.until(lambda: window.facts.price_age(None, infy) == 0)
    view._ages.look()
    stage.until(lambda: not cell.data(TONE_ROLE))


def test_shares_sold_out_of_demat_offer_no_stop_and_say_that_closing_buys_them_back(
    stage: Stage, window: MainWindow
) -> None:
    held = next(p for p in stage.desk.script.positions.values() if p.key.instrument == "NSE:INFY")
    sold = replace(held, key=replace(held.key, product=Product.CNC), quantity=-40)
    short = replace(held, key=replace(held.key, product=Product.NRML), quantity=-40)
    stage.publish(PositionsChanged(market.ACCOUNT, (sold, short), market.NOW))
    model = window.positions.table.model()
    assert isinstance(model, TableModel)
    stage.until(lambda: model.rowCount() == 2)
    words = {
        str(key.product): [str(model.index(row, model.column(name)).data() or "") for name in ("stop", "exit")]
        for row in range(2)
        if isinstance(key := model.index(row, 0).data(KEY_ROLE), PositionKey)
    }
    assert words == {"CNC": ["", "Buy back"], "NRML": ["Set stop", "Exit"]}


def test_a_list_of_positions_without_a_login_is_not_called_empty(stage: Stage, window: MainWindow) -> None:
    table, accounts = window.positions.table, stage.desk.script.accounts
    assert table._empty == "No position is open"
    accounts[market.ACCOUNT] = replace(accounts[market.ACCOUNT], state=SessionState.EXPIRED)
    stage.loop.run_until_complete(window.facts.load_accounts())
    stage.until(lambda: table._empty == "Whether a position is open is not known")
    assert window.holdings.table._empty == "What you hold is not known"
    assert table._hint.startswith("Log in to Zerodha")


def test_an_account_that_was_read_again_and_holds_nothing_is_not_called_unread(
    stage: Stage, window: MainWindow
) -> None:
    other = AccountId("zerodha-2")
    message = window.positions.message
    stage.publish(PositionsUnknown(market.ACCOUNT, "The broker ended the session."))
    stage.publish(PositionsUnknown(other, "No answer."))
    stage.until(lambda: "No answer." in message.text)
    stage.publish(PositionsChanged(other, (), market.NOW))
    stage.until(lambda: "ended the session" in message.text)
    stage.publish(PositionsChanged(market.ACCOUNT, (), market.NOW))
    stage.until(message.isHidden)


def test_the_words_on_the_stop_button_of_a_blind_stop_are_not_cut(stage: Stage, window: MainWindow) -> None:
    window.docks.bring("positions")
    view = window.positions.table
    model = view.model()
    assert isinstance(model, TableModel)
    column = model.column("stop")
    view.setColumnWidth(column, 82)
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.SILENT, 12_000, 11))

    def blind() -> str:
        words = (str(model.index(row, column).data() or "") for row in range(model.rowCount()))
        return next((text for text in words if text.endswith(" blind")), "")

    stage.until(lambda: blind() != "")
    needed = QFontMetrics(theme.font(11, QFont.Weight.Medium)).horizontalAdvance(blind())
    inset = 4
    stage.until(lambda: view.columnWidth(column) >= needed + 2 * inset)


def test_a_screen_locks_itself_when_nobody_is_there(stage: Stage, window: MainWindow) -> None:
    window.lock.after(1)
    window.lock._look()
    for _ in range(60_000 // LOOK_MS):
        window.lock._look()
    stage.until(lambda: window.lock.shown is not None)
    assert not window.isVisible()
    window.lock._unlock()


def test_a_profile_without_passphrase_is_not_locked(stage: Stage, window: MainWindow) -> None:
    stage.desk.script.keyring = True
    window.lock.lock()
    stage.until(lambda: any("no passphrase" in f"{e.notice.title} {e.notice.cause}" for e in window.notices.entries))
    assert window.isVisible()


def test_who_returns_is_told_what_happened(stage: Stage, window: MainWindow) -> None:
    absence = Absence(1, AwayKind.CRASH, market.NOW, market.NOW + 45 * SECOND, guarded_since=market.NOW + SECOND)
    words = "sold 75 at 181.20"
    line = AwayLine(market.ACCOUNT, InstrumentId("NSE:INFY"), Fate.HIT, words)
    report = AwayReport(absence, f"1 stop was hit, {words}", (line,))
    stage.desk.guard.reports = (report,)
    stage.publish(Returned(report))
    stage.until(lambda: "1 stop was hit, sold 75 at 181.20." in window.banners.text_of("returned"))
    assert "the guard watched from" in window.banners.text_of("returned")
    window.docks.bring("recovery")
    model = window.recovery.table.model()
    stage.until(lambda: model.rowCount() == 2)
    assert model.index(1, 1).data() == f"INFY: {words}"


@pytest.mark.parametrize(
    ("fate", "role"), [(Fate.HIT, "strip-danger"), (Fate.LEFT, "strip-warning"), (Fate.REARMED, "strip")]
)
def test_an_exit_by_time_is_seen_on_return_and_is_no_alarm(
    stage: Stage, window: MainWindow, fate: Fate, role: str
) -> None:
    absence = Absence(1, AwayKind.CRASH, market.NOW, market.NOW + 45 * SECOND)
    line = AwayLine(market.ACCOUNT, InstrumentId("NSE:INFY"), fate, "time exit, sold 75 at 181.20")
    stage.publish(Returned(AwayReport(absence, line.words, (line,))))
    stage.until(lambda: "sold 75 at 181.20" in window.banners.text_of("returned"))
    strip = window.findChild(QFrame, "banner.returned")
    assert strip is not None
    assert strip.property("role") == role


@pytest.mark.parametrize("kind", [AwayKind.SLEEP, AwayKind.FEED, AwayKind.CRASH])
def test_a_moments_silence_with_nothing_guarded_is_no_strip(stage: Stage, window: MainWindow, kind: AwayKind) -> None:
    absence = Absence(9, kind, market.NOW - 6 * SECOND, market.NOW, market.ACCOUNT)
    report = AwayReport(absence, "nothing happened", ())
    stage.desk.guard.reports = (report,)
    stage.publish(Returned(report))
    stage.until(lambda: "nothing happened" in window.banners.text_of("returned"))  # stops are armed here
    window.banners.drop("returned")
    ended = [replace(stop, state=StopState.DISARMED, closed_at=market.NOW) for stop in window.facts.armed()]
    stage.publish(*[StopChanged(stop) for stop in ended])
    stage.until(lambda: not window.facts.armed())
    stage.publish(Returned(report))
    model = window.recovery.table.model()
    stage.until(lambda: model.rowCount() > 0)
    stage.settle()
    assert bool(window.banners.text_of("returned")) is (kind is AwayKind.CRASH)


def test_no_strip_moves_a_line_that_is_being_dragged(
    stage: Stage, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QApplication, "mouseButtons", lambda: Qt.MouseButton.LeftButton)
    window.banners.show_banner("x", "The feed is down.")
    window.banners.show_banner("y", "Another.")
    window.banners.drop("y")
    stage.settle()
    assert window.banners.text_of("x") == ""
    monkeypatch.undo()
    stage.until(lambda: window.banners.text_of("x") == "The feed is down.")
    assert window.banners.text_of("y") == ""


def test_the_guarding_page_says_who_takes_over_and_keeps_what_was_chosen(stage: Stage, window: MainWindow) -> None:
    window.actions_.action("book.guarding").trigger()
    page = window.findChild(QDialog, "guarding")
    assert page is not None
    stage.until(lambda: child(window, "guarding.head").text().startswith("Nobody takes over"))
    start = page.findChild(QCheckBox, "guarding.start")
    assert start is not None
    start.setChecked(False)
    missed = page.findChild(QCheckBox, f"guarding.missed.{market.ACCOUNT}")
    assert missed is not None
    assert not missed.isChecked()
    missed.setChecked(True)
    press(window, "guarding.save")
    stage.until(lambda: not stage.desk.guard.settings.start_guard)
    assert stage.desk.guard.settings.of(market.ACCOUNT).missed_fires
    assert not stage.desk.guard.settings.of(market.ACCOUNT).polled_fires


def test_closing_with_strategies_alone_says_what_they_would_miss(stage: Stage, open_window: Open) -> None:
    stage.desk.script.stops.clear()
    stage.desk.script.day_stops.clear()
    window = open_window()
    stage.until(lambda: len(window.strategies.kept.strategies) == 3)
    window.close()
    box = window.findChild(QMessageBox, "leave")
    assert box is not None
    assert box.text() == "2 strategies run: Opening drive, Carry over the weekend."
    assert "a buy that is missed is skipped" in box.informativeText()
    box.reject()


def test_closing_says_that_no_portfolio_stop_watches_any_more(stage: Stage, open_window: Open) -> None:
    stage.desk.script.stops.clear()
    stage.desk.strategies.kept.clear()
    window = open_window()
    stage.until(lambda: len(window.facts.open_positions()) == 3 and bool(window.facts.day_stops))
    window.close()
    box = window.findChild(QMessageBox, "leave")
    assert box is not None
    assert box.text() == "The portfolio stop watches 3 positions."
    assert "nothing closes at the day's limit" in box.informativeText()
    box.reject()


def test_closing_without_stops_asks_nothing(stage: Stage, open_window: Open) -> None:
    stage.desk.script.stops.clear()
    stage.desk.script.day_stops.clear()
    stage.desk.strategies.kept.clear()
    window = open_window()
    left: list[bool] = []
    window.leave.connect(lambda: left.append(True))
    window.close()
    stage.until(lambda: bool(left))


def test_sync_shows_its_progress_and_can_be_cancelled(stage: Stage, window: MainWindow) -> None:
    stage.desk.script.hold("sync")
    window.docks.bring("sync")
    press(window, "sync.start")
    stage.until(lambda: "fetching" in child(window, "sync.progress").text())
    press(window, "sync.cancel")
    stage.until(window.sync.sync_button.isEnabled)
    model = window.sync._model
    stage.until(lambda: model.index(0, model.column("step")).data() == "cancelled")


def test_the_trade_book_pages_filters_and_totals(stage: Stage, window: MainWindow) -> None:
    window.docks.bring("trades")
    stage.until(lambda: child(window, "trades.count").text() == "64 trades")
    QTest.keyClicks(window.trades.filter, "infy")
    stage.until(lambda: child(window, "trades.count").text() not in ("", "64 trades"))
    page = stage.thread.submit(stage.desk.portfolio.trades(text="infy")).result(5)
    rows = range(window.trades._model.rowCount())
    assert {window.trades._model.index(row, 1).data() for row in rows} == {"INFY"}
    assert window.trades._model.rowCount() == page.total


def test_text_from_outside_is_shown_as_it_is(stage: Stage, window: MainWindow) -> None:
    evil = "<img src=http://evil.example/x><b>Buy now</b>"
    stage.publish(Noticed(Level.WARNING, evil, evil, evil), Noticed(Level.ALARM, evil, repeat_key="evil"))
    labels = [label for label in window.findChildren(QLabel) if "evil.example" in label.text()]
    assert labels
    assert {label.textFormat() for label in labels} == {Qt.TextFormat.PlainText}
    assert window.banners.text_of("evil") == evil


def test_an_exit_that_does_not_get_through_is_one_strip_heard_anew_and_gone_with_its_position(
    stage: Stage, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    monkeypatch.setattr(QApplication, "beep", lambda: heard.append(1))
    stop = next(stop for stop in market.stops() if stop.state is StopState.ARMED)
    name = f"{stop.id}:exit still open"
    for attempts in (3, 4, 4, 5):
        words = f"Still open after {attempts} exit attempts."
        stage.publish(Noticed(Level.ALARM, "Stop", words, "See to it.", market.ACCOUNT, name))
    stage.until(lambda: "after 5 exit" in window.banners.text_of(name))
    assert window.banners.names.count(name) == 1
    assert len(heard) == 3, "each time that it has become worse"
    excess = f"{stop.id}:closed twice"
    stage.publish(Noticed(Level.ALARM, "Stop", "Closed twice.", "", market.ACCOUNT, excess))
    stage.publish(StopChanged(replace(stop, state=StopState.CLOSED, closed_at=market.NOW)))
    stage.until(lambda: window.banners.text_of(name) == "")
    assert window.banners.text_of(excess), "what is still to be seen to stays"


def test_the_traders_own_order_that_holds_an_exit_up_is_a_click_away(stage: Stage, window: MainWindow) -> None:
    order = next(order for order in stage.desk.script.orders.values() if not order.status.is_final)
    stage.publish(Noticed(Level.ALARM, "Stop", "Refused.", "Cancel it.", market.ACCOUNT, "x", order.broker_order_id))
    stage.until(lambda: window.banners.text_of("x") != "")
    press(window, "banner.x.button")
    stage.until(lambda: bool(stage.desk.script.called("cancel")))
    assert stage.desk.script.called("cancel")[0][-1] == order.broker_order_id


def test_an_account_that_the_trader_disconnected_is_not_asked_for_again(stage: Stage, window: MainWindow) -> None:
    view = stage.desk.script.accounts[market.ACCOUNT]
    other = AccountId("upstox-11AA22BB")
    gone = replace(view, id=other, state=SessionState.LOGGED_OUT, disconnected_at=None)
    stage.desk.script.accounts = {other: gone, market.ACCOUNT: view}
    stage.loop.run_until_complete(window.facts.load_accounts())
    stage.until(lambda: f"session-{other}" in window.banners.names)
    ticket = window.findChild(QComboBox, "ticket.account")
    assert ticket is not None
    assert ticket.currentData() == market.ACCOUNT, "one that may trade is offered first"
    stage.desk.script.accounts[other] = replace(gone, disconnected_at=market.NOW)
    stage.loop.run_until_complete(window.facts.load_accounts())
    stage.until(lambda: f"session-{other}" not in window.banners.names)
    assert ticket.findData(other) < 0, "nothing can be ordered there"


def test_the_ticket_stays_on_the_account_that_was_chosen(stage: Stage, window: MainWindow) -> None:
    view = stage.desk.script.accounts[market.ACCOUNT]
    other = AccountId("upstox-11AA22BB")
    second = replace(view, id=other, connected_at=market.NOW)
    stage.desk.script.accounts = {market.ACCOUNT: view, other: second}
    stage.loop.run_until_complete(window.facts.load_accounts())
    ticket = window.findChild(QComboBox, "ticket.account")
    assert ticket is not None
    stage.until(lambda: ticket.count() == 2)
    ticket.setCurrentIndex(ticket.findData(other))
    for state in (SessionState.ACTIVE, SessionState.EXPIRED, SessionState.ACTIVE):
        stage.desk.script.accounts[other] = replace(second, state=state)
        stage.loop.run_until_complete(window.facts.load_accounts())
        assert window.facts.accounts[other].state is state
        assert ticket.currentData() == other


def test_a_letter_belongs_to_the_button_in_sight(stage: Stage, window: MainWindow) -> None:
    def letters(name: str) -> set[str]:
        found = window.docks[name].widget().findChildren(QAbstractButton)
        return {button.shortcut().toString() for button in found} - {""}

    window.docks.bring("strategies")
    stage.until(lambda: not letters("sync") and not letters("accounts"))
    assert {"Alt+R", "Alt+U", "Alt+Y"} <= letters("strategies")
    window.docks.bring("sync")
    stage.until(lambda: not letters("strategies"))
    assert {"Alt+Y", "Alt+C"} <= letters("sync")
    assert "Alt+M" in letters("ticket"), "what no tab covers keeps its letters"


def in_use(view: QWidget) -> list[str]:
    """The letters of what is in sight of a view."""
    return sorted(letter for part, letter in lettered(view) if part.isVisible())


def every_form(window: MainWindow) -> Iterator[str]:
    """The window with each view in front, and what opens within one."""
    for name in window.docks._docks:
        window.docks.bring(name)
        yield name
    window.docks.bring("stops")
    (position,) = [p for p in window.facts.open_positions() if p.key == FUTURE]
    (stop,) = window.facts.armed()
    for strip in (window.stops.strip, window.positions.strip):
        for guard in (None, stop):
            strip.open_for(position, guard)
            strip._more.setChecked(True)
            for source in range(strip.form.source.count()):
                strip.form.source.setCurrentIndex(source)
                strip.form.trail.setCurrentIndex(source % strip.form.trail.count())
                yield f"stop strip, {strip.form.source.currentText()}"
            strip.put_away()
    window.stops._disarm(stop.id)
    yield "disarm"
    window.stops.question.hide()
    window.stops.day_stop._open()
    yield "portfolio stop"
    window.stops.day_stop.put_away()
    choice = window.ticket.special.choice
    for way in range(choice.count()):
        choice.setCurrentIndex(way)
        yield f"ticket, {choice.currentText()}"


def test_no_view_has_a_letter_twice_or_one_of_the_menu_bar(stage: Stage, window: MainWindow) -> None:
    menu = {QKeySequence.mnemonic(action.text()).toString() for action in window.menuBar().actions()} - {""}
    assert len(menu) == len([a for a in window.menuBar().actions() if "&" in a.text()])
    seen, clashes = set(), []
    for form in every_form(window):
        stage.settle()
        for dock in window.findChildren(QDockWidget):
            letters = in_use(dock.widget())
            seen.update(letters)
            twice = {letter for letter in letters if letters.count(letter) > 1}
            clashes += [(form, dock.windowTitle(), sorted(twice | (menu & set(letters))))]
    assert [clash for clash in clashes if clash[2]] == []
    assert len(seen) > 15, "letters were found at all"


def test_a_letter_of_two_views_belongs_to_the_one_with_the_keyboard(stage: Stage, window: MainWindow) -> None:
    window.docks.bring("strategies")
    window.activateWindow()

    def live(name: str) -> set[str]:
        buttons = window.docks[name].widget().findChildren(QAbstractButton)
        return {button.shortcut().toString() for button in buttons if button.isVisible()} - {""}

    def goes_to(name: str, other: str) -> Callable[[], bool]:
        return lambda: "Alt+Y" in live(name) and "Alt+Y" not in live(other)

    for name, other, kind in (("ticket", "strategies", QLineEdit), ("strategies", "ticket", QAbstractItemView)):
        field = window.docks[name].widget().findChild(kind)
        assert field is not None
        field.setFocus()
        stage.until(goes_to(name, other))


def test_a_field_that_a_choice_shows_has_its_letter_at_once(stage: Stage, window: MainWindow) -> None:
    window.activateWindow()
    (position,) = [p for p in window.facts.open_positions() if p.key == FUTURE]
    strip = window.positions.strip
    strip.open_for(position)
    strip._more.setChecked(True)
    strip.form.source.setFocus()
    stage.until(strip.form.source.hasFocus)
    strip.form.source.setCurrentIndex(1)
    assert strip.form.wait.isVisible()
    ticket = [label for label, letter in lettered(window.docks["ticket"].widget()) if letter == "Alt+W"]
    assert ticket, "both views have it"
    assert [label.buddy() for label in ticket if isinstance(label, QLabel)] == [None] * len(ticket)
    QTest.keyClick(strip.form.source, Qt.Key.Key_W, Qt.KeyboardModifier.AltModifier)
    stage.until(strip.form.wait.hasFocus)


def test_the_strip_of_the_morning_goes_once_all_is_mended(stage: Stage, window: MainWindow) -> None:
    health = stage.desk.health
    feed = Finding("feed zerodha-1", HealthState.FAILED, "silent; 1 armed stop gets no prices", "Wait.")
    health.report = PreflightReport(market.NOW, (feed,))
    strip = window.findChild(PreflightStrip)
    assert strip is not None
    strip._settle.setInterval(0)
    stage.publish(PreflightDone(replace(health.report, findings=(feed, replace(feed, name="disk")))))
    stage.until(lambda: window.banners.text_of("pre-flight").endswith("disk."))
    stage.publish(SessionChanged(market.ACCOUNT, "zerodha", "Asha Rao", SessionState.ACTIVE, paper=False))
    stage.until(lambda: window.banners.text_of("pre-flight").startswith("Before the market opens, to see to: feed"))
    stage.until(lambda: "disk" not in window.banners.text_of("pre-flight"))
    health.report = PreflightReport(market.NOW, (replace(feed, state=HealthState.OK, words="live"),))
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.LIVE, 200, 11))
    stage.until(lambda: "pre-flight" not in window.banners.names)
    looked = len(stage.desk.script.called("preflight"))
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.SILENT, 12_000, 11))
    stage.settle()
    assert len(stage.desk.script.called("preflight")) == looked, "nobody is told, nothing is looked at"


def test_short_messages_use_the_same_few_frames_again(stage: Stage, window: MainWindow) -> None:
    toasts = window.toasts
    toasts.clear()
    known = set(toasts.findChildren(QFrame, "toast"))
    for number in range(12):
        words = "long words that go on " * (number % 4)
        notice = Noticed(Level.INFO, f"News {number}", words, "", None, f"key {number % 5}")
        toasts.add(Entry(number, notice, market.NOW))
    stage.until(toasts.isVisible)
    shown = [frame for frame in toasts.findChildren(QFrame, "toast") if frame.isVisibleTo(toasts)]
    assert len(shown) == 3
    assert len(set(toasts.findChildren(QFrame, "toast")) - known) <= 3
    said = [one.text() for frame in shown for one in frame.findChildren(QLabel) if one.text().startswith("News")]
    assert sorted(said) == ["News 10", "News 11", "News 9"]
    assert toasts.height() == sum(frame.height() for frame in shown) + 2 * 8
    toasts.clear()
    assert not toasts.isVisible()


def test_an_alarm_that_is_over_stays_in_the_list_and_leaves_the_chart(stage: Stage, window: MainWindow) -> None:
    for key in ("silent:a", "silent:b"):
        stage.publish(Noticed(Level.ALARM, "No prices come", "2 stops are blind.", "", None, key))
    stage.until(lambda: window.banners.text_of("silent:b") != "")
    stage.publish(Noticed(Level.INFO, "Prices come again", "Stops decide again.", "", None, "silent over:a"))
    stage.until(lambda: window.banners.text_of("silent:a") == "")
    assert window.banners.text_of("silent:b")
    assert [entry.notice.level for entry in window.notices.entries[-3:]] == [Level.ALARM, Level.ALARM, Level.INFO]


def test_an_alarm_that_comes_back_after_it_was_over_is_said_on_the_desktop_again(
    stage: Stage, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(window.leaving, "call_back", lambda title, _text: said.append(title))
    silent = Noticed(Level.ALARM, "No prices come", "2 stops are blind.", "", None, "silent:a")
    stage.publish(silent, silent)
    stage.until(lambda: window.banners.text_of("silent:a") != "")
    assert said == [silent.title], "once while it stands"
    stage.publish(Noticed(Level.INFO, "Prices come again", "Stops decide again.", "", None, "silent over:a"))
    stage.until(lambda: window.banners.text_of("silent:a") == "")
    stage.publish(silent)
    stage.until(lambda: window.banners.text_of("silent:a") != "")
    assert said == [silent.title] * 2


def test_an_exit_that_went_through_is_said_quietly_and_on_the_desktop_once(
    stage: Stage, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(window.leaving, "mention", lambda title, text: said.append((title, text)))
    hit = Noticed(Level.INFO, "NSE:INFY: the stop was hit", "Sold 25 at 1,120.10.", "", market.ACCOUNT, "CWDK:hit")
    stage.publish(hit, hit, Noticed(Level.INFO, "Pre-flight: everything stands", "", "", None, "pre-flight"))
    stage.until(lambda: any("Pre-flight" in one.text() for one in window.toasts.findChildren(QLabel)))
    shown = [one.text() for one in window.toasts.findChildren(QLabel) if one.isVisibleTo(window.toasts)]
    assert hit.title in shown
    assert hit.cause in shown
    assert said == [(hit.title, hit.cause)]
    assert "CWDK:hit" not in window.banners.names


@pytest.mark.parametrize("key", [Qt.Key.Key_End, Qt.Key.Key_Home, Qt.Key.Key_Down])
def test_a_key_that_moves_on_in_a_table_takes_the_selection_along(window: MainWindow, key: Qt.Key) -> None:
    table = window.positions.table
    model = table.model()
    assert model.rowCount() > 1
    table.setCurrentIndex(model.index(model.rowCount() - 1 if key is Qt.Key.Key_Home else 0, 0))
    before = table.current
    QTest.keyClick(table, key, Qt.KeyboardModifier.ControlModifier)
    assert table.current != before
    assert table.selected == [table.current]


def test_a_flood_of_alarms_leaves_room_for_what_it_is_about(stage: Stage, window: MainWindow) -> None:
    window.banners.show_banner("session", "The session has ended.", button="Log in")
    for number in range(12):
        stage.publish(Noticed(Level.ALARM, f"Stop {number}", "It was refused."))
    stage.until(lambda: len(window.banners.names) >= 13)
    shown = [label.text() for label in window.banners.findChildren(QLabel) if label.isVisible()]
    assert "The session has ended." in shown
    assert "Stop 11. It was refused." in shown
    assert f"{len(window.banners.names) - 4} more in Notices (Ctrl+9)" in shown
    assert len(shown) == 5
    for name in window.banners.names[2:]:
        window.banners.drop(name)
    assert child(window, "banner.more").isHidden()


def test_repeats_of_a_notice_are_one_line(stage: Stage, window: MainWindow) -> None:
    notice = Noticed(Level.WARNING, "The feed is slow.", repeat_key="slow")
    stage.publish(*[notice] * 5)
    assert [(e.notice.title, e.times) for e in window.notices.entries] == [("The feed is slow.", 5)]


@pytest.mark.expects_log("a view failed")
def test_a_bug_in_a_view_is_told_and_harms_nobody_else(
    stage: Stage, window: MainWindow, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_event: object) -> None:
        raise ZeroDivisionError

    stage.bridge.subscribe(PositionsChanged, broken)
    stage.publish(PositionsChanged(market.ACCOUNT, (), market.NOW))
    assert window.facts.positions == {}
    assert "ZeroDivisionError" in window.notices.entries[-1].notice.cause


def test_the_layout_is_kept_without_anything_secret(stage: Stage, open_window: Open, tmp_path: Path) -> None:
    first = open_window()
    first.docks["stops"].close()
    first.watchlist.table.select(InstrumentId("NSE:TCS"))
    stage.until(lambda: first.chart.instrument is not None and first.chart.instrument.symbol == "TCS")
    first.put_away()
    stage.settle()
    text = (tmp_path / "window.ini").read_text()
    assert "Asha" not in text
    assert "AB1234" not in text
    second = open_window()
    assert second.docks["stops"].isHidden()
    stage.until(lambda: second.chart.instrument is not None and second.chart.instrument.symbol == "TCS")
    second.reset_layout()
    assert not second.docks["stops"].isHidden()


def test_no_two_commands_share_a_key_and_all_are_listed(window: MainWindow) -> None:
    keys = [(c.shortcut, c.where) for c in window.actions_ if c.shortcut]
    assert len(keys) == len(set(keys))
    assert {"B", "S", "T", "X", "Ctrl+K", "F1"} <= {key for key, _ in keys}


def test_nothing_ticks_on_after_it_was_put_away(stage: Stage, open_window: Open) -> None:
    threads = set(threading.enumerate())
    window = open_window()
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.LIVE, 100, 11), EngineBeat(market.NOW, 1, 0, 0.1, None))
    stage.settle()
    window.hide()
    window.put_away()
    stage.settle()
    stage.until(lambda: not [t for t in window.findChildren(QTimer) if t.isActive() and not t.isSingleShot()], within=2)
    assert set(threading.enumerate()) == threads


@pytest.mark.parametrize("size", [(1600, 1000), (1366, 768)])
def test_the_default_layout_fits(window: MainWindow, size: tuple[int, int]) -> None:
    window.resize(*size)
    window.reset_layout()
    QApplication.processEvents()
    assert (window.width(), window.height()) == size
    assert window.chart.width() >= 700
    assert window.positions.isVisible()
    assert window.stops.isVisible()
    ticket = window.ticket.send
    assert ticket.visibleRegion().boundingRect().height() == ticket.height()


def test_an_empty_chart_shows_what_there_is_to_guard(stage: Stage, open_window: Open) -> None:
    stage.desk.script.watchlist = WatchlistView("Watchlist", ())
    window = open_window()
    held = min(p.key.instrument for p in window.facts.open_positions())
    assert window.positions.table.model().index(0, 0).data() == held.partition(":")[2]
    stage.until(lambda: window.chart.instrument is not None and window.chart.instrument.id == held)


def test_what_is_held_comes_before_the_list_and_a_pick_before_both(stage: Stage, open_window: Open) -> None:
    window = open_window()
    held = min(p.key.instrument for p in window.facts.open_positions())
    stage.until(lambda: window.chart.instrument is not None and window.chart.instrument.id == held)
    window.show_chart(InstrumentId("NSE:TCS"))
    stage.until(lambda: window.chart.instrument is not None and window.chart.instrument.id == "NSE:TCS")
    stage.publish(PositionsChanged(market.ACCOUNT, tuple(market.positions()), market.NOW))
    stage.settle()
    assert window._chart_shows == "NSE:TCS"


def test_a_list_to_begin_with_arrives_with_the_first_login(stage: Stage, open_window: Open) -> None:
    first, stage.desk.script.watchlist = stage.desk.script.watchlist, None
    window = open_window()
    assert window.watchlist.listed == ()
    stage.desk.script.watchlist = first
    stage.publish(SessionChanged(market.ACCOUNT, "zerodha", "Asha Rao", SessionState.ACTIVE, paper=True))
    stage.until(lambda: window.watchlist.listed == saved(stage))


def test_the_name_of_a_view_is_written_once(stage: Stage, window: MainWindow) -> None:
    def height(name: str) -> int:
        title = window.docks[name].titleBarWidget()
        assert title is not None
        return title.height()

    stage.until(lambda: height("positions") == 0)
    assert height("stops") > 0
    window.docks["orders"].setFloating(True)
    stage.until(lambda: height("orders") > 0)
    assert height("positions") == 0
    window.reset_layout()
    stage.until(lambda: height("orders") == 0)


def test_a_service_page_opens_once_beside_the_window_and_opens_no_ticket_by_itself(window: MainWindow) -> None:
    opens = window.actions_.action("services.chain")
    opens.trigger()
    (page,) = window.findChildren(ChainPage)
    assert page.isVisible()
    assert not page.isModal()
    assert "Upstox does" in page.message.text, "no account here can tell a chain"
    opens.trigger()
    assert window.findChildren(ChainPage) == [page]
    QTest.keyClick(page, Qt.Key.Key_Escape)
    assert not page.isVisible()
    page.close()  # once more is no error
