"""What the coverage meter says of stops that do not do what they look like."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from app.desk.coverage import CoverageWatch
from app.desk.workspace import Workspace
from app.domain.coverage import Protection
from app.domain.errors import Denied
from app.domain.stop import StopPlan, StopState
from tests.fakes.trading import ACCOUNT, KEY, Rig
from tests.unit.engine.rigged import play_quoted as play
from tests.unit.engine.test_plans import armed


@pytest.mark.parametrize("backed", [True, False])
def test_a_stop_that_could_not_be_armed_again_after_a_login_protects_nothing(backed: bool) -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, backstop=500 if backed else None))
        await asyncio.sleep(3)
        desk = SimpleNamespace(account=ACCOUNT, stops=rig.engine, state=rig.state, sees=True, last_price=rig.last.get)
        workspace = SimpleNamespace(accounts={ACCOUNT: desk})
        meter = CoverageWatch(cast("Workspace", workspace), dict)
        (row,) = meter.rows()
        assert row.unprotected == 0
        rig.log_out()
        rig.log_in()

        async def refused(*_: object) -> None:
            raise Denied("There is no rule for its exit.", "See the rules.")

        rig.engine.rearm = refused  # type: ignore[assignment]
        await rig.recover()
        assert rig.of(stop).state is StopState.ARMED
        assert any("no rule for its exit" in alarm for alarm in rig.alarms)
        (row,) = meter.rows()
        assert row.key == KEY
        assert (row.kind, row.protected) == ((Protection.BROKER, 100) if backed else (Protection.BLIND, 0))

    play(script)
