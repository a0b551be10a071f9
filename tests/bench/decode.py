"""Decoding and checking ticks: ours beside the official client's parser, on the same frames."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from app.brokers.base import ExitReply
from app.brokers.zerodha import codec
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.instrument import Product
from app.domain.money import Price
from app.domain.order import OrderRequest, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, StopPlan, StopState
from app.engine.order_queue import OrderQueue
from app.engine.volley import Load
from app.engine.watch import Watch, WatchTable
from app.runtime.clock import AccountClock

TOKENS = 3_000
STOPS = 500
PER_FRAME = 100
ROUNDS = 20


class _DeadLine:
    """An exit line that nothing reaches: the prices here never breach."""

    on_ready: Callable[[], None] | None = None
    ready = 0

    def fire(self, prepared: object, on_reply: object, price: Price | None = None) -> int:
        """Never called."""
        raise AssertionError((prepared, on_reply, price))


def frames(length: int) -> list[bytes]:
    """3,000 instruments, one packet each, 100 packets a frame, as a broker sends in a busy second."""
    packets = []
    for n in range(TOKENS):
        token = (n + 1) * 256 + 1
        head = struct.pack(
            ">IIIIIIIIIII", token, 100_000 + n, 1, 100_000, 5_000, 10, 20, 99_000, 101_000, 98_000, 99_500
        )
        if length == codec.FULL:
            head += struct.pack(">IIIII", 1_766_000_000, 0, 0, 0, 1_766_000_001)
            head += b"".join(struct.pack(">IIHxx", 10, 99_900 + k, 3) for k in range(10))
        packets.append(struct.pack(">H", len(head)) + head)
    return [
        struct.pack(">H", PER_FRAME) + b"".join(packets[start : start + PER_FRAME])
        for start in range(0, TOKENS, PER_FRAME)
    ]


def _table() -> WatchTable:
    table = WatchTable(_DeadLine(), OrderQueue(tuple, AccountClock()), lambda watch, seconds: True, lambda shots: None)  # type: ignore[arg-type]  # never fires
    for n in range(STOPS):
        key = PositionKey(AccountId("zerodha-X"), InstrumentId(f"NSE:S{n}"), Product.MIS)
        stop = Stop(
            StopId(f"{n:012d}"),
            key,
            Side.SELL,
            90_000,
            10,
            StopState.ARMED,
            0,
            StopPlan(90_000),
            token=(6 * n + 1) * 256 + 1,
        )
        table.add(Watch(stop, Load(stop.id, (_Prepared(),), _ignore)))
    return table


class _Prepared:
    request: OrderRequest

    def wire(self, price: Price | None) -> bytes:
        """Never asked for."""
        raise AssertionError(price)


def _ignore(reply: ExitReply) -> None:
    raise AssertionError(reply)


def _rate(action: Callable[[bytes], Any], payloads: Iterable[bytes], rounds: int) -> float:
    """Packets a second."""
    payloads = list(payloads)
    best = float("inf")
    for _ in range(3):
        started = perf_counter()
        for _ in range(rounds):
            for payload in payloads:
                action(payload)
        best = min(best, perf_counter() - started)
    return rounds * TOKENS / best


def run() -> dict[str, object]:
    """Ticks a second, ours (decode + check of 500 stops) and the official parser's, and their ratio."""
    from kiteconnect import KiteTicker

    logging.getLogger("kiteconnect").setLevel(logging.CRITICAL)
    official = KiteTicker("key", "token")
    table = _table()
    result: dict[str, object] = {}
    for name, length in (("full", codec.FULL), ("quote", codec.QUOTE)):
        payloads = frames(length)
        ours = _rate(lambda payload: table.check(codec.marks(payload), 0), payloads, ROUNDS)
        whole = _rate(_decode_all, payloads, 2)
        peer = _rate(official._parse_binary, payloads, 1)
        result[name] = {
            "ours_per_s": round(ours),
            "official_per_s": round(peer),
            "ratio": round(ours / peer, 1),
            "ours_whole_tick_per_s": round(whole),
            "budget_ratio": 20,
        }
    return result


def _decode_all(payload: bytes) -> None:
    for token, packet in codec.packets(payload):
        codec.decode(packet, InstrumentId(str(token)), 0)
