"""What stands behind armed stops when this program, this computer or the feed fails: the verbs of guarding.

Starts a guard beside the window, keeps the computer awake, notices that it slept, remembers absences. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Sequence

import msgspec

from app.desk.attendance import Attendance
from app.desk.companions import Companions
from app.desk.workspace import Workspace
from app.domain.errors import AppError, Denied
from app.domain.events import CompanionsChanged, FeedGap, Level, Noticed
from app.domain.guard import Absence, AccountGuarding, AwayReport, Companion, Farewell, GuardSettings, GuardView
from app.domain.ids import AccountId
from app.runtime.awake import KeepAwake
from app.runtime.pause import Pause, PauseWatch
from app.runtime.secret import Secret

log = logging.getLogger(__name__)

SETTING = "guarding"
FIRST_SECONDS = 2.0
"""After opening: what the window needs comes first."""
AGAIN_SECONDS = 10.0
"""Between two starts of a guard that does not come or does not stay."""


class GuardingDesk:
    """Implements `desk.api.GuardVerbs`. Without `companions` it is a guard's own desk, or a command's."""

    def __init__(
        self, workspace: Workspace, companions: Companions | None = None, guard_command: Sequence[str] = ()
    ) -> None:
        self._workspace = workspace
        self._companions = companions
        self._command = list(guard_command)
        """Starts a guard on this profile, attached to this process."""
        self.attendance = Attendance(workspace, window=companions is not None)
        self.settings = GuardSettings()
        self._keyring = False
        self._awake = KeepAwake()
        self._awake_said = ""
        self._awake_task: asyncio.Task[None] | None = None
        self._pauses = PauseWatch()
        self._leaving: Farewell | None = None
        self._process: subprocess.Popen[bytes] | None = None
        """The guard that was started last. It may outlive this process: that is its purpose."""
        workspace.alone = self.alone
        workspace.guarding_of = self.chosen
        if companions is not None:
            companions.changed = self._on_companions

    # -- verbs -------------------------------------------------------------------------------------------------------

    async def view(self) -> GuardView:
        """How things stand."""
        return GuardView(self.settings, self._here, self._keyring, self.alone(), self._awake_said)

    async def save_settings(self, settings: GuardSettings) -> None:
        """From now on. Raises AppError."""
        await self._workspace.book.settings.put(SETTING, msgspec.json.encode(settings).decode())
        self.settings = settings
        self._workspace.publish(CompanionsChanged(self._here, self.alone()))

    async def absences(self, limit: int = 50) -> Sequence[AwayReport]:
        """Newest first."""
        return await self.attendance.reports(limit)

    async def leave(self, how: Farewell) -> None:
        """How a guard is left when this desk ends: the trader has been asked."""
        self._leaving = how

    async def lock_screen(self) -> None:
        """Whether the screen can be locked: raises Denied where no passphrase could open it again. Nothing is closed,
        stops are guarded on."""
        info = await asyncio.to_thread(self._workspace.vault.info)
        if not info.opens_with_passphrase:
            raise Denied("This profile has no passphrase to unlock the screen with.", "Lock the computer's own screen.")

    async def unlock_screen(self, passphrase: Secret) -> None:
        """Raises WrongPassphrase."""
        await asyncio.to_thread(self._workspace.vault.prove, passphrase)

    def chosen(self, account: AccountId) -> AccountGuarding:
        """For when an account's prices fail."""
        return self.settings.of(account)

    def farewell(self, armed: int) -> Farewell:
        """How this desk parts: with stops armed the guard takes over, unless the trader said that nobody shall. Where
        the profile was never opened it is not known what is armed: the guard looks."""
        if not armed and self._workspace.is_open:
            return Farewell.STAND_DOWN
        return self._leaving or Farewell.HAND_OVER

    def alone(self) -> str:
        """Why nobody takes over if this program dies; empty when somebody does."""
        if self._companions is None or self._here:
            return ""
        if not self._keyring:
            return (
                "Nobody takes over if this program dies: only your passphrase opens the profile. "
                "`guard` in a terminal asks for it and waits."
            )
        if not self.settings.start_guard:
            return "Nobody takes over if this program dies: the guard is switched off."
        return "Nobody takes over if this program dies: the guard is not there yet."

    # -- by itself ---------------------------------------------------------------------------------------------------

    async def opened(self) -> Absence | None:
        """The files are open: settings, and the absence that ends now. What cannot be read is said."""
        try:
            text = await self._workspace.book.settings.get(SETTING)
            if text is not None:
                self.settings = msgspec.json.decode(text, type=GuardSettings)
            info = await asyncio.to_thread(self._workspace.vault.info)
            self._keyring = info.opens_with_keyring
            return await self.attendance.opened()
        except (AppError, msgspec.DecodeError) as failure:
            self._notice("The settings of guarding could not be read", str(failure), "They are at their defaults.")
            return None

    async def keep_guard(self) -> None:
        """A guard beside this window for as long as it runs, where the keyring opens the profile."""
        if self._companions is None or not self._command:
            return
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            ended = self._process is None or self._process.poll() is not None
            if self._keyring and self.settings.start_guard and not self._here and ended:
                try:
                    self._process = await asyncio.to_thread(self._start)
                except OSError as failure:  # no room for a process now
                    log.warning("the guard could not be started: %s", failure)
            await asyncio.sleep(AGAIN_SECONDS)

    def beat(self, armed: int) -> None:
        """Once a second, from the desk's heart."""
        pause = self._pauses.look()
        if not self._workspace.is_open:  # nobody is away who has not come yet
            return
        self.attendance.beat(armed)
        if pause is not None:
            self._workspace.tasks.start(self._after(pause), "after a pause")
        if not armed:
            self._awake_said = ""  # what was refused once is asked for again with the next stop
        busy = self._awake_task is not None and not self._awake_task.done()
        if bool(armed) is not self._awake.held and not self._awake_said and not busy:
            self._awake_task = self._workspace.tasks.start(self._stay_awake(armed), "stay awake")

    def on_gap(self, event: FeedGap) -> None:
        """Prices of an account are back. Within their silence every stop may have left."""
        if not self._workspace.is_open:
            return
        stops = self._workspace.account(event.account).stops
        if stops.armed or any((stop.closed_at or stop.fired_at or 0) >= event.since for stop in stops.stops):
            self._workspace.tasks.start(self.attendance.gap(event), "after a gap")

    async def close(self, armed: int) -> None:
        """Before the files are closed."""
        await self.attendance.leave(armed, self.farewell(armed))
        await self._awake.release()

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _here(self) -> tuple[Companion, ...]:
        return () if self._companions is None else self._companions.here

    def _on_companions(self, here: tuple[Companion, ...]) -> None:
        self._workspace.publish(CompanionsChanged(here, self.alone()))

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 -- this program itself
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A session of its own: what ends the window's must not end its guard.
            start_new_session=sys.platform != "win32",
        )

    async def _stay_awake(self, armed: int) -> None:
        try:
            if armed:
                await self._awake.hold("Stops are armed")
            else:
                await self._awake.release()
        except AppError as failure:
            self._awake_said = failure.cause  # it will not be different in a second
            log.info("not kept awake: %s", failure)
            self._workspace.publish(
                Noticed(
                    Level.WARNING,
                    "This computer may fall asleep while stops are armed",
                    failure.cause,
                    failure.next_step,
                    repeat_key="awake",
                )
            )

    async def _after(self, pause: Pause) -> None:
        seconds = (pause.until - pause.since) / 1e9
        log.info("nothing ran for %.1f s; asleep: %s", seconds, pause.slept)
        desks = list(self._workspace.live())
        for desk in desks:
            desk.stops.redial()
        await asyncio.gather(*(desk.hub.redial() for desk in desks))
        await self.attendance.paused(pause)

    def _notice(self, title: str, cause: str, next_step: str) -> None:
        self._workspace.publish(Noticed(Level.WARNING, title, cause, next_step, repeat_key=f"guarding:{title}"))
