"""Why a price stream was refused: a dead session, a key without the right, or nobody's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from app.brokers.base import BrokerSession
from app.brokers.info import shipped_info
from app.desk.rights import DataRights
from app.domain.errors import NotPermitted, SessionExpired, Unreachable
from app.domain.events import Event, Noticed
from app.domain.ids import AccountId
from tests.fakes.fast_loop import run, settle

REFUSED = SessionExpired("The price feed refused the access token.")


class Broker:
    """Tells who the client is, and what the index costs."""

    def __init__(self, profile: Exception | None = None, prices: Exception | None = None) -> None:
        self.answers = {"profile": profile, "prices": prices}
        self.asked: list[str] = []
        self.slow = 0.1

    async def _tell(self, what: str) -> dict[Any, int]:
        self.asked.append(what)
        await asyncio.sleep(self.slow)
        failure = self.answers[what]
        if failure is not None:
            raise failure
        return {}

    async def profile(self) -> object:
        return await self._tell("profile")

    async def last_prices(self, _instruments: object) -> object:
        return await self._tell("prices")


class Scene:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.rights = DataRights(AccountId("zerodha-X"), self.events.append)
        self.rights.begin(shipped_info("zerodha"))
        self.current: Broker | None = None
        self.dead: list[SessionExpired] = []
        self.dials = 0

    async def _again(self) -> None:
        self.dials += 1

    async def refuse(self, broker: Broker) -> None:
        self.current = self.current or broker
        asked = cast("BrokerSession", broker)
        await self.rights.judge(asked, REFUSED, lambda: self.current is broker, self.dead.append, self._again)

    @property
    def told(self) -> list[str]:
        return [event.title for event in self.events if isinstance(event, Noticed)]


def play(script: Callable[[Scene], Awaitable[None]]) -> None:
    async def scene() -> None:
        await script(Scene())

    run(scene())


@pytest.mark.parametrize(
    ("profile", "prices", "dead", "told", "dials"),
    [
        (SessionExpired("dead"), None, 1, [], 0),
        (None, NotPermitted("no plan"), 0, ["This key gives no live prices"], 0),
        (None, None, 0, [], 1),
        (None, Unreachable("down"), 0, [], 1),
        (Unreachable("down"), None, 0, [], 1),
    ],
)
def test_only_a_dead_session_and_a_key_without_the_right_end_the_dialling(
    profile: Exception | None, prices: Exception | None, dead: int, told: list[str], dials: int
) -> None:
    async def script(scene: Scene) -> None:
        await scene.refuse(Broker(profile, prices))
        assert (len(scene.dead), scene.told, scene.dials) == (dead, told, dials)

    play(script)


def test_what_refuses_all_connections_is_asked_about_once() -> None:
    async def script(scene: Scene) -> None:
        broker = Broker()
        await asyncio.gather(*(scene.refuse(broker) for _ in range(3)))
        assert (broker.asked, scene.dials) == (["profile", "prices"], 1)
        scene.rights.given()
        await scene.refuse(broker)
        assert broker.asked[2:] == ["profile"], "a stream that stood has shown that the key has the right"
        assert scene.dials == 2

    play(script)


@pytest.mark.parametrize("answer", [SessionExpired("dead"), None])
def test_a_late_answer_about_the_session_before_says_nothing_about_the_new_one(answer: Exception | None) -> None:
    async def script(scene: Scene) -> None:
        late = asyncio.create_task(scene.refuse(Broker(answer)))
        await settle()
        scene.current = Broker()
        await late
        assert (scene.dead, scene.dials) == ([], 0)

    play(script)
