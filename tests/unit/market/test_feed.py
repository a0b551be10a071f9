"""The hub over connections that say exactly what a scene wants, in time that jumps."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import pytest

from app.brokers.base import FeedSink, Mark
from app.brokers.zerodha import codec
from app.domain.broker import StreamLimits
from app.domain.errors import SessionExpired, StreamsFull, Unreachable
from app.domain.events import Event, FeedChanged, FeedGap, FeedState, Noticed, TicksConflated
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.market import Tick
from app.market.feed import FeedHub
from app.market.lane import QUIET_SECONDS, SILENT_SECONDS
from tests.fakes.fast_loop import run, settle

ACCOUNT = AccountId("zerodha-AB1234")
SECOND = 1_000_000_000
CANARY = {256265: InstrumentId("NSE:NIFTY 50")}


class Wire:
    """One connection as the broker's side sees it."""

    def __init__(self, sink: FeedSink, *, orders: bool) -> None:
        self.sink = sink
        self.orders = orders
        self.subscribed: frozenset[int] = frozenset()
        self.urgent = False
        self.redials = 0
        self.stopped = False
        self.stands = True
        self.encrypted = False
        self.polled = 0

    def start(self) -> None:
        if self.stands:
            self.sink.connected()

    async def stop(self) -> None:
        self.stopped = True

    def subscribe(self, full: Iterable[int], quote: Iterable[int] = ()) -> None:
        self.subscribed = frozenset(full)

    def poll(self) -> bool:
        self.polled += 1
        return self.encrypted

    def set_urgent(self, urgent: bool) -> None:
        self.urgent = urgent

    async def reconnect(self) -> None:
        self.redials += 1

    def marks(self, payload: bytes) -> Iterable[Mark]:
        return codec.marks(payload)

    def packets(self, payload: bytes) -> Sequence[tuple[int, bytes]]:
        return codec.packets(payload)

    def fault(self, payload: bytes) -> str:
        return codec.fault(payload)

    def decode(self, packet: bytes, instrument: InstrumentId, received_at: Nanos) -> Tick:
        return codec.decode(packet, instrument, received_at)

    def price(self, token: int, last: int) -> None:
        """A price arrives."""
        self.frame(struct.pack(">HHII", 1, 8, token, last))

    def frame(self, payload: bytes) -> None:
        self.sink.marks(codec.marks(payload), 1)
        self.sink.frame(payload, 1)


class Scene:
    def __init__(self, limits: StreamLimits) -> None:
        self.wires: list[Wire] = []
        self.events: list[Event] = []
        self.checked: list[Mark] = []
        self.whole: dict[int, InstrumentId] = {}
        self.looked: list[Tick] = []
        self.dead: list[SessionExpired] = []
        self.reconciled = 0
        self.streams: list[Exception | None] = []
        self.patience: float | None = SILENT_SECONDS
        self.wanted: dict[int, object] = {}
        self.limits = limits
        self.stands = True
        """Fresh connections stand at once."""
        self.hub = FeedHub(
            ACCOUNT,
            lambda marks, _readable: self.checked.extend(marks),
            lambda _token: False,
            self,
            lambda _order: None,
            self._on_connected,
            self.streams.append,
            self.dead.append,
            lambda _carried: self.patience,
            lambda: int(asyncio.get_running_loop().time() * SECOND),
            self,
            self.events.append,
        )

    def _on_connected(self) -> None:
        self.reconciled += 1

    def tokens(self) -> dict[int, InstrumentId]:
        return self.whole

    def look(self, token: int, tick: Tick) -> None:
        self.looked.append(tick)

    def tick(self, token: int, tick: Tick) -> None:
        """Candles of charts: not looked at here."""

    def start(self, canaries: dict[int, InstrumentId] | None = None) -> None:
        def connect(sink: FeedSink, orders: bool) -> Wire:
            self.wires.append(Wire(sink, orders=orders))
            self.wires[-1].stands = self.stands
            return self.wires[-1]

        self.hub.start(connect, self.limits, CANARY if canaries is None else canaries)

    def want(self, consumer: str, *tokens: int) -> None:
        self.hub.want(consumer, {token: InstrumentId(f"NSE:S{token}") for token in tokens})

    def told(self) -> FeedChanged:
        return [event for event in self.events if isinstance(event, FeedChanged)][-1]


@pytest.fixture(autouse=True)
def jumping_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's clock is the loop's, which jumps."""
    monkeypatch.setattr(time, "monotonic", lambda: asyncio.get_event_loop().time())


def play(script: Callable[[Scene], Awaitable[None]], limits: StreamLimits = StreamLimits(3, 100)) -> Scene:  # noqa: B008
    async def scene() -> Scene:
        made = Scene(limits)
        made.start()
        await script(made)
        await made.hub.stop()
        return made

    return run(scene())


def test_stops_and_positions_ride_apart_from_the_watchlists() -> None:
    async def script(scene: Scene) -> None:
        scene.want("view:watchlist", 1, 2, 3)
        scene.want("stops", 3)
        scene.want("positions", 4)
        guard, crowd = scene.wires
        assert guard.subscribed == {3, 4, *CANARY}
        assert crowd.subscribed == {1, 2, *CANARY}
        assert (guard.orders, crowd.orders) == (True, False)

    scene = play(script)
    assert all(wire.stopped for wire in scene.wires)


def test_silence_on_the_crowds_connection_does_not_blind_the_stops() -> None:
    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        scene.want("view:watchlist", 1, 2)
        guard, crowd = scene.wires
        crowd.price(1, 100)
        for _ in range(20):
            guard.price(256265, 2_500_000)
            await asyncio.sleep(0.25)
        assert scene.hub.live
        assert scene.told().state is FeedState.LIVE
        assert scene.told().unheard == 2
        assert scene.hub.unheard() == {"NSE:S1", "NSE:S2"}
        assert crowd.redials == 0
        for _ in range(20):
            guard.price(256265, 2_500_000)
            await asyncio.sleep(0.25)
        assert crowd.redials == 1  # dropped and dialled again
        assert guard.redials == 0

    play(script)


def test_silence_where_the_stops_listen_is_noticed_within_three_seconds_and_ends_with_a_gap() -> None:
    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        guard = scene.wires[0]
        guard.price(3, 100)
        await settle()
        await asyncio.sleep(2.99)
        assert scene.hub.state is FeedState.SILENT
        await asyncio.sleep(2.0)
        guard.price(3, 90)
        (gap,) = [event for event in scene.events if isinstance(event, FeedGap)]
        assert gap.instruments == (InstrumentId("NSE:S3"),)
        assert abs((gap.until - gap.since) / SECOND - 4.99) < 0.01
        assert scene.hub.live

    play(script)


def test_silence_outside_the_session_is_no_alarm() -> None:
    async def script(scene: Scene) -> None:
        scene.patience = None
        scene.want("stops", 3)
        await asyncio.sleep(10)
        assert scene.hub.state is FeedState.CLOSED
        assert scene.wires[0].redials == 0
        assert not [event for event in scene.events if isinstance(event, FeedGap)]

    play(script)


def test_where_the_market_may_be_quiet_only_a_long_silence_has_the_stream_dialled_again() -> None:
    async def script(scene: Scene) -> None:
        scene.patience = QUIET_SECONDS  # MCX in the evening: no index moves
        scene.want("stops", 3)
        guard = scene.wires[0]
        guard.price(3, 100)
        await asyncio.sleep(29)
        assert scene.hub.live
        guard.price(3, 101)
        await asyncio.sleep(29)
        assert (scene.hub.live, guard.redials) == (True, 0)
        await asyncio.sleep(2)
        assert (scene.hub.state, guard.redials) == (FeedState.SILENT, 1)

    play(script)


def test_a_market_that_proves_quiet_has_its_stream_dialled_again_less_and_less() -> None:
    async def script(scene: Scene) -> None:
        scene.patience = QUIET_SECONDS
        scene.want("stops", 3)
        guard = scene.wires[0]

        async def redialled_after(first: int, last: int) -> None:
            guard.sink.connected()
            guard.price(3, 100)  # what the feed last knew
            before = guard.redials
            await asyncio.sleep(first)
            assert guard.redials == before
            await asyncio.sleep(last - first)
            assert guard.redials == before + 1

        for seconds in (30, 60, 120, 240, 240):
            await redialled_after(seconds - 1, seconds + 1)
        guard.sink.connected()
        await asyncio.sleep(5)
        guard.price(3, 101)  # it moves
        await redialled_after(29, 31)

    play(script)


def test_an_opening_is_no_reason_to_dial_again_for_the_silence_of_the_night() -> None:
    async def script(scene: Scene) -> None:
        scene.patience = None
        scene.want("stops", 3)
        guard = scene.wires[0]
        guard.price(3, 100)
        await asyncio.sleep(600)
        scene.patience = SILENT_SECONDS
        await asyncio.sleep(2)
        assert (scene.hub.state, guard.redials) == (FeedState.CLOSED, 0)
        await asyncio.sleep(1)
        assert scene.hub.state is FeedState.SILENT
        await asyncio.sleep(4)
        assert guard.redials == 1

    play(script)


def test_a_breach_in_the_next_frame_is_checked_before_a_full_frame_is_taken_apart() -> None:
    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        guard = scene.wires[0]
        crowd = struct.pack(">H", 500) + b"".join(struct.pack(">HII", 8, token, 7) for token in range(1_000, 1_500))
        guard.frame(crowd)
        guard.price(3, 90)
        assert scene.checked[-1][:2] == (3, 90)
        assert scene.hub.last_price(1_000) is None  # not looked at yet
        await asyncio.sleep(0.2)
        assert scene.hub.last_price(1_499) == 7
        assert scene.hub.last_price(3) == 90
        ticks = [tick for event in scene.events if isinstance(event, TicksConflated) for tick in event.ticks]
        shown = {tick.instrument: tick.last_price for tick in ticks}
        assert shown == {InstrumentId("NSE:S3"): 90}

    play(script)


def test_while_stops_are_armed_and_prices_flow_the_guarding_connection_is_kept_warm() -> None:
    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        scene.want("watchlist", *range(1_000, 5_000))
        guard, other = scene.wires[:2]
        guard.encrypted = other.encrypted = True

        async def polled() -> bool:
            before = guard.polled
            await asyncio.sleep(0.1)
            assert other.polled == 0
            return 20 < guard.polled - before < 30

        guard.price(3, 100)
        assert not await polled()
        scene.hub.set_urgent(True)
        assert await polled()
        guard.sink.disconnected(Unreachable("gone"))
        await asyncio.sleep(0.01)
        assert not await polled()
        guard.sink.connected()
        guard.price(3, 100)
        assert await polled()
        guard.encrypted = False
        await asyncio.sleep(0.01)
        assert not await polled(), "there is nothing to be read that would be slow"
        guard.encrypted = True
        scene.hub.set_urgent(True)
        assert await polled()
        scene.hub.set_urgent(False)
        await asyncio.sleep(0.01)
        assert not await polled()

    play(script)


def test_a_lost_connection_comes_back_and_has_the_books_read_again() -> None:
    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        scene.hub.set_urgent(True)
        guard = scene.wires[0]
        assert guard.urgent
        guard.price(3, 100)
        before = scene.reconciled
        guard.sink.disconnected(Unreachable("gone"))
        assert scene.hub.state is FeedState.DOWN
        guard.sink.connected()
        assert scene.reconciled == before + 1
        guard.price(3, 95)
        assert scene.hub.live

    play(script)


def test_prices_that_come_before_the_order_updates_do_not_keep_the_books_from_being_read() -> None:
    """Where those have a socket of their own, `connected` comes when both stand."""

    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        lane = scene.wires[0].sink
        lane.disconnected(Unreachable("gone"))
        before = scene.reconciled
        scene.wires[0].price(3, 100)
        lane.connected()
        assert scene.reconciled == before + 1
        scene.wires[0].price(3, 101)
        assert scene.hub.live

    play(script)


def test_another_connection_gives_way_where_the_stops_one_is_refused_for_their_number() -> None:
    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        scene.want("view:watchlist", 1)
        guard, other = scene.wires
        guard.price(3, 100)
        other.price(1, 100)
        guard.sink.disconnected(Unreachable("gone"))
        await settle()
        assert [wire.stopped for wire in scene.wires] == [False, False]
        guard.sink.disconnected(StreamsFull("one more"))
        await settle()
        assert [wire.stopped for wire in scene.wires] == [False, True], "a slot is free for the next dial"
        assert scene.told().unheard == 1, "of the watchlist"
        scene.want("view:chart", 2)
        await asyncio.sleep(5)
        assert len(scene.wires) == 2, "nobody takes it"
        guard.sink.connected()
        await asyncio.sleep(1)
        assert scene.wires[2].subscribed >= {1, 2}
        guard.price(3, 95)
        scene.wires[2].price(1, 101)
        assert scene.hub.live
        assert scene.told().unheard == 0

    scene = play(script)
    assert len([event for event in scene.events if isinstance(event, FeedGap)]) == 2


def test_the_stops_connection_never_gives_way() -> None:
    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        scene.want("view:watchlist", 1)
        scene.wires[1].sink.disconnected(StreamsFull("one more"))
        await settle()
        assert not any(wire.stopped for wire in scene.wires)

    play(script)


def test_a_refused_token_ends_the_session_whichever_connection_hears_of_it() -> None:
    async def script(scene: Scene) -> None:
        scene.want("view:watchlist", 1)
        scene.wires[1].sink.disconnected(SessionExpired("dead"))
        assert len(scene.dead) == 1

    play(script)


def test_a_connection_that_was_refused_is_dialled_anew_and_the_others_stand() -> None:
    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        scene.want("view:watchlist", 1)
        guarding, crowd = scene.wires
        guarding.sink.disconnected(SessionExpired("HTTP 403"))
        dialling = asyncio.create_task(scene.hub.redial(refused=True))
        await asyncio.sleep(1)
        assert (scene.hub.state, len(scene.wires)) == (FeedState.DOWN, 2), "the key is good: nobody says otherwise"
        await dialling
        assert (guarding.stopped, crowd.stopped, crowd.redials) == (True, False, 0)
        fresh = scene.wires[2]
        assert fresh.subscribed == {3, *CANARY}
        fresh.price(3, 100)
        assert scene.hub.live

    play(script)


def test_connections_that_are_refused_one_after_the_other_all_come_back() -> None:
    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        scene.want("view:watchlist", 1)
        first, second = scene.wires
        first.sink.disconnected(SessionExpired("HTTP 403"))
        dialling = asyncio.create_task(scene.hub.redial(refused=True))
        await asyncio.sleep(1)
        second.sink.disconnected(SessionExpired("HTTP 403"))
        await scene.hub.redial(refused=True)
        await dialling
        assert [wire.subscribed for wire in scene.wires[2:]] == [{3, *CANARY}, {1, *CANARY}]

    play(script)


def test_a_stream_that_is_refused_for_hours_is_dialled_every_two_seconds_only_while_stops_are_armed() -> None:
    """Each dial costs the broker a handshake and two reads; it backs off to a minute, as a lost one does (E3)."""

    async def script(scene: Scene) -> None:
        async def refused(seconds: float) -> int:
            before, loop = len(scene.wires), asyncio.get_running_loop()
            until = loop.time() + seconds
            while loop.time() < until:
                scene.wires[-1].sink.disconnected(SessionExpired("HTTP 403"))
                await scene.hub.redial(refused=True)
            return len(scene.wires) - before

        scene.stands = False
        scene.want("stops", 3)
        assert await refused(600) < 20
        dialling = asyncio.create_task(refused(60))
        await asyncio.sleep(5)
        scene.hub.set_urgent(True)
        assert await dialling > 20, "also the one that had begun to wait"
        scene.hub.set_urgent(False)
        dialling = asyncio.create_task(refused(1))
        await asyncio.sleep(5)
        await scene.hub.redial()
        async with asyncio.timeout(3):
            assert await dialling == 1, "asked for anew it does not rest on"

    play(script, StreamLimits(1, 100))


def test_a_refused_stream_that_is_back_leaves_its_gap() -> None:
    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        scene.wires[0].price(3, 100)
        scene.wires[0].sink.disconnected(SessionExpired("HTTP 403"))
        await asyncio.sleep(5)
        await scene.hub.redial(refused=True)
        scene.wires[-1].price(3, 95)

    (gap,) = [event for event in play(script).events if isinstance(event, FeedGap)]
    assert round((gap.until - gap.since) / SECOND) == 7
    assert gap.instruments == (InstrumentId("NSE:S3"),)


@pytest.mark.parametrize("fails_again", [False, True])
def test_what_a_refused_connection_said_of_order_updates_holds_until_the_next_one_stands(fails_again: bool) -> None:
    async def script(scene: Scene) -> None:
        refusal = SessionExpired("HTTP 401")
        scene.want("stops", 3)
        scene.wires[0].sink.order_stream(refusal)
        scene.wires[0].sink.disconnected(refusal)
        scene.stands = not fails_again
        await scene.hub.redial(refused=True)
        if fails_again:
            scene.wires[1].sink.order_stream(Unreachable("gone"))
            scene.wires[1].sink.connected()
        assert [cause is None for cause in scene.streams] == [False, not fails_again]
        await asyncio.sleep(2)
        assert scene.told().orders_are_read is fails_again

    play(script)


def test_a_price_of_nought_is_not_the_last_price() -> None:
    """What exits are priced by, and how far a future is from its index, is measured by the one before."""

    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        for price in (100, 0):
            scene.wires[0].price(3, price)
            await settle()
        assert scene.hub.last_price(3) == 100

    play(script)


def test_more_than_fits_is_said_once_and_the_top_of_the_lists_stays() -> None:
    async def script(scene: Scene) -> None:
        scene.want("view:watchlist", *range(20, 9, -1))
        scene.want("stops", 50, 51)
        await asyncio.sleep(2)
        assert scene.wires[0].subscribed >= {50, 51}
        assert scene.wires[1].subscribed == {20, 19, 18, 17, *CANARY}
        (notice,) = [event for event in scene.events if isinstance(event, Noticed)]
        assert notice.cause.startswith("11 are wanted, the broker's connections carry 4. The last 7 get no live prices")
        assert (scene.told().subscribed, scene.told().left_out) == (6, 7)
        scene.want("charts", 12)  # from below the line: it needs live prices more than the last of the list
        scene.want("view:ticket", 12)
        await asyncio.sleep(1)
        assert scene.wires[1].subscribed == {12, 20, 19, 18, *CANARY}
        scene.want("charts", 11)
        scene.want("view:ticket", 11)
        await asyncio.sleep(1)
        assert scene.wires[1].subscribed == {11, 20, 19, 18, *CANARY}
        assert len([event for event in scene.events if isinstance(event, Noticed)]) == 1
        scene.want("view:watchlist", 20, 19)
        await asyncio.sleep(2)
        assert (scene.told().subscribed, scene.told().left_out) == (5, 0)

    play(script, StreamLimits(2, 5))


def test_a_frame_that_cannot_be_read_is_said_once_it_is_looked_at() -> None:
    async def script(scene: Scene) -> None:
        scene.want("stops", 3)
        scene.wires[0].frame(struct.pack(">HHII", 2, 8, 3, 90))
        await settle()
        (notice,) = [event for event in scene.events if isinstance(event, Noticed)]
        assert "cut short after 1 of 2" in notice.cause
        assert scene.checked[-1][:2] == (3, 90)

    play(script)
