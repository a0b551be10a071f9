"""Takes secrets out of text before it is written anywhere. Used by the log and by crash reports; safe in any thread."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from app.runtime.secret import Secret

HIDDEN = "***"

_SHORTEST = 4
"""Shorter values are not searched for: hiding every "1" would make the log unreadable and tell the secret besides."""

_NAMES = (
    r"pass(?:word|phrase|wd)?|(?:api_?)?secret|(?:access_|request_|refresh_|public_|enc)?token|authori[sz]ation|checksum|"
    r"cookie|totp(?:_secret)?|otp|pin|authkey|private_?key|sess(?:ion)?_id|twofa_value"
)
_SECRET_NAME = re.compile(rf"(?:^|[_-])(?:{_NAMES})$", re.IGNORECASE)
_IN_QUERY = re.compile(rf"""((?:^|[?&;\s"'(])(?:[a-z]+_)?(?:{_NAMES})=)[^&;\s"'\\)]+""", re.IGNORECASE)
_IN_JSON = re.compile(rf"""(\\?["'](?:[a-z]+_)?(?:{_NAMES})\\?["']\s*:\s*\\?["'])[^"'\\]+""", re.IGNORECASE)
_IN_HEADER = re.compile(r"((?:authori[sz]ation|cookie)\\?[\"']?\s*[:=]\s*\\?[\"']?)[^\"'\\\r\n]+", re.IGNORECASE)
_BEARER = re.compile(r"\b((?:token|bearer)\s+)[\w.~+/-]+(?::[\w.~+/-]+|={0,2})", re.IGNORECASE)


class Redactor:
    """Knows the secrets in use and the names that secrets go by."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: Secret) -> None:
        """From now on this value is hidden wherever it appears: plain, quoted for a URL, escaped for JSON."""
        value = secret.reveal()
        if len(value) < _SHORTEST:
            return
        forms = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
        forms.add(json.dumps(value, ensure_ascii=False)[1:-1])
        # Whole dictionaries are swapped, never changed: other threads may be reading.
        self._values = {**self._values, **dict.fromkeys(forms, HIDDEN)}
        longest_first = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    @property
    def values(self) -> tuple[str, ...]:
        """The secrets in every form that is looked for; for another process of ours that redacts. Keep them nowhere."""
        return tuple(self._values)

    def clear(self) -> None:
        """Forgets the values; after the vault was locked nothing of them stays in memory here."""
        self._values, self._pattern = {}, None

    def text(self, text: str) -> str:
        """The text without secrets: registered values, and whatever stands where a secret usually stands."""
        pattern = self._pattern
        if pattern is not None:
            text = pattern.sub(HIDDEN, text)
        for known_place in (_IN_HEADER, _IN_QUERY, _IN_JSON):
            text = known_place.sub(rf"\g<1>{HIDDEN}", text)
        return _BEARER.sub(_hide_credentials, text)

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Named values, nested ones too, without those whose name says secret."""
        return {key: HIDDEN if _is_secret(key, value) else self._nested(value) for key, value in fields.items()}

    def _nested(self, value: object) -> object:
        if isinstance(value, Mapping):
            return self.fields({str(key): item for key, item in value.items()})
        if isinstance(value, list | tuple):
            return [self._nested(item) for item in value]
        return value


def _is_secret(name: str, value: object) -> bool:
    if not _SECRET_NAME.search(name):
        return False
    # A broker's instrument number is called token too.
    return not (value is None or isinstance(value, bool) or (isinstance(value, int) and name.lower().endswith("token")))


def _hide_credentials(found: re.Match[str]) -> str:
    """`token key:secret` and `Bearer abc123def456...` go, "token died" stays."""
    rest = found.group(0)[len(found.group(1)) :]
    return f"{found.group(1)}{HIDDEN}" if ":" in rest or len(rest) >= 20 else found.group(0)


_SHARED = Redactor()


def shared() -> Redactor:
    """The process's redactor: log, crash reports and whoever learns a secret use the same one."""
    return _SHARED


def redact(secret: Secret) -> None:
    """Hide this secret's value in everything that is logged or reported from now on."""
    _SHARED.add(secret)
