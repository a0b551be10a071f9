from __future__ import annotations

from app.domain.events import Level, Noticed
from tests.ui.charts.stage import Stage


def test_what_was_told_before_any_view_could_show_it_is_shown_by_the_first_one(stage: Stage) -> None:
    early = Noticed(Level.ALARM, "The journal had to be started anew", repeat_key="journal")
    late = Noticed(Level.WARNING, "The feed is silent")
    stage.publish(early)
    heard: list[Noticed] = []
    stage.bridge.subscribe(Noticed, heard.append)
    assert heard == []  # the view that asks is not whole yet
    stage.publish(late)
    assert heard == [early, late]
