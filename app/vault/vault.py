"""The vault: one random master key, wrapped in `vault.json`, and everything that is derived from it.

The desk is its only caller. Methods are plain and take their time (Argon2id: a tenth of a second and more): call them
off the loop thread. A lock makes each of them whole; `lock()` waits for the one that runs.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from app.domain.errors import Damaged, Denied, StorageError, VaultLocked
from app.domain.ids import AccountId
from app.runtime.secret import Secret
from app.vault import wrapping
from app.vault.keys import MasterKeys
from app.vault.keystore import Keystore
from app.vault.sealing import KEY_BYTES, KdfCost
from app.vault.vault_file import VaultFile, load, save
from app.vault.ways import FILE_NAME


@dataclass(frozen=True, slots=True)
class Info:
    """What can be said of a vault without opening it."""

    exists: bool
    keyring_available: bool
    opens_with_keyring: bool
    opens_with_passphrase: bool
    has_recovery_key: bool = False
    damaged: bool = False
    """`vault.json` is there and cannot be read; `unlock` says so in words."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new master key that is ready to take over."""

    old: VaultFile
    new: VaultFile
    keys: MasterKeys


class Vault:
    """The secrets of one profile. Locked when made."""

    def __init__(self, profile: Path, keystore: Keystore | None = None, cost: KdfCost | None = None) -> None:
        self._profile = profile
        self._path = profile / FILE_NAME
        self._keystore = keystore or Keystore()
        self._cost = cost or KdfCost()
        """Of wrappings made from now on; existing ones carry their own."""
        self._keys: MasterKeys | None = None
        self._retired: list[MasterKeys] = []
        self._guard = threading.RLock()

    def __repr__(self) -> str:
        return f"Vault({'open' if self.is_open else 'locked'})"

    @property
    def is_open(self) -> bool:
        """Whether keys can be derived and secrets opened."""
        return self._keys is not None

    def info(self) -> Info:
        """Whether there is a vault, and what opens it."""
        available = self._keystore.available
        if not self._path.exists():
            return Info(False, available, False, False)
        try:
            file = load(self._path)
        except Damaged:
            return Info(True, available, False, False, damaged=True)
        return Info(
            True,
            available,
            available and file.keyring is not None,
            file.passphrase is not None,
            has_recovery_key=file.recovery is not None,
        )

    def create(self, passphrase: Secret | None, use_keyring: bool) -> None:
        """A new master key, wrapped in the ways that were chosen; the vault is open afterwards.

        Raises Denied when no way was chosen, when there is a vault already, or databases of a lost one.
        """
        with self._guard:
            self._deny_creation(passphrase, use_keyring)
            self._profile.mkdir(parents=True, exist_ok=True, mode=0o700)
            master, vault_id = bytearray(secrets.token_bytes(KEY_BYTES)), secrets.token_hex(16)
            keyring = wrapping.by_keyring(master, vault_id, self._keystore) if use_keyring else None
            wrapped = wrapping.by_passphrase(master, vault_id, passphrase, self._cost) if passphrase else None
            try:
                save(self._path, VaultFile(vault_id, wrapped, keyring))
            except StorageError:
                if keyring is not None:
                    self._keystore.remove(vault_id)
                raise
            self._replace(master)

    def unlock(self, passphrase: Secret | None) -> None:
        """Opens the vault by its passphrase, or, with None, by the keyring entry.

        Raises WrongPassphrase, Damaged (vault.json is kept as it is), Denied when there is no such way in.
        """
        with self._guard:
            self._replace(self._unwrapped(self._load(), passphrase))

    def lock(self) -> None:
        """Wipes the master key. Keys derived before stay with those who hold them."""
        with self._guard:
            self._replace(None)
            while self._retired:
                self._retired.pop().wipe()

    def change_passphrase(self, current: Secret | None, new: Secret) -> None:
        """Wraps the same master key by a new passphrase. `current` is asked for again where there is one.

        Keyring entry and recovery key, if any, still open the vault. Raises WrongPassphrase, VaultLocked, Denied.
        """
        with self._guard:
            master = self._open().master
            if not new:
                raise Denied("The new passphrase is empty.", "Type one.")
            file = self._proved(current)
            wrapped = wrapping.by_passphrase(master, file.vault_id, new, self._cost)
            save(self._path, replace(file, passphrase=wrapped))

    def prove(self, passphrase: Secret) -> None:
        """Raises WrongPassphrase where it is not the one; nothing is opened or changed."""
        with self._guard:
            self._proved(passphrase)

    def make_recovery_key(self, current: Secret | None) -> Secret:
        """A new way in, to be written down and shown once; one that was made before no longer opens.

        `current` is the passphrase, asked for again where there is one. Raises WrongPassphrase, VaultLocked.
        """
        with self._guard:
            master = self._open().master
            file = self._proved(current)
            wrapped, shown = wrapping.by_recovery(master, file.vault_id)
            save(self._path, replace(file, recovery=wrapped))
            return shown

    def recover(self, recovery_key: Secret, new: Secret) -> None:
        """Opens the vault by the recovery key and wraps it by a new passphrase. Raises WrongPassphrase, Denied."""
        with self._guard:
            if not new:
                raise Denied("The new passphrase is empty.", "Type one.")
            file = self._load()
            master = wrapping.master_by_recovery(file, recovery_key)
            wrapped = wrapping.by_passphrase(master, file.vault_id, new, self._cost)
            save(self._path, replace(file, passphrase=wrapped))
            self._replace(master)

    def prepare_rotation(self, current: Secret | None) -> Rotation:
        """A new master key, wrapped in the ways of the old one; nothing changes until `adopt`.

        The keyring's entry of the new key has a name of its own, so that the old one still opens the old state. The
        recovery key cannot wrap what it was not shown: it ends with the old key. Raises WrongPassphrase, Denied.
        """
        with self._guard:
            self._open()
            file = self._proved(current)
            keys, vault_id = MasterKeys(secrets.token_bytes(KEY_BYTES)), secrets.token_hex(16)
            wrapped = None
            if file.passphrase is not None:
                wrapped = wrapping.by_passphrase(keys.master, vault_id, current or Secret(""), file.passphrase.cost)
            keyring = None
            if file.keyring is not None:
                keyring = wrapping.by_keyring(keys.master, vault_id, self._keystore)
            return Rotation(file, VaultFile(vault_id, wrapped, keyring), keys)

    def adopt(self, rotation: Rotation) -> None:
        """`vault.json` is the new one from now on.

        The old key stays in memory until the vault is locked: a verb that began before may still hold, or save, a
        secret that was sealed with it (`open`, `renewed`).
        """
        with self._guard:
            self._retired.append(MasterKeys(bytes(self._open().master)))
            self._replace(bytes(rotation.keys.master))

    def forget(self, vault_id: str) -> None:
        """Removes the keyring's entry of a state that is over, or never began."""
        self._keystore.remove(vault_id)

    def keys(self) -> MasterKeys:
        """A copy for one piece of work; `wipe` it afterwards. Raises VaultLocked."""
        with self._guard:
            return MasterKeys(bytes(self._open().master))

    def file(self) -> VaultFile:
        """The wrappings, as they are on disk. Raises Damaged, Denied."""
        return self._load()

    def keys_of(self, file: VaultFile, passphrase: Secret | None) -> MasterKeys:
        """Of any vault's wrappings (a backup's): by its passphrase, or, with None, by this machine's keyring.

        Raises WrongPassphrase, Damaged, Denied.
        """
        return MasterKeys(self._unwrapped(file, passphrase))

    def database_key(self, name: str) -> Secret:
        """The raw SQLCipher key of one database file: 64 hex digits."""
        with self._guard:
            return self._open().database_key(name)

    def seal(self, account: AccountId, plain: Secret) -> bytes:
        """A secret of one account as it may lie in the store (B1)."""
        with self._guard:
            return self._open().seal(account, plain)

    def open(self, account: AccountId, sealed: bytes) -> Secret:
        """The secret again. Raises Damaged when it was altered, or sealed for another account or by another vault."""
        with self._guard:
            return self._open().open(account, self.renewed(account, sealed))

    def renewed(self, account: AccountId, sealed: bytes) -> bytes:
        """What was sealed before a rotation of this run, sealed again with today's key; all else as it is."""
        with self._guard:
            for keys in self._retired:
                plain = keys.unsealed(account, sealed)
                if plain is not None:
                    return self._open().seal(account, plain)
        return sealed

    def _open(self) -> MasterKeys:
        if self._keys is None:
            raise VaultLocked("The vault is locked.")
        return self._keys

    def _replace(self, master: bytes | bytearray | None) -> None:
        if self._keys is not None:
            self._keys.wipe()
        self._keys = None if master is None else MasterKeys(master)

    def _proved(self, current: Secret | None) -> VaultFile:
        """The file, once `current` has opened it where it has a passphrase."""
        file = self._load()
        if file.passphrase is not None:
            wrapping.master_by_passphrase(file, current or Secret(""))
        return file

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

    def _unwrapped(self, file: VaultFile, passphrase: Secret | None) -> bytearray:
        if passphrase is None:
            return wrapping.master_by_keyring(file, self._keystore)
        return wrapping.master_by_passphrase(file, passphrase)
