"""Migrations: both ways to the schema agree, and a failed step leaves the file as it was."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import op
from sqlalchemy import Column, Connection, create_engine

from app.domain.errors import StorageError
from app.storage import schema_book, schema_journal
from app.storage.columns import Words
from app.storage.database import StoreKind
from app.storage.journal import Journal
from app.storage.migrations import NEWEST, Version, versions
from app.storage.store import open_store
from tests.unit.storage.samples import KEY, entry, stop

SCHEMAS = {StoreKind.BOOK: schema_book.metadata, StoreKind.JOURNAL: schema_journal.metadata}
NOW = NEWEST[StoreKind.JOURNAL]
STEP, AFTER = (f"{int(NOW) + n:04d}" for n in (1, 2))
"""Numbers of the two versions that this module makes up."""
FAILED = pytest.mark.expects_log(f"upgrade of journal.db from {NOW} failed")


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def everything(connection: Connection) -> dict[str, str]:
    """Name and definition of every table and index, white space and the order of a table's parts aside."""
    rows = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND type IN ('table', 'index')"
        " AND name NOT LIKE 'sqlite_%' AND name <> 'alembic_version'"
    )
    return {name: parts(sql) for name, sql in rows}


def parts(sql: str) -> str:
    """A definition with what stands between its outer brackets in alphabetical order: a column that was added later
    stands last."""
    head, _, rest = sql.partition("(")
    body, _, tail = rest.rpartition(")")
    found, depth = [""], 0
    for letter in " ".join(body.split()):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return "\n".join([head.strip(), *sorted(part.strip() for part in found), tail.strip()])


@pytest.mark.parametrize("kind", list(StoreKind))
async def test_the_migrations_lead_to_the_schema_that_the_program_uses(tmp_path: Path, kind: StoreKind) -> None:
    store, _ = await open_store(tmp_path, KEY, kind)
    migrated = await store.run(everything)
    await store.close()
    with create_engine("sqlite://").connect() as connection:
        SCHEMAS[kind].create_all(connection)
        wanted = everything(connection)
    assert migrated.keys() == wanted.keys()
    for name, definition in wanted.items():
        assert migrated[name] == definition, name


@pytest.mark.parametrize("kind", list(StoreKind))
def test_versions_are_numbered_upwards_and_the_newest_is_known_without_alembic(kind: StoreKind) -> None:
    numbers = [version.number for version in versions(kind)]
    assert numbers == [f"{n:04d}" for n in range(1, len(numbers) + 1)]
    assert NEWEST[kind] == numbers[-1]


def test_a_store_that_is_up_to_date_opens_without_alembic(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from app.runtime.secret import Secret\n"
        "from app.storage.database import StoreKind\n"
        "from app.storage.store import open_store\n"
        "async def main():\n"
        "    store, opened = await open_store(Path(sys.argv[1]), Secret('ab' * 32), StoreKind.BOOK)\n"
        "    await store.close()\n"
        "    print(opened.created, 'alembic' in sys.modules)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    said = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for _ in range(2)]
    assert said == [["True", "True"], ["False", "False"]]


def adds_a_column() -> None:
    op.add_column("runtime_state", Column("owner", Words, nullable=False, server_default="nobody"))


def breaks_after_a_change() -> None:
    adds_a_column()
    op.execute("DELETE FROM stops")
    op.execute("INSERT INTO no_such_table VALUES (1)")


def raises_after_a_change() -> None:
    adds_a_column()
    raise RuntimeError("canary-value-51c2")


def leaves_rows_that_point_nowhere() -> None:
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute(
        "INSERT INTO intents VALUES ('T', 'T', 'no such stop', 'a', 'i', 'BUY', 1, 'MIS', 'MARKET', NULL, NULL, 'DAY',"
        " -1, 'submitted', NULL, 1, NULL, 'regular', 0, 0, 0, 0, '')"
    )


def with_step(upgrade: object) -> list[Version]:
    assert callable(upgrade)
    return [*versions(StoreKind.JOURNAL), Version(STEP, upgrade)]


async def with_a_stop(profile: Path) -> bytes:
    store, _ = await open_store(profile, KEY, StoreKind.JOURNAL)
    journal = Journal(store)
    await journal.save_stop(stop(), entry())
    await journal.put_state("k", "v")
    await journal.close()
    return (profile / "journal.db").read_bytes()


async def test_an_older_file_is_brought_up_and_its_copy_kept(tmp_path: Path) -> None:
    before = await with_a_stop(tmp_path)
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL, versions=with_step(adds_a_column))
    assert opened.migrated_from == NOW
    assert not opened.created
    assert await Journal(store).open_stops() == [stop()]
    row = await store.run(lambda c: c.exec_driver_sql("SELECT value, owner FROM runtime_state").one())
    assert tuple(row) == ("v", "nobody")
    await store.close()
    assert (tmp_path / f"journal.db.before-{STEP}").read_bytes() == before
    # Next time there is nothing to do.
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL, versions=with_step(adds_a_column))
    await store.close()
    assert opened.migrated_from is None


async def test_only_the_newest_copy_is_kept(tmp_path: Path) -> None:
    await with_a_stop(tmp_path)
    two = with_step(adds_a_column)
    three = [*two, Version(AFTER, lambda: op.add_column("stops", Column("colour", Words)))]
    for steps in (two, three):
        store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL, versions=steps)
        await store.close()
    assert names(tmp_path, "*.before-*") == [f"journal.db.before-{AFTER}"]


@FAILED
@pytest.mark.parametrize(
    "upgrade", [breaks_after_a_change, raises_after_a_change, leaves_rows_that_point_nowhere], ids=lambda f: f.__name__
)
async def test_a_step_that_fails_leaves_the_file_as_it_was_and_says_so(tmp_path: Path, upgrade: object) -> None:
    before = await with_a_stop(tmp_path)
    with pytest.raises(StorageError) as caught:
        await open_store(tmp_path, KEY, StoreKind.JOURNAL, versions=with_step(upgrade))
    assert "put back" in caught.value.cause
    assert caught.value.next_step
    assert "canary" not in str(caught.value)
    assert (tmp_path / "journal.db").read_bytes() == before

    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    assert not opened.created
    assert await Journal(store).open_stops() == [stop()]
    await store.close()


KILLED = """
import asyncio, os, sys
from pathlib import Path
from app.storage.database import StoreKind
from app.storage.journal import Journal
from app.storage.store import open_store
from tests.unit.storage.samples import KEY, entry, stop

async def main():
    store, _ = await open_store(Path(sys.argv[1]), KEY, StoreKind.JOURNAL)
    await Journal(store).save_stop(stop(), entry())
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.fixture
def killed_profile(tmp_path: Path) -> Path:
    """A program saved one stop here and was killed at once."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    return tmp_path


async def test_a_log_left_by_a_killed_program_is_in_the_copy(killed_profile: Path) -> None:
    assert (killed_profile / "journal.db-wal").stat().st_size > 0
    store, _ = await open_store(killed_profile, KEY, StoreKind.JOURNAL, versions=with_step(adds_a_column))
    assert await Journal(store).open_stops() == [stop()]
    await store.close()
    (killed_profile / f"journal.db.before-{STEP}").rename(killed_profile / "journal.db")
    store, _ = await open_store(killed_profile, KEY, StoreKind.JOURNAL)
    assert await Journal(store).open_stops() == [stop()]
    await store.close()


KILLED_MIGRATING = """
import asyncio, os, sys
from pathlib import Path
from alembic import op
from app.storage.database import StoreKind
from app.storage.migrations import Version, versions
from app.storage.store import open_store
from tests.unit.storage.samples import KEY

def upgrade():
    op.execute("DELETE FROM stops")
    op.execute("ALTER TABLE runtime_state ADD COLUMN owner TEXT")
    print("in the middle", flush=True)
    os.kill(os.getpid(), 9)

known = versions(StoreKind.JOURNAL)
steps = [*known, Version(f"{len(known) + 1:04d}", upgrade)]
asyncio.run(open_store(Path(sys.argv[1]), KEY, StoreKind.JOURNAL, versions=steps))
"""


async def test_a_program_killed_in_the_middle_of_a_migration_leaves_the_old_state(killed_profile: Path) -> None:
    command = [sys.executable, "-c", KILLED_MIGRATING, str(killed_profile)]
    done = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, text=True)
    assert done.stdout == "in the middle\n"
    for steps, since in ((None, None), (with_step(adds_a_column), NOW)):
        store, opened = await open_store(killed_profile, KEY, StoreKind.JOURNAL, versions=steps)
        assert opened.set_aside is None
        assert opened.migrated_from == since
        assert await Journal(store).open_stops() == [stop()]
        await store.close()


async def test_a_file_of_a_newer_program_is_refused_and_not_touched(tmp_path: Path) -> None:
    await with_a_stop(tmp_path)
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL, versions=with_step(adds_a_column))
    await store.close()
    newer = (tmp_path / "journal.db").read_bytes()
    with pytest.raises(StorageError, match="newer"):
        await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    assert (tmp_path / "journal.db").read_bytes() == newer


async def test_a_program_killed_while_it_creates_a_file_starts_afresh(tmp_path: Path) -> None:
    (tmp_path / "journal.db.new").write_bytes(b"half a database")
    (tmp_path / "journal.db.new-wal").write_bytes(b"half a log")
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    await store.close()
    assert opened.created
    assert opened.set_aside is None
    assert names(tmp_path, "*.new*") == []
