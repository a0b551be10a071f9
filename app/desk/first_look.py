"""What the first window can ask before the desk is built: the imports behind a desk take longer than the paint."""

from __future__ import annotations

from pathlib import Path

from app.desk.messages import VaultInfo, VaultState
from app.vault.ways import ways_in


def first_look(profile: Path) -> VaultInfo | None:
    """A vault that its passphrase opens and no keyring. None: who asks must wait for the desk."""
    ways = ways_in(profile)
    if ways is None or ways.keyring or not ways.passphrase:
        return None
    return VaultInfo(
        VaultState.LOCKED,
        keyring_available=False,
        opens_with_keyring=False,
        opens_with_passphrase=True,
        profile=str(profile),
        has_recovery_key=ways.recovery,
    )
