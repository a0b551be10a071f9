"""What opens a backup file: its own random key, wrapped by the master key, beside the ways into the vault of that day.

So a backup opens with the passphrase alone, on any machine. A rotation of the keys rewrites the lock and leaves the
backup's content: afterwards the old passphrase, the old keyring entry and the old master key open it no more. The
content's databases and secrets are those of the day, so the lock also holds the master key of that day, sealed.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace

from app.domain.errors import Damaged
from app.vault import sealing
from app.vault.keys import MasterKeys
from app.vault.sealing import KEY_BYTES, from_text, to_text
from app.vault.vault_file import VaultFile, decoded, encoded


@dataclass(frozen=True, slots=True)
class BackupLock:
    """Of one backup file, named by its id."""

    backup: str
    vault: VaultFile
    sealed_key: bytes
    """The content's key, under the master key of `vault`."""
    sealed_master: bytes
    """The master key of the day, under the content's key."""

    def key(self, keys: MasterKeys) -> bytes:
        """The content's key. Raises Damaged when these keys are not those of `vault`."""
        key = sealing.unseal(keys.backup_key(), self.sealed_key, _bound(self.backup))
        if key is None:
            raise Damaged("The backup does not open with this key.", "Use another backup, or its own passphrase.")
        return key

    def keys_of_the_day(self, keys: MasterKeys) -> MasterKeys:
        """Of databases and secrets in the content. Raises Damaged."""
        master = sealing.unseal(_master_key(self.key(keys)), self.sealed_master, _bound(self.backup))
        if master is None:
            raise Damaged("The backup's keys do not open.", "Use another backup.")
        return MasterKeys(master)

    def rewrapped(self, old: MasterKeys, new: MasterKeys, vault: VaultFile) -> BackupLock:
        """The lock after a rotation. Raises Damaged."""
        sealed = sealing.seal(new.backup_key(), self.key(old), _bound(self.backup))
        return replace(self, vault=vault, sealed_key=sealed)

    def to_bytes(self) -> bytes:
        """For the head of the file; nothing in it is secret."""
        content = {
            "backup": self.backup,
            "vault": encoded(self.vault),
            "key": to_text(self.sealed_key),
            "master": to_text(self.sealed_master),
        }
        return json.dumps(content).encode()


def new_lock(vault: VaultFile, keys: MasterKeys, backup: str) -> BackupLock:
    """For a backup made now."""
    key = secrets.token_bytes(KEY_BYTES)
    return BackupLock(
        backup,
        vault,
        sealing.seal(keys.backup_key(), key, _bound(backup)),
        sealing.seal(_master_key(key), bytes(keys.master), _bound(backup)),
    )


def parse_lock(text: bytes) -> BackupLock:
    """The opposite of `to_bytes`. Raises Damaged."""
    try:
        content = json.loads(text)
        return BackupLock(
            str(content["backup"]),
            decoded(content["vault"]),
            from_text(content["key"]),
            from_text(content["master"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged("The head of the backup cannot be read.", "Use another backup.") from error


def _master_key(key: bytes) -> bytes:
    return sealing.derived_key(key, salt=None, info=b"backup master")


def _bound(backup: str) -> bytes:
    return b"stopline backup key 1:" + backup.encode()
