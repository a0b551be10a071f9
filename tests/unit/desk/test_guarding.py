"""What stands behind armed stops: who is said to take over, when a guard is started, how a desk parts from it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.desk.companions import Companions
from app.desk.desk import LocalDesk
from app.desk.guarding import GuardingDesk
from app.domain.errors import WrongPassphrase
from app.domain.events import CompanionsChanged, Event, FeedGap, Level, Noticed
from app.domain.guard import Companion, Farewell, GuardSettings
from app.domain.ids import AccountId
from app.runtime.awake import command_for
from app.runtime.pause import SECOND, Pause, PauseWatch, Reading
from app.runtime.secret import Secret
from app.vault.keystore import Keystore
from app.vault.vault import Vault
from tests.unit.desk.profiles import CHEAP, PASSPHRASE, opened

WAITS = Companion(7, "keyring")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[LocalDesk]:
    Vault(tmp_path, Keystore(), CHEAP).create(PASSPHRASE, use_keyring=False)
    async with opened(tmp_path) as made:
        yield made


@pytest.fixture
async def companions() -> Companions:
    return Companions(asyncio.get_running_loop())


def window(desk: LocalDesk, companions: Companions, *command: str) -> GuardingDesk:
    return GuardingDesk(desk._workspace, companions, command)


async def test_where_only_a_passphrase_unlocks_nobody_takes_over_and_that_is_said(
    desk: LocalDesk, companions: Companions
) -> None:
    guard = window(desk, companions)
    await guard.opened()
    assert "only your passphrase" in guard.alone()
    assert (await guard.view()).alone == desk._workspace.alone()
    companions._here[1] = WAITS  # one that was started on a terminal waits
    assert guard.alone() == ""
    assert (await guard.view()).companions == (WAITS,)


async def test_a_guards_own_desk_and_a_commands_have_nobody_beside_them(desk: LocalDesk) -> None:
    assert desk.guard.alone() == ""


async def test_a_guard_is_started_where_the_keyring_opens_the_profile(
    desk: LocalDesk, companions: Companions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.desk.guarding.FIRST_SECONDS", 0.0)
    monkeypatch.setattr("app.desk.guarding.AGAIN_SECONDS", 0.01)
    here = tmp_path / "started"
    guard = window(desk, companions, sys.executable, "-c", f"open({str(here)!r}, 'a').write('x')")
    await guard.opened()
    keeping = asyncio.create_task(guard.keep_guard())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not here.exists()  # the passphrase alone opens it
    guard._keyring = True
    assert "not there yet" in guard.alone()
    async with asyncio.timeout(10):
        while not here.exists():  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.01)
    companions._here[1] = WAITS
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert guard._process is not None
    await asyncio.to_thread(guard._process.wait, 10)
    companions._here.clear()
    await guard.save_settings(GuardSettings(start_guard=False))
    assert "switched off" in guard.alone()


@pytest.mark.expects_log("the guard could not be started")
async def test_a_guard_that_could_not_be_started_is_started_later(
    desk: LocalDesk, companions: Companions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.desk.guarding.FIRST_SECONDS", 0.0)
    monkeypatch.setattr("app.desk.guarding.AGAIN_SECONDS", 0.01)
    guard = window(desk, companions, "somebody")
    await guard.opened()
    guard._keyring = True
    tried: list[int] = []
    again = asyncio.Event()

    def start() -> None:
        tried.append(1)
        if len(tried) == 1:
            raise BlockingIOError
        loop.call_soon_threadsafe(again.set)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(guard, "_start", start)
    keeping = asyncio.create_task(guard.keep_guard())
    async with asyncio.timeout(10):
        await again.wait()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_a_desk_parts_by_what_is_armed_and_what_the_trader_said(desk: LocalDesk, companions: Companions) -> None:
    guard = window(desk, companions)
    assert guard.farewell(0) is Farewell.STAND_DOWN
    assert guard.farewell(2) is Farewell.HAND_OVER
    await guard.leave(Farewell.STAND_DOWN)
    assert guard.farewell(2) is Farewell.STAND_DOWN


async def test_a_window_that_was_never_unlocked_leaves_its_guard_to_look(
    desk: LocalDesk, companions: Companions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(desk._workspace), "is_open", property(lambda _workspace: False))
    assert window(desk, companions).farewell(0) is Farewell.HAND_OVER
    monkeypatch.undo()


async def test_a_guard_that_comes_or_goes_is_told(desk: LocalDesk, companions: Companions) -> None:
    told: list[Event] = []
    desk.listen(told.append)
    guard = window(desk, companions)
    companions._set(1, WAITS)
    companions._set(1, None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert [len(event.here) for event in told if isinstance(event, CompanionsChanged)] == [1, 0]
    assert guard.alone()


async def test_a_computer_that_may_fall_asleep_is_said_to_once(
    desk: LocalDesk, companions: Companions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told: list[Event] = []
    desk.listen(told.append)
    guard = window(desk, companions)
    for _ in range(3):
        guard.beat(2)
        if guard._awake_task is not None:
            await guard._awake_task
    asleep = "This computer may fall asleep while stops are armed"
    assert [(event.level, event.title) for event in told if isinstance(event, Noticed)] == [(Level.WARNING, asleep)]
    assert (await guard.view()).awake

    inhibitor = tmp_path / command_for(sys.platform, "")[0]
    inhibitor.write_text("#!/bin/sh\nexec /bin/cat\n")
    inhibitor.chmod(0o700)
    for armed in (0, 1):  # the next stop
        guard.beat(armed)
        if guard._awake_task is not None:
            await guard._awake_task
    assert guard._awake.held
    assert not (await guard.view()).awake
    await guard.close(0)


async def test_after_a_pause_the_absence_is_told(
    desk: LocalDesk, companions: Companions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.desk.attendance.SETTLE_SECONDS", 0.0)
    guard = window(desk, companions)
    await guard.opened()
    await guard._after(Pause(5, 50, slept=True))
    assert [one.headline for one in await guard.absences()] == ["nothing happened"]


async def test_after_a_pause_no_account_waits_for_another_one(
    desk: LocalDesk, companions: Companions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.desk.attendance.SETTLE_SECONDS", 0.0)
    guard, others = window(desk, companions), asyncio.Event()

    async def done() -> None:
        others.set()

    def one(redial: object) -> SimpleNamespace:
        return SimpleNamespace(stops=SimpleNamespace(redial=lambda: None), hub=SimpleNamespace(redial=redial))

    monkeypatch.setattr(desk._workspace, "live", lambda: iter([one(others.wait), one(done)]))
    await guard.opened()
    async with asyncio.timeout(5):
        await guard._after(Pause(5, 50, slept=True))


async def test_a_trader_who_is_slow_to_type_the_passphrase_was_not_away(
    desk: LocalDesk, companions: Companions, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(Reading(at * SECOND, at * SECOND, at * SECOND) for at in (0, 40, 41, 42))
    monkeypatch.setattr("app.desk.guarding.PauseWatch", lambda: PauseWatch(moments.__next__))
    guard = window(desk, companions)
    monkeypatch.setattr(type(desk._workspace), "is_open", property(lambda _workspace: False))
    guard.beat(0)
    monkeypatch.undo()
    pauses: list[Pause] = []
    monkeypatch.setattr(guard, "_after", pauses.append)
    guard.beat(1)
    guard.beat(1)
    assert pauses == []


async def test_the_screen_is_unlocked_by_the_passphrase_alone(desk: LocalDesk) -> None:
    await desk.guard.lock_screen()
    with pytest.raises(WrongPassphrase):
        await desk.guard.unlock_screen(Secret("not this"))
    await desk.guard.unlock_screen(PASSPHRASE)


@pytest.mark.parametrize(("armed", "closed_at", "told"), [(1, None, 1), (0, 70, 1), (0, 50, 0)])
async def test_a_silence_within_which_every_stop_has_left_is_told_of(
    desk: LocalDesk, companions: Companions, monkeypatch: pytest.MonkeyPatch, armed: int, closed_at: int, told: int
) -> None:
    guard = window(desk, companions)
    gone = SimpleNamespace(closed_at=closed_at, fired_at=None)
    account = SimpleNamespace(stops=SimpleNamespace(armed=armed, stops=[gone]))
    monkeypatch.setattr(type(desk._workspace), "account", lambda _workspace, _account: account)
    gaps: list[FeedGap] = []

    async def gap(event: FeedGap) -> None:
        gaps.append(event)

    monkeypatch.setattr(guard.attendance, "gap", gap)
    guard.on_gap(FeedGap(AccountId("zerodha-1"), 60, 90, ()))
    await asyncio.sleep(0)
    assert len(gaps) == told
