"""Brings the profile's files to one state before anything is opened: a change that was begun is ended or undone."""

from __future__ import annotations

import shutil
from pathlib import Path

from app.domain.errors import StorageError
from app.storage import switch
from app.storage.switch import Switch
from app.vault.vault import Vault

SCRATCH = ".scratch"
"""Where backups are read back for comparison. Nothing in it is needed after a crash."""
TRIES = 3


def carry_through(profile: Path, todo: Switch, vault: Vault) -> None:
    """A committed switch to its end. Raises StorageError when the disk will not; the next start tries again."""
    for attempt in range(TRIES):
        try:
            switch.carry_out(profile, todo)
        except StorageError:
            if attempt == TRIES - 1:
                raise
        else:
            break
    for vault_id in todo.retired:
        vault.forget(vault_id)
    switch.finish(profile)


def settle(profile: Path, vault: Vault) -> str:
    """At every start, under the profile's lock. What was ended, in one word; empty when there was nothing to end.

    Raises StorageError, Damaged.
    """
    shutil.rmtree(profile / SCRATCH, ignore_errors=True)
    todo = switch.pending(profile)
    if todo is not None:
        carry_through(profile, todo, vault)
        return todo.what
    vault_id = switch.abandoned(profile)
    if vault_id is not None:
        vault.forget(vault_id)
    if (profile / switch.STAGING).exists():
        switch.finish(profile)
    return ""
