"""The strength hint: ordered as a trader would expect, honest about known weak ones, never a bar."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.runtime.secret import Secret
from app.vault.strength import estimate


@pytest.mark.parametrize(
    "weak", ["", "a", "password", "Password1!", "P@ssw0rd2024", "qwertyuiop", "a" * 40, "nifty2026", "abcabcabcabc"]
)
def test_what_is_guessed_first_scores_zero(weak: str) -> None:
    assert estimate(Secret(weak)).score == 0


@pytest.mark.parametrize("strong", ["tulip anvil mosaic ferry quartz walnut pencil", "x8Kq#vQ2!mZ7pLw3$"])
def test_many_words_or_many_random_characters_are_strong(strong: str) -> None:
    assert estimate(Secret(strong)).score == 4


def test_more_words_never_score_less() -> None:
    words = ["tulip", "anvil", "mosaic", "ferry", "quartz", "walnut", "pencil"]
    scores = [estimate(Secret(" ".join(words[:n]))).score for n in range(1, len(words) + 1)]
    assert scores == sorted(scores)
    assert scores[0] == 0
    assert scores[-1] == 4


def test_the_hint_names_what_is_weak() -> None:
    assert "years" in estimate(Secret("kx2024")).hint
    assert "common words" in estimate(Secret("MyZerodhaLogin")).hint
    assert "rows" in estimate(Secret("vbnm,.hjkl")).hint


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gets_a_score_and_a_hint_that_does_not_repeat_it(text: str) -> None:
    strength = estimate(Secret(text))
    assert 0 <= strength.score <= 4
    assert strength.hint
    if len(text) > 25:
        assert text not in strength.hint
