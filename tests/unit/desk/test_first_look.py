from __future__ import annotations

from pathlib import Path

import pytest

from app.desk.first_look import first_look
from app.desk.messages import VaultInfo, VaultState
from app.runtime.secret import Secret
from app.vault.sealing import KdfCost
from app.vault.vault import Vault
from app.vault.ways import FILE_NAME

CHEAP = KdfCost(memory_kib=19_456, iterations=1, lanes=1)
PASSPHRASE = Secret("canary-passphrase-7f3a")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path, cost=CHEAP)


def test_a_vault_with_a_passphrase_is_asked_for_at_once(vault: Vault, tmp_path: Path) -> None:
    vault.create(PASSPHRASE, use_keyring=False)
    looked = first_look(tmp_path)
    assert looked == VaultInfo(VaultState.LOCKED, False, False, True, str(tmp_path), has_recovery_key=False)
    vault.make_recovery_key(PASSPHRASE)
    looked = first_look(tmp_path)
    assert looked is not None
    assert looked.has_recovery_key


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"passphrase": {}, "keyring": {}}', b'{"keyring": {}}'])
def test_whatever_else_there_is_waits_for_the_desk(content: bytes, tmp_path: Path) -> None:
    assert first_look(tmp_path) is None
    (tmp_path / FILE_NAME).write_bytes(content)
    assert first_look(tmp_path) is None
