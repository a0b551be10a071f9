"""Secrets stay in the vault: unique canaries are looked for in everything that the program leaves behind."""

from __future__ import annotations

import base64
import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pyotp
import pytest

from tests.e2e.window import Workstation, connect_and_log_in, processes, workplace
from tests.exchange import PaperExchange

CREDENTIALS = {
    "api_key": "canaryapikey0001",
    "api_secret": "q7canaryapisecretzx4mvn82kfjwe91",
    "user_id": "CN4711",
    "password": "w9canarypasswordtb3",
    "totp_secret": pyotp.random_base32(),
}
PASSPHRASE = "canary marble 5521 kettle orbit"
LIMITS = ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh"]
"""A user who lets programs write core files."""


@pytest.mark.timeout(170)
def test_no_secret_is_in_any_file_or_command_line_running_killed_or_crashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = tmp_path / "around"
    for name in ("TMPDIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "HOME"):
        folder = around / name.lower()
        folder.mkdir(parents=True)
        monkeypatch.setenv(name, str(folder))
    state = tmp_path / "exchange"
    state.mkdir()
    (state / "credentials.json").write_text(json.dumps(CREDENTIALS))
    with (
        PaperExchange(state) as exchange,
        overheard(exchange.urls["api_url"]) as (proxy, heard),
        workplace(tmp_path) as work,
    ):
        work.prefix, work.folder = LIMITS, around
        work.start()
        work.create_vault(PASSPHRASE)
        connect_and_log_in(work, {**exchange.urls, "api_url": proxy})
        token = re.findall(rb'"access_token": ?"([^"]+)"', bytes(heard))[-1].decode()
        assert len(token) >= 16
        canaries = {
            "passphrase": PASSPHRASE,
            "API secret": CREDENTIALS["api_secret"],
            "password": CREDENTIALS["password"],
            "TOTP secret": CREDENTIALS["totp_secret"],
            "access token": token,
        }
        places = [work.profile, around]
        # The search itself works: the exchange's own file has the secret.
        assert found_in([state], canaries) == ["API secret in credentials.json", *other_canaries()]

        work.cli("sync")
        assert found_in(places, canaries) == []
        assert found_in_commands(work, canaries) == []
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT):
            work.signal(number)
            assert found_in(places, canaries) == [], number
            assert not list(tmp_path.rglob("core*")), "a core file was left"
            work.start()
            work.unlock(PASSPHRASE)
            work.wait_feed("live")
            assert found_in(places, canaries) == [], number
            assert found_in_commands(work, canaries) == []
        crashes = list(work.paths.crash.rglob("*"))
        assert any("SIGSEGV" in f.read_text() or "Segmentation" in f.read_text() for f in crashes if f.is_file())
        assert work.quit() == 0
        assert found_in(places, canaries) == []


def other_canaries() -> list[str]:
    return [f"{name} in credentials.json" for name in ("TOTP secret", "password")]


def found_in(places: list[Path], canaries: dict[str, str]) -> list[str]:
    """`what in which file`, for every file under the places, in every spelling that a file might have it in."""
    hits = []
    for file in (file for place in places for file in place.rglob("*") if file.is_file()):
        with suppress(FileNotFoundError):  # a temporary one that is gone again
            content = file.read_bytes()
            hits += [
                f"{name} in {file.name}"
                for name, text in canaries.items()
                if any(spelling in content for spelling in spellings(text))
            ]
    return sorted(hits)


def found_in_commands(work: Workstation, canaries: dict[str, str]) -> list[str]:
    """The command lines of every process on the machine: the program's, its helper's, its browser's among them."""
    running = processes()
    assert work.pid in running
    lines = {pid: " ".join(words) for pid, words in running.items()}
    return [
        f"{name} in the command of {pid}" for pid, line in lines.items() for name, t in canaries.items() if t in line
    ]


def spellings(text: str) -> list[bytes]:
    plain = text.encode()
    wide = [text.encode("utf-16-le"), text.encode("utf-16-be")]
    # Three alignments of base64, without the letters that depend on what stands beside it.
    coded = [base64.b64encode(b"\0" * shift + plain)[4 * bool(shift) + shift : -4] for shift in range(3)]
    return [plain, plain.replace(b" ", b"%20"), plain.replace(b" ", b"+"), plain.hex().encode(), *wide, *coded]


@contextmanager
def overheard(api_url: str) -> Iterator[tuple[str, bytearray]]:
    """A wire tap: (address to use in place of the exchange's, what the exchange answered so far)."""
    where = urlsplit(api_url)
    heard = bytearray()
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, record: bytearray | None) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if record is not None:
                    record += data
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def accept() -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                ours, _ = listener.accept()
                theirs = socket.create_connection((where.hostname, where.port))
                for pair in ((ours, theirs, None), (theirs, ours, heard)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with closing(listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heard
        listener.shutdown(socket.SHUT_RDWR)
