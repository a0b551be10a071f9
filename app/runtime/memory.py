"""Memory that was freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """After a big piece of work: glibc keeps what was freed between blocks that are still in use. Elsewhere nothing.

    Takes a few milliseconds on the calling thread; the interpreter lock is not held meanwhile. Not on the loop thread.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
