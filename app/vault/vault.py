"""The vault: one random master key, wrapped in `vault.json`, and everything that is derived from it.

The desk is its only caller. Methods are plain and take their time (Argon2id: a tenth of a second and more): call them
off the loop thread. A lock makes each of them whole; `lock()` waits for the one that runs.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import Damaged, Denied, StorageError, VaultLocked, WrongPassphrase
from app.domain.ids import AccountId
from app.runtime.secret import Secret
from app.vault import sealing
from app.vault.keystore import Keystore
from app.vault.sealing import KEY_BYTES, KdfCost
from app.vault.vault_file import Keyring, Passphrase, VaultFile, load, save

FILE_NAME = "vault.json"
_SEALED_VERSION = b"\x01"
_TOKEN_INFO = b"broker-token-encryption"


@dataclass(frozen=True, slots=True)
class Info:
    """What can be said of a vault without opening it."""

    exists: bool
    keyring_available: bool
    opens_with_keyring: bool
    opens_with_passphrase: bool
    damaged: bool = False
    """`vault.json` is there and cannot be read; `unlock` says so in words."""


class Vault:
    """The secrets of one profile. Locked when made."""

    def __init__(self, profile: Path, keystore: Keystore | None = None, cost: KdfCost | None = None) -> None:
        self._profile = profile
        self._path = profile / FILE_NAME
        self._keystore = keystore or Keystore()
        self._cost = cost or KdfCost()
        """Of wrappings made from now on; existing ones carry their own."""
        self._master: bytearray | None = None
        self._guard = threading.RLock()

    def __repr__(self) -> str:
        return f"Vault({'open' if self.is_open else 'locked'})"

    @property
    def is_open(self) -> bool:
        """Whether keys can be derived and secrets opened."""
        return self._master is not None

    def info(self) -> Info:
        """Whether there is a vault, and what opens it."""
        available = self._keystore.available
        if not self._path.exists():
            return Info(False, available, False, False)
        try:
            file = load(self._path)
        except Damaged:
            return Info(True, available, False, False, damaged=True)
        return Info(True, available, available and file.keyring is not None, file.passphrase is not None)

    def create(self, passphrase: Secret | None, use_keyring: bool) -> None:
        """A new master key, wrapped in the ways that were chosen; the vault is open afterwards.

        Raises Denied when no way was chosen, when there is a vault already, or databases of a lost one.
        """
        with self._guard:
            self._deny_creation(passphrase, use_keyring)
            self._profile.mkdir(parents=True, exist_ok=True, mode=0o700)
            master, vault_id = bytearray(secrets.token_bytes(KEY_BYTES)), secrets.token_hex(16)
            keyring = self._wrap_by_keyring(master, vault_id) if use_keyring else None
            wrapped = self._wrap_by_passphrase(master, vault_id, passphrase) if passphrase else None
            try:
                save(self._path, VaultFile(vault_id, wrapped, keyring))
            except StorageError:
                if keyring is not None:
                    self._keystore.remove(vault_id)
                raise
            self._replace_master(master)

    def unlock(self, passphrase: Secret | None) -> None:
        """Opens the vault by its passphrase, or, with None, by the keyring entry.

        Raises WrongPassphrase, Damaged (vault.json is kept as it is), Denied when there is no such way in.
        """
        with self._guard:
            self._replace_master(self._unwrapped(self._load(), passphrase))

    def lock(self) -> None:
        """Wipes the master key. Keys derived before stay with those who hold them."""
        with self._guard:
            self._replace_master(None)

    def change_passphrase(self, current: Secret | None, new: Secret) -> None:
        """Wraps the same master key by a new passphrase. `current` is asked for again where there is one.

        The keyring entry, if any, still opens the vault. Raises WrongPassphrase, VaultLocked, Denied.
        """
        with self._guard:
            master = self._open_master()
            if not new:
                raise Denied("The new passphrase is empty.", "Type one.")
            file = self._load()
            if file.passphrase is not None:
                self._unwrapped(file, current or Secret(""))
            wrapped = self._wrap_by_passphrase(master, file.vault_id, new)
            save(self._path, VaultFile(file.vault_id, wrapped, file.keyring))

    def database_key(self, name: str) -> Secret:
        """The raw SQLCipher key of one database file: 64 hex digits."""
        with self._guard:
            key = sealing.derived_key(self._open_master(), salt=None, info=f"database:{name}".encode())
        return Secret(key.hex())

    def seal(self, account: AccountId, plain: Secret) -> bytes:
        """A secret of one account as it may lie in the store (B1)."""
        with self._guard:
            return _SEALED_VERSION + sealing.seal(self._account_key(account), plain.reveal().encode(), _bound(account))

    def open(self, account: AccountId, sealed: bytes) -> Secret:
        """The secret again. Raises Damaged when it was altered, or sealed for another account or by another vault."""
        with self._guard:
            plain = None
            if sealed[:1] == _SEALED_VERSION:
                plain = sealing.unseal(self._account_key(account), sealed[1:], _bound(account))
        if plain is None:
            raise Damaged(f"A stored secret of {account} does not open.", "Connect the account again.")
        return Secret(plain.decode())

    def _account_key(self, account: AccountId) -> bytes:
        return sealing.derived_key(self._open_master(), salt=account.encode(), info=_TOKEN_INFO)

    def _open_master(self) -> bytearray:
        if self._master is None:
            raise VaultLocked("The vault is locked.")
        return self._master

    def _replace_master(self, master: bytearray | None) -> None:
        # Python may have copied the bytes elsewhere; what we hold ourselves is overwritten, not just let go.
        if self._master is not None:
            self._master[:] = bytes(len(self._master))
        self._master = master

    def _deny_creation(self, passphrase: Secret | None, use_keyring: bool) -> None:
        if self._path.exists():
            raise Denied("This profile already has a vault.", "Unlock it, or choose another profile folder.")
        left = sorted(path.name for path in self._profile.glob("*.db"))
        if left:
            raise Denied(
                f"{', '.join(left)} of this profile can only be opened with its {FILE_NAME}, which is missing.",
                f"Put {FILE_NAME} back into {self._profile}, or choose another profile folder.",
            )
        if not passphrase and not use_keyring:
            raise Denied("A vault needs a passphrase or the keyring.", "Choose at least one of them.")
        if use_keyring and not self._keystore.available:
            raise Denied("This machine has no keyring that Stopline can use.", "Choose a passphrase.")

    def _load(self) -> VaultFile:
        if not self._path.exists():
            raise Denied("This profile has no vault yet.", "Create one first.")
        return load(self._path)

    def _wrap_by_passphrase(self, master: bytearray, vault_id: str, passphrase: Secret) -> Passphrase:
        salt = secrets.token_bytes(16)
        wrapped = Passphrase(self._cost, salt, b"")
        key = sealing.passphrase_key(passphrase.reveal(), salt, self._cost)
        return Passphrase(self._cost, salt, sealing.seal(key, master, wrapped.binding(vault_id)))

    def _wrap_by_keyring(self, master: bytearray, vault_id: str) -> Keyring:
        key = secrets.token_bytes(KEY_BYTES)
        if not self._keystore.write(vault_id, key.hex()):
            raise Denied("The keyring did not keep the key.", "Unlock the keyring, or choose a passphrase.")
        return Keyring(sealing.seal(key, master, Keyring(b"").binding(vault_id)))

    def _unwrapped(self, file: VaultFile, passphrase: Secret | None) -> bytearray:
        if passphrase is None:
            return self._unwrapped_by_keyring(file)
        if file.passphrase is None:
            raise Denied("This vault has no passphrase.", "Open it with the keyring.")
        wrapped = file.passphrase
        key = sealing.passphrase_key(passphrase.reveal(), wrapped.salt, wrapped.cost)
        master = sealing.unseal(key, wrapped.sealed, wrapped.binding(file.vault_id))
        if master is None:
            raise WrongPassphrase("The passphrase does not open this vault.")
        return bytearray(master)

    def _unwrapped_by_keyring(self, file: VaultFile) -> bytearray:
        if file.keyring is None:
            raise Denied("This vault does not open with the keyring.", "Type the passphrase.")
        otherwise = "Type the passphrase." if file.passphrase else "Unlock the keyring of this user and try again."
        kept = self._keystore.read(file.vault_id)
        if kept is None:
            raise Denied("The keyring did not give the key of this vault.", otherwise)
        try:
            master = sealing.unseal(bytes.fromhex(kept), file.keyring.sealed, file.keyring.binding(file.vault_id))
        except ValueError:
            master = None
        if master is None:
            raise Damaged("The keyring's key does not open this vault.", otherwise)
        return bytearray(master)


def _bound(account: AccountId) -> bytes:
    return b"stopline account secret 1:" + account.encode()
