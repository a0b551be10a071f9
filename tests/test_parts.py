"""`make test` runs every test file once, and says at the end what came of it."""

from __future__ import annotations

from pathlib import Path

from tests.__main__ import PARTS, ROOT, Part, Queue, closing_line


def test_every_test_file_is_in_one_part() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        within = [part.name for part in PARTS if _inside(path, part.paths) and not _inside(path, part.without)]
        assert len(within) == 1, (path, within)


def _inside(path: Path, places: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(ROOT / place) for place in places)


def test_of_a_test_that_is_tried_again_the_second_try_counts() -> None:
    first = ["....F\n4 passed, 1 failed, 2 skipped in 3.20s", "..E\n3 passed, 1 error in 1.00s (0:00:01)", "killed"]
    assert closing_line(first, [], 9.0) == "1 error, 1 failed, 7 passed, 2 skipped in 9.00s"
    assert closing_line(first, ["1 passed in 0.1s", "1 passed in 0.2s"], 9.0) == "8 passed, 2 skipped in 9.00s"
    assert (
        closing_line(first, ["1 failed in 0.1s", "1 passed in 0.2s"], 9.0) == "1 failed, 7 passed, 2 skipped in 9.00s"
    )
    assert closing_line(["no tests ran in 0.01s"], [], 1.0) == "no tests ran in 1.00s"


def test_beside_what_waits_runs_what_reckons_as_long_as_there_is_both() -> None:
    queue = Queue([Part("w1", ()), Part("r1", (), reckons=True), Part("w2", ()), Part("r2", (), reckons=True)])

    def names(*places: bool) -> list[str | None]:
        return [None if (part := queue.next(reckons=reckons)) is None else part.name for reckons in places]

    assert names(False, True, True, True, False) == ["w1", "r1", "r2", "w2", None]
    queue = Queue([Part("r1", (), reckons=True), Part("w1", ())])
    assert names(False, False) == ["w1", "r1"]
    queue = Queue([Part("w1", ()), Part("w2", ())])
    queue.clear()
    assert names(False, True) == [None, None]
