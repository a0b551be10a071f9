"""How strong a passphrase looks. A hint for the trader, never a bar; nothing is sent or stored."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from app.runtime.secret import Secret

_COMMON_WORDS = """
    password passwort passphrase secret letmein welcome admin login qwerty qwertz azerty asdf zxcvbn dragon monkey
    football cricket iloveyou princess sunshine master shadow superman batman hello freedom whatever trustno1 abc
    stopline zerodha kite upstox trade trader trading nifty banknifty sensex stock stocks share market money rupee
    profit india bharat mumbai delhi chennai krishna ganesh lakshmi sairam test user demo changeme default
    january february march april may june july august september october november december
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_LEET = str.maketrans("@4301$5!7", "aaeoissit")

_WORD_BITS = 11.0
"""An uncommon word weighs as one of a list of 2,048; lists of attackers hold far more, in order of likelihood."""
_THRESHOLDS = (28.0, 40.0, 55.0, 70.0)
"""Bits from which the score is 1, 2, 3, 4. At 64 MiB a guess, 2^40 guesses cost a rented farm about a day."""


@dataclass(frozen=True, slots=True)
class Strength:
    """0 (guessed at once) to 4 (strong), and what would help."""

    score: int
    hint: str


def estimate(passphrase: Secret) -> Strength:
    """Bits of guessing work, estimated low: by characters or by words, whichever is less, after taking out what is
    easily guessed (common words, keyboard rows, repeats, years)."""
    text = passphrase.reveal()
    if not text:
        return Strength(0, "Type a passphrase.")
    rest, found = _without_patterns(text)
    bits = min(_character_bits(rest), _word_bits(rest)) + 4.0 * len(found)
    score = sum(bits >= threshold for threshold in _THRESHOLDS)
    return Strength(score, _hint(score, text, found))


def _without_patterns(text: str) -> tuple[str, list[str]]:
    """The text with every easily guessed run cut out, and what kinds were found."""
    found: list[str] = []
    folded = text.lower().translate(_LEET)
    keep = [True] * len(text)

    def cut(start: int, end: int, kind: str) -> None:
        if any(keep[start:end]):
            found.append(kind)
            keep[start:end] = [False] * (end - start)

    for word in sorted(_COMMON, key=len, reverse=True):
        at = folded.find(word) if len(word) > 3 else -1
        if at >= 0:
            cut(at, at + len(word), "common words")
    lowered = text.lower()
    for match in re.finditer(r"(.)\1{2,}", lowered):
        cut(match.start() + 1, match.end(), "repeats")
    for match in re.finditer(r"(.{2,}?)\1+", lowered):
        cut(match.start() + len(match[1]), match.end(), "repeats")
    for match in re.finditer(r"(?:19|20)\d\d", lowered):
        cut(*match.span(), "years")
    for start, end in _runs(lowered):
        cut(start + 1, end, "keyboard or number rows")
    return "".join(c if kept else " " for c, kept in zip(text, keep, strict=True)), found


def _runs(text: str) -> list[tuple[int, int]]:
    """Stretches of 4 or more along a row of the keyboard, the alphabet or the digits, either way."""
    rows = [row for forward in _ROWS for row in (forward, forward[::-1])]
    spans, start = [], 0
    while start < len(text):
        end = start + 1
        while end < len(text) and any(text[start : end + 1] in row for row in rows):
            end += 1
        if end - start >= 4:
            spans.append((start, end))
        start = end
    return spans


def _character_bits(text: str) -> float:
    letters = text.replace(" ", "")
    kinds = ((r"[a-z]", 26), (r"[A-Z]", 26), (r"[0-9]", 10), (r"[^a-zA-Z0-9]", 33))
    alphabet = sum(size for pattern, size in kinds if re.search(pattern, letters))
    return len(letters) * math.log2(alphabet) if alphabet else 0.0


def _word_bits(text: str) -> float:
    """Text made of words of letters is guessed word by word; anything else by character."""
    bits = 0.0
    for token in re.findall(r"[^\W\d_]+|[\d_\W]", text):
        if token.isspace():
            continue
        bits += min(_WORD_BITS, 4.7 * len(token)) if token.isalpha() and token[1:].islower() else 5.0 * len(token)
    return bits


def _hint(score: int, text: str, found: list[str]) -> str:
    if score >= 4:
        return "Strong."
    if found:
        return f"Easily guessed parts: {', '.join(dict.fromkeys(found))}. Add unrelated words."
    if score < 2 or len(text) < 12:
        return "Weak. Several unrelated words are strong and easy to remember."
    if score == 3:
        return "Good. One more word makes it strong."
    return "Fair. Add a few unrelated words."
