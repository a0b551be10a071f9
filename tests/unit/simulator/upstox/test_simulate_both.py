from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx

from tests.paper_exchange import ROOT
from tests.unit.simulator.conftest import SECRETS as KITE
from tests.unit.simulator.upstox.conftest import SECRETS

_START = "import sys; from app.simulator.main import main; sys.exit(main(sys.argv[1:]))"


def started(*options: str, given: object = None) -> tuple[subprocess.Popen[str], dict[str, dict[str, str]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _START, *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(given) + "\n")
    process.stdin.close()
    return process, json.loads(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    assert process.wait(20) == 0
    assert process.stdout is not None
    process.stdout.close()


def test_both_brokers_print_a_line_and_have_a_port_each(few: Path, tmp_path: Path) -> None:
    options = ("--broker", "both", "--speed", "0", "--instruments", str(few), "--state", str(tmp_path))
    process, lines = started(*options)
    try:
        assert list(lines) == ["zerodha", "upstox"]
        needed = {"api_url", "login_url", "ws_url", "redirect_url", "api_key", "api_secret", "user_id", "password"}
        assert lines["upstox"].keys() >= {*needed, "totp_secret", "mobile", "analytics_token"}
        assert lines["upstox"]["api_url"] != lines["zerodha"]["api_url"]
        for line in lines.values():
            health = httpx.get(line["api_url"] + "/simulator/health", trust_env=False).json()
            assert health["pid"] == process.pid
    finally:
        end(process)
    process, again = started(*options)
    end(process)
    assert again == lines, "ports, credentials and the analytics token are remembered"


def test_given_credentials_are_used_and_not_printed(few: Path) -> None:
    given = {"zerodha": KITE.as_dict(), "upstox": SECRETS.as_dict()}
    process, lines = started(
        "--broker", "both", "--speed", "0", "--instruments", str(few), "--credentials", "-", given=given
    )
    end(process)
    assert lines["zerodha"]["api_key"] == KITE.api_key
    assert lines["upstox"]["mobile"] == SECRETS.mobile
    for line in lines.values():
        assert not line.keys() & {"api_secret", "password", "totp_secret", "analytics_token"}
    process, lines = started(
        "--broker", "upstox", "--speed", "0", "--instruments", str(few), "--credentials", "-", given=SECRETS.as_dict()
    )
    end(process)
    assert list(lines) == ["upstox"]
    assert lines["upstox"]["api_key"] == SECRETS.api_key
