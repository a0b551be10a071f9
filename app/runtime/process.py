"""Which process this is, in words that outlive it: a pid is reused, a pid with its start is not."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """One process of this machine."""

    pid: int
    started: str
    """When it began, as the system tells; empty when it does not."""

    @property
    def alive(self) -> bool:
        """It runs still, and is not another one with its number."""
        return _started(self.pid) == self.started if self.started else _exists(self.pid)


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def own_process() -> ProcessMark:
    """The process that asks. Read anew each time: a forked child is another one."""
    return ProcessMark(os.getpid(), _started(os.getpid()))


def _started(pid: int) -> str:
    """When a process began; empty when there is none, or the system does not tell."""
    if sys.platform == "win32":
        return _started_windows(pid)
    try:
        # Field 22 of proc_pid_stat(5), in ticks since boot; the name before it may hold spaces and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _started_by_ps(pid)
    return "" if fields[0] in ("Z", "X") else f"{_boot()}:{fields[19]}"


def _started_by_ps(pid: int) -> str:
    told = subprocess.run(  # noqa: S603 -- a number, and the system's own program
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=5,
    )
    return told.stdout.strip()


def _started_windows(pid: int) -> str:
    import ctypes

    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 -- absent on other systems, where types are checked
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return ""
    try:
        times = (ctypes.c_uint64 * 4)()
        code = ctypes.c_uint32()
        alive = kernel.GetExitCodeProcess(handle, ctypes.byref(code)) and code.value == 259  # STILL_ACTIVE
        step = ctypes.sizeof(ctypes.c_uint64)
        told = kernel.GetProcessTimes(handle, *(ctypes.byref(times, step * n) for n in range(4)))
        return str(times[0]) if alive and told else ""
    finally:
        kernel.CloseHandle(handle)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
