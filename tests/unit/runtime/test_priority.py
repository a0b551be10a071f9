"""Who goes first: the loop thread, and nobody that it starts."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from app.runtime.helper import Helper
from app.runtime.loop import LoopThread
from app.runtime.priority import NICENESS, Precedence, own_precedence, raise_own_thread
from app.storage.worker import Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads inherit their priority on Linux alone")


Place = tuple[int, int]
"""Scheduling policy and niceness of a thread."""


def place_of(thread: int) -> Place:
    return os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK, os.getpriority(os.PRIO_PROCESS, thread)


def own_place() -> Place:
    return place_of(threading.get_native_id())


def test_what_the_loop_thread_starts_takes_no_core_from_the_window() -> None:
    ordinary = own_place()

    async def found() -> tuple[Place, Place, Place, Place, int]:
        worker, helper = Worker("book"), Helper()
        try:
            store, beside = await worker.call(own_place), await asyncio.to_thread(own_place)
            in_helper = await helper.call(own_place)
            pool = [place_of(thread.native_id or 0) for thread in threading.enumerate()]
            return own_place(), store, beside, in_helper, sum(place != ordinary for place in pool)
        finally:
            await helper.stop()
            await worker.stop(lambda: None)

    loop = LoopThread()
    loop.start()
    try:
        own, store, beside, in_helper, raised = loop.submit(found()).result(60)
    finally:
        loop.stop()
    if own == ordinary:
        pytest.skip("this user may not raise a thread")
    policy, niceness = ordinary
    assert (store, beside, in_helper, raised) == (ordinary, ordinary, (policy, min(niceness + 10, 19)), 1)


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
