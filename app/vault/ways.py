"""What a vault's file says of the ways into it, read without what opens it: the first window is painted by this."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "vault.json"
_LARGEST = 16_384


@dataclass(frozen=True, slots=True)
class Ways:
    """Named in the file; whether they are whole is seen by whoever opens it."""

    passphrase: bool
    keyring: bool
    recovery: bool


def ways_in(profile: Path) -> Ways | None:
    """None where there is no file, or one that cannot be read here: opening it says why, in words."""
    try:
        with (profile / FILE_NAME).open("rb") as opened:
            content = json.loads(opened.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    return Ways("passphrase" in content, "keyring" in content, "recovery" in content)
