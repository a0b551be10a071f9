"""The desk's heartbeat, and what is made of its silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.desk.attendance import Attendance, Beat, BeatFile
from app.desk.desk import LocalDesk
from app.domain.events import AuditEntry, Event, FeedGap, Returned
from app.domain.guard import Absence, AccountGuarding, AwayKind, Farewell, GuardSettings
from app.domain.ids import AccountId
from app.runtime.clock import SECOND
from app.runtime.pause import Pause
from app.vault.keystore import Keystore
from app.vault.vault import Vault
from tests.unit.desk.profiles import CHEAP, PASSPHRASE, opened

ACCOUNT = AccountId("zerodha-1")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[LocalDesk]:
    Vault(tmp_path, Keystore(), CHEAP).create(PASSPHRASE, use_keyring=False)
    async with opened(tmp_path) as made:
        yield made


@pytest.fixture
def beats(tmp_path: Path) -> BeatFile:
    return BeatFile(tmp_path / "desk.beat")


def test_a_beat_comes_back_and_a_torn_one_is_none(tmp_path: Path, beats: BeatFile) -> None:
    assert beats.read() is None
    beats.write(Beat(5, 1, 2, 3))
    beats.write(Beat(6, 1, 2, 3, "hand over"))
    assert beats.read() == Beat(6, 1, 2, 3, "hand over")
    (tmp_path / "desk.beat").write_bytes(b'{"at":')
    assert beats.read() is None


@pytest.mark.parametrize(
    ("left", "armed", "kind"),
    [("", 0, AwayKind.CRASH), ("hand over", 2, AwayKind.CLOSED), ("stand down", 1, AwayKind.CLOSED),
     ("stand down", 0, None)],
)  # fmt: skip
async def test_what_the_last_beat_says_of_the_end(
    desk: LocalDesk, beats: BeatFile, left: str, armed: int, kind: AwayKind | None
) -> None:
    beats.write(Beat(5 * SECOND, 1, armed, 0, left))
    found = await Attendance(desk._workspace, window=True).opened()
    assert (None if found is None else found.kind) is kind
    assert found is None or found.since == 5 * SECOND


async def test_a_guard_that_watched_meanwhile_is_named(desk: LocalDesk, tmp_path: Path, beats: BeatFile) -> None:
    beats.write(Beat(5 * SECOND, 1, 1, 0))
    BeatFile(tmp_path / "guard.beat").write(Beat(9 * SECOND, 6 * SECOND, 1, 0, "hand over"))
    found = await Attendance(desk._workspace, window=True).opened()
    assert found is not None
    assert found.guarded_since == 6 * SECOND
    guard = Attendance(desk._workspace, window=False)
    assert await guard.opened() is None
    await guard.leave(0, Farewell.STAND_DOWN)  # found nothing to guard: no sign of it
    assert BeatFile(tmp_path / "guard.beat").read() == Beat(9 * SECOND, 6 * SECOND, 1, 0, "hand over")


async def test_a_return_is_told_with_what_the_trail_says(desk: LocalDesk, beats: BeatFile) -> None:
    told: list[Event] = []
    desk.listen(told.append)
    beats.write(Beat(5 * SECOND, 1, 1, 0))
    journal = desk._workspace.journal
    window = Attendance(desk._workspace, window=True)
    found = await window.opened()
    assert found is not None
    await journal.audit(
        AuditEntry(7, ACCOUNT, "strategy:S1", "waiting", "the entry at 10:00 was missed and is skipped")
    )
    await window.settled(found)
    (returned,) = [event for event in told if isinstance(event, Returned)]
    assert returned.report.headline == "1 time was missed"
    assert [one.headline for one in await window.reports(10)] == ["1 time was missed"]
    window.beat(1)
    assert window._writing is not None
    await window._writing
    last = beats.read()
    assert last is not None
    assert (last.armed, last.line, last.left) == (1, 1, "")
    await window.leave(1, Farewell.HAND_OVER)
    last = beats.read()
    assert last is not None
    assert last.left == "hand over"


async def test_what_nobody_could_read_is_not_called_nothing(desk: LocalDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop is armed, and its account has no session: its backstop may have sold."""
    monkeypatch.setattr("app.desk.desk.FIRST_PRICES_SECONDS", 0.0)
    monkeypatch.setattr("app.desk.desk.LOOK_SECONDS", 0.01)
    waiting = [("zerodha-1 has no session yet.",)] * 5
    monkeypatch.setattr(type(desk), "waits_for", property(lambda _desk: waiting.pop() if waiting else ()))
    told: list[str] = []
    desk.listen(lambda event: told.append(event.report.headline) if isinstance(event, Returned) else None)
    monkeypatch.setattr(desk.guard, "attendance", Attendance(desk._workspace, window=True))
    found = await desk._workspace.journal.absences.add(Absence(0, AwayKind.CLOSED, SECOND, 2 * SECOND))

    async def opened() -> Absence:
        return found

    monkeypatch.setattr(desk.guard, "opened", opened)
    await desk._back()
    assert told == ["what happened is not known until you log in", "nothing happened"]
    assert [report.headline for report in await desk.guard.attendance.reports(10)][:1] == ["nothing happened"]


async def test_sleep_and_silence_are_absences_too(desk: LocalDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.desk.attendance.SETTLE_SECONDS", 0.0)
    window = Attendance(desk._workspace, window=True)
    await window.opened()
    await window.paused(Pause(5 * SECOND, 50 * SECOND, slept=True))
    await window.gap(FeedGap(ACCOUNT, 60 * SECOND, 62 * SECOND, ()))  # a line in the log, no more
    await window.gap(FeedGap(ACCOUNT, 60 * SECOND, 90 * SECOND, ()))
    kinds = [(one.absence.kind, one.absence.account, one.headline) for one in await window.reports(10)]
    assert kinds == [(AwayKind.FEED, ACCOUNT, "nothing happened"), (AwayKind.SLEEP, None, "nothing happened")]


async def test_what_happened_within_a_silence_is_told(desk: LocalDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop may fire by quotes that were asked for, long before prices come again and after the last beat."""
    monkeypatch.setattr("app.desk.attendance.SETTLE_SECONDS", 0.0)
    window = Attendance(desk._workspace, window=True)
    await window.opened()
    for second, account in ((50, ACCOUNT), (70, ACCOUNT), (71, AccountId("upstox-2"))):
        entry = AuditEntry(second * SECOND, account, "strategy:S", "waiting", f"the entry at {second} was missed")
        await desk._workspace.journal.audit(entry)
    window.beat(1)
    assert window._writing is not None
    await window._writing
    await window.gap(FeedGap(ACCOUNT, 60 * SECOND, 90 * SECOND, ()))
    (told,) = await window.reports(10)
    assert [line.words for line in told.lines] == ["the entry at 70 was missed"]
    assert told.headline == "1 time was missed"


async def test_one_silence_of_several_connections_is_one_absence(
    desk: LocalDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.desk.attendance.SETTLE_SECONDS", 0.05)
    window = Attendance(desk._workspace, window=True)
    await window.opened()
    other = AccountId("upstox-2")
    spans = [(ACCOUNT, 60, 90), (ACCOUNT, 61, 92), (other, 60, 90), (ACCOUNT, 59, 88), (ACCOUNT, 100, 130)]
    await asyncio.gather(*(window.gap(FeedGap(a, since * SECOND, until * SECOND, ())) for a, since, until in spans))
    found = [(r.absence.account, r.absence.since // SECOND, r.absence.until // SECOND) for r in await window.reports(9)]
    assert sorted(found) == [(other, 60, 90), (ACCOUNT, 59, 92), (ACCOUNT, 100, 130)]


async def test_what_the_trader_chose_is_kept(desk: LocalDesk) -> None:
    chosen = GuardSettings(start_guard=False, accounts=(AccountGuarding(ACCOUNT, missed_fires=True),))
    await desk.guard.save_settings(chosen)
    assert (await desk.guard.view()).settings == chosen
    assert chosen.of(ACCOUNT).missed_fires
    assert not chosen.of(AccountId("upstox-2")).missed_fires
    await desk.guard.opened()
    assert desk.guard.settings == chosen
