"""How long things are kept and when backups are made: declared in a dated table, changed by the trader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import date

import msgspec

from app.desk.data_messages import UpkeepSettings
from app.domain.errors import Damaged, Denied
from app.storage.preferences import Settings

KEY = "upkeep"
_LIMITS = {
    "ticks_days": (1, 3650),
    "ticks_megabytes": (10, 1_000_000),
    "notifications_days": (1, 3650),
    "sync_log_days": (7, 3650),
    "backup_every_hours": (0, 24 * 31),
    "backups_kept": (1, 1000),
}


class _Dated(msgspec.Struct, forbid_unknown_fields=True):
    valid_from: date
    ticks_days: int
    ticks_megabytes: int
    notifications_days: int
    sync_log_days: int
    backup_every_hours: int
    backups_kept: int


def declared(tables: Sequence[str], today: date) -> UpkeepSettings:
    """The newest table that is valid today. Raises ValueError when there is none."""
    dated = [msgspec.json.decode(text, type=_Dated) for text in tables]
    valid = max((table for table in dated if table.valid_from <= today), key=lambda t: t.valid_from, default=None)
    if valid is None:
        raise ValueError(f"no table of upkeep is valid on {today}")
    return UpkeepSettings(**{name: getattr(valid, name) for name in _LIMITS})


async def load(settings: Settings, otherwise: UpkeepSettings) -> UpkeepSettings:
    """What the trader set; `otherwise` where nothing was. Raises Damaged, StorageError."""
    text = await settings.get(KEY)
    if text is None:
        return otherwise
    try:
        return msgspec.json.decode(text, type=UpkeepSettings)
    except msgspec.DecodeError as error:
        raise Damaged("The settings of the data page cannot be read.", "Save them again.", detail=str(error)) from error


async def save(settings: Settings, chosen: UpkeepSettings) -> None:
    """Raises Denied for what makes no sense, StorageError."""
    for field in fields(chosen):
        if field.name in _LIMITS:
            least, most = _LIMITS[field.name]
            value = getattr(chosen, field.name)
            if not least <= value <= most:
                words = field.name.replace("_", " ")
                raise Denied(f"{words}: {value} is not between {least} and {most}.", "Choose another number.")
    await settings.put(KEY, msgspec.json.encode(chosen).decode())
