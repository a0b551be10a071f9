"""Before anything is opened: what was begun is ended or undone, and the keyring holds no entry too many."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.desk.settle import SCRATCH, settle
from app.domain.errors import Damaged
from app.storage import switch
from app.storage.switch import Move, Switch
from app.vault.keystore import SERVICE, Keystore
from app.vault.vault import Vault
from app.vault.vault_file import save
from tests.unit.desk.profiles import CHEAP, PASSPHRASE, left_over
from tests.unit.vault.test_vault import MemoryKeyring


def vault_in(profile: Path, keyring: MemoryKeyring) -> Vault:
    vault = Vault(profile, Keystore(keyring), CHEAP)
    if not vault.info().exists:
        vault.create(PASSPHRASE, use_keyring=True)
    return vault


def test_a_change_that_was_not_committed_is_undone(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    vault = vault_in(tmp_path, keyring)
    kept = (tmp_path / "vault.json").read_bytes()
    rotation = vault.prepare_rotation(PASSPHRASE)
    folder = switch.staging(tmp_path)
    switch.mark(folder, rotation.new.vault_id)
    save(folder / "vault.json", rotation.new)
    (tmp_path / SCRATCH).mkdir()
    assert len(keyring.entries) == 2
    assert settle(tmp_path, vault) == ""
    assert (tmp_path / "vault.json").read_bytes() == kept
    assert list(keyring.entries) == [(SERVICE, rotation.old.vault_id)]
    assert left_over(tmp_path) == []


def test_a_change_that_was_committed_is_ended_and_the_old_entry_goes(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    vault = vault_in(tmp_path, keyring)
    rotation = vault.prepare_rotation(PASSPHRASE)
    folder = switch.staging(tmp_path)
    switch.mark(folder, rotation.new.vault_id)
    save(folder / "vault.json", rotation.new)
    (tmp_path / "book.db-wal").write_text("of the old book")
    todo = Switch(
        "rotation",
        remove=("book.db-wal",),
        moves=(Move("staging/vault.json", "vault.json"),),
        retired=(rotation.old.vault_id,),
    )
    switch.commit(tmp_path, todo)
    assert settle(tmp_path, vault) == "rotation"
    assert settle(tmp_path, vault) == ""
    assert list(keyring.entries) == [(SERVICE, rotation.new.vault_id)]
    assert not (tmp_path / "book.db-wal").exists()
    vault_in(tmp_path, keyring).unlock(None)
    assert left_over(tmp_path) == []


def test_a_restore_that_was_cut_off_does_not_take_the_entry_of_another_profile(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    other = vault_in(tmp_path / "other", keyring)
    vault = vault_in(tmp_path / "mine", keyring)
    save(switch.staging(tmp_path / "mine") / "vault.json", other.file())  # a backup of the other one
    settle(tmp_path / "mine", vault)
    assert len(keyring.entries) == 2
    assert left_over(tmp_path / "mine") == []


def test_a_half_done_change_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    vault = vault_in(tmp_path, MemoryKeyring())
    (tmp_path / switch.FILE_NAME).write_text("{")
    with pytest.raises(Damaged, match="half done"):
        settle(tmp_path, vault)
    assert (tmp_path / switch.FILE_NAME).exists()


def test_what_was_set_aside_once_is_not_replaced_by_the_new_file(tmp_path: Path) -> None:
    """The list is done again after a crash: by then the name belongs to the new file."""
    (tmp_path / "book.db").write_text("old")
    (switch.staging(tmp_path) / "book.db").write_text("new")
    todo = Switch(
        "restore", aside=(Move("book.db", "set-aside/a/book.db"),), moves=(Move("staging/book.db", "book.db"),)
    )
    for _ in range(3):
        switch.carry_out(tmp_path, todo)
        assert (tmp_path / "book.db").read_text() == "new"
        assert (tmp_path / "set-aside/a/book.db").read_text() == "old"
