"""What the vault seals with: Argon2id, HKDF-SHA256, AES-256-GCM, all from `cryptography`. Pure but for randomness."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D 8.2.1: 96 bits


@dataclass(frozen=True, slots=True)
class KdfCost:
    """What a guess at the passphrase costs. Default: RFC 9106 section 4, second recommended option."""

    memory_kib: int = 65_536
    iterations: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        # The numbers come from a file that anybody may have edited: neither hang, nor swallow the memory, nor be
        # talked down to a cost that makes guessing cheap (RFC 9106 asks for 8 KiB a lane, OWASP for 19 MiB in all).
        in_range = 19_456 <= self.memory_kib <= 1_048_576 and 1 <= self.iterations <= 20 and 1 <= self.lanes <= 16
        if not in_range or self.memory_kib * self.iterations > 4 * 1_048_576:
            raise ValueError(f"key derivation cost out of bounds: {self}")


def passphrase_key(passphrase: str, salt: bytes, cost: KdfCost) -> bytes:
    """The key that wraps the master key, from what the trader types. Takes a tenth of a second or more."""
    return Argon2id(
        salt=salt, length=KEY_BYTES, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
    ).derive(passphrase.encode())


def derived_key(master: bytes | bytearray, *, salt: bytes | None, info: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869), 32 bytes."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(master)


def seal(key: bytes, plain: bytes | bytearray, bound_to: bytes) -> bytes:
    """Nonce and ciphertext with tag. Opens only with the same key and the same `bound_to`."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def unseal(key: bytes, sealed: bytes, bound_to: bytes) -> bytes | None:
    """The plain bytes; None when key, binding or ciphertext is not the one it was sealed with."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):
        return None


def to_text(data: bytes) -> str:
    """For a JSON file."""
    return base64.b64encode(data).decode()


def from_text(text: str) -> bytes:
    """Raises ValueError on anything that `to_text` does not write."""
    return base64.b64decode(text.encode("ascii"), validate=True)
