"""Keeps the machine from falling asleep while there is something to guard: each system by its own means.

Linux asks logind by `systemd-inhibit`, macOS has `caffeinate`; both run beside us and end when our end of their pipe
closes, so that nothing is held after a crash of ours. Windows has a call for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Sequence

from app.domain.errors import AppError

WHO = "Stopline"
SETTLE_SECONDS = 0.5
"""An inhibitor that has not ended by then holds."""
END_SECONDS = 2.0

_ES_CONTINUOUS, _ES_SYSTEM_REQUIRED = 0x80000000, 0x00000001
"""Of SetThreadExecutionState (winbase.h)."""


class MayFallAsleep(AppError):
    """The system could not be asked to stay awake."""


def command_for(platform: str, why: str) -> Sequence[str]:
    """What holds off the machine's sleep for as long as its standard input is open; empty where a call does it."""
    if platform == "win32":
        return ()
    if platform == "darwin":
        return ("caffeinate", "-i", "cat")
    return ("systemd-inhibit", "--what=sleep:idle", "--mode=block", f"--who={WHO}", f"--why={why}", "cat")


class KeepAwake:
    """Held or not. Loop thread only."""

    def __init__(self, platform: str = sys.platform) -> None:
        self._platform = platform
        self._process: asyncio.subprocess.Process | None = None
        self._called = False

    @property
    def held(self) -> bool:
        """The machine will not sleep by itself."""
        return self._called or (self._process is not None and self._process.returncode is None)

    async def hold(self, why: str) -> None:
        """From now on. A second call does nothing. Raises MayFallAsleep in words."""
        if self.held:
            return
        command = command_for(self._platform, why)
        if not command:
            self._called = _windows(_ES_CONTINUOUS | _ES_SYSTEM_REQUIRED)
            if not self._called:
                raise MayFallAsleep("Windows did not take the request to stay awake.", _ADVICE)
            return
        if shutil.which(command[0]) is None:
            raise MayFallAsleep(f"This system has no {command[0]}.", _ADVICE)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as failure:
            raise MayFallAsleep(f"{command[0]} could not be started.", _ADVICE, detail=str(failure)) from None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), SETTLE_SECONDS)
        if process.returncode is not None:
            said = b"" if process.stderr is None else await process.stderr.read(400)
            words = said.decode(errors="replace").strip()
            raise MayFallAsleep("The system did not take the request to stay awake.", _ADVICE, detail=words)
        self._process = process

    async def release(self) -> None:
        """The machine may sleep again. A second call does nothing."""
        if self._called:
            self._called = False
            _windows(_ES_CONTINUOUS)
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


_ADVICE = "Switch automatic sleep off while stops are armed: a sleeping computer guards nothing."


def _windows(state: int) -> bool:
    import ctypes

    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 -- absent on other systems, where types are checked
    return bool(kernel.SetThreadExecutionState(state))
