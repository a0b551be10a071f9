"""The log of one profile, as loud as its settings say."""

from __future__ import annotations

import logging
import sys

from app.domain.errors import AppError
from app.runtime.log import Logs
from app.runtime.paths import ProfilePaths
from app.runtime.settings import Settings, SettingsFile


def read_settings(paths: ProfilePaths) -> tuple[Settings, AppError | None]:
    """What a start goes by, and what is wrong with the file: a slip in it keeps nobody from his stops, so the defaults
    are taken then."""
    try:
        return SettingsFile(paths.settings, Settings).load(), None
    except AppError as mistake:
        return Settings(), mistake


def open_log(logs: Logs, paths: ProfilePaths, name: str = "stopline") -> AppError | None:
    """Opens it, with `name` as its file's; what is wrong with the settings, which it says too."""
    settings, mistake = read_settings(paths)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logs.hold(level)
    # What is noted for finding faults is in the file; on the terminal stays what a person reads.
    logs.open(paths.logs, console=sys.stderr, console_level=max(level, logging.INFO), name=name)
    if mistake is not None:
        logging.getLogger(__name__).warning("%s", mistake)
    return mistake
