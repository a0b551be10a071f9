from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from app.runtime.garbage import BURST, MIDDLE_EVERY, OWED, UNCOUNTED, YOUNG, GarbageCollector


class Node:
    """Refers to itself: only the collector can free it."""

    def __init__(self, died: Callable[[], None] | None = None) -> None:
        self.me = self
        self.died = died

    def __del__(self) -> None:
        if self.died is not None:
            self.died()


@pytest.fixture
def collector() -> Iterator[GarbageCollector]:
    made = GarbageCollector()
    gc.enable()
    made.take_over()
    yield made
    gc.disable()  # as the tests have it
    gc.freeze()


def litter(count: int = YOUNG) -> list[weakref.ref[Node]]:
    return [weakref.ref(Node()) for _ in range(count)]


def elsewhere(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_what_another_thread_leaves_behind_dies_on_ours(collector: GarbageCollector) -> None:
    deaths: list[int] = []
    elsewhere(lambda: [Node(lambda: deaths.append(threading.get_ident())) for _ in range(YOUNG * 2 // 5)])
    assert deaths == []
    collector.turn()
    assert set(deaths) == {threading.get_ident()}
    assert len(deaths) == YOUNG * 2 // 5


def test_what_a_hurry_set_aside_is_freed_at_the_next_quiet_moment(collector: GarbageCollector) -> None:
    held: list[weakref.ref[Node]] = []
    while not collector.owes:
        held += litter()
        collector.turn(hurried=True)
    collector.turn(hurried=True)
    collector.turn()
    assert all(one() is not None for one in held)
    collector.turn(quiet=True)
    assert all(one() is None for one in held)
    assert not collector.owes


def test_a_little_litter_is_left_for_later(collector: GarbageCollector) -> None:
    gc.collect()
    one = weakref.ref(Node())
    collector.turn()
    assert one() is not None
    more = litter(YOUNG * 3 // 5)  # as much again for the references
    collector.turn()
    assert one() is None
    assert not any(ref() for ref in more)


def test_what_grew_older_is_collected_now_and_then(collector: GarbageCollector) -> None:
    node = Node()
    old = weakref.ref(node)
    gc.collect(0)  # alive: it moves to the middle generation
    del node
    for _ in range(MIDDLE_EVERY):
        litter()
        collector.turn()
    assert old() is None


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="increments took the place of the middle generation")
def test_the_oldest_generation_waits_until_it_is_asked_for(collector: GarbageCollector) -> None:
    node = Node()
    old = weakref.ref(node)
    gc.collect(1)
    gc.collect(1)
    del node
    for _ in range(2 * MIDDLE_EVERY):
        litter()
        collector.turn()
    assert old() is not None
    collector.collect_all()
    assert old() is None


def test_a_burst_of_data_is_set_aside_and_not_looked_through(collector: GarbageCollector) -> None:
    before = gc.get_freeze_count()
    node = Node()
    inside = weakref.ref(node)
    burst = [[n] for n in range(BURST + 1_000)]
    del node
    collector.turn()
    assert gc.get_freeze_count() >= before + len(burst)
    assert inside() is not None
    collector.collect_all()
    assert inside() is None


def test_what_comes_and_goes_as_containers_is_counted_seldom(collector: GarbageCollector) -> None:
    prices = [[n] for n in range(2 * BURST)]
    collector.set_aside()
    for n in range(len(prices)):  # each takes the place of an older one: Python's own count stays where it was
        prices[n] = [n]
    hidden = litter(YOUNG * 3 // 5)
    collector.turn()
    assert any(ref() for ref in hidden)
    rounds = []
    for _ in range(UNCOUNTED + 1):
        rounds.append(litter(YOUNG * 3 // 5))
        collector.turn()
    looked = [not any(ref() for ref in small) for small in rounds]
    assert looked == [False] * UNCOUNTED + [True]


def test_while_a_stop_is_armed_what_is_due_is_set_aside_unseen(collector: GarbageCollector) -> None:
    gc.collect()
    small = litter(YOUNG * 3 // 5)
    collector.turn(hurried=True)
    assert all(ref() for ref in small)
    collector.turn()
    assert all(ref() for ref in small), "it is spared from every later look"
    collector.collect_all()
    assert not any(ref() for ref in small)


def test_what_was_set_aside_is_owed_a_look_until_it_had_one(collector: GarbageCollector) -> None:
    kept, owed = [], [collector.owes]
    for _ in range(OWED // BURST):
        kept.append([[n] for n in range(BURST + 1_000)])
        collector.turn()
        owed.append(collector.owes)
    collector.collect_all()
    owed.append(collector.owes)
    assert owed == [False] * (OWED // BURST) + [True, False]


def test_who_is_in_a_hurry_takes_over_and_gives_back_without_a_look() -> None:
    node = Node()
    inside = weakref.ref(node)
    del node
    made = GarbageCollector()
    gc.enable()
    made.take_over(collect=False)
    assert not gc.isenabled()
    made.give_back(collect=False)
    assert gc.isenabled()
    assert inside() is not None
    gc.disable()  # as the tests have it
    gc.collect()
    assert inside() is None
    gc.freeze()


def test_another_thread_may_not_collect(collector: GarbageCollector) -> None:
    refused: list[str] = []

    def meddle() -> None:
        for work in (collector.turn, collector.collect_all, collector.give_back):
            with pytest.raises(RuntimeError, match="another thread"):
                work()
            refused.append(work.__name__)

    elsewhere(meddle)
    assert refused == ["turn", "collect_all", "give_back"]


def test_given_back_python_collects_by_itself(collector: GarbageCollector) -> None:
    assert not gc.isenabled()
    collector.give_back()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_tuple_that_another_thread_is_filling_can_be_finished(collector: GarbageCollector) -> None:
    begun, counted, made = threading.Event(), threading.Event(), []

    def half() -> Iterator[int]:
        for n in range(100):
            if n == 50:
                begun.set()
                counted.wait(10)
            yield n

    def in_between(_frame: object, event: str, called: object) -> None:
        if event == "c_return" and called is gc.get_objects:
            counted.set()  # where an unlucky switch of threads lets the other one go on
            filling.join(10)

    filling = threading.Thread(target=lambda: made.append(tuple(half())))
    filling.start()
    begun.wait(10)
    keep = litter()
    sys.setprofile(in_between)
    try:
        collector.turn()
    finally:
        sys.setprofile(None)
    counted.set()
    filling.join(10)
    assert made == [tuple(range(100))]
    assert len(keep) == YOUNG
