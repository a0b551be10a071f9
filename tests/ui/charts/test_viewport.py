from __future__ import annotations

from app.ui.charts.viewport import Viewport


def test_a_chart_that_begins_with_few_candles_fills_up_before_it_moves_on() -> None:
    view = Viewport()
    view.set_width(800)
    view.reset()
    view.jump_to_end(1)
    view.range(1)  # one candle is shown at the left, not alone at the right edge
    for count in range(2, 300):
        view.appended(count)
        view.range(count)
        assert view.follows(count)
    assert 299 - 1 + view.gap <= view.last <= 299 - 1 + view.gap + 1


def test_a_chart_that_was_moved_into_the_past_stays_there() -> None:
    view = Viewport()
    view.set_width(800)
    view.reset()
    view.jump_to_end(500)
    view.pan(-2.0, 500)
    before = view.last
    view.appended(501)
    assert view.last == before
