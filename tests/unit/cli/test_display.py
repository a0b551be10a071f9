from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from app.cli.display import why_no_display

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are X11 and Wayland")


def listening(family: int, address: str | tuple[str, int]) -> socket.socket:
    server = socket.socket(family, socket.SOCK_STREAM)
    server.bind(address)
    server.listen()
    return server


def test_without_a_display_one_line_says_what_is_missing() -> None:
    reason = why_no_display({}, "linux")
    assert "\n" not in reason
    assert "neither DISPLAY nor WAYLAND_DISPLAY is set" in reason


def test_a_display_that_does_not_answer_is_named() -> None:
    assert ":987 does not answer" in why_no_display({"DISPLAY": ":987"}, "linux")
    assert "nonsense does not answer" in why_no_display({"DISPLAY": "nonsense"}, "linux")


def test_an_x_server_of_this_machine() -> None:
    with listening(socket.AF_UNIX, "\0/tmp/.X11-unix/X7431"):
        assert why_no_display({"DISPLAY": ":7431.0"}, "linux") == ""
        assert why_no_display({"DISPLAY": "unix:7431"}, "linux") == ""


def test_an_x_server_over_the_network() -> None:
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as server:
        number = server.getsockname()[1] - 6000
        assert why_no_display({"DISPLAY": f"127.0.0.1:{number}.0"}, "linux") == ""


def test_wayland_by_name_and_by_path(tmp_path: Path) -> None:
    with listening(socket.AF_UNIX, str(tmp_path / "wayland-0")):
        by_name = {"WAYLAND_DISPLAY": "wayland-0", "XDG_RUNTIME_DIR": str(tmp_path)}
        assert why_no_display(by_name, "linux") == ""
        assert why_no_display({"WAYLAND_DISPLAY": str(tmp_path / "wayland-0")}, "linux") == ""
    assert "wayland-0 does not answer" in why_no_display(by_name, "linux")


def test_a_platform_chosen_by_hand_and_other_systems_are_not_asked() -> None:
    assert why_no_display({"QT_QPA_PLATFORM": "offscreen"}, "linux") == ""
    assert why_no_display({}, "darwin") == ""
    assert why_no_display({}, "win32") == ""
