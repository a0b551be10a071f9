"""Instrument imports: the first source that serves, one at a time, all or nothing; real book, real helper process."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.brokers import instrument_files
from app.domain.errors import BadAnswer, Cancelled, Denied, DiskFull, Unreachable
from app.domain.events import Event, Noticed
from app.domain.ids import InstrumentId, Nanos
from app.domain.listing import ImportReport, InstrumentsChanged, InstrumentsProgressed, ListSource
from app.market.imports import InstrumentImports, Offer
from app.market.instruments import InstrumentMaster
from app.runtime.clock import SECOND
from app.runtime.helper import Helper
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import open_store
from tests.fakes.helpers import Lasting, lasting_helpers
from tests.shared_data import shared_data
from tests.unit.storage.samples import KEY

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)
INFY = "408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE"
FUTURE = "14866434,58072,NIFTY26AUGFUT,NIFTY,0,2026-08-25,0,0.1,65,FUT,NFO-FUT,NFO"
GOLD = "111,2,GOLD26DECFUT,GOLD,0,2026-12-04,0,1,1,FUT,MCX-FUT,MCX"


class SetClock:
    def __init__(self) -> None:
        self.at: Nanos = 1_700_000_000 * SECOND

    def now(self) -> Nanos:
        return self.at


@dataclass
class Bench:
    """What a test works with."""

    book: Book
    master: InstrumentMaster
    imports: InstrumentImports
    folder: Path
    clock: SetClock
    events: list[Event] = field(default_factory=list)

    def file(self, *lines: str, name: str = "list.csv") -> Path:
        path = self.folder / name
        path.write_text("\n".join([HEADER, *lines]))
        return path

    async def take(self, path: Path, name: str = "zerodha", *, confirmed: bool = False) -> ImportReport:
        return await self.imports.run(name, [self.imports.picked(path)], "manual", confirmed=confirmed)

    async def full(self, *lines: str, confirmed: bool = False) -> ImportReport:
        """As a list that the broker gave."""
        path = self.file(*lines)

        async def fetch(into: Path) -> Path:
            await asyncio.to_thread(shutil.copy, path, into)
            return into

        return await self.imports.run(
            "zerodha", [Offer(ListSource.API, "zerodha", fetch=fetch)], "manual", confirmed=confirmed
        )

    async def active(self, name: str = "zerodha") -> set[str]:
        return {one.id for one in await self.book.instruments.all_active(name)}

    def notices(self) -> list[str]:
        return [f"{e.title}: {e.cause}" for e in self.events if isinstance(e, Noticed)]


@pytest.fixture(scope="module", autouse=True)
def helpers() -> Iterator[None]:
    with lasting_helpers():
        yield


@pytest.fixture
async def helper() -> AsyncIterator[Helper]:
    made = Lasting()
    yield made
    await made.stop()


@pytest.fixture
async def bench(tmp_path: Path, helper: Helper) -> AsyncIterator[Bench]:
    store, _ = await open_store(tmp_path / "profile", KEY, StoreKind.BOOK)
    book, master, clock = Book(store), InstrumentMaster(helper), SetClock()
    events: list[Event] = []

    async def reload(name: str) -> None:
        await master.reload(book.instruments, name)

    imports = InstrumentImports(
        book.instruments, instrument_files, helper, tmp_path / "profile", clock, events.append, reload
    )
    yield Bench(book, master, imports, tmp_path, clock, events)
    await book.close()


async def test_the_brokers_real_lists_in_date_order(bench: Bench) -> None:
    first = await bench.take(shared_data("instruments", "kite_NFO_2026-08-10.csv.gz"))
    assert (first.lines, first.malformed, first.one_exchange) == (34_950, 0, True)
    assert first.fine
    reused = [10510594, 10510850, 10511106, 10511362]
    held = await bench.book.instruments.by_token("zerodha", reused[2])
    assert held is not None
    assert held.id == "NFO:NIFTY2681125550CE"
    await bench.book.watchlists.save("held", [held.id])

    second = await bench.take(shared_data("instruments", "kite_NFO_BFO_2026-08-17.csv.gz"))
    assert second.counts is not None
    assert (second.counts.reused, second.counts.renamed, second.counts.created) == (4, 74, 6453)
    assert second.counts.deactivated == 222 + 4 + 1222 + 14
    assert (second.before.active, second.after.active, second.after.inactive) == (34_950, 39_941, 1_462)
    assert second.fine

    names = []
    for token in reused:
        now = await bench.book.instruments.by_token("zerodha", token)
        assert now is not None
        assert (now.name, now.lot_size) == ("MOTILALOFS", 775)
        names.append(now.symbol)
    assert sorted(names) == [f"MOTILALOFS26{month}1400{kind}" for month in ("AUG", "SEP") for kind in ("CE", "PE")]
    # What was held under the token keeps its own name: nothing that was traded is touched.
    old = await bench.book.instruments.get("zerodha", held.id)
    assert old is not None
    assert (old.token, old.active, old.lot_size) == (reused[2], False, 65)
    assert await bench.book.watchlists.load() == [("held", (held.id,))]
    renames = dict(await bench.book.instruments.renames("zerodha"))
    assert len(renames) == 74
    assert renames[InstrumentId("NFO:HINDPETRO26AUG440CE")] == "NFO:HINDPETRO26AUG420.75CE"
    expired = [one for one in await bench.book.instruments.all_active("zerodha") if str(one.expiry) < "2026-08-14"]
    assert expired == []

    again = await bench.take(shared_data("instruments", "kite_NFO_BFO_2026-08-17.csv.gz"))
    assert again.counts is not None
    assert (again.counts.created, again.counts.updated, again.counts.deactivated) == (0, 0, 0)


async def test_both_brokers_lists_are_searched_together_and_each_keeps_its_numbers(bench: Bench) -> None:
    await bench.take(shared_data("instruments", "kite_NFO_2026-08-10.csv.gz"))
    report = await bench.take(shared_data("instruments", "upstox_complete_2026-02-03.csv.gz"), "upstox")
    assert report.fine
    assert report.after.active == 204_218
    master = bench.master
    assert 204_218 < len(master) <= 204_218 + 34_950
    assert master.search("nifty 27000 ce jun")[0].id == "NFO:NIFTY26JUN27000CE"
    assert master.search("gold 118300 26mar ce")[0].id == "MCX:GOLD26MAR118300CE"
    assert master.search("national aluminium 355 pe")[0].name == "NATIONALUM"
    assert master.search("hindpetro 440 aug pe")[0].key == "", "of the other broker's list"
    share = master.search("infosys")[0]
    assert (share.id, share.key) == ("NSE:INFY", "NSE_EQ|INE009A01021")


async def test_sources_are_tried_in_order_and_those_that_failed_are_named(bench: Bench) -> None:
    async def down(_: Path) -> Path:
        raise Unreachable("api.kite.trade refused the connection or is not there.")

    async def page(into: Path) -> Path:
        await asyncio.to_thread(into.write_text, "<html><body>error 1010</body></html>")
        return into

    offers = [
        Offer(ListSource.API, "zerodha", fetch=down),
        Offer(ListSource.PUBLIC, "https://api.kite.trade/instruments", fetch=page),
        bench.imports.picked(bench.file(INFY, FUTURE)),
    ]
    report = await bench.imports.run("zerodha", offers, "manual")
    assert report.source is ListSource.FILE
    assert report.passed_over == (
        "api: api.kite.trade refused the connection or is not there.",
        "public file: This is not an instrument list of Zerodha.",
    )
    assert await bench.active() == {"NSE:INFY", "NFO:NIFTY26AUGFUT"}


def broken_lists(path: Path) -> dict[str, bytes]:
    whole = gzip.compress("\n".join([HEADER, *[FUTURE] * 3000]).encode())
    return {
        "cut off": whole[: len(whole) // 2],
        "a web page": b"<!DOCTYPE html><html><body>Sign in to the hotel's network</body></html>",
        "an error in JSON": json.dumps({"status": "error", "message": "Too many requests"}).encode(),
        "empty": b"",
        "only a header": HEADER.encode(),
        "only broken lines": "\n".join([HEADER, *["x,y"] * 50]).encode(),
    }


@pytest.mark.parametrize("what", broken_lists(Path()))
async def test_a_list_that_cannot_be_read_leaves_the_old_one_whole(bench: Bench, what: str) -> None:
    await bench.full(INFY, FUTURE)
    before = await bench.active()
    path = bench.folder / "broken"
    path.write_bytes(broken_lists(path)[what])
    report = await bench.take(path)
    assert report.counts is None
    assert report.error
    assert await bench.active() == before
    assert any("were not refreshed" in notice for notice in bench.notices())
    assert (await bench.book.instruments.imports("zerodha"))[0].error == report.error
    assert not any(bench.imports.awaiting("zerodha").parent.glob("*.part"))


async def test_a_disk_that_is_full_leaves_the_old_list_whole(bench: Bench) -> None:
    await bench.full(INFY, FUTURE)
    store = bench.book.instruments._store
    pages = await store.run(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
    await store.run(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages + 3}").fetchall())
    many = [f"{n},{n},SYM{n},NAME,0,,0,0.05,1,EQ,NSE,NSE" for n in range(5000)]
    report = await bench.full(INFY, FUTURE, *many)
    assert report.counts is None
    assert "no space left" in report.error
    assert await bench.active() == {"NSE:INFY", "NFO:NIFTY26AUGFUT"}
    await store.run(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 1000000").fetchall())
    assert (await bench.full(INFY, FUTURE, *many)).fine


async def test_a_download_that_finds_the_disk_full_is_not_tried_elsewhere(bench: Bench) -> None:
    async def full(_: Path) -> Path:
        raise DiskFull("There is no space left to write the download.")

    offers = [Offer(ListSource.API, "zerodha", fetch=full), bench.imports.picked(bench.file(INFY))]
    report = await bench.imports.run("zerodha", offers, "manual")
    assert report.error.startswith("There is no space left")


async def test_a_list_that_lost_a_segment_waits_for_the_traders_word(bench: Bench) -> None:
    await bench.full(INFY, FUTURE, GOLD)
    report = await bench.full(INFY, FUTURE.replace("AUG", "SEP").replace("14866434", "17512194"))
    assert report.awaits
    assert report.alerts == ("The list has lost MCX commodity; nothing was deactivated.",)
    assert await bench.active() == {"NSE:INFY", "NFO:NIFTY26AUGFUT", "NFO:NIFTY26SEPFUT", "MCX:GOLD26DECFUT"}
    kept = bench.imports.awaiting("zerodha")
    assert kept.exists()
    offers = [bench.imports.picked(kept)]
    confirmed = await bench.imports.run("zerodha", offers, "confirmed", confirmed=True, whole=True)
    assert confirmed.counts is not None
    assert confirmed.counts.deactivated == 2
    assert await bench.active() == {"NSE:INFY", "NFO:NIFTY26SEPFUT"}
    assert not kept.exists()


@pytest.mark.expects_log("malformed lines")
async def test_many_malformed_lines_are_an_alert_and_deactivate_nothing(bench: Bench) -> None:
    shares = [f"{n},{n},SYM{n},NAME,0,,0,0.05,1,EQ,NSE,NSE" for n in range(20)]
    await bench.full(FUTURE, *shares)
    report = await bench.full(FUTURE, *shares[:17], "a,broken,line", "another")
    assert report.counts is not None
    assert (report.malformed, report.counts.deactivated) == (2, 0)
    assert "2 of 20 lines could not be read (10.0 %)." in report.alerts
    assert report.first_malformed == "line 20: a,broken,line", "where an editor shows it"
    few = await bench.full(FUTURE, *shares, "a,broken,line")
    assert few.fine, "one in twenty is borne"


@pytest.mark.expects_log("malformed lines")
async def test_what_was_known_stays_of_an_instrument_whose_line_cannot_be_read(bench: Bench) -> None:
    shares = [f"{n},{n},SYM{n},NAME,0,,0,0.05,1,EQ,NSE,NSE" for n in range(1000, 1100)]
    past = FUTURE.replace("AUG", "OCT").replace("2026-08-25", "2023-10-26").replace("14866434", "77")
    await bench.full(INFY, FUTURE, GOLD, past, *shares)
    before = await bench.book.instruments.get("zerodha", InstrumentId("NSE:INFY"))
    report = await bench.full(
        INFY.replace("0.05", "five"), GOLD.replace(",1,1,", ",x,1,"), past.replace(",65,", ",x,"), FUTURE, *shares[:-1]
    )
    assert report.counts is not None
    assert (report.malformed, report.counts.deactivated) == (3, 2), "SYM1099 has gone, and what had expired"
    assert await bench.book.instruments.get("zerodha", InstrumentId("NSE:INFY")) == before
    assert {"NSE:INFY", "MCX:GOLD26DECFUT"} <= await bench.active(), "nor has the list lost MCX"
    assert (report.counts.kept, report.counts.kept_first) == (2, ("MCX:GOLD26DECFUT", "NSE:INFY"))
    (rate,) = [check for check in report.checks if check.name == "error rate"]
    assert "What was known stays: MCX:GOLD26DECFUT, NSE:INFY." in rate.finding
    again = await bench.full(FUTURE, GOLD, *shares)
    assert again.counts is not None
    assert (again.counts.deactivated, again.counts.kept) == (1, 0), "a list without it is believed"


@pytest.mark.expects_log("malformed lines")
async def test_a_token_that_names_another_contract_now_is_not_kept_by_a_broken_line(bench: Bench) -> None:
    shares = [f"{n},{n},SYM{n},NAME,0,,0,0.05,1,EQ,NSE,NSE" for n in range(100, 140)]
    await bench.full(INFY, FUTURE, *shares)
    other = INFY.replace("INFY", "OTHER")
    report = await bench.full(INFY.replace("0.05", "five"), other, FUTURE, *shares)
    assert report.counts is not None
    assert report.counts.kept == 0
    assert "NSE:INFY" not in await bench.active()
    assert "NSE:OTHER" in await bench.active()


async def test_a_list_without_futures_and_options_is_an_alert(bench: Bench) -> None:
    report = await bench.full(INFY)
    assert report.alerts == ("The list has no futures and options.",)
    assert (await bench.take(bench.file(INFY))).fine, "unless it is one exchange's"


async def test_one_import_at_a_time_and_one_that_is_cancelled_leaves_nothing(bench: Bench) -> None:
    await bench.full(INFY, FUTURE)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(into: Path) -> Path:
        reached.set()
        await go_on.wait()
        return into

    running = asyncio.ensure_future(
        bench.imports.run("zerodha", [Offer(ListSource.API, "zerodha", fetch=slow)], "manual")
    )
    await reached.wait()
    bench.clock.at += 120 * SECOND
    with pytest.raises(Denied, match="for 2 minutes"):
        await bench.take(bench.file(INFY))
    bench.imports.cancel()
    with pytest.raises(Cancelled):
        await running
    assert await bench.active() == {"NSE:INFY", "NFO:NIFTY26AUGFUT"}
    assert [e.step for e in bench.events if isinstance(e, InstrumentsProgressed)][-1] == "cancelled"
    assert (await bench.take(bench.file(INFY))).counts is not None, "the next one may run"


async def test_an_import_that_takes_half_an_hour_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.market.imports.LONGEST_SECONDS", 0.05)

    async def never(into: Path) -> Path:
        await asyncio.Event().wait()
        return into

    report = await bench.imports.run("zerodha", [Offer(ListSource.API, "zerodha", fetch=never)], "scheduled")
    assert "was given up" in report.error
    assert bench.imports.running == ""


async def test_progress_is_told_and_who_knows_an_instrument_hears_of_the_change(bench: Bench) -> None:
    await bench.take(shared_data("instruments", "kite_NFO_2026-08-10.csv.gz"))
    steps = [(e.step, e.lines) for e in bench.events if isinstance(e, InstrumentsProgressed)]
    assert steps == [("fetching", 0), ("reading", 20_000), ("saving", 34_950), ("done", 34_950)]
    assert InstrumentsChanged("zerodha") in bench.events


async def test_the_samples_that_ship_with_the_program_serve(bench: Bench) -> None:
    for name in ("zerodha", "upstox"):
        sample = bench.imports.sample(name)
        assert sample is not None
        report = await bench.imports.run(name, [sample], "manual")
        assert report.fine
        assert report.source is ListSource.SAMPLE
    assert await bench.active("zerodha") == await bench.active("upstox")


async def test_a_file_is_known_by_its_content(bench: Bench) -> None:
    assert instrument_files.broker_of(bench.file(INFY)) == "zerodha"
    assert instrument_files.broker_of(shared_data("instruments", "upstox_complete_2026-02-03.csv.gz")) == "upstox"
    page = bench.folder / "page"
    page.write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(BadAnswer, match="but a web page"):
        instrument_files.broker_of(page)


NOT_LISTS = {
    "an empty file": b"",
    "an empty file ": b"\xef\xbb\xbf\r\n",
    "UTF-16": "instrument_token,exchange_token,tradingsymbol".encode("utf-16"),
    "spreadsheet": b"PK\x03\x04junk",
    "not separated by commas": b"instrument_token;exchange_token;tradingsymbol",
    "something else": b"hello",
}


@pytest.mark.parametrize(("words", "content"), NOT_LISTS.items())
def test_a_file_that_is_no_list_is_called_what_it_is(tmp_path: Path, words: str, content: bytes) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(BadAnswer, match=words.strip()):
        instrument_files.broker_of(path)


ROOT = Path(__file__).resolve().parents[3]
KILLED = """
import asyncio, os, sys
from pathlib import Path
from app.brokers import instrument_files
from app.domain.listing import InstrumentsProgressed
from app.market.imports import InstrumentImports
from app.runtime.clock import SystemClock
from app.runtime.helper import Helper
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import open_store
from tests.unit.storage.samples import KEY

profile, path, point = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def kill():
    os.kill(os.getpid(), 9)

async def main():
    store, _ = await open_store(profile, KEY, StoreKind.BOOK)

    def hear(event):
        if isinstance(event, InstrumentsProgressed) and event.step == point:
            kill()
    async def reload(name):
        pass
    if point.isdigit():  # in the middle of the transaction that takes the list over
        class Store:
            def __getattr__(self, name):
                return getattr(lists, name)
            async def take_over(self, *args, **kwargs):
                count = int(point)
                def arm(connection):
                    raw = connection.connection.driver_connection
                    raw.set_progress_handler(kill, count)
                await store.run(arm)
                return await lists.take_over(*args, **kwargs)
        lists = Book(store).instruments
        kept = Store()
    else:
        kept = Book(store).instruments
    imports = InstrumentImports(kept, instrument_files, Helper(), profile, SystemClock(), hear, reload)
    await imports.run("zerodha", [imports.picked(path)], "manual")

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("point", ["reading", "saving", "900000", "done"])
async def test_a_program_killed_in_the_middle_of_an_import_leaves_the_old_list_or_the_new_one(
    tmp_path: Path, point: str
) -> None:
    old = ["NSE:INFY", "NFO:NIFTY26AUGFUT"]
    path = shared_data("instruments", "kite_NFO_2026-08-10.csv.gz")
    first = tmp_path / "first.csv"
    first.write_text("\n".join([HEADER, INFY, FUTURE]))
    script = tmp_path / "killed.py"
    script.write_text(KILLED)

    def run(list_file: Path, at: str) -> int:
        command = [sys.executable, str(script), str(tmp_path / "profile"), str(list_file), at]
        done = subprocess.run(command, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
        return done.returncode

    assert await asyncio.to_thread(run, first, "never") == 0
    assert await asyncio.to_thread(run, path, point) == -9
    store, opened = await open_store(tmp_path / "profile", KEY, StoreKind.BOOK)
    try:
        assert opened.set_aside is None
        found = [one.id for one in await Book(store).instruments.all_active("zerodha")]
        if point == "done":
            assert len(found) == 34_950 + 1
        else:
            assert sorted(found) == sorted(old)
    finally:
        await store.close()
