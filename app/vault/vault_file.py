"""`vault.json`: wrapped keys and how they are wrapped, nothing else. Written whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.errors import Damaged, StorageError
from app.runtime.files import write_atomically
from app.vault.sealing import KEY_BYTES, KdfCost, from_text, to_text

_FORMAT = "stopline-vault"
_VERSION = 1
_LARGEST = 16_384
_SEALED_BYTES = 12 + KEY_BYTES + 16  # nonce, key, tag


@dataclass(frozen=True, slots=True)
class Passphrase:
    """The master key wrapped by Argon2id of a passphrase."""

    cost: KdfCost
    salt: bytes
    sealed: bytes

    def binding(self, vault_id: str) -> bytes:
        """What the wrapping is bound to: edited parameters do not open."""
        cost = f"{self.cost.memory_kib}:{self.cost.iterations}:{self.cost.lanes}"
        return f"{_FORMAT}:{_VERSION}:{vault_id}:argon2id:{cost}".encode()


@dataclass(frozen=True, slots=True)
class Keyring:
    """The master key wrapped by a random key that the OS keyring keeps under the vault's id."""

    sealed: bytes

    def binding(self, vault_id: str) -> bytes:
        """As above."""
        return f"{_FORMAT}:{_VERSION}:{vault_id}:keyring".encode()


@dataclass(frozen=True, slots=True)
class Recovery:
    """The master key wrapped by a long random code that the trader wrote down."""

    sealed: bytes

    def binding(self, vault_id: str) -> bytes:
        """As above."""
        return f"{_FORMAT}:{_VERSION}:{vault_id}:recovery".encode()


@dataclass(frozen=True, slots=True)
class VaultFile:
    """The file's content. A passphrase or the keyring is always there."""

    vault_id: str
    passphrase: Passphrase | None
    keyring: Keyring | None
    recovery: Recovery | None = None


def save(path: Path, file: VaultFile) -> None:
    """Replaces the file so that a crash leaves the old one or the new one, readable by its owner alone."""
    try:
        write_atomically(path, json.dumps(encoded(file), indent=1).encode())
    except OSError as error:
        raise StorageError(
            f"{path.name} could not be written.", f"Check space and permissions of {path.parent}.", detail=str(error)
        ) from error


def encoded(file: VaultFile) -> dict[str, Any]:
    """The content as plain JSON values."""
    content: dict[str, Any] = {"format": _FORMAT, "version": _VERSION, "id": file.vault_id}
    if file.passphrase is not None:
        content["passphrase"] = {
            "kdf": "argon2id",
            "memory_kib": file.passphrase.cost.memory_kib,
            "iterations": file.passphrase.cost.iterations,
            "lanes": file.passphrase.cost.lanes,
            "salt": to_text(file.passphrase.salt),
            "sealed": to_text(file.passphrase.sealed),
        }
    if file.keyring is not None:
        content["keyring"] = {"sealed": to_text(file.keyring.sealed)}
    if file.recovery is not None:
        content["recovery"] = {"sealed": to_text(file.recovery.sealed)}
    return content


def load(path: Path) -> VaultFile:
    """The content. Raises Damaged, and leaves the file alone: it may be the only way to the databases."""
    try:
        with path.open("rb") as opened:
            raw = opened.read(_LARGEST + 1)
    except OSError as error:
        raise StorageError(
            f"{path.name} could not be read.", f"Check the permissions of {path.parent}.", detail=str(error)
        ) from error
    try:
        if len(raw) > _LARGEST:
            raise ValueError("too large")
        content = json.loads(raw)
        if content["format"] != _FORMAT:
            raise ValueError("another format")
        version = int(content["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path) from error
    if version > _VERSION:
        raise StorageError(f"{path.name} was written by a newer Stopline.", "Use the newer program.")
    try:
        return decoded(content)
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error


def decoded(content: dict[str, Any]) -> VaultFile:
    """The opposite of `encoded`. Raises ValueError, KeyError, TypeError on anything else."""
    passphrase, keyring, recovery = None, None, None
    if "passphrase" in content:
        wrapped = content["passphrase"]
        if wrapped["kdf"] != "argon2id":
            raise ValueError("another key derivation")
        numbers = (wrapped["memory_kib"], wrapped["iterations"], wrapped["lanes"])
        if not all(type(number) is int for number in numbers):
            raise ValueError("a cost is not a number")
        salt = from_text(wrapped["salt"])
        if len(salt) < 16:
            raise ValueError("the salt is too short")
        passphrase = Passphrase(KdfCost(*numbers), salt, _sealed(wrapped))
    if "keyring" in content:
        keyring = Keyring(_sealed(content["keyring"]))
    if "recovery" in content:
        recovery = Recovery(_sealed(content["recovery"]))
    if passphrase is None and keyring is None:
        raise ValueError("no wrapping")
    return VaultFile(str(content["id"]), passphrase, keyring, recovery)


def _sealed(wrapped: dict[str, Any]) -> bytes:
    sealed = from_text(wrapped["sealed"])
    if len(sealed) != _SEALED_BYTES:
        raise ValueError("the wrapped key has another length")
    return sealed


def _damaged(path: Path) -> Damaged:
    return Damaged(
        f"{path.name} is damaged or not one of ours.",
        f"Put back a good copy of {path.name}; it was left as it is, and so were the databases that need it.",
    )
