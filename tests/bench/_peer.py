"""A program that does next to nothing, probed as the workstation is: what it waits for its interpreter lock is this
machine's doing. A thread of it computes for one millisecond in ten, and loses its core to others as anybody does.

Commands on standard input, answers on standard output, one JSON document a line.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from app.runtime.loop import SWITCH_INTERVAL
from tests.bench._probe import LockProbe

BUSY_S = 0.001
PAUSE_S = 0.009


def compute() -> None:
    """For ever."""
    while True:
        until = time.perf_counter() + BUSY_S
        while time.perf_counter() < until:
            pass
        time.sleep(PAUSE_S)


def main() -> None:
    """Until standard input closes."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    threading.Thread(target=compute, daemon=True).start()
    probe = LockProbe()
    for _ in sys.stdin:
        waits = probe.take()
        sys.stdout.write(json.dumps({"lock_ms": waits.worst_ms, "core_ms": waits.core_ms}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
