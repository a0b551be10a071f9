"""Memory that was freed goes back to the system; how much there is."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_PR_SET_THP_DISABLE = 41
"""Linux, since 3.15; an older one refuses, and nothing changes."""


def give_back() -> None:
    """After a big piece of work: glibc keeps what was freed between blocks that are still in use. Elsewhere nothing.

    Takes a few milliseconds on the calling thread; the interpreter lock is not held meanwhile. Not on the loop thread.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def small_pages() -> None:
    """Big blocks are not made of huge pages any more, in the whole process. Linux; elsewhere nothing.

    numpy asks for them from 4 MB on, and the first touch of each clears two megabytes, for which the kernel may have to
    move others out of the way: a thread that filled the table of 200,000 instruments held the interpreter lock for up
    to 12 ms in one step.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)


def resident() -> int | None:
    """Bytes of this process in memory now; None where the system does not simply tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return None
    return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
