"""An account's time, between two readings of its exchange's clock."""

from __future__ import annotations

import sys
import time

import pytest

from app.runtime.clock import SECOND, AccountClock

NOON = 1_795_000_000 * SECOND


@pytest.mark.skipif(sys.platform != "linux", reason="the clock that sleep is told by")
def test_an_accounts_clock_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a time exit that came due meanwhile would wait until the broker's clock has been read again."""
    slept = 0

    def of(_which: int) -> int:
        return time.monotonic_ns() + slept  # which stands still meanwhile

    monkeypatch.setattr(time, "clock_gettime_ns", of)
    clock = AccountClock()
    clock.set(NOON)
    slept = 3 * 3_600 * SECOND
    assert 0 <= clock.now() - NOON - slept < SECOND
