"""Memory that was freed goes back to the system; how much there is."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path


def give_back() -> None:
    """After a big piece of work: glibc keeps what was freed between blocks that are still in use. Elsewhere nothing.

    Takes a few milliseconds on the calling thread; the interpreter lock is not held meanwhile. Not on the loop thread.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def resident() -> int | None:
    """Bytes of this process in memory now; None where the system does not simply tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return None
    return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
