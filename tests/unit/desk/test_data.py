"""Backups, restore, change of keys: what comes back is what there was, and what failed changed nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from sqlcipher3 import dbapi2

from app.bootstrap import build_desk
from app.desk.desk import LocalDesk
from app.desk.opening import RESTORED
from app.domain.calendar import AlwaysOpen
from app.domain.errors import Damaged, Denied, StorageError, WrongPassphrase
from app.domain.events import Event, Level, Noticed
from app.domain.stop import StopState
from app.domain.strategy import Days, Strategy, StrategyState
from app.runtime.clock import AccountClock
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from app.storage.backups import backup_files
from app.storage.container import read_lock
from app.storage.database import StoreKind
from app.storage.migrations import NEWEST
from app.vault.backup_lock import parse_lock
from app.vault.vault_file import load
from tests.unit.desk.profiles import PASSPHRASE, left_over, make_profile, opened, rows
from tests.unit.storage.samples import A, entry, exit_of, fill, stop
from tests.unit.storage.test_strategies import PLAN

NEW = Secret("another long passphrase")


def opens(path: Path, key: Secret) -> bool:
    connection = dbapi2.connect(f"file:{path}?immutable=1", uri=True)
    try:
        connection.execute(f"PRAGMA key = \"x'{key.reveal()}'\"")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except dbapi2.DatabaseError:
        return False
    finally:
        connection.close()
    return True


def bytes_of(file: str) -> bytes:
    return Path(file).read_bytes()


def everything(profile: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(profile.rglob("*")) if path.is_file())


async def test_after_a_change_of_keys_every_row_is_there_and_the_old_key_opens_nothing(tmp_path: Path) -> None:
    before = await make_profile(tmp_path)
    wrapped = load(tmp_path / "vault.json").passphrase
    assert wrapped is not None
    async with opened(tmp_path) as desk:
        await desk.data.make_recovery_key(PASSPHRASE)
        made = await desk.data.backup()
        vault = desk._workspace.vault
        old = vault.keys()
        (tmp_path / "book.db.before-0001").write_bytes((tmp_path / "book.db").read_bytes())
        done = await desk.data.rotate_key(PASSPHRASE)
        assert (done.secrets, done.recovery_key_ended, done.backups_foreign, done.still_old) == (5, True, 0, ())
        assert await rows(desk) == before
        # The stores go on: what is written now is there after the next start.
        await desk._workspace.book.fills.write([(fill(9001), "{}")])
        await desk._workspace.journal.save_stop(stop(7), entry(), exit_of(stop(7)))
        sealed = [r.sealed_secret for r in await desk._workspace.book.accounts.load()]
        assert all(old.unsealed(A, s) is None for s in sealed if s is not None)
        # What a verb had in its hand when the keys changed is still good, and is sealed anew when it is saved.
        record = desk._workspace.record(A)
        late = old.seal(A, Secret("late"))
        assert vault.open(A, late) == Secret("late")
        await desk._workspace.save(replace(record, sealed_token=late))
        assert old.unsealed(A, (await desk._workspace.book.accounts.load())[0].sealed_token or b"") is None
    for name in ("book", "journal"):
        assert not opens(tmp_path / f"{name}.db", old.database_key(name))
    assert wrapped.sealed not in everything(tmp_path)
    text = (tmp_path / "vault.json").read_text() + read_lock(Path(made.file)).decode()
    assert "recovery" not in text
    with pytest.raises(Damaged):
        parse_lock(read_lock(Path(made.file))).key(old)
    assert left_over(tmp_path) == []
    assert not any(".before-" in name for name in os.listdir(tmp_path))
    async with opened(tmp_path) as desk:
        after = await rows(desk)
        assert len(after["book.db:fills"]) == len(before["book.db:fills"]) + 1
        assert len(after["journal.db:stops"]) == len(before["journal.db:stops"]) + 1


async def test_a_change_of_keys_with_writes_all_the_while_loses_none(tmp_path: Path) -> None:
    await make_profile(tmp_path, fills=20)
    async with opened(tmp_path) as desk:
        written = 0
        stop_writing = asyncio.Event()

        async def write() -> None:
            nonlocal written
            while not stop_writing.is_set():
                armed = stop(100 + written)
                await desk._workspace.journal.save_stop(armed, entry(), exit_of(armed))
                await desk._workspace.book.fills.write([(fill(10_000 + written), "{}")])
                written += 1

        writing = asyncio.ensure_future(write())
        done = await desk.data.rotate_key(PASSPHRASE)
        stop_writing.set()
        await writing
        assert done.pause_ms >= 0
        assert written > 10
    async with opened(tmp_path) as desk:
        found = await rows(desk)
        assert len(found["journal.db:stops"]) == 2 + written
        assert len(found["book.db:fills"]) == 20 + written


async def test_a_wrong_passphrase_changes_nothing(tmp_path: Path) -> None:
    before = await make_profile(tmp_path)
    kept = (tmp_path / "vault.json").read_bytes()
    async with opened(tmp_path) as desk:
        for wrong in (None, NEW):
            with pytest.raises(WrongPassphrase):
                await desk.data.rotate_key(wrong)
        assert await rows(desk) == before
    assert (tmp_path / "vault.json").read_bytes() == kept
    assert left_over(tmp_path) == []


class Firing:
    """An account whose exit is on its way."""

    class stops:  # noqa: N801 -- stands for an attribute
        exiting = 1
        armed = 1
        engine_us = ()

    class strategies:  # noqa: N801
        waiting = 0
        strategies = ()

    class day_stop:  # noqa: N801
        guards = 0

    active = False
    blind = 0
    account = A
    clock = AccountClock()
    broker_time = 0

    class hours:  # noqa: N801
        calendar = AlwaysOpen()

    async def end(self, _state: object) -> None:
        """Nothing runs."""


async def test_no_keys_change_while_a_stop_fires_and_nothing_is_restored_while_one_is_armed(tmp_path: Path) -> None:
    await make_profile(tmp_path)
    async with opened(tmp_path) as desk:
        made = await desk.data.backup()
        desk._workspace.accounts[A] = Firing()  # type: ignore[assignment]  # what the desk asks of it
        for verb in (desk.data.rotate_key(PASSPHRASE), desk.data.restore(made.file)):
            with pytest.raises(Denied, match="firing"):
                await verb
        Firing.stops.exiting = 0
        with pytest.raises(Denied, match="armed"):
            await desk.data.restore(made.file)
    assert left_over(tmp_path) == []


async def restored(file: str, profile: Path, passphrase: Secret = PASSPHRASE) -> str:
    """Into a profile that nobody has open. The folder in which the state before was set aside."""
    ProfilePaths(profile).create()
    desk = await build_desk(ProfilePaths(profile), paper=False, guarding=False)
    try:
        done = await desk.data.restore(file, passphrase)
    finally:
        await desk.stop()
    assert not done.at_next_start
    return done.set_aside


async def test_a_restored_backup_equals_the_original_row_by_row(tmp_path: Path) -> None:
    before = await make_profile(tmp_path / "a")
    async with opened(tmp_path / "a") as desk:
        made = await desk.data.backup(str(tmp_path / "kept.stopline"))
    assert os.stat(made.file).st_mode & 0o077 == 0
    assert await restored(made.file, tmp_path / "b") == ""
    async with opened(tmp_path / "b") as desk:
        assert await rows(desk) == before
    assert (tmp_path / "b" / "settings.json").read_text() == '{"log_level": "info"}'
    assert left_over(tmp_path / "b") == []


async def test_a_backup_of_a_newer_program_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    before = await make_profile(tmp_path)
    async with opened(tmp_path) as desk:
        store = desk._workspace.book.settings._store
        change = "UPDATE alembic_version SET version_num = ?"
        await store.run(lambda c: c.exec_driver_sql(change, ("9999",)))
        made = await desk.data.backup(str(tmp_path / "newer.stopline"))
        await store.run(lambda c: c.exec_driver_sql(change, (NEWEST[StoreKind.BOOK],)))
    with pytest.raises(StorageError, match="newer Stopline"):
        await restored(made.file, tmp_path)
    async with opened(tmp_path) as desk:
        assert await rows(desk) == before


async def test_a_restore_sets_the_present_profile_aside_and_it_still_opens(tmp_path: Path) -> None:
    before = await make_profile(tmp_path)
    async with opened(tmp_path) as desk:
        made = await desk.data.backup()
        await desk._workspace.book.fills.write([(fill(9001), "{}")])
        changed = await rows(desk)
    aside = await restored(made.file, tmp_path)
    async with opened(tmp_path) as desk:
        assert await rows(desk) == before
        assert (await desk.data.view()).set_aside == (aside,)
    shutil.copytree(tmp_path / aside, tmp_path / "again")
    async with opened(tmp_path / "again") as desk:
        assert await rows(desk) == changed


async def test_a_backup_from_before_a_change_of_keys_comes_back_under_the_new_ones(tmp_path: Path) -> None:
    before = await make_profile(tmp_path / "a")
    async with opened(tmp_path / "a") as desk:
        made = await desk.data.backup()
        old = desk._workspace.vault.keys()
        await desk.data.change_passphrase(PASSPHRASE, NEW)
        await desk.data.rotate_key(NEW)
    with pytest.raises(WrongPassphrase):
        await restored(made.file, tmp_path / "b")
    assert left_over(tmp_path / "b") == []
    await restored(made.file, tmp_path / "b", NEW)
    async with opened(tmp_path / "b", NEW) as desk:
        assert await rows(desk) == before
    assert not opens(tmp_path / "b" / "book.db", old.database_key("book"))


async def test_a_recovery_key_opens_a_backup(tmp_path: Path) -> None:
    before = await make_profile(tmp_path / "a")
    async with opened(tmp_path / "a") as desk:
        shown = await desk.data.make_recovery_key(PASSPHRASE)
        made = await desk.data.backup()
    await restored(made.file, tmp_path / "b", shown)
    async with opened(tmp_path / "b") as desk:
        assert await rows(desk) == before


async def test_while_the_profile_is_open_a_restore_waits_for_the_next_start(tmp_path: Path) -> None:
    before = await make_profile(tmp_path, armed=False)
    async with opened(tmp_path) as desk:
        made = await desk.data.backup()
        done = await desk.data.restore(made.file)
        assert done.at_next_start
        await desk._workspace.book.fills.write([(fill(9001), "{}")])
        for verb in (desk.data.restore(made.file), desk.data.rotate_key(PASSPHRASE)):
            with pytest.raises(Denied, match="waits"):
                await verb
        assert (await desk.data.view()).restore_waits
        guarded = stop(1)
        with pytest.raises(Denied, match="would not know of this"):  # it would be gone at the next start
            await desk.stops.arm(guarded.key, guarded.plan)
    async with opened(tmp_path) as desk:
        assert await rows(desk) == before
        assert not (await desk.data.view()).restore_waits
    assert left_over(tmp_path) == []


async def test_a_restore_that_waits_is_known_to_the_window_that_takes_the_desk_back(tmp_path: Path) -> None:
    """A guard had the profile when it was asked for; the window finds the files settled."""
    await make_profile(tmp_path, armed=False)
    async with opened(tmp_path) as desk:
        made = await desk.data.backup()
        await desk.data.restore(made.file)
    desk = await build_desk(ProfilePaths(tmp_path), paper=False, guarding=False, settled=True)
    try:
        await desk.session.unlock(PASSPHRASE)
        guarded = stop(1)
        with pytest.raises(Denied, match="would not know of this"):
            await desk.stops.arm(guarded.key, guarded.plan)
    finally:
        await desk.stop()


async def test_a_profile_that_could_not_be_read_is_not_opened_as_one_without_stops(tmp_path: Path) -> None:
    await make_profile(tmp_path)
    async with opened(tmp_path) as desk:
        spoil = "UPDATE stops SET plan = '{' WHERE id = ?"
        await desk._workspace.journal.store.run(lambda c: c.exec_driver_sql(spoil, (stop(1).id,)))
    desk = await build_desk(ProfilePaths(tmp_path), paper=False, guarding=False)
    try:
        for _ in range(2):
            with pytest.raises(Damaged, match="plan of stop"):
                await desk.session.unlock(PASSPHRASE)
            assert not desk._workspace.is_open
    finally:
        await desk.stop()


async def test_nothing_is_restored_while_a_strategy_runs(tmp_path: Path) -> None:
    await make_profile(tmp_path, armed=False)
    async with opened(tmp_path) as desk:
        made = await desk.data.backup()
        runs = Strategy(PLAN, StrategyState.WAITING)
        desk._workspace.account(A).strategies.adopt([runs])
        with pytest.raises(Denied, match="1 strategy runs"):
            await desk.data.restore(made.file)


@pytest.mark.parametrize(
    "was",
    [
        Strategy(PLAN, StrategyState.WAITING),
        # Its day is done, and it buys again on the next one.
        Strategy(replace(PLAN, days=Days()), StrategyState.SOLD, date(2026, 11, 25)),
    ],
)
async def test_strategies_of_a_backup_rest(tmp_path: Path, was: Strategy) -> None:
    """One that was ended since would buy at its next time."""
    await make_profile(tmp_path, armed=False)
    async with opened(tmp_path) as desk:
        journal = desk._workspace.journal.strategies
        await journal.save_strategy(was, (), entry())
        made = await desk.data.backup()
    await restored(made.file, tmp_path)
    desk = await build_desk(ProfilePaths(tmp_path), paper=False)
    told: list[Event] = []
    desk.listen(told.append)
    try:
        await desk.session.unlock(PASSPHRASE)
        (found,) = desk._workspace.account(A).strategies.strategies
        assert found.state is StrategyState.IDLE
        assert found.note.startswith("from the backup")
        (alarm,) = [one for one in told if isinstance(one, Noticed) and one.level is Level.ALARM]
        assert "Suspended stops: 0; strategies stopped: 1." in alarm.cause
        assert "triggers (GTT)" in alarm.next_step  # of a stop that is forgotten: nobody deletes them
    finally:
        await desk.stop()


async def test_the_mark_of_a_restore_that_a_power_cut_has_emptied_keeps_no_profile_closed(tmp_path: Path) -> None:
    """Neither the window nor the guard could open it any more; what comes from a backup asks all the same."""
    await make_profile(tmp_path)
    (tmp_path / RESTORED).write_bytes(b"")
    desk = await build_desk(ProfilePaths(tmp_path), paper=False)
    try:
        await desk.session.unlock(PASSPHRASE)
        (found,) = [one for one in desk._workspace.account(A).stops.stops if not one.state.is_final]
        assert found.state is StopState.SUSPENDED
        assert not (tmp_path / RESTORED).exists()
    finally:
        await desk.stop()


@pytest.mark.parametrize("where", [100, 40_000, -5])
async def test_a_backup_with_a_flipped_or_missing_byte_is_refused_and_nothing_changes(
    tmp_path: Path, where: int
) -> None:
    await make_profile(tmp_path / "a", fills=5)
    async with opened(tmp_path / "a") as desk:
        made = await desk.data.backup()
    content = bytearray(bytes_of(made.file))
    flipped, cut = tmp_path / "flipped.stopline", tmp_path / "cut.stopline"
    content[where] ^= 1
    flipped.write_bytes(content)
    cut.write_bytes(bytes(content[:where]))
    for file in (flipped, cut):
        with pytest.raises(Damaged):
            await restored(str(file), tmp_path / "b")
        assert not (tmp_path / "b" / "vault.json").exists()
        assert left_over(tmp_path / "b") == []


async def test_a_backup_overwrites_nothing_and_a_foreign_file_is_named(tmp_path: Path) -> None:
    await make_profile(tmp_path, fills=5, armed=False)
    there = tmp_path / "there.stopline"
    there.write_text("something else")
    async with opened(tmp_path) as desk:
        with pytest.raises(Denied, match="nothing is overwritten"):
            await desk.data.backup(str(there))
        with pytest.raises(Damaged, match="not a backup"):
            await desk.data.restore(str(there))
        with pytest.raises(StorageError, match="cannot be read"):
            await desk.data.restore(str(tmp_path / "absent"))
    assert there.read_text() == "something else"


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
@pytest.mark.usefixtures("own_helpers")
@pytest.mark.parametrize("verb", ["backup", "rotate_key", "restore"])
async def test_a_full_disk_changes_nothing_and_says_so(tmp_path: Path, verb: str) -> None:
    before = await make_profile(tmp_path, fills=400, armed=False)
    async with opened(tmp_path) as desk:
        made = await desk.data.backup()
        size = (tmp_path / "book.db").stat().st_size
        await full_disk(desk, size // 2)
        verbs: dict[str, Callable[[], Awaitable[object]]] = {
            "backup": desk.data.backup,
            "rotate_key": lambda: desk.data.rotate_key(PASSPHRASE),
            "restore": lambda: desk.data.restore(made.file),
        }
        with pytest.raises(StorageError, match=r"space|disk") as failed:
            await verbs[verb]()
        assert failed.value.next_step
        assert await rows(desk) == before
        assert left_over(tmp_path) == []
        assert len(backup_files(tmp_path / "backups")) == 1
    async with opened(tmp_path) as desk:
        assert await rows(desk) == before
        assert (await desk.data.rotate_key(PASSPHRASE)).secrets == 5


async def full_disk(desk: LocalDesk, size: int) -> None:
    """The helper process, which does the writing, may write no file beyond so many bytes."""
    await desk.data.helper.call(limit_files, size)


def limit_files(size: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


async def test_only_scheduled_backups_beyond_the_kept_ones_go(tmp_path: Path) -> None:
    await make_profile(tmp_path, fills=5)
    folder = tmp_path / "backups"
    async with opened(tmp_path) as desk:
        await desk.data.backup()
        for day in range(1, 20):
            shutil.copy(next(iter(folder.iterdir())), folder / f"202601{day:02d}T000000Z-scheduled.stopline")
        for path in folder.iterdir():
            os.utime(path, (1, 1))
        await desk.data.look_after()
        kept = [path.name for path in backup_files(folder)]
        assert len([name for name in kept if "scheduled" in name]) == 14
        assert len([name for name in kept if "by-hand" in name]) == 1
        again = kept
        await desk.data.look_after()  # made a moment ago: nothing is due
        assert [path.name for path in backup_files(folder)] == again


SMALL_FILES = """
import asyncio, resource, sys
from pathlib import Path
from app.domain.errors import StorageError
from tests.unit.desk.profiles import PASSPHRASE, opened

async def main():
    async with opened(Path(sys.argv[1])) as desk:
        await desk.data.check_files()  # the logs are empty
        await desk.data.helper.call(len, "")  # the helper has no limit: what is short here is the last step
        for limit in (20, 350, 450, 550, 650, 800, 1000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                await desk.data.rotate_key(PASSPHRASE)
            except StorageError as failure:
                print("failed", bool(failure.next_step), flush=True)
            else:
                print("done", flush=True)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

asyncio.run(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
async def test_a_disk_that_is_full_at_any_small_file_of_the_change_leaves_old_or_new(tmp_path: Path) -> None:
    """Vault, key checks, the list that commits the change: each is tried with a limit that it does not fit into."""
    before = await make_profile(tmp_path, fills=5)
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", SMALL_FILES, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    told = ran.stdout.split("\n")[:-1]
    assert len(told) == 7, ran.stderr
    assert told[0] == "failed True"
    assert {line for line in told if line != "done"} == {"failed True"}
    async with opened(tmp_path) as desk:
        assert await rows(desk) == before
    assert left_over(tmp_path) == []


async def test_a_committed_change_that_the_disk_does_not_let_end_is_ended_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written to the old files meanwhile: it would be lost."""
    before = await make_profile(tmp_path, fills=5)
    async with opened(tmp_path) as desk:
        with monkeypatch.context() as patch:

            def refused(self: Path, target: Path) -> Path:
                if self.parent.name == "staging" and target.parent.name != "staging":
                    raise OSError(5, "Input/output error")
                return rename(self, target)

            rename = Path.replace
            patch.setattr(Path, "replace", refused)
            with pytest.raises(StorageError, match="start it again at once"):
                await desk.data.rotate_key(PASSPHRASE)
        for store in (desk._workspace.book.store, desk._workspace.journal.store):
            with pytest.raises(StorageError, match="start it again at once"):
                await store.run(lambda c: c.exec_driver_sql("SELECT 1"))
        desk._workspace.accounts.clear()  # their stops cannot be read either
    async with opened(tmp_path) as desk:
        assert await rows(desk) == before
    assert left_over(tmp_path) == []
