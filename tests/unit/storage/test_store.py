"""Opening a database file: sound, damaged, foreign, of another key, in use; and what is left on disk."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import stat
import threading
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from app.domain.errors import Damaged, DiskFull, StorageError, WrongKey
from app.runtime.secret import Secret
from app.storage import store as store_module
from app.storage.database import StoreKind
from app.storage.journal import Journal
from app.storage.store import open_store
from tests.unit.storage.samples import KEY, OTHER_KEY, entry, stop

SET_ASIDE = pytest.mark.expects_log("was set aside")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def filled_journal(profile: Path, lines: int = 300) -> bytes:
    """A journal with some pages in it, closed; its bytes."""
    store, opened = await open_store(profile, KEY, StoreKind.JOURNAL)
    assert opened.created
    journal = Journal(store)
    await journal.save_stop(stop(), entry())
    await journal.audit(*(entry(n, detail="x" * 60) for n in range(lines)))
    await journal.close()
    return (profile / "journal.db").read_bytes()


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    await filled_journal(tmp_path)
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    assert not opened.created
    assert opened.set_aside is None
    assert await Journal(store).open_stops() == [stop()]
    await store.close()
    assert names_in(tmp_path) == ["journal.db", "journal.db.key-check"]


@pytest.mark.parametrize("kind", list(StoreKind))
async def test_plain_sqlite_cannot_open_a_file_and_nothing_is_readable_in_it(tmp_path: Path, kind: StoreKind) -> None:
    store, _ = await open_store(tmp_path, KEY, kind)
    if kind is StoreKind.JOURNAL:
        await Journal(store).put_state("a key that can be searched for", "canary-value-51c2")
    await store.close()
    path = tmp_path / kind.file_name
    content = path.read_bytes()
    assert not content.startswith(b"SQLite format 3")
    assert b"CREATE TABLE" not in content
    assert b"canary-value-51c2" not in content
    with sqlite3.connect(path) as plain, pytest.raises(sqlite3.DatabaseError, match="not a database"):
        plain.execute("SELECT count(*) FROM sqlite_schema")
    plain.close()


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
async def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    await filled_journal(tmp_path / "p")
    for path in (tmp_path / "p").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def pragma(connection: Connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


async def test_settings_that_durability_rests_on(tmp_path: Path) -> None:
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "temp_store": 2, "locking_mode": "exclusive"}
    for name, value in wanted.items():
        assert await store.run(partial(pragma, name=name)) == value, name
    await store.close()


@SET_ASIDE
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.02, 0.2, 0.5, 0.9, 0.9999])
async def test_a_truncated_file_is_set_aside_and_a_fresh_one_takes_its_place(tmp_path: Path, keep: float) -> None:
    whole = await filled_journal(tmp_path)
    cut = whole[: int(len(whole) * keep)]
    (tmp_path / "journal.db").write_bytes(cut)

    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    assert opened.created
    assert opened.set_aside is not None
    assert opened.set_aside.name.startswith("journal.db.damaged-")
    assert opened.set_aside.read_bytes() == cut
    assert "journal.db" in opened.damage
    assert await Journal(store).open_stops() == []
    await Journal(store).audit(entry())
    await store.close()
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    assert not opened.created
    assert len(await Journal(store).audit_lines()) == 1
    await store.close()


FOREIGN = {
    "text": b"Dear diary, " * 500,
    "noise": random.Random(7).randbytes(40_960),
    "empty": b"",
    "a byte": b"x",
    "zeros": bytes(8_192),
}


@SET_ASIDE
@pytest.mark.parametrize("name", [*FOREIGN, "plain sqlite"])
@pytest.mark.parametrize("known", [True, False], ids=["of a profile in use", "of a fresh profile"])
async def test_a_foreign_file_is_set_aside_whole(tmp_path: Path, name: str, known: bool) -> None:
    if known:
        await filled_journal(tmp_path, 1)
    path = tmp_path / "journal.db"
    path.unlink(missing_ok=True)
    if name == "plain sqlite":
        plain = sqlite3.connect(path)
        plain.execute("CREATE TABLE t (x)")
        plain.commit()
        plain.close()
    else:
        path.write_bytes(FOREIGN[name])
    before = path.read_bytes()
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    await store.close()
    assert opened.set_aside is not None
    assert opened.set_aside.read_bytes() == before


@SET_ASIDE
async def test_a_store_of_another_profile_is_foreign_and_kept(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    await filled_journal(mine)
    store, _ = await open_store(theirs, OTHER_KEY, StoreKind.JOURNAL)
    await store.close()
    content = (theirs / "journal.db").read_bytes()
    (mine / "journal.db").write_bytes(content)
    store, opened = await open_store(mine, KEY, StoreKind.JOURNAL)
    await store.close()
    assert opened.set_aside is not None
    assert opened.set_aside.read_bytes() == content


@SET_ASIDE
async def test_one_altered_byte_anywhere_is_found(tmp_path: Path) -> None:
    whole = await filled_journal(tmp_path)
    dice = random.Random(3)
    for page in range(0, len(whole), 4_096):
        altered = bytearray(whole)
        altered[page + dice.randrange(4_096)] ^= 1 << dice.randrange(8)
        (tmp_path / "journal.db").write_bytes(altered)
        store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
        await store.close()
        assert opened.set_aside is not None, page


@SET_ASIDE
async def test_a_file_that_is_too_large_to_read_at_open_is_still_checked_for_its_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await filled_journal(tmp_path)
    monkeypatch.setattr(store_module, "CHECKED_AT_OPEN", 0)
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    assert not opened.created
    await store.verify()
    await store.close()
    (tmp_path / "journal.db").write_bytes(whole[:-4_096])
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    await store.close()
    assert opened.set_aside is not None


async def test_reading_every_page_later_finds_what_the_length_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered = bytearray(await filled_journal(tmp_path))
    altered[-2_000] ^= 1
    (tmp_path / "journal.db").write_bytes(altered)
    monkeypatch.setattr(store_module, "CHECKED_AT_OPEN", 0)
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    with pytest.raises(Damaged):
        await store.verify()
    await store.close()
    assert (tmp_path / "journal.db").read_bytes() == altered


@SET_ASIDE
async def test_two_damaged_files_in_one_second_keep_their_own_names(tmp_path: Path) -> None:
    names = set()
    for n in range(4):
        (tmp_path / "journal.db").write_bytes(b"damage %d" % n)
        store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
        await store.close()
        assert opened.set_aside is not None
        names.add(opened.set_aside)
    assert len(names) == 4
    assert {path.read_bytes() for path in names} == {b"damage %d" % n for n in range(4)}


@SET_ASIDE
async def test_the_caller_may_ask_to_be_told_instead(tmp_path: Path) -> None:
    (tmp_path / "book.db").write_bytes(b"foreign")
    with pytest.raises(Damaged) as caught:
        await open_store(tmp_path, KEY, StoreKind.BOOK, replace_damaged=False)
    assert "book.db.damaged-" in str(caught.value)
    (aside,) = names_in(tmp_path)
    assert (tmp_path / aside).read_bytes() == b"foreign"
    store, opened = await open_store(tmp_path, KEY, StoreKind.BOOK, replace_damaged=False)
    assert opened.created
    await store.close()


@SET_ASIDE
async def test_the_log_of_a_damaged_file_goes_with_it(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"foreign")
    (tmp_path / "journal.db-wal").write_bytes(b"its log")
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    assert opened.set_aside is not None
    await store.close()
    assert opened.set_aside.with_name(opened.set_aside.name + "-wal").read_bytes() == b"its log"


async def test_a_log_without_its_database_never_meets_a_fresh_one(tmp_path: Path) -> None:
    await filled_journal(tmp_path)
    (tmp_path / "journal.db").unlink()
    (tmp_path / "journal.db-wal").write_bytes(b"an old log")
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    await Journal(store).audit(entry())
    await store.close()
    assert opened.lost
    assert opened.set_aside is not None
    assert opened.set_aside.with_name(opened.set_aside.name + "-wal").read_bytes() == b"an old log"


async def test_a_database_that_vanished_is_told_from_a_first_start(tmp_path: Path) -> None:
    await filled_journal(tmp_path)
    (tmp_path / "journal.db").unlink()
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    await store.close()
    assert opened.created
    assert opened.lost
    store, opened = await open_store(tmp_path / "new", KEY, StoreKind.JOURNAL)
    await store.close()
    assert opened.created
    assert not opened.lost


async def test_another_key_is_said_so_and_the_file_is_not_touched(tmp_path: Path) -> None:
    whole = await filled_journal(tmp_path)
    with pytest.raises(WrongKey) as caught:
        await open_store(tmp_path, OTHER_KEY, StoreKind.JOURNAL)
    assert "vault.json" in caught.value.next_step
    assert (tmp_path / "journal.db").read_bytes() == whole
    assert names_in(tmp_path) == ["journal.db", "journal.db.key-check"]
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    await store.close()


@pytest.mark.parametrize("check", [None, b"", b"{}", b'{"salt": 1, "check": 2}', b"\xff"])
async def test_a_lost_or_broken_key_check_is_made_again(tmp_path: Path, check: bytes | None) -> None:
    await filled_journal(tmp_path)
    beside = tmp_path / "journal.db.key-check"
    beside.unlink() if check is None else beside.write_bytes(check)
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    await store.close()
    assert not opened.created
    with pytest.raises(WrongKey):
        await open_store(tmp_path, OTHER_KEY, StoreKind.JOURNAL)
    assert KEY.reveal() not in beside.read_text()
    assert set(json.loads(beside.read_bytes())) == {"salt", "check"}


async def test_a_second_program_on_the_same_file_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.storage.database.BUSY_TIMEOUT_S", 0.05)
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    await Journal(store).audit(entry())
    with pytest.raises(StorageError, match="in use") as caught:
        await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    assert not isinstance(caught.value, Damaged)
    assert len(await Journal(store).audit_lines()) == 1
    await store.close()


@pytest.mark.parametrize("key", ["", "ab", "g" * 64, "ab" * 32 + "'; DROP TABLE audit; --"])
async def test_a_key_that_is_not_64_hex_digits_reaches_no_pragma(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="hex") as caught:
        await open_store(tmp_path, Secret(key), StoreKind.JOURNAL)
    assert len(key) < 3 or key not in str(caught.value)


async def test_a_cancelled_opening_does_not_keep_the_file_locked(tmp_path: Path) -> None:
    await filled_journal(tmp_path, 1)
    opening = asyncio.create_task(open_store(tmp_path, KEY, StoreKind.JOURNAL))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    await store.close()
    assert not opened.created


async def test_a_folder_in_the_files_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(StorageError, match="not a file"):
        await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    assert (tmp_path / "journal.db").is_dir()


async def test_a_full_disk_is_said_in_words_and_loses_nothing(tmp_path: Path) -> None:
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    journal = Journal(store)
    await journal.audit(entry())
    pages = await store.run(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
    await store.run(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}").scalar_one())
    with pytest.raises(DiskFull) as caught:
        await journal.audit(*(entry(n, detail="x" * 500) for n in range(200)))
    assert caught.value.next_step
    assert len(await journal.audit_lines()) == 1
    await store.run(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 1000000").scalar_one())
    await journal.audit(entry())
    assert len(await journal.audit_lines()) == 2
    await store.close()


async def test_an_error_names_neither_statement_nor_values(tmp_path: Path) -> None:
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    canary = "canary-value-51c2"
    with pytest.raises(StorageError) as caught:
        await store.change(lambda c: c.exec_driver_sql("INSERT INTO audit (what) VALUES (?)", (canary,)))
    await store.close()
    error: BaseException | None = caught.value
    while error is not None:
        assert canary not in repr(error)
        assert canary not in str(error)
        error = error.__cause__


async def test_a_file_that_could_not_be_brought_to_rest_folds_its_log_in_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    monkeypatch.setattr(type(store), "untouched", False)
    with pytest.raises(StorageError, match="brought to rest"):
        async with store.frozen(lambda _: None):
            pass
    pages = await store.run(lambda c: c.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar_one())
    assert pages == 1000
    await store.close()


async def test_a_file_that_somebody_stopped_waiting_for_folds_its_log_in_as_before(tmp_path: Path) -> None:
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    busy, go = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        busy.set()
        go.wait(10)

    async def froze() -> None:
        async with store.frozen(lambda _: None):
            pass

    holding = asyncio.create_task(store.change(hold))
    await asyncio.to_thread(busy.wait, 10)
    freezing = asyncio.create_task(froze())
    await asyncio.sleep(0.05)
    freezing.cancel()
    go.set()
    await asyncio.gather(holding, freezing, return_exceptions=True)
    pages = await store.run(lambda c: c.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar_one())
    assert pages == 1000
    await store.close()
