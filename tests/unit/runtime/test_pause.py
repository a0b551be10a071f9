from __future__ import annotations

from app.runtime.pause import SECOND, Pause, PauseWatch, Reading, read


def watch(*readings: Reading) -> PauseWatch:
    return PauseWatch(iter(readings).__next__)


def test_the_real_clocks_see_no_pause_between_two_looks() -> None:
    seen = PauseWatch()
    assert seen.look() is None
    first, second = read(), read()
    assert first.running <= second.running
    assert first.since_boot <= second.since_boot


def test_a_machine_that_slept_is_told_from_one_that_was_held_up() -> None:
    before = Reading(1_000 * SECOND, 50 * SECOND, 70 * SECOND)
    slept = Reading(1_045 * SECOND, 51 * SECOND, 115 * SECOND)
    held_up = Reading(1_090 * SECOND, 96 * SECOND, 160 * SECOND)
    seen = watch(before, slept, held_up)
    assert seen.look() == Pause(1_000 * SECOND, 1_045 * SECOND, slept=True)
    assert seen.look() == Pause(1_045 * SECOND, 1_090 * SECOND, slept=False)


def test_a_clock_that_is_set_is_no_pause() -> None:
    seen = watch(Reading(1_000 * SECOND, 50 * SECOND, 70 * SECOND), Reading(5_000 * SECOND, 51 * SECOND, 71 * SECOND))
    assert seen.look() is None
