from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from app.simulator.main import main, opening
from tests.paper_exchange import PaperExchange


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What standard error says when it cannot start."""
    try:
        code = main(arguments)
    except SystemExit as ended:  # argparse's way
        code = int(ended.code or 0)
    assert code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--broker", "other"], "invalid choice: 'other'"),
        (["--port", "70000"], "'70000' is not a port"),
        (["--clock", "yesterday"], "'yesterday' is not a time like"),
        (["--feed", "nonsense"], "unknown feed 'nonsense'"),
        (["--feed", "replay:/no/such/file"], "/no/such/file"),
        (["--instruments", "/no/such/file.csv"], "/no/such/file.csv"),
        (["--speed", "-1"], "speed must lie between"),
        (["--fault", "explode"], "no fault or switch called 'explode'"),
        (["--opening-position", "INFY"], "is not like NSE:INFY=100@MIS"),
        (["--opening-position", "NSE:NOSUCH=1@MIS"], "NSE:NOSUCH is not listed"),
        (["--cash", "lots"], "'lots' is not an amount"),
        (["--order-delay", "9-1"], "is not like 5-20"),
    ],
)
def test_bad_arguments_are_named(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refused(arguments, capsys)


def test_a_taken_port_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} on 127.0.0.1 is taken" in refused(["--port", str(port)], capsys)


@pytest.mark.parametrize("line", ["", "not json", "[]", '{"api_key": "k"}'])
def test_credentials_that_are_none(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "stdin"
    path.write_text(line + "\n")
    with path.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert "credentials" in refused(["--credentials", "-"], capsys)


@pytest.mark.parametrize(
    "text", ["NSE:INFY=0@MIS", "NSE:INFY=1@XYZ", "NSE:INFY=-1@CNC", "INFY=1@MIS", "NSE:INFY=1@MIS@x"]
)
def test_openings_that_are_none(text: str) -> None:
    with pytest.raises(Exception, match=r"is not like NSE:INFY=100@MIS|held short"):
        opening(text)


def test_an_opening_with_a_price() -> None:
    found = opening("NFO:NIFTY26DECFUT=-65@NRML@24000.05")
    assert (found.key, found.quantity, found.product, found.price) == ("NFO:NIFTY26DECFUT", -65, "NRML", 2400005)


def test_the_line_the_clock_and_the_end(few: Path) -> None:
    with PaperExchange("--instruments", str(few), "--clock", "2026-11-20T11:00:00", "--speed", "0") as exchange:
        assert set(exchange.line) == {
            "api_url",
            "login_url",
            "ws_url",
            "redirect_url",
            "api_key",
            "api_secret",
            "user_id",
            "password",
            "totp_secret",
        }
        clock = exchange.admin("GET", "clock")
        assert clock["now"].startswith("2026-11-20T11:00:00")
        assert (clock["speed"], clock["always_open"]) == (0, True)
        health = exchange.admin("GET", "health")
        assert (health["pid"], health["user_id"]) == (exchange.pid, exchange.line["user_id"])
        assert exchange.stop() == 0


def test_a_state_of_another_feed_is_said_in_words(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    with PaperExchange("--instruments", str(few), "--state", str(state)):
        pass
    bars = tmp_path / "INFY.csv"
    rows = [f"2026-11-20 10:{minute:02}:00,1120,1121,1119,1120,100" for minute in range(5)]
    bars.write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n")
    said = refused(["--feed", f"replay:{bars}", "--instruments", str(few), "--state", str(state)], capsys)
    assert "the state folder does not fit" in said


def test_tls_under_an_authority_of_its_own(few: Path, tmp_path: Path) -> None:
    options = ("--instruments", str(few), "--tls", "--fault", "limits=off")
    with PaperExchange(*options) as exchange:
        assert exchange.line["api_url"].startswith("https://127.0.0.1:")
        assert exchange.line["ws_url"].startswith("wss://127.0.0.1:")
        with exchange.client() as http:
            assert http.get("/user/profile").status_code == 200
        with pytest.raises(httpx.ConnectError), httpx.Client(trust_env=False) as stranger:
            stranger.get(exchange.line["api_url"])
        trusted = ssl.create_default_context(cafile=exchange.line["ca_file"])
        with httpx.Client(verify=trusted, trust_env=False) as http:
            # By its name, without the machine's having to know that name.
            by_name = http.get(f"{exchange.line['api_url']}/simulator/health", extensions={"sni_hostname": "localhost"})
            assert by_name.status_code == 200
        assert "PRIVATE KEY" not in "".join(
            p.read_text() for p in Path(exchange.line["ca_file"]).parent.iterdir() if p.is_file()
        )
    with PaperExchange(*options, "--state", str(tmp_path)) as kept:
        authority = Path(kept.line["ca_file"]).read_bytes()
        kept.restart()
        assert Path(kept.line["ca_file"]).read_bytes() == authority
        with kept.client() as http:
            assert http.get("/user/profile").status_code == 200


def test_the_remembered_port_gives_way_when_it_is_taken(few: Path, tmp_path: Path) -> None:
    options = ("--instruments", str(few), "--state", str(tmp_path))
    with PaperExchange(*options) as exchange:
        port = int(exchange.line["api_url"].rpartition(":")[2])
        exchange.kill()
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
            exchange.start()
            assert not exchange.line["api_url"].endswith(f":{port}")


def test_the_door_prints_prices_and_refuses_nonsense(few: Path) -> None:
    with PaperExchange("--instruments", str(few), "--speed", "0") as exchange:
        exchange.print_price("NSE:INFY", 1120.5)
        with exchange.client(logged_in=False) as http:
            for document, words in (
                ({"NSE:NOSUCH": 1}, "NSE:NOSUCH is not listed"),
                ({"NSE:INFY": -1}, "cannot trade at -1"),
                ({"NSE:INFY": 1120.005}, "cannot trade at 1120.005"),
                ({"NSE:INFY": 5000}, "circuit limits"),
            ):
                answer = http.put("/simulator/market", json=document)
                assert (answer.status_code, words in answer.json()["message"]) == (400, True), answer.text
            for headers in ({"Origin": "https://example.com"}, {"Host": "example.com"}):
                assert http.get("/simulator/book", headers=headers).status_code == 403
            bad = http.put("/simulator/clock", content=json.dumps({"now": "never"}))
            assert bad.status_code == 400
