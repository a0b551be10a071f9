"""Order updates have stopped while prices go on: the book is read instead, and that is told."""

from __future__ import annotations

import asyncio

import pytest

from app.desk.order_watch import OrderWatch
from app.domain.errors import SessionExpired, Unreachable
from app.domain.events import Noticed
from tests.fakes.trading import Rig
from tests.unit.engine.rigged import play

DOWN = Unreachable("The line is down.")
REFUSED = SessionExpired("The broker ended the session.")


@pytest.mark.parametrize(("cause", "words"), [(DOWN, str(DOWN)), (REFUSED, "The broker refused them.")])
def test_while_the_session_lives_the_book_is_read_whatever_stopped_the_updates(cause: Exception, words: str) -> None:
    async def script(rig: Rig) -> None:
        watch = OrderWatch(rig.state, rig.events.append, rig.tasks)
        watch.stream(cause)
        await asyncio.sleep(10)
        assert rig.broker.reads >= 8
        watch.stream(None)
        told = [(event.title, event.cause) for event in rig.events if isinstance(event, Noticed)]
        assert told == [("Order updates have stopped", words), ("Order updates come by themselves again", "")]

    play(script)


def test_of_a_session_that_is_over_it_is_not_said_that_prices_go_on() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.failures["orders"] = [REFUSED] * 9
        watch = OrderWatch(rig.state, rig.events.append, rig.tasks)
        watch.stream(REFUSED)
        await asyncio.sleep(10)
        watch.stop()
        assert [event for event in rig.events if isinstance(event, Noticed)] == []

    play(script)
