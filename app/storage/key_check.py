"""Which key a database was made with.

SQLCipher cannot tell a wrong key from a damaged file. A keyed hash of a random salt beside the file can: it says
whether the file was made with this key, and nothing about the key (which is 256 random bits).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from pathlib import Path

from app.runtime.files import write_atomically
from app.runtime.secret import Secret


def key_check_file(path: Path) -> Path:
    """Beside the database."""
    return path.with_name(path.name + ".key-check")


def key_fits(path: Path, key: Secret) -> bool | None:
    """None: nothing is known."""
    try:
        kept = json.loads(key_check_file(path).read_bytes())
        salt, check = bytes.fromhex(kept["salt"]), bytes.fromhex(kept["check"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return hmac.compare_digest(check, _keyed(key, salt))


def remember_key(path: Path, key: Secret) -> None:
    """Raises OSError."""
    salt = secrets.token_bytes(16)
    kept = {"salt": salt.hex(), "check": _keyed(key, salt).hex()}
    write_atomically(key_check_file(path), json.dumps(kept).encode())


def _keyed(key: Secret, salt: bytes) -> bytes:
    return hmac.new(bytes.fromhex(key.reveal()), b"stopline key check" + salt, hashlib.sha256).digest()
