"""While which feed an armed stop has the window put off its housekeeping."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.events import FeedChanged, FeedState
from app.ui.application import exit_may_come
from app.ui.models.facts import Facts
from tests.ui.charts.stage import Stage


@pytest.mark.parametrize("state", FeedState)
def test_nobody_waits_for_an_exit_while_no_market_of_the_armed_stops_trades(stage: Stage, state: FeedState) -> None:
    facts = Facts(stage.bridge)
    assert not exit_may_come(facts)
    stage.loop.run_until_complete(facts.load())
    assert facts.armed()
    for account in facts.accounts:
        told = facts.feeds.get(account) or FeedChanged(account, state, None, 0)
        facts.feeds[account] = replace(told, state=state)
    waits = state not in (FeedState.CLOSED, FeedState.OFF, FeedState.REFUSED)
    assert exit_may_come(facts) is waits
