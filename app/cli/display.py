"""Whether a window can be opened here. Standard library only: the set-up asks before anything is installed."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

_ADVICE = "Run it on a desktop; `python main.py --help` lists what works without a window."


def why_no_display(environment: Mapping[str, str], platform: str) -> str:
    """One line saying what is missing for a window, empty when nothing is.

    Qt aborts the whole process when it cannot reach the display, so the display is tried before Qt is loaded.
    """
    if not platform.startswith("linux") or environment.get("QT_QPA_PLATFORM"):
        return ""
    wayland, x11 = environment.get("WAYLAND_DISPLAY", ""), environment.get("DISPLAY", "")
    if not wayland and not x11:
        return f"No display: neither DISPLAY nor WAYLAND_DISPLAY is set. {_ADVICE}"
    if wayland and _listens(_wayland_address(wayland, environment.get("XDG_RUNTIME_DIR", ""))):
        return ""
    if x11 and any(_listens(address) for address in _x11_addresses(x11)):
        return ""
    return f"No display: {x11 or wayland} does not answer. {_ADVICE}"


def _wayland_address(name: str, runtime: str) -> str:
    return name if name.startswith("/") else str(Path(runtime) / name)


def _x11_addresses(display: str) -> list[str | tuple[str, int]]:
    """Where the server of `host:number.screen` listens: for the own machine a socket file or its abstract twin."""
    host, _, rest = display.rpartition(":")
    number = rest.split(".")[0]
    if not number.isdigit():
        return []
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"  # noqa: S108 -- where every X server puts it
        return [path, f"\0{path}"]
    return [(host, 6000 + int(number))]


def _listens(address: str | tuple[str, int]) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(address)
        except OSError:
            return False
    return True
