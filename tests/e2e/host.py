"""A desk without a window, for tests: the real parts, told what to do on standard input, killed when the test says so.

    python -m tests.e2e.host SOCKET

Started once, it loads the program and listens; every connection gets a process of its own (forked before anything ran),
whose first line names the profile. That saves the import, half of the time of a restart, some hundred times. From then
on one JSON object a line: `{"id": 1, "do": "arm", ...}` is answered by `{"id": 1, "ok": ...}` or `{"id": 1, "error":
...}`; events come as `{"event": ...}`. The `die` verb chooses the moment of the next death: real objects are wrapped so
that they end this process there. Nothing of this is in the shipped program.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.bootstrap import build_desk
from app.desk.beside import Claim, claim, take_back
from app.desk.companions import Companions
from app.desk.remote import ProfileLock, RemoteServer
from app.desk.verbs import remote_verbs
from app.domain.account import Endpoints
from app.domain.calendar import ist_date, midnight_seconds
from app.domain.errors import AppError
from app.domain.events import (
    Event,
    FeedChanged,
    Noticed,
    OrderChanged,
    PositionsChanged,
    PositionsUnknown,
    SessionChanged,
    StopChanged,
    StopFired,
    StrategyChanged,
)
from app.domain.guard import AccountGuarding, GuardSettings
from app.domain.ids import AccountId, InstrumentId, StopId, StrategyId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import StopPlan, StopState
from app.domain.strategy import Days, DaysKind, Level, MarkKind, Measure, StrategyPlan, new_strategy_id
from app.runtime import helper
from app.runtime.helper import Helper, HelperProcess
from app.runtime.log import Logs
from app.runtime.loop import new_event_loop
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from app.vault.sealing import KdfCost
from app.vault.vault import Vault

LOADED = (
    "app.brokers.registry",
    "app.brokers.zerodha.adapter",
    "app.desk.desk",
    "app.engine.rules",
    "app.storage.store",
    "app.runtime.helper",
)
"""What a desk imports when it is built."""
PASSPHRASE = Secret("correct horse battery staple")
CHEAP = KdfCost(memory_kib=19_456, iterations=1, lanes=1)
"""Written into the vault file itself, as any other cost: these tests unlock some hundred times."""


class Beside(Helper):
    """The helper's work on a thread of the same process. A process of its own is most of what a restart costs, and
    whoever kills a desk two hundred times kills no helper by it."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self._jobs = itertools.count(next(self._numbers) * 1_000_000)  # the tables of their jobs are one
        self._worker = _SameProcess()


class _SameProcess(HelperProcess):
    def _start(self) -> None:
        return  # it runs already

    def _ask(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        return function(*args)


def kill_now() -> None:
    """As a power cut to this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_later(seconds: float) -> None:
    """Whatever the loop is doing then."""
    if seconds <= 0:
        kill_now()
    timer = threading.Timer(seconds, kill_now)
    timer.daemon = True
    timer.start()


class Host:
    """The verbs of the tests."""

    def __init__(self, paths: ProfilePaths, desk: Any) -> None:
        self._paths = paths
        self._desk = desk
        self._feed: dict[str, str] = {}
        desk.listen(self._on_event)

    # -- out ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def say(message: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    def _on_event(self, event: Event) -> None:
        told = self._told(event)
        if told is not None:
            self.say({"event": type(event).__name__, **told})

    def _told(self, event: Event) -> dict[str, Any] | None:
        if isinstance(event, StopChanged):
            stop = event.stop
            return {
                "stop": stop.id,
                "state": stop.state.value,
                "instrument": stop.key.instrument,
                "quantity": stop.quantity,
                "trigger": stop.trigger,
                "attempt": stop.attempt,
                "note": stop.note,
            }
        if isinstance(event, StrategyChanged):
            one = event.strategy
            return {"strategy": one.id, "state": one.state.value, "held": one.held, "note": one.note}
        if isinstance(event, StopFired):
            return {"stop": event.stop.id, "engine_us": event.engine_us}
        if isinstance(event, Noticed):
            return {"level": event.level.value, "title": event.title, "cause": event.cause}
        if isinstance(event, FeedChanged):
            if self._feed.get(event.account) == event.state.value:
                return None
            self._feed[event.account] = event.state.value
            return {"account": event.account, "state": event.state.value, "age": event.data_age_ms}
        if isinstance(event, SessionChanged):
            return {"account": event.account, "state": event.state.value}
        if isinstance(event, PositionsChanged):
            return {"quantities": {f"{p.key.instrument}@{p.key.product}": p.quantity for p in event.positions}}
        if isinstance(event, PositionsUnknown):
            return {"cause": event.cause}
        if isinstance(event, OrderChanged):
            order = event.order
            return {"order": order.broker_order_id, "status": order.status.value, "tag": order.tag}
        return None

    # -- in ----------------------------------------------------------------------------------------------------------

    async def do(self, command: dict[str, Any]) -> None:
        number, verb = command.pop("id"), command.pop("do")
        try:
            self.say({"id": number, "ok": await getattr(self, f"do_{verb}")(**command)})
        except AppError as failure:
            self.say({"id": number, "error": type(failure).__name__, "words": str(failure)})

    async def do_open(self) -> list[str]:
        """Creates or unlocks the vault; returns when every stored session was taken up."""
        session = self._desk.session
        if not (self._paths.root / "vault.json").exists() and (await session.vault()).state != "locked":
            vault = Vault(self._paths.root, cost=CHEAP)
            await asyncio.to_thread(vault.create, PASSPHRASE, False)
            vault.lock()
        await session.unlock(PASSPHRASE)
        await session.resumed()
        return [view.id for view in await session.accounts()]

    async def do_recovered(self, account: str) -> int:
        """Until stops are watched or followed again; how many are watched."""
        desk = self._desk._workspace.account(AccountId(account))
        await desk.recovered()
        return int(desk.stops.watching)

    async def do_connect(self, urls: dict[str, str]) -> str:
        endpoints = Endpoints(
            urls["api_url"], urls["login_url"], urls["ws_url"], urls["redirect_url"], urls.get("ca_file", "")
        )
        account = await self._desk.session.add_account(
            "zerodha", urls["api_key"], Secret(urls["api_secret"]), endpoints
        )
        return str(account)

    async def do_login_page(self, account: str) -> str:
        return str((await self._desk.session.begin_login(AccountId(account))).url)

    async def do_complete_login(self, account: str, redirect: str) -> None:
        await self._desk.session.complete_login(AccountId(account), redirect)

    async def do_trade(
        self, account: str, instrument: str, side: str, quantity: int, product: str = "MIS", price: int | None = None
    ) -> str:
        kind = OrderKind.MARKET if price is None else OrderKind.LIMIT
        request = OrderRequest(
            AccountId(account), InstrumentId(instrument), Side(side), quantity, Product(product), kind, price
        )
        return str(await self._desk.trading.place(request))

    async def do_square_off(self, account: str, instrument: str, product: str = "MIS") -> str:
        return str(await self._desk.trading.square_off(_key(account, instrument, product)))

    async def do_arm(self, account: str, instrument: str, trigger: int, product: str = "MIS") -> str:
        return str((await self._desk.stops.arm(_key(account, instrument, product), StopPlan(trigger))).id)

    async def do_strategy(
        self, account: str, instrument: str, quantity: int, buy_in: int, sell_in: int, stop: int | None = None
    ) -> str:
        """Started: buys and sells so many exchange seconds from now, `stop` hundredths of a percent below its entry."""
        now = self._desk._workspace.account(AccountId(account)).clock.now() // 10**9
        midnight = midnight_seconds(ist_date(now * 10**9))
        plan = StrategyPlan(
            new_strategy_id(), "By the clock", AccountId(account), InstrumentId(instrument), Product.MIS, Side.BUY,
            quantity, now - midnight + buy_in, now - midnight + sell_in,
            Days(DaysKind.DATES, dates=(ist_date(now * 10**9),)),
            stop=None if stop is None else Level(Measure.PERCENT, stop),
        )  # fmt: skip
        await self._desk.strategies.save(plan)
        return str((await self._desk.strategies.start(plan.id)).id)

    async def do_strategies(self) -> dict[str, Any]:
        """Where each stands."""
        return {
            one.id: {"state": one.state.value, "held": one.held, "note": one.note, "stop": one.stop}
            for one in await self._desk.strategies.strategies()
        }

    async def do_timeline(self, strategy: str) -> list[str]:
        """The states that a strategy has been in, oldest first."""
        marks = await self._desk.strategies.timeline(StrategyId(strategy))
        return [mark.state.value for mark in marks if mark.kind is MarkKind.STATE]

    async def do_move(self, stop: str, trigger: int) -> None:
        await self._desk.stops.move(StopId(stop), trigger)

    async def do_disarm(self, stop: str) -> None:
        await self._desk.stops.disarm(StopId(stop))

    async def do_guarding(self, account: str, **chosen: bool) -> None:
        """What the account's stops may do when prices fail."""
        mine = AccountGuarding(AccountId(account), **chosen)
        await self._desk.guard.save_settings(GuardSettings(accounts=(mine,)))

    async def do_last(self, account: str, instrument: str) -> int | None:
        price: int | None = self._desk._workspace.account(AccountId(account)).last_price(InstrumentId(instrument))
        return price

    async def do_status(self, account: str) -> dict[str, Any]:
        desk = self._desk._workspace.account(AccountId(account))
        return {
            "armed": desk.stops.armed,
            "watching": desk.stops.watching,
            "exiting": desk.stops.exiting,
            "blind": desk.blind,
            "feed": desk.hub.state.value,
            "stops": {stop.id: stop.state.value for stop in desk.stops.stops},
        }

    async def do_audit(self, stop: str) -> list[str]:
        """What happened to a stop, oldest first."""
        lines = await self._desk.stops.audit(2_000)
        return [line.what for line in reversed(lines) if line.subject == f"stop:{stop}"]

    async def do_orders(self, account: str, instrument: str) -> list[dict[str, Any]]:
        """What the window's list would show of an instrument, and what the audit trail says of each of its orders."""
        trail = await self._desk.stops.audit()
        return [
            {
                "order": order.broker_order_id,
                "status": order.status.value,
                "words": order.status_text,
                "trail": [line.what for line in reversed(trail) if line.subject == f"order:{order.tag}"],
            }
            for order in await self._desk.trading.orders()
            if (order.account, order.instrument) == (account, instrument)
        ]

    async def do_journal(self) -> dict[str, str]:
        """State of every stop in the journal."""
        return {stop.id: stop.state.value for stop in await self._desk._workspace.journal.stops_since(0)}

    async def do_forget(self, account: str) -> None:
        """Ends an account's session."""
        await self._desk.session.disconnect(AccountId(account))

    async def do_sync(self) -> list[dict[str, Any]]:
        """How each account's sync ended."""
        summary = await self._desk.portfolio.sync()
        return [{"step": run.step, "created": run.created, "error": run.error} for run in summary.accounts]

    async def do_book(self) -> dict[str, Any]:
        """The fills that count, leases, and groups whose trades lag behind."""
        book = self._desk._workspace.book
        fills = [[f.id.trade_id, f.side.value, f.quantity] for f in await book.fills.all()]
        trades = await book.trades.page(limit=10_000)
        return {
            "fills": fills,
            "leases": await book.leases.load(),
            "stale": len(await book.fills.stale_groups()),
            "units": sum(t.quantity for t in trades.rows),
        }

    async def do_rotate(self) -> dict[str, Any]:
        """New keys for the profile."""
        return asdict(await self._desk.data.rotate_key(PASSPHRASE))

    async def do_backup(self) -> str:
        """A verified backup; its file."""
        return str((await self._desk.data.backup()).file)

    async def do_die(self, at: str, account: str, after: float = 0.0) -> None:
        """Chooses the moment of death."""
        _DEATHS[at](self._desk, AccountId(account), after)


def _key(account: str, instrument: str, product: str) -> PositionKey:
    return PositionKey(AccountId(account), InstrumentId(instrument), Product(product))


# -- moments of death --------------------------------------------------------------------------------------------------


def _while_arming(desk: Any, account: AccountId, after: float) -> None:
    """So long after the journal was asked to keep the stop: before, while or after it does; never acknowledged."""
    journal = desk._workspace.account(account).stops._record._journal
    save = journal.save_stop

    async def dying(*args: Any) -> None:
        kill_later(after)
        await save(*args)
        await asyncio.Event().wait()  # the answer never leaves this process

    journal.save_stop = dying


def _before_write(desk: Any, account: AccountId, after: float) -> None:
    """The breach was found, nothing was written."""
    del after
    desk._workspace.account(account).stops._watching.line.fire = lambda *_: kill_now()


def _after_write(desk: Any, account: AccountId, after: float) -> None:
    """The bytes are out, so long ago."""
    line = desk._workspace.account(account).stops._watching.line
    fire = line.fire

    def firing(*args: Any) -> int:
        written: int = fire(*args)
        kill_later(after)
        return written

    line.fire = firing


def _order_out(desk: Any, account: AccountId, after: float) -> None:
    """An order of the hand is on its way, so long ago; its answer does not come any more."""
    session = desk._workspace.account(account).orders.wire._session
    place = session.place

    async def dying(request: OrderRequest) -> None:
        sending = asyncio.ensure_future(place(request))
        await asyncio.sleep(after)
        kill_now()
        await sending

    session.place = dying


def _on_order(statuses: frozenset[OrderStatus]) -> Callable[[Any, AccountId, float], None]:
    def arrange(desk: Any, account: AccountId, after: float) -> None:
        def heard(event: Event) -> None:
            if isinstance(event, OrderChanged) and event.order.status in statuses:
                kill_later(after)

        desk._workspace.account(account)  # it exists
        desk._bus._all.insert(0, heard)  # before anything else is done with the news

    return arrange


def _before_closing(desk: Any, account: AccountId, after: float) -> None:
    """The position was seen flat; the journal does not know."""
    journal = desk._workspace.account(account).stops._record._journal
    save = journal.save_stop

    async def dying(stop: Any, *rest: Any) -> None:
        if stop.state is StopState.CLOSED:
            await asyncio.sleep(after)
            kill_now()
        await save(stop, *rest)

    journal.save_stop = dying


_DEATHS: dict[str, Callable[[Any, AccountId, float], None]] = {
    "arming": _while_arming,
    "before write": _before_write,
    "after write": _after_write,
    "order out": _order_out,
    "partial fill": _on_order(frozenset({OrderStatus.PARTIALLY_FILLED})),
    "fill": _on_order(frozenset({OrderStatus.FILLED})),
    "closing": _before_closing,
}


async def _own(paths: ProfilePaths) -> Any:
    """A desk that owns its profile as a window does: by the lock, with guards beside it, taken back from one."""
    loop, lock = asyncio.get_running_loop(), ProfileLock(paths.lock)
    companions = Companions(loop)
    claimed = await asyncio.to_thread(claim, lock, paths)
    desk = await build_desk(paths, paper=False, settled=claimed is Claim.GUARDED, companions=companions)
    remote = RemoteServer(paths, remote_verbs(desk, lambda: None), loop, companions)

    async def take() -> None:
        await asyncio.to_thread(take_back, paths, lock)
        await asyncio.to_thread(remote.start)

    if claimed is Claim.GUARDED:
        desk.session.before_open = take
    else:
        await asyncio.to_thread(remote.start)
    stop = desk.stop

    async def part() -> None:
        await asyncio.to_thread(companions.part, desk.guard.farewell(desk.armed))
        await asyncio.to_thread(remote.stop)
        await stop()
        lock.release()

    desk.stop = part  # type: ignore[method-assign,assignment]
    return desk


async def _serve(paths: ProfilePaths, *, owner: bool) -> None:
    desk = await (_own(paths) if owner else build_desk(paths, paper=False))
    host = Host(paths, desk)
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        task = asyncio.create_task(host.do(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    await desk.stop()


def _child(connection: socket.socket) -> None:
    """The process of one profile: the connection is its standard input and output."""
    os.dup2(connection.fileno(), 0)
    os.dup2(connection.fileno(), 1)
    connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    Host.say({"event": "Started", "pid": os.getpid()})
    first = json.loads(_first_line())
    paths = ProfilePaths(Path(first["profile"]))
    paths.create()
    if first.get("beside", False):
        helper.Helper = Beside  # type: ignore[misc]
    logs = Logs()
    logs.open(paths.logs)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(paths, owner=first.get("owner", False)))
    logs.close()


def _first_line() -> bytes:
    """Byte by byte: what follows belongs to the loop."""
    line = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


def main() -> None:
    """Loads everything, then forks a process for every connection until it is killed."""
    for name in LOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children: the kernel forgets them
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _child(connection)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
