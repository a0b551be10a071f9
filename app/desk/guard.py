"""The desk without a window: waits beside the one that has the profile, and takes it when that one is gone.

The profile's lock decides who runs the engine: it is held from before anything is opened until everything is closed,
and the system frees it with the process, so there are never two engines on one profile. The main thread waits; a loop
runs only while the desk is held.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from enum import StrEnum
from typing import Any, Protocol

from app.desk.beside import HAND_BACK, Gone, Watch, take_lock
from app.desk.data_verbs import data_verbs
from app.desk.desk import LocalDesk
from app.desk.remote import ProfileLock, RemoteServer
from app.desk.verbs import remote_verbs
from app.domain.errors import AppError, Denied
from app.domain.events import Event, FeedChanged, FeedState, Level, Noticed, SessionChanged, StopChanged, StopFired
from app.domain.guard import Companion
from app.domain.ids import AccountId
from app.domain.money import said_price
from app.domain.stop import FiredBy, StopState
from app.runtime.garbage import GarbageCollector
from app.runtime.log import logger
from app.runtime.loop import new_event_loop
from app.runtime.notify import notify
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from app.vault.vault import Vault

_log = logger("desk.guard")

LOOK_SECONDS = 0.25
"""Between two looks for a desk to wait beside."""
LOCK_SECONDS = 1.0
"""How long the lock of a desk that is gone is waited for before somebody else is looked for."""
WAY_SECONDS = 1.0
"""A window that took the desk back has the lock by then."""
QUIET_SECONDS = 60.0
"""With nothing left to guard, an order that turns up late is still seen; then the desk is let go."""
COUNT_SECONDS = 1.0
READY_SECONDS = 30.0
"""How long the first prices after a take-over are waited for before that is said."""
LATE_SECONDS = 5.0
"""After each so many of them it is said what is waited for."""


class Told(Protocol):
    """Takes a status line: what happened, with its facts."""

    def __call__(self, what: str, words: str, /, **facts: object) -> None:
        """Any thread."""
        ...


class Ended(StrEnum):
    """How a guard came to its end."""

    NOTHING_LEFT = "nothing left to guard"
    ASKED = "asked"
    UNGUARDED = "unguarded"
    """It was asked to end while stops were armed: nobody watches them now."""

    @property
    def unguarded(self) -> bool:
        """Stops are left that nobody watches."""
        return self is Ended.UNGUARDED


class _Outcome(StrEnum):
    HANDED_BACK = "handed back"
    NOTHING = "nothing"
    ASKED = "asked"
    UNGUARDED = "unguarded"


class KeyInHand:
    """What opens the profile when the moment comes: the master key in memory, ready since this process started."""

    def __init__(self, vault: Vault, passphrase: Secret | None) -> None:
        self.vault = vault
        self._passphrase = passphrase
        self._vault_id = ""
        self.how = ""
        """`keyring` or `passphrase`."""

    def take_up(self) -> None:
        """Raises Denied in words where nothing opens the profile, WrongPassphrase, Damaged. Blocks."""
        info = self.vault.info()
        if not info.exists:
            raise Denied("There is no profile here yet.", "Open the window once.")
        if info.opens_with_keyring:
            self.vault.unlock(None)
            self.how = "keyring"
        elif self._passphrase is not None:
            self.vault.unlock(self._passphrase)
            self.how = "passphrase"
        else:
            raise Denied(
                "The profile needs its passphrase.", "Set STOPLINE_PASSPHRASE, or start the guard on a terminal."
            )
        self._vault_id = self.vault.file().vault_id

    def keep_fresh(self) -> None:
        """The key again, where it was locked or the profile's keys were changed meanwhile. Raises as `take_up`."""
        if not self.vault.is_open or self.vault.file().vault_id != self._vault_id:
            self.take_up()


class Guard:
    """One guard of one profile. `stop` may be called from anywhere, a signal handler too."""

    def __init__(
        self,
        paths: ProfilePaths,
        lock: ProfileLock,
        key: KeyInHand,
        build: Callable[[], Coroutine[Any, Any, LocalDesk]],
        load: Callable[[], None],
        told: Told,
        *,
        attached: bool,
    ) -> None:
        self._paths = paths
        self._lock = lock
        self._key = key
        self._build = build
        self._told = told
        self._load = load
        """What a desk needs is imported while there is time."""
        self._attached = attached
        """It belongs to the window that started it, and ends with it when there is nothing to guard."""
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Event()
        self._handing_back = False
        self._gone_at = 0.0

    def stop(self) -> None:
        """Ends it in order, soon."""
        self._stop.set()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended, and nobody waits any more
                self._loop.call_soon_threadsafe(self._turn.set)

    def run(self) -> Ended:
        """Until it is asked to end; one that is attached ends too when its window left nothing to guard.

        Raises AppError where the profile cannot be opened.
        """
        self._key.take_up()
        at_ease = False
        """The last desk was left in order: nothing is taken until another one was there."""
        while not self._stop.is_set():
            gone = self._beside()
            if gone is Gone.ASKED:
                break
            if gone is Gone.STAND_DOWN or (gone is Gone.NOBODY and at_ease):
                if self._attached:
                    return Ended.NOTHING_LEFT
                at_ease = True
                self._stop.wait(LOOK_SECONDS)
                continue
            within = 0.0 if gone is Gone.NOBODY else LOCK_SECONDS
            if not take_lock(self._lock, within, self._stop):
                at_ease = False
                self._stop.wait(LOOK_SECONDS if gone is Gone.NOBODY else 0.0)
                continue
            outcome = self._hold()
            at_ease = outcome is _Outcome.NOTHING
            if outcome is _Outcome.UNGUARDED:
                return Ended.UNGUARDED
            if outcome is _Outcome.NOTHING and self._attached:
                return Ended.NOTHING_LEFT
            if outcome is _Outcome.HANDED_BACK:
                self._stop.wait(WAY_SECONDS)
            if not self._stop.is_set():
                self._key.keep_fresh()
        return Ended.ASKED

    def _beside(self) -> Gone:
        """Waits beside a desk, where there is one; how it went."""
        watch = Watch(self._paths, Companion(os.getpid(), self._key.how), self._stop)
        if not watch.open():
            return Gone.NOBODY
        self._told("waiting", f"Waits beside the workstation (process {watch.pid}).", workstation=watch.pid)
        self._load()
        gone = watch.wait()
        self._gone_at = time.monotonic()
        if gone is not Gone.ASKED:
            self._told("gone", f"The workstation went: {gone}.", how=gone.value)
        return gone

    # -- with the desk in hand ---------------------------------------------------------------------------------------

    def _hold(self) -> _Outcome:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                self._loop = runner.get_loop()
                self._turn = asyncio.Event()
                self._handing_back = False
                if self._stop.is_set():
                    return _Outcome.ASKED
                return runner.run(self._guard())
        except Exception as failure:
            cause = str(failure) if isinstance(failure, AppError) else type(failure).__name__
            self._told("failed", f"The desk cannot be taken: {cause}")
            words = f"The window is gone, and the guard cannot take its place: {cause}"
            asyncio.run(notify("Stops are not watched", f"{words} Open Stopline.", urgent=True))
            raise
        finally:
            self._loop = None
            self._lock.release()

    async def _guard(self) -> _Outcome:
        self._paths.remote_address.unlink(missing_ok=True)  # of a desk that was killed: nobody listens there
        garbage = GarbageCollector()
        garbage.take_over(collect=False)  # each moment counts until the stops are watched again
        try:
            return await self._hold_desk(garbage)
        finally:
            garbage.give_back(collect=False)  # and until the next desk watches them

    async def _hold_desk(self, garbage: GarbageCollector) -> _Outcome:
        desk = await self._build()
        server: RemoteServer | None = None
        try:
            # Building it may have ended a change of keys, or put a backup in place, that its owner had begun.
            await asyncio.to_thread(self._key.keep_fresh)
            desk.listen(Voice(self._told).hear)  # from here on: what opening finds (a damaged journal) must not wait
            await desk.session.open_in_hand()
            if self._gone_at:
                _log.info("the desk is open", ms=round((time.monotonic() - self._gone_at) * 1000), armed=desk.armed)
            if not desk.may_be_armed:
                self._told("idle", "Nothing is armed: there is nothing to guard.")
                return _Outcome.NOTHING
            server = RemoteServer(self._paths, self._verbs(desk), asyncio.get_running_loop())
            await asyncio.to_thread(server.start)
            saying = asyncio.create_task(self._say_taken(desk, garbage), name="take-over")
            try:  # a broker that does not answer keeps no window waiting for its desk
                return await self._watch(desk, garbage)
            finally:
                saying.cancel()
                await asyncio.gather(saying, return_exceptions=True)
        finally:
            began = time.monotonic()
            if server is not None:
                await asyncio.to_thread(server.stop)
            await desk.stop(keep_exchange=True)
            _log.info("let go of the desk", ms=round((time.monotonic() - began) * 1000))

    async def _say_taken(self, desk: LocalDesk, garbage: GarbageCollector) -> None:
        """Says it when stops are watched again, or that they are not, and what that waits for."""
        late = asyncio.create_task(self._say_late(desk), name="guard is late")
        try:
            async with asyncio.timeout(READY_SECONDS):
                await desk.ready()
        except TimeoutError:
            self._told("blind", "The desk is held, but no account is ready.", armed=desk.armed)
        finally:
            late.cancel()
        garbage.set_aside()
        took = round((time.monotonic() - self._gone_at) * 1000) if self._gone_at else None
        count, blind = _stops(desk.armed), " ".join([*desk.waits_for, *_asking(desk.suspended)])
        words = f"Not everything is watched: {blind}" if blind else f"{count} watched."
        self._told("guarding", words, armed=desk.armed, watching=desk.watching, took_ms=took)
        if blind:
            await notify("Stops are blind", f"The window is gone. {blind} Open Stopline.", urgent=True)
        else:
            await notify("Stopline guards", f"The window is gone. {count} watched in the background.", urgent=True)

    async def _say_late(self, desk: LocalDesk) -> None:
        """Names what is waited for, again and again, until it is cancelled."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(LATE_SECONDS)
            why = " ".join(desk.waits_for) or "The last account is being taken up."
            seconds = round(time.monotonic() - began)
            _log.warning("stops are not watched yet", seconds=seconds, waits_for=why)
            self._told("late", f"Not watching after {seconds} s: {why}", seconds=seconds, watching=desk.watching)

    async def _watch(self, desk: LocalDesk, garbage: GarbageCollector) -> _Outcome:
        quiet = 0.0
        while not self._turn.is_set():
            try:
                async with asyncio.timeout(COUNT_SECONDS):
                    await self._turn.wait()
            except TimeoutError:
                quiet = 0.0 if desk.may_be_armed else quiet + COUNT_SECONDS
                hurried = desk.exit_may_come
                garbage.turn(hurried=hurried, quiet=not hurried)
            if quiet >= QUIET_SECONDS:
                self._told("idle", "Nothing is armed any more.")
                return _Outcome.NOTHING
        if self._handing_back:
            self._told("handing back", "The window takes the desk.", armed=desk.armed)
            return _Outcome.HANDED_BACK
        if not desk.may_be_armed:
            return _Outcome.ASKED
        count = _stops(max(1, desk.armed))
        self._told("unguarded", f"Asked to end: {count} not watched any more.", armed=desk.armed)
        await notify("Stopline guards no more", f"{count} not watched any more.", urgent=True)
        return _Outcome.UNGUARDED

    def _verbs(self, desk: LocalDesk) -> dict[str, Any]:
        async def hand_back(_: Mapping[str, Any]) -> dict[str, Any]:
            self._handing_back = True
            self._turn.set()
            return {"armed": desk.armed}

        def show() -> None:
            raise Denied("The guard has no window.", "Start Stopline: it takes the desk back.")

        return {**remote_verbs(desk, show, role="guard"), **data_verbs(desk), HAND_BACK: hand_back}


class Voice:
    """What a guard says while it holds the desk: on its page, and on the desktop what must not wait. Loop thread."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._feeds: dict[AccountId, FeedState] = {}
        self._said: set[asyncio.Task[bool]] = set()

    def hear(self, event: Event) -> None:
        """An event of the desk."""
        if isinstance(event, StopFired):
            stop = event.stop
            left = stop.fired_by not in (None, FiredBy.STOP)
            why = str(stop.fired_by) if left else "the stop was hit"
            words = f"{stop.key.instrument}: {why}, {stop.side} {stop.quantity} sent."
            self._told("fired", words, stop=stop.id, instrument=stop.key.instrument, engine_us=event.engine_us)
            self._show("Exit sent" if left else "Stop hit", words)
        elif isinstance(event, StopChanged) and event.stop.state in (StopState.CLOSED, StopState.ARMED):
            stop = event.stop
            average = stop.exit_average
            at = "" if average is None else f" at {said_price(average, stop.price_scale)}"
            self._told(
                stop.state.value,
                f"{stop.key.instrument}: {stop.state.value}{at}.",
                stop=stop.id,
                instrument=stop.key.instrument,
                quantity=stop.quantity,
                note=stop.note,
            )
        elif isinstance(event, FeedChanged) and self._feeds.get(event.account) is not event.state:
            self._feeds[event.account] = event.state
            self._told("feed", f"Prices of {event.account}: {event.state}.", account=event.account, state=event.state)
        elif isinstance(event, SessionChanged):
            words = f"{event.account}: {event.state}. {event.reason}".strip()
            self._told("session", words, account=event.account, state=event.state)
        elif isinstance(event, Noticed) and event.level is not Level.INFO:
            words = " ".join(part for part in (event.title, event.cause, event.next_step) if part)
            self._told("notice", words, level=event.level)
            if event.level is Level.ALARM:
                self._show(event.title, event.cause)

    def _show(self, title: str, text: str) -> None:
        task = asyncio.get_running_loop().create_task(notify(title, text, urgent=True))
        self._said.add(task)
        task.add_done_callback(self._said.discard)


def _asking(suspended: int) -> list[str]:
    noun = "stop guards" if suspended == 1 else "stops guard"
    return [f"{suspended} suspended {noun} nothing until you answer."] if suspended else []


def _stops(count: int) -> str:
    return "1 stop is" if count == 1 else f"{count} stops are"
