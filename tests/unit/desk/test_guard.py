"""A guard with the desk in its hand: what it says of it, and how it lets go, whatever the broker does meanwhile."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap import build_desk
from app.brokers.base import Session
from app.desk import beside, guard, remote, sessions
from app.desk.beside import take_back
from app.desk.desk import LocalDesk
from app.desk.guard import Guard, KeyInHand
from app.desk.instruments import InstrumentDesk
from app.desk.remote import ProfileInUse, ProfileLock
from app.desk.tokens import pack
from app.domain.account import Endpoints
from app.domain.day_stop import DayLimits
from app.domain.errors import AppError, WrongPassphrase
from app.domain.events import SessionState
from app.domain.stop import StopState
from app.runtime.files import write_atomically
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from app.vault.keystore import Keystore
from app.vault.vault import Vault
from tests.unit.desk.profiles import CHEAP, PASSPHRASE, make_profile, opened
from tests.unit.storage.samples import A, entry, stop

NOBODY = Endpoints("http://127.0.0.1:1", "http://127.0.0.1:1/login", "ws://127.0.0.1:1", "http://127.0.0.1:1/r")
FAR = 4_000_000_000_000_000_000


class Held:
    """A profile with one armed stop, in the hand of a guard that runs on a thread of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = ProfilePaths(folder)
        self.told: list[str] = []
        self.shown: list[str] = []
        self._said = threading.Condition()
        self._failure: AppError | None = None
        vault = Vault(folder, Keystore(), CHEAP)

        async def notify(title: str, text: str, *, urgent: bool = False) -> bool:
            assert urgent
            self.shown.append(f"{title}: {text}")
            return True

        def build() -> Coroutine[Any, Any, LocalDesk]:
            return build_desk(self.paths, paper=False, vault=vault)

        monkeypatch.setattr(guard, "notify", notify)
        key = KeyInHand(vault, PASSPHRASE)
        self.guard = Guard(
            self.paths, ProfileLock(self.paths.lock), key, build, lambda: None, self._hear, attached=False
        )
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.guard.run()
        except AppError as failure:
            self._failure = failure

    def _hear(self, what: str, words: str, /, **_facts: object) -> None:
        with self._said:
            self.told.append(f"{what}: {words}")
            self._said.notify_all()

    def start(self) -> None:
        self._thread.start()

    def until(self, what: str) -> str:
        with self._said:
            assert self._said.wait_for(lambda: any(line.startswith(f"{what}: ") for line in self.told), 20), self.told
            return next(line for line in self.told if line.startswith(f"{what}: "))

    def end(self) -> AppError | None:
        self.guard.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self._failure


async def profile_of(folder: Path, *, token: bool, armed: bool = True, broker: Endpoints = NOBODY) -> None:
    """One stop of account A is armed (else its portfolio stop has a limit); its broker does not answer. `token`: its
    session lives."""
    await make_profile(folder, 3, armed=armed)
    async with opened(folder) as desk:
        workspace = desk._workspace
        if not armed:
            await desk.stops.set_day_limits(A, DayLimits(loss=500_000))
        record = replace(workspace.record(A), endpoints=broker, state=SessionState.ACTIVE)
        if token:
            session = Session(A, "AB1234", "Somebody", Secret("canary-token"), 0, FAR)
            sealed = workspace.vault.seal(A, pack(session))
            record = replace(record, user_id="AB1234", sealed_token=sealed, token_issued_at=0, token_expires_at=FAR)
        await workspace.save(record)


async def handed_back_late(held: Held, window: ProfileLock) -> None:
    """The guard starts, is late, and the window takes its desk back."""
    held.start()
    try:
        await asyncio.to_thread(held.until, "late")
        await asyncio.to_thread(take_back, held.paths, window)
    finally:
        window.release()
        await asyncio.to_thread(held.end)
    assert held.until("handing back")


@pytest.mark.expects_log("stops are not watched yet")
async def test_the_window_gets_its_desk_back_while_the_broker_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await profile_of(tmp_path, token=True)
    monkeypatch.setattr(guard, "LATE_SECONDS", 0.05)
    monkeypatch.setattr(guard, "WAY_SECONDS", 5.0)
    monkeypatch.setattr(beside, "HAND_BACK_SECONDS", 5.0)
    held, window = Held(tmp_path, monkeypatch), ProfileLock(ProfilePaths(tmp_path).lock)
    await handed_back_late(held, window)
    assert held.shown == []  # nobody was told that stops are watched


@pytest.mark.expects_log("stops are not watched yet")
async def test_a_broker_that_hangs_keeps_no_window_from_its_desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that waits for its answer would hold the account for as long."""

    async def there(*_: object) -> None:
        """The list of the day."""

    monkeypatch.setattr(InstrumentDesk, "ensure", there)
    monkeypatch.setattr(guard, "LATE_SECONDS", 0.2)
    monkeypatch.setattr(guard, "WAY_SECONDS", 5.0)
    monkeypatch.setattr(beside, "HAND_BACK_SECONDS", 4.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        await profile_of(tmp_path, token=True, broker=replace(NOBODY, api_url=url))
        held, window = Held(tmp_path, monkeypatch), ProfileLock(ProfilePaths(tmp_path).lock)
        await handed_back_late(held, window)


@pytest.mark.expects_log("stops are not watched yet")
async def test_a_portfolio_stop_alone_is_guarded_until_it_is_known_what_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await profile_of(tmp_path, token=True, armed=False)
    monkeypatch.setattr(guard, "LATE_SECONDS", 0.05)
    monkeypatch.setattr(guard, "COUNT_SECONDS", 0.01)
    monkeypatch.setattr(guard, "QUIET_SECONDS", 0.02)
    held = Held(tmp_path, monkeypatch)
    held.start()
    try:
        await asyncio.to_thread(held.until, "late")
    finally:
        await asyncio.to_thread(held.end)
    assert held.until("unguarded")
    assert not any(line.startswith("idle") for line in held.told)


@pytest.mark.expects_log("is damaged and was set aside")
async def test_a_guard_that_finds_the_journal_damaged_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is armed in the one that takes its place, and the window is gone."""
    await profile_of(tmp_path, token=False)
    (tmp_path / "journal.db").write_bytes(b"spoilt" * 2_000)
    held = Held(tmp_path, monkeypatch)
    held.start()
    try:
        await asyncio.to_thread(held.until, "idle")
    finally:
        await asyncio.to_thread(held.end)
    assert [words[:35] for words in held.shown] == ["The journal had to be started anew:"]


async def test_stops_without_a_session_are_not_said_to_be_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await profile_of(tmp_path, token=False)
    held = Held(tmp_path, monkeypatch)
    held.start()
    try:
        words = await asyncio.to_thread(held.until, "guarding")
    finally:
        await asyncio.to_thread(held.end)
    assert "Not everything is watched" in words
    assert "no session" in words
    (shown, *_) = held.shown
    assert shown.startswith("Stops are blind: The window is gone.")


async def test_a_guard_whose_passphrase_opens_nothing_any_more_calls_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await profile_of(tmp_path, token=False)
    held, window = Held(tmp_path, monkeypatch), ProfileLock(ProfilePaths(tmp_path).lock)
    monkeypatch.setattr(guard, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(beside, "REACH_SECONDS", 0.0)
    window.acquire()
    held.start()
    try:
        async with asyncio.timeout(20):
            while not held.guard._key.how:  # noqa: ASYNC110  the guard's own thread opens it
                await asyncio.sleep(0.01)
        async with opened(tmp_path) as desk:
            await desk.data.change_passphrase(PASSPHRASE, Secret("another-passphrase-2b"))
            await desk.data.rotate_key(Secret("another-passphrase-2b"))
        window.release()
        await asyncio.to_thread(held.until, "failed")
    finally:
        window.release()
        failure = await asyncio.to_thread(held.end)
    assert isinstance(failure, WrongPassphrase)
    assert [line.partition(":")[0] for line in held.shown] == ["Stops are not watched"]


async def test_a_guard_that_is_asked_to_end_as_its_desk_ends_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal may come when the loop is closed and not forgotten yet."""
    held = Held(tmp_path, monkeypatch)
    held.guard._loop = asyncio.new_event_loop()
    held.guard._loop.close()
    held.guard.stop()
    assert held.guard._stop.is_set()


async def test_an_unlock_that_got_no_desk_asks_for_it_again(tmp_path: Path) -> None:
    """Else the next one would open the files of a profile that a guard still has."""
    Vault(tmp_path, Keystore(), CHEAP).create(PASSPHRASE, use_keyring=False)
    desk = await build_desk(ProfilePaths(tmp_path), paper=False, guarding=False)
    asked: list[int] = []

    async def take() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise ProfileInUse("The guard does not let go of it.", "End it.")

    desk.session.before_open = take
    try:
        with pytest.raises(ProfileInUse):
            await desk.session.unlock(PASSPHRASE)
        assert not desk._workspace.is_open
        await desk.session.unlock(PASSPHRASE)
        assert len(asked) == 2
        assert vars(desk.session)["before_open"] is None
    finally:
        await desk.stop()


@pytest.mark.expects_log("stops are not watched yet")
async def test_a_broker_that_is_down_for_long_is_tried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is said to be down ends no try: else the stops would be blind until somebody opens the window."""
    await profile_of(tmp_path, token=True)
    monkeypatch.setattr(guard, "READY_SECONDS", 0.3)
    monkeypatch.setattr(guard, "LATE_SECONDS", 0.1)
    monkeypatch.setattr(sessions, "RESUME_SECONDS", 0.05)
    held = Held(tmp_path, monkeypatch)
    held.start()

    def tries() -> int:
        return sum(line.startswith(f"session: {A}: error") for line in held.told)

    try:
        await asyncio.to_thread(held.until, "guarding")
        before = tries()
        async with asyncio.timeout(20):
            while tries() < before + 2:  # noqa: ASYNC110  the guard's own thread tries
                await asyncio.sleep(0.01)
    finally:
        await asyncio.to_thread(held.end)
    assert held.shown[0].startswith("Stops are blind: The window is gone.")


@pytest.mark.expects_log("stops are not watched yet")
@pytest.mark.expects_log("nobody can call this desk yet")
async def test_on_a_full_disk_a_guard_takes_over_and_gives_back_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await profile_of(tmp_path, token=True)
    room = threading.Event()

    def full(path: Path, content: bytes) -> None:
        if not room.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomically(path, content)

    monkeypatch.setattr(remote, "write_atomically", full)
    monkeypatch.setattr(remote, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(guard, "LATE_SECONDS", 0.05)
    monkeypatch.setattr(guard, "WAY_SECONDS", 5.0)
    held, window = Held(tmp_path, monkeypatch), ProfileLock(ProfilePaths(tmp_path).lock)
    held.start()
    try:
        await asyncio.to_thread(held.until, "late")
        room.set()
        await asyncio.to_thread(take_back, held.paths, window)
    finally:
        window.release()
        await asyncio.to_thread(held.end)
    assert held.until("handing back")


async def test_suspended_stops_are_not_said_to_be_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await profile_of(tmp_path, token=False)
    async with opened(tmp_path) as desk:
        waits = stop(1, state=StopState.SUSPENDED)
        await desk._workspace.journal.save_stop(waits, entry())
    monkeypatch.setattr(LocalDesk, "waits_for", ())  # its session lives
    held = Held(tmp_path, monkeypatch)
    held.start()
    try:
        words = await asyncio.to_thread(held.until, "guarding")
    finally:
        await asyncio.to_thread(held.end)
    assert words == "guarding: Not everything is watched: 1 suspended stop guards nothing until you answer."
    assert held.shown[0].startswith("Stops are blind: The window is gone. 1 suspended stop")
