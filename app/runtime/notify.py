"""A word on the trader's desktop without a window of ours: by the system's own program for it, where there is one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import sys
from collections.abc import Sequence

log = logging.getLogger(__name__)

SECONDS = 5.0


def command_for(platform: str, title: str, text: str, *, urgent: bool) -> Sequence[str]:
    """The command that shows it; empty where the system has none."""
    if platform == "darwin":
        # JSON's quoting is AppleScript's.
        script = f"display notification {json.dumps(text)} with title {json.dumps(title)}"
        return ("osascript", "-e", f'{script} sound name "Sosumi"' if urgent else script)
    if platform == "win32":
        return ("msg", "*", "/TIME:60", f"{title}: {text}")
    return ("notify-send", "--app-name=Stopline", f"--urgency={'critical' if urgent else 'normal'}", title, text)


async def notify(title: str, text: str, *, urgent: bool = False) -> bool:
    """Shows it; False where nobody could. Never raises: what is said is in the log and on the page too."""
    command = command_for(sys.platform, title, text, urgent=urgent)
    if shutil.which(command[0]) is None:
        return False
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as failure:
        log.info("no desktop notification: %s", failure)
        return False
    try:
        return await asyncio.wait_for(process.wait(), SECONDS) == 0
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return False
