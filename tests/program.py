"""Which Stopline the end-to-end tests start: the source, or a frozen program named by STOPLINE_PROGRAM."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def program(*arguments: str) -> list[str]:
    """The command line of the program under test."""
    frozen = os.environ.get("STOPLINE_PROGRAM")
    return [*([frozen] if frozen else [sys.executable, str(ROOT / "main.py")]), *arguments]
