"""The loop thread first: where the system allows it, the kernel wakes it before the window's thread and other programs.

Measured on a busy two-core machine with the window open, 500 exits beside a sync, an import and a backup: in real time
1.8 ms at the 99th percentile and 2.4 at worst, with a niceness of -10 alone 3.6 and 9.7. Threads that wait for the
interpreter lock are woken in the order of their priority, but niceness does not count there.

Real time alone is half of it: the thread that has the interpreter lock, or is to take it, must have a core as well, and
stood up to 8 ms behind other programs and our own helper process while the loop thread waited for it. So with the loop
thread in real time the rest of the program has a niceness of -10: 176 waits of above 1 ms in 45 s instead of 331.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from enum import StrEnum

log = logging.getLogger(__name__)

REAL_TIME = 1
"""Linux: the lowest of the real-time priorities, which is above every ordinary thread. Sound servers have higher ones.
The kernel keeps a part of each second for the others, whatever such a thread does."""
NICENESS = -10
"""Linux: as far above other programs as sound servers ask for. The loop thread's where real time is not allowed, else
that of every other thread which runs Python."""


class Precedence(StrEnum):
    """How far a thread goes before others."""

    REAL_TIME = "real time"
    RAISED = "raised"
    ORDINARY = "ordinary"


_ABOVE_NORMAL = 1
"""Windows: THREAD_PRIORITY_ABOVE_NORMAL."""


def raise_own_thread() -> bool:
    """Raises the calling thread; False where the system does not allow it, which costs speed and nothing else.

    Linux lets root do so, and whoever has an `rtprio` or a `nice` limit in /etc/security/limits.conf.
    """
    try:
        if sys.platform == "win32":
            import ctypes

            kernel = ctypes.windll.kernel32
            return bool(kernel.SetThreadPriority(kernel.GetCurrentThread(), _ABOVE_NORMAL))
        if sys.platform == "linux":
            # On Linux both are per thread.
            try:
                # Threads that this one starts are ordinary ones again.
                policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
                os.sched_setscheduler(threading.get_native_id(), policy, os.sched_param(REAL_TIME))
            except PermissionError:
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
            else:
                _raise_program()
            return True
    except OSError as failure:
        log.info("the loop thread keeps its ordinary priority: %s", failure.strerror)
    return False


def _raise_program() -> None:
    """The main thread, and with it every thread that is settled from now on; never what they start."""
    main = os.getpid()
    with contextlib.suppress(OSError):  # real time may be allowed alone
        os.sched_setscheduler(main, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, main, min(NICENESS, os.getpriority(os.PRIO_PROCESS, main)))


def own_precedence() -> Precedence:
    """Of the calling thread, as the system has it now."""
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        raised = kernel.GetThreadPriority(kernel.GetCurrentThread()) >= _ABOVE_NORMAL
        return Precedence.RAISED if raised else Precedence.ORDINARY
    if sys.platform == "linux":
        thread = threading.get_native_id()
        if os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK in (os.SCHED_RR, os.SCHED_FIFO):
            return Precedence.REAL_TIME
        if os.getpriority(os.PRIO_PROCESS, thread) < os.getpriority(os.PRIO_PROCESS, os.getpid()):
            return Precedence.RAISED
    return Precedence.ORDINARY


BEHIND = 5
"""Linux: steps that a thread stands behind the window which works for nobody in particular."""


def settle_own_thread(*, behind: bool = False) -> None:
    """Gives the calling thread the priority of the program, which is the main thread's; or one behind it.

    On Linux a thread inherits the priority of the one that starts it, or none of it: a store's thread that the loop
    thread started took the core from the window for 180 ms at a sync of 10,000 fills, and one of the same priority up
    to 29 of 67 ms (measured, two cores). Never fails: a thread that may not be raised stays where it is.
    """
    if sys.platform != "linux":
        return
    own, ordinary = threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, os.getpid())
    with contextlib.suppress(OSError):  # a step back is always allowed
        os.setpriority(os.PRIO_PROCESS, own, ordinary + BEHIND if behind else ordinary)
