from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt
from pytestqt.qt_compat import qt_api
from pytestqt.qtbot import QtBot

from app.ui.models.table import Column, TableModel, Tone, plain_tip, tone_of
from app.ui.views.table_view import TableView


@dataclass(frozen=True)
class Row:
    name: str
    last: int
    note: str | None = None


COLUMNS: tuple[Column[Row], ...] = (
    Column("name", "Name", lambda r: r.name),
    Column("last", "Last", lambda r: r.last, lambda v: f"{v / 100:.2f}", number=True, tone=lambda r: tone_of(r.last)),
    Column("note", "Note", lambda r: r.note, tip=lambda r: r.note or ""),
)


@pytest.fixture
def model(qtbot: QtBot) -> TableModel[Row]:
    model: TableModel[Row] = TableModel(COLUMNS)
    model.replace((n, Row(n, at)) for at, n in enumerate("abc"))
    return model


def changes(model: TableModel[Row]) -> list[tuple[int, int, int]]:
    seen: list[tuple[int, int, int]] = []
    model.dataChanged.connect(lambda a, b, *_: seen.append((a.row(), a.column(), b.column())))
    return seen


def test_only_the_cells_that_differ_are_painted(model: TableModel[Row]) -> None:
    seen = changes(model)
    model.put("b", Row("b", 7))
    model.put("c", Row("c", 2))
    model.flush()
    assert seen == [(1, 1, 1)]


def test_a_thousand_updates_within_a_frame_are_one(model: TableModel[Row], qtbot: QtBot) -> None:
    seen = changes(model)
    for price in range(1, 1001):
        model.put("a", Row("a", price))
    assert seen == []
    qtbot.waitUntil(lambda: bool(seen))
    assert seen == [(0, 1, 1)]
    assert model.index(0, 1).data() == "10.00"


def test_a_new_row_does_not_disturb_the_selection(model: TableModel[Row]) -> None:
    held = QPersistentModelIndex(model.index(2, 0))
    model.put("d", Row("d", 4))
    model.flush()
    model.drop("a")
    assert held.data() == "c"
    assert model.keys == ("b", "c", "d")


def test_a_replaced_list_keeps_the_rows_that_stay(model: TableModel[Row]) -> None:
    held, gone = QPersistentModelIndex(model.index(1, 0)), QPersistentModelIndex(model.index(0, 0))
    model.replace([("x", Row("x", 9)), ("b", Row("b", 1)), ("c", Row("c", 2))])
    assert (held.row(), held.data()) == (1, "b")
    assert not gone.isValid()


def test_rows_do_not_move_because_a_price_did(model: TableModel[Row]) -> None:
    model.sort(1, Qt.SortOrder.DescendingOrder)
    assert model.keys == ("c", "b", "a")
    model.put("a", Row("a", 100))
    model.flush()
    assert model.keys == ("c", "b", "a")
    model.sort(1, Qt.SortOrder.DescendingOrder)
    assert model.keys == ("a", "c", "b")


def test_what_is_missing_sorts_last_and_shows_nothing(model: TableModel[Row]) -> None:
    model.put("b", replace(Row("b", 1), note="z"))
    model.flush()
    model.sort(2)
    assert model.keys == ("b", "a", "c")
    assert model.index(1, 2).data() == ""


def test_numbers_stand_right_and_colours_follow_the_sign(model: TableModel[Row]) -> None:
    alignment = model.index(0, 1).data(Qt.ItemDataRole.TextAlignmentRole)
    assert alignment & int(Qt.AlignmentFlag.AlignRight)
    assert [tone_of(v) for v in (5, -5, 0, None)] == [Tone.UP, Tone.DOWN, Tone.DIM, Tone.DIM]


def test_markup_in_a_tooltip_is_shown_as_it_is(model: TableModel[Row]) -> None:
    model.put("a", Row("a", 1, "<b>sell</b> & <img src=x>"))
    model.flush()
    tip = model.index(0, 2).data(Qt.ItemDataRole.ToolTipRole)
    assert tip == "<qt>&lt;b&gt;sell&lt;/b&gt; &amp; &lt;img src=x&gt;</qt>"
    assert plain_tip("plain & simple") == "plain & simple"


def test_it_is_a_sound_model(model: TableModel[Row]) -> None:
    tester = qt_api.QtTest.QAbstractItemModelTester(model)
    model.put("z", Row("z", 3))
    model.flush()
    model.sort(0)
    model.drop("b")
    model.replace([("q", Row("q", 1))])
    assert tester.model() is model
    assert not model.index(5, 5).isValid()
    assert model.rowCount(QModelIndex()) == 1


def test_a_figure_that_grows_is_never_cut(qtbot: QtBot) -> None:
    model = TableModel(COLUMNS)
    table = TableView(model, name="figures", title="Figures", empty="")
    qtbot.addWidget(table)
    table.show()
    model.put("one", Row("one", 7))
    qtbot.waitUntil(lambda: model.rowCount() == 1)
    before = table.columnWidth(1)
    model.put("one", Row("one", 12_345_678_901_234))
    qtbot.waitUntil(lambda: table.columnWidth(1) > before)
    assert table.columnWidth(1) >= table.sizeHintForColumn(1)


def test_what_matters_least_gives_way_in_a_narrow_table_and_is_still_copied(qtbot: QtBot) -> None:
    columns: tuple[Column[Row], ...] = tuple(
        Column(key, key.title(), lambda r: r.name, width=100, spare=spare)
        for key, spare in (("name", 0), ("second", 2), ("third", 1), ("last", 0))
    )
    model: TableModel[Row] = TableModel(columns)
    model.replace([("a", Row("a", 1))])
    table = TableView(model, name="narrow", title="Narrow", empty="")
    qtbot.addWidget(table)
    table.resize(420, 200)
    table.show()

    def hidden() -> list[str]:
        return [c.key for n, c in enumerate(columns) if table.isColumnHidden(n)]

    assert hidden() == []
    for width, gone in ((330, ["second"]), (230, ["second", "third"]), (120, ["second", "third"]), (420, [])):
        table.resize(width, 200)
        assert hidden() == gone
    table.resize(230, 200)
    table.selectAll()
    table.copy()
    assert qt_api.QtWidgets.QApplication.clipboard().text() == "Name\tSecond\tThird\tLast\na\ta\ta\ta"
    table.room.set_wanted(1, wanted=False)
    table.copy()
    assert qt_api.QtWidgets.QApplication.clipboard().text() == "Name\tThird\tLast\na\ta\ta"
    table.resize(420, 200)
    assert hidden() == ["second"]


def test_a_stale_row_is_made_only_when_it_is_seen(qtbot: QtBot) -> None:
    facts = {n: Row(f"row {n}", n) for n in range(500)}
    made: list[int] = []

    def make(key: int) -> Row:
        made.append(key)
        return facts[key]

    model: TableModel[Row] = TableModel(COLUMNS, None, make)
    model.replace(facts.items())
    table = TableView(model, name="long", title="Long", empty="")
    qtbot.addWidget(table)
    table.resize(400, 200)
    table.show()
    for number in facts:
        facts[number] = Row(f"row {number}", number + 100)
    model.stale(facts)
    qtbot.waitUntil(lambda: model.index(0, 1).data() == "1.00")
    assert made
    assert max(made) < 20
    qtbot.waitUntil(lambda: not model._frame.isActive())  # nobody waits for the others
    assert 250 not in made
    table.scrollToBottom()
    assert model.index(499, 1).data() == "5.99"
    assert 250 not in made
    table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    assert model.index(0, 1).data() == "5.99"
    assert len(made) == 500
    table.hide()
    facts[499] = Row("row 499", 7)
    model.stale([499])
    model.flush()
    assert len(made) == 500
    row = model.row(499)
    assert row is not None
    assert row.last == 7


@pytest.mark.parametrize("how", ["asked for", "asked for and put", "a corner was painted"])
def test_a_stale_row_that_was_looked_at_early_is_painted_all_the_same(qtbot: QtBot, how: str) -> None:
    facts = {n: Row(n, at) for at, n in enumerate("abc")}
    model: TableModel[Row] = TableModel(COLUMNS, None, facts.get)
    model.replace(facts.items())
    seen = changes(model)
    facts["b"] = Row("b", 7)
    model.stale(["b"])
    if how == "a corner was painted":
        assert model.index(1, 2).data() == ""
    else:
        assert model.row("b") == facts["b"]
    if how == "asked for and put":
        model.put("b", facts["b"])
    qtbot.waitUntil(lambda: not model._frame.isActive())
    assert seen == [(1, 1, 1)]
    model.flush()
    assert len(seen) == 1
