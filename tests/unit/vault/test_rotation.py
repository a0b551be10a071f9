"""A new master key, the recovery key, and the locks of backups: what opens afterwards, and what no longer does."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.errors import Damaged, Denied, WrongPassphrase
from app.runtime.secret import Secret
from app.vault.backup_lock import new_lock, parse_lock
from app.vault.keystore import Keystore
from app.vault.vault import Vault
from app.vault.vault_file import save
from tests.unit.vault.test_vault import CHEAP, PASSPHRASE, A, MemoryKeyring

NEW = Secret("another long passphrase")


def vault_in(folder: Path, *, keyring: MemoryKeyring | None = None) -> Vault:
    vault = Vault(folder, Keystore(keyring or MemoryKeyring()), CHEAP)
    vault.create(PASSPHRASE, use_keyring=keyring is not None)
    return vault


def test_a_rotation_changes_nothing_until_it_is_adopted_and_everything_afterwards(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    vault = vault_in(tmp_path, keyring=keyring)
    sealed, key = vault.seal(A, Secret("token")), vault.database_key("book")
    rotation = vault.prepare_rotation(PASSPHRASE)
    assert vault.database_key("book") == key
    Vault(tmp_path, Keystore(keyring), CHEAP).unlock(None)
    save(tmp_path / "vault.json", rotation.new)
    vault.adopt(rotation)
    vault.forget(rotation.old.vault_id)
    assert vault.database_key("book") != key
    assert vault.open(A, vault.renewed(A, sealed)) == Secret("token")
    assert vault.open(A, sealed) == Secret("token")
    for way in (PASSPHRASE, None):
        again = Vault(tmp_path, Keystore(keyring), CHEAP)
        again.unlock(way)
        assert again.database_key("book") == vault.database_key("book")
        with pytest.raises(Damaged):
            again.open(A, sealed)
    assert len(keyring.entries) == 1


def test_a_rotation_asks_for_the_passphrase_again(tmp_path: Path) -> None:
    vault = vault_in(tmp_path)
    for wrong in (None, Secret("wrong")):
        with pytest.raises(WrongPassphrase):
            vault.prepare_rotation(wrong)
    with pytest.raises(WrongPassphrase, match="missing"):
        vault.prepare_rotation(Secret(""))


def test_the_recovery_key_opens_the_vault_and_sets_a_new_passphrase(tmp_path: Path) -> None:
    vault = vault_in(tmp_path)
    assert not vault.info().has_recovery_key
    with pytest.raises(WrongPassphrase):
        vault.make_recovery_key(Secret("wrong"))
    shown = vault.make_recovery_key(PASSPHRASE)
    assert vault.info().has_recovery_key
    key = vault.database_key("book")
    other = Vault(tmp_path, Keystore(MemoryKeyring()), CHEAP)
    with pytest.raises(WrongPassphrase, match="not the recovery key"):
        other.recover(Secret(shown.reveal()[:-1]), NEW)
    with pytest.raises(WrongPassphrase):
        other.recover(Secret("ABCD-" * 8), NEW)
    other.recover(Secret(f" {shown.reveal().lower().replace('-', ' ')} "), NEW)
    assert other.database_key("book") == key
    again = Vault(tmp_path, Keystore(MemoryKeyring()), CHEAP)
    with pytest.raises(WrongPassphrase):
        again.unlock(PASSPHRASE)
    again.unlock(NEW)
    assert shown.reveal() not in (tmp_path / "vault.json").read_text()


def test_a_second_recovery_key_ends_the_first_and_a_rotation_ends_both(tmp_path: Path) -> None:
    vault = vault_in(tmp_path)
    first = vault.make_recovery_key(PASSPHRASE)
    second = vault.make_recovery_key(PASSPHRASE)
    with pytest.raises(WrongPassphrase):
        vault.recover(first, NEW)
    save(tmp_path / "vault.json", vault.prepare_rotation(PASSPHRASE).new)
    with pytest.raises(Denied, match="no recovery key"):
        vault.recover(second, NEW)


def test_a_changed_passphrase_keeps_keyring_and_recovery_key(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    vault = vault_in(tmp_path, keyring=keyring)
    shown = vault.make_recovery_key(PASSPHRASE)
    vault.change_passphrase(PASSPHRASE, NEW)
    Vault(tmp_path, Keystore(keyring), CHEAP).unlock(None)
    Vault(tmp_path, Keystore(keyring), CHEAP).recover(shown, PASSPHRASE)


def test_the_lock_of_a_backup_follows_a_rotation(tmp_path: Path) -> None:
    vault = vault_in(tmp_path)
    old = vault.keys()
    lock = parse_lock(new_lock(vault.file(), old, "b1").to_bytes())
    assert lock.key(vault.keys_of(lock.vault, PASSPHRASE)) == lock.key(old)
    rotation = vault.prepare_rotation(PASSPHRASE)
    moved = lock.rewrapped(old, rotation.keys, rotation.new)
    assert moved.key(rotation.keys) == lock.key(old)
    assert moved.keys_of_the_day(rotation.keys).master == old.master
    with pytest.raises(Damaged):
        moved.key(old)
    assert rotation.old.passphrase is not None
    assert rotation.old.passphrase.sealed not in moved.to_bytes()


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"backup": "b", "vault": {}, "key": "!", "master": ""}'])
def test_a_lock_that_cannot_be_read_is_damaged(text: bytes) -> None:
    with pytest.raises(Damaged):
        parse_lock(text)
