"""Who goes first: the loop thread, and nobody that it starts."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from app.runtime.helper import NICENESS as HELPERS
from app.runtime.helper import Helper
from app.runtime.loop import LoopThread
from app.runtime.priority import NICENESS, Precedence, own_precedence, raise_own_thread
from app.storage.worker import Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads inherit their priority on Linux alone")


@pytest.fixture(autouse=True)
def _from_the_beginning() -> Iterator[None]:
    """A loop thread of another test may have raised the program."""
    before = os.getpriority(os.PRIO_PROCESS, os.getpid())
    os.setpriority(os.PRIO_PROCESS, os.getpid(), max(before, 0))
    yield
    os.setpriority(os.PRIO_PROCESS, os.getpid(), before)


Place = tuple[int, int]
"""Scheduling policy and niceness of a thread."""


def place_of(thread: int) -> Place:
    return os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK, os.getpriority(os.PRIO_PROCESS, thread)


def own_place() -> Place:
    return place_of(threading.get_native_id())


def test_what_the_loop_thread_starts_takes_no_core_from_the_window() -> None:
    async def found() -> tuple[Place, Place, Place, Place, int]:
        worker, helper = Worker("book"), Helper()
        try:
            store, beside = await worker.call(own_place), await asyncio.to_thread(own_place)
            in_helper = await helper.call(own_place)
            program = place_of(os.getpid())
            pool = [place_of(thread.native_id or 0) for thread in threading.enumerate()]
            return own_place(), store, beside, in_helper, sum(place != program for place in pool)
        finally:
            await helper.stop()
            await worker.stop(lambda: None)

    loop = LoopThread()
    loop.start()
    try:
        own, store, beside, in_helper, raised = loop.submit(found()).result(60)
    finally:
        loop.stop()
    program = own_place()
    if own == program:
        pytest.skip("this user may not raise a thread")
    assert (store, beside, in_helper, raised) == (program, program, (os.SCHED_OTHER, HELPERS), 1)


def test_beside_a_loop_thread_in_real_time_the_program_goes_before_others_and_what_it_starts_does_not() -> None:
    thread = threading.Thread(target=raise_own_thread)
    thread.start()
    thread.join()
    if own_place() != (os.SCHED_OTHER, NICENESS):
        pytest.skip("this user may not raise a program")
    asking = [sys.executable, "-c", "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"]
    assert subprocess.run(asking, check=True, capture_output=True, text=True).stdout == "0\n"


def test_a_thread_knows_where_it_stands() -> None:
    assert own_precedence() is Precedence.ORDINARY
    told: list[tuple[bool, Precedence]] = []
    thread = threading.Thread(target=lambda: told.append((raise_own_thread(), own_precedence())))
    thread.start()
    thread.join()
    ((raised, precedence),) = told
    assert (precedence is not Precedence.ORDINARY) is raised


def test_who_may_not_use_real_time_is_raised_by_niceness(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_of: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    found: list[tuple[bool, Place, Precedence]] = []
    thread = threading.Thread(target=lambda: found.append((raise_own_thread(), own_place(), own_precedence())))
    thread.start()
    thread.join()
    ((raised, place, precedence),) = found
    if not raised:
        pytest.skip("this user may not raise a thread")
    assert (place, precedence) == ((os.SCHED_OTHER, NICENESS), Precedence.RAISED)
