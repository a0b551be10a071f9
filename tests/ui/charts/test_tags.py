from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from pytestqt.qtbot import QtBot

from app.ui import theme
from app.ui.charts.tags import Pen, Piece, spread


@given(st.lists(st.floats(-50, 650), max_size=12))
def test_tags_never_overlap_and_stay_in_their_axis(wishes: list[float]) -> None:
    placed = spread(wishes, 20, 0, 600)
    ordered = sorted(placed)
    assert all(b - a >= 20 - 1e-6 for a, b in pairwise(ordered))
    assert all(10 - 1e-6 <= y <= 590 + 1e-6 for y in placed)


@given(st.lists(st.floats(10, 590), max_size=12, unique=True))
def test_tags_keep_the_order_of_their_prices(wishes: list[float]) -> None:
    placed = spread(wishes, 20, 0, 600)
    assert sorted(range(len(wishes)), key=lambda i: wishes[i]) == sorted(range(len(placed)), key=lambda i: placed[i])


def test_tags_that_have_room_do_not_move() -> None:
    assert spread([100, 300, 200], 20, 0, 600) == [100, 300, 200]


def test_two_that_collide_share_the_way() -> None:
    assert spread([100, 104], 20, 0, 600) == [92, 112]


def test_a_label_drops_the_least_important_part_first(qtbot: QtBot) -> None:
    theme.load_fonts()
    pen = Pen()
    pieces = [Piece("STOP", "#fff"), Piece("net", "#fff", importance=1), Piece("risk ₹1,000.00", "#fff", importance=3)]
    whole = pen.label_width(pieces)
    assert pen.fit(pieces, whole) == pieces
    assert [p.text for p in pen.fit(pieces, whole - 1)] == ["STOP", "net"]
    assert [p.text for p in pen.fit(pieces, 10)] == ["STOP"]
