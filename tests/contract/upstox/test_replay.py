"""The recorded messages of 2025-12-15, put on the wire by the paper exchange, arrive at our feed value for value."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from app.brokers.upstox.adapter import UpstoxSession
from app.domain.ids import InstrumentId, Nanos
from app.domain.market import Tick
from tests.contract.upstox.conftest import FACTORY, Upstox, upstox_exchange
from tests.contract.upstox.test_streams import Ear, until
from tests.shared_data import shared_data
from tests.unit.brokers.upstox.test_recorded import FOLDER, heard, recorded, told

MESSAGES = 150
"""Of each instrument: some minutes of the recording."""
FILES = {
    "NSE_EQ_INE465A01025": InstrumentId("NSE:BHARATFORG"),
    "NSE_FO_51460": InstrumentId("NFO:BANKNIFTY25DEC59500CE"),
}


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Upstox]:
    for name in FILES:
        with gzip.open(shared_data(FOLDER, f"{name}.jsonl.gz"), "rt") as whole:
            (tmp_path / f"{name}.jsonl").write_text("".join(islice(whole, MESSAGES)))
    with upstox_exchange("--feed", f"replay:{tmp_path}") as running:
        yield running


class Recorder(Ear):
    """Keeps every tick."""

    def __init__(self, names: dict[int, InstrumentId]) -> None:
        super().__init__(names)
        self.kept: dict[InstrumentId, list[Tick]] = {name: [] for name in names.values()}

    def frame(self, payload: bytes, received_at: Nanos) -> None:
        super().frame(payload, received_at)
        assert self.feed is not None
        for token, packet in self.feed.packets(payload):
            name = self.names[token]
            self.kept[name].append(self.feed.decode(packet, name, received_at))


def spoken(name: str) -> list[tuple[Any, ...]]:
    return [told(message) for message in islice(recorded(name), MESSAGES)]


async def test_recorded_messages_arrive_value_for_value(exchange: Upstox) -> None:
    expected = {name: spoken(file) for file, name in FILES.items()}
    session = FACTORY.session(await exchange.log_in(), exchange.credentials, exchange.endpoints)
    assert isinstance(session, UpstoxSession)
    known = {one.id: one.token for one in await session.instruments()}
    ear = Recorder({known[name]: name for name in FILES.values()})
    feed = ear.feed = session.feed(ear)
    feed.subscribe(list(ear.names))
    feed.start()
    try:
        await until(lambda: all(ear.kept.values()))  # the snapshots: what was true before the recording began
        await exchange.control("PUT", "/clock", {"speed": 100})
        await until(lambda: all(heard(ear.kept[name][-1]) == says[-1] for name, says in expected.items()))
    finally:
        await feed.stop()
        await session.close()
    for name, says in expected.items():
        arrived = [heard(tick) for tick in ear.kept[name] if tick.depth and (tick.depth.bids or tick.depth.asks)]
        assert arrived[-len(says) :] == says
        assert len(arrived) <= len(says) + 1
    assert not ear.faults
