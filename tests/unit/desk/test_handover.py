"""A stop is handed to the broker, and what should rest there is not seen: it does not stay beside the stop unknown."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import cast

import pytest

from app.desk.account import AccountDesk
from app.desk.handover import hand_over
from app.desk.workspace import Workspace
from app.domain.errors import Denied, Unreachable
from app.domain.instrument import Product
from app.domain.portfolio import Holding, PositionKey
from app.domain.stop import StopPlan, StopState, TriggerSource
from tests.fakes.trading import ACCOUNT, INFY, OPTION, Rig
from tests.unit.engine.rigged import play_quoted as play

NRML = PositionKey(ACCOUNT, OPTION.id, Product.NRML)
CNC = PositionKey(ACCOUNT, INFY.id, Product.CNC)


def desks(rig: Rig) -> tuple[Workspace, AccountDesk]:
    desk = SimpleNamespace(
        account=ACCOUNT, clock=rig.clock, state=rig.state, orders=rig.orders, stops=rig.engine,
        instrument=rig.instruments.get, last_price=rig.last.get,
    )  # fmt: skip
    workspace = SimpleNamespace(rules=rig.rules, journal=rig.journal, publish=rig.events.append)
    return cast("Workspace", workspace), cast("AccountDesk", desk)


@pytest.mark.parametrize("taken_back", [True, False])
def test_an_order_that_the_book_does_not_show_is_taken_back_or_said_aloud(taken_back: bool) -> None:
    async def script(rig: Rig) -> None:
        rig.last[OPTION.id] = 5_000
        rig.broker.hold(NRML, 500)
        await rig.state.read_positions()
        stop = await rig.engine.arm(NRML, StopPlan(4_500))
        rig.broker.failures["orders"] = [Unreachable("down")] * 30
        if not taken_back:
            rig.broker.failures["cancel"] = [Unreachable("down")] * 3
        with pytest.raises(Denied, match="could not be handed"):
            await hand_over(*desks(rig))
        assert rig.of(stop).state is StopState.ARMED
        waits = [o for o in rig.broker.book.values() if not o.status.is_final]
        assert (len(waits), len(rig.alarms)) == ((0, 0) if taken_back else (1, 1)), (waits, rig.alarms)

    play(script)


def test_a_trigger_that_the_list_cannot_show_is_taken_back() -> None:
    async def script(rig: Rig) -> None:
        row = Holding(ACCOUNT, INFY.id, "INE009A01021", 100, 0, Decimal(990), 100_000, 100_000, authorised_quantity=100)
        rig.broker.demat = [row]
        rig.around.held = row
        rig.state.holdings_heard([row])
        await rig.state.read_positions()
        rig.state.holdings_heard([row])
        stop = await rig.engine.arm(CNC, StopPlan(95_000))
        placed = rig.broker.place_gtt

        async def then_down(request: object) -> object:
            number = await placed(request)  # type: ignore[arg-type]
            rig.broker.gtt_failures["gtts"] = [Unreachable("down")] * 2
            return number

        rig.broker.place_gtt = then_down  # type: ignore[assignment,method-assign]
        with pytest.raises(Denied, match="could not be handed"):
            await hand_over(*desks(rig))
        assert rig.of(stop).state is StopState.ARMED
        assert (rig.broker.gtts_waiting, rig.alarms) == ([], [])

    play(script)


@pytest.mark.parametrize("held", [500, -500])
def test_an_exit_without_a_level_is_no_order_at_the_broker(held: int) -> None:
    async def script(rig: Rig) -> None:
        rig.last[OPTION.id] = 5_000
        rig.broker.hold(NRML, held)
        await rig.state.read_positions()
        await rig.engine.arm(NRML, StopPlan(0, source=TriggerSource.NONE, quantity=500))
        with pytest.raises(Denied, match="It has no level"):
            await hand_over(*desks(rig))
        assert rig.broker.placed == []

    play(script)
