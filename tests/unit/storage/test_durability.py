"""`kill -9`: whatever was answered is there. And no secret is readable in any file of a profile in use."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.domain.account import Endpoints
from app.runtime.secret import Secret
from app.storage.accounts import AccountRecord
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.journal import Journal
from app.storage.store import open_store
from app.vault.keystore import Keystore
from app.vault.sealing import KdfCost
from app.vault.vault import Vault
from tests.unit.storage.samples import DAY, KEY, A, entry, exit_of, fill, stop

JOURNAL_WRITER = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from app.storage.database import StoreKind
from app.storage.journal import Journal
from app.storage.store import open_store
from tests.unit.storage.samples import KEY, entry, exit_of, stop

async def main():
    journal = Journal((await open_store(Path(sys.argv[1]), KEY, StoreKind.JOURNAL))[0])
    n = int(sys.argv[2])
    while True:
        armed = stop(n, trigger=n)
        await journal.save_stop(armed, entry(n), exit_of(armed))
        print(n, flush=True)
        n += 1

asyncio.run(main())
"""

BOOK_WRITER = """
import asyncio, sys
from pathlib import Path
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import open_store
from tests.unit.storage.samples import KEY, fill

async def main():
    book = Book((await open_store(Path(sys.argv[1]), KEY, StoreKind.BOOK))[0])
    n = int(sys.argv[2])
    while True:
        await book.fills.write([(fill(n * 100 + i), "{}") for i in range(100)])
        print(n, flush=True)
        n += 1

asyncio.run(main())
"""


def written_until_killed(script: str, profile: Path, first: int, answers: int) -> int:
    """Runs the writer until it has printed so many numbers, kills it, returns the last number that it printed."""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(profile), str(first)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(answers):
            assert process.stdout.readline()
        process.kill()
        # It may have printed more before the signal arrived.
        rest = process.stdout.read().splitlines()
    return int(rest[-1]) if rest else first + answers - 1


async def test_every_stop_that_was_answered_survives_kill_9(tmp_path: Path) -> None:
    first = 1
    for answers in (1, 37, 250):
        last = await asyncio.to_thread(written_until_killed, JOURNAL_WRITER, tmp_path, first, answers)
        assert last >= first
        store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
        assert not opened.created
        journal = Journal(store)
        stops = {found.trigger: found for found in await journal.open_stops()}
        intents = {intent.stop: intent for intent in await journal.unresolved_intents(A)}
        audited = {line.at for line in await journal.audit_lines(100_000)}
        for n in range(1, last + 1):
            assert stops[n] == stop(n, trigger=n)
            assert intents[stop(n).id].request == exit_of(stop(n))
        # The one that was not answered is there whole, or not at all.
        assert set(stops) == audited == set(range(1, len(stops) + 1))
        assert len(intents) == len(stops) <= last + 1
        await journal.close()
        first = len(stops) + 1


async def test_every_sync_that_was_answered_survives_kill_9_whole(tmp_path: Path) -> None:
    last = await asyncio.to_thread(written_until_killed, BOOK_WRITER, tmp_path, 0, 5)
    store, _ = await open_store(tmp_path, KEY, StoreKind.BOOK)
    found = await Book(store).fills.of_day(A, DAY)
    await store.close()
    assert len(found) % 100 == 0
    assert len(found) >= (last + 1) * 100
    assert {int(f.trade_id) for f in found} == set(range(len(found)))


CANARIES = {
    "passphrase": "canary-passphrase-7f3a91",
    "api secret": "canary-apisecret-c81e02",
    "access token": "canary-token-5be7d4",
    "api key": "canary-apikey-9d22ab",
}


def leaks(profile: Path, extra: dict[str, str]) -> list[str]:
    wanted = {name: value.encode() for name, value in (CANARIES | extra).items()}
    raw_keys = {f"{name}, raw": bytes.fromhex(value) for name, value in extra.items()}
    found = []
    for path in profile.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found += [f"{name} in {path.name}" for name, value in (wanted | raw_keys).items() if value in content]
    return found


async def test_no_secret_is_readable_in_any_file_while_the_profile_is_used_nor_after(tmp_path: Path) -> None:
    vault = Vault(tmp_path, Keystore(), KdfCost(19_456, 1, 1))
    vault.create(Secret(CANARIES["passphrase"]), use_keyring=False)
    keys = {kind: vault.database_key(kind.value) for kind in StoreKind}
    extra = {f"{kind} key": key.reveal() for kind, key in keys.items()}
    store, _ = await open_store(tmp_path, keys[StoreKind.BOOK], StoreKind.BOOK)
    journal_store, _ = await open_store(tmp_path, keys[StoreKind.JOURNAL], StoreKind.JOURNAL)
    book, journal = Book(store), Journal(journal_store)
    record = AccountRecord(
        A,
        "zerodha",
        Endpoints("a", "l", "w"),
        CANARIES["api key"],
        sealed_secret=vault.seal(A, Secret(CANARIES["api secret"])),
        sealed_token=vault.seal(A, Secret(CANARIES["access token"])),
    )
    await book.accounts.save(record)
    await book.fills.write([(fill(n), f'{{"raw": "{CANARIES["api key"]}"}}') for n in range(2_000)])
    armed = stop()
    await journal.save_stop(armed, entry(detail=CANARIES["api key"]), exit_of(armed))
    # A big sort spills into a temporary file where one is allowed.
    await store.run(lambda c: c.exec_driver_sql("SELECT a.raw FROM fills a, fills b ORDER BY b.raw LIMIT 1").all())
    assert (tmp_path / "book.db-wal").stat().st_size > 100_000
    assert leaks(tmp_path, extra) == []

    loaded = await book.accounts.get(A)
    assert loaded == record
    assert loaded is not None
    assert loaded.sealed_secret is not None
    assert vault.open(A, loaded.sealed_secret).reveal() == CANARIES["api secret"]
    await book.accounts.remove_tokens(A)
    await book.close()
    await journal.close()
    vault.change_passphrase(Secret(CANARIES["passphrase"]), Secret("another"))
    vault.lock()
    assert leaks(tmp_path, extra) == []
    everything = repr((vault, record, store, journal, keys))
    assert not any(value in everything for value in CANARIES.values())


async def test_how_long_it_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints what the engine and the sync wait for; asserts only that the work was done."""
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    journal = Journal(store)
    waits = []
    for n in range(100):
        armed = stop(n)
        before = time.perf_counter()
        await journal.save_stop(armed, entry(n), exit_of(armed))
        waits.append(time.perf_counter() - before)
    assert len(await journal.open_stops()) == 100
    await journal.close()
    store, _ = await open_store(tmp_path, KEY, StoreKind.BOOK)
    book = Book(store)
    rows = [(fill(n), '{"raw": "payload"}') for n in range(10_000)]
    before = time.perf_counter()
    counts = await book.fills.write(rows)
    bulk = time.perf_counter() - before
    await book.close()
    assert counts.created == 10_000
    waits.sort()
    figures = f"save_stop p50 {waits[50] * 1e3:.2f} ms, p99 {waits[98] * 1e3:.2f} ms; 10,000 fills {bulk * 1e3:.0f} ms"
    with capsys.disabled():
        print(f"\n  {figures}")  # noqa: T201 - a measurement is for reading
