from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.runtime import log, redaction
from app.runtime.secret import Secret


class Written:
    """A log opened into a temporary folder; reading closes it first, so every record is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.console = io.StringIO()
        self.logs = log.Logs()

    def open(self) -> None:
        self.logs.open(self.folder, console=self.console)

    def lines(self) -> list[dict[str, Any]]:
        self.logs.close()
        return [json.loads(line) for line in (self.folder / "stopline.jsonl").read_text(encoding="utf-8").splitlines()]

    def everything(self) -> str:
        self.logs.close()
        return self.console.getvalue() + "".join(p.read_text(encoding="utf-8") for p in self.folder.iterdir())


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    made = Written(tmp_path / "logs")
    yield made
    made.logs.close()
    redaction.shared().clear()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_log_that_cannot_be_written_is_said_once(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    written.folder.mkdir()
    (written.folder / "stopline.jsonl").symlink_to("/dev/full")
    written.open()
    for number in range(3):
        log.logger("desk.data").info("retention", number=number)
    written.logs.close()
    assert capsys.readouterr().err == "The log cannot be written: No space left on device\n"
    assert written.console.getvalue().count("retention") == 3


def test_a_record_is_one_json_line_with_its_facts(written: Written) -> None:
    written.open()
    log.logger("engine.stops").info("stop armed", stop="ABC", trigger=149500)
    (line,) = written.lines()
    assert line["area"] == "engine.stops"
    assert line["level"] == "info"
    assert line["event"] == "stop armed"
    assert (line["stop"], line["trigger"]) == ("ABC", 149500)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["at"])


def test_the_console_line_is_for_people(written: Written) -> None:
    written.open()
    log.logger("market.feed").info("feed silent", account="zerodha-AB1234")
    written.logs.close()
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} info    market\.feed: feed silent  account=zerodha-AB1234\n", written.console.getvalue()
    )


def test_a_start_that_failed_leaves_its_records_too(written: Written) -> None:
    written.logs.hold()
    log.logger("boot").info("starting")
    written.logs.end(written.folder, console=written.console)
    (line,) = written.lines()
    assert line["event"] == "starting"


def test_records_made_before_the_log_is_open_are_kept_with_their_time(written: Written) -> None:
    written.logs.hold()
    log.logger("boot").info("starting")
    written.open()
    log.logger("boot").info("open")
    first, second = written.lines()
    assert [first["event"], second["event"]] == ["starting", "open"]
    assert first["at"] <= second["at"]


async def test_one_correlation_id_from_click_to_broker(written: Written) -> None:
    written.open()

    async def place(name: str) -> None:
        with log.correlated() as correlation:
            seen[name] = correlation
            log.logger("desk").info("asked", name=name)
            await asyncio.sleep(0)
            await asyncio.create_task(send(name))

    async def send(name: str) -> None:
        log.logger("brokers").info("sent", name=name)
        logging.getLogger("app.foreign").info("plain logging, %s", name)

    seen: dict[str, str] = {}
    await asyncio.gather(place("a"), place("b"))
    log.logger("desk").info("outside")
    *inside, outside = written.lines()
    assert seen["a"] != seen["b"]
    assert len(inside) == 6
    for line in inside:
        name = line.get("name") or line["event"][-1]
        assert line["correlation"] == seen[name]
    assert "correlation" not in outside


def test_fields_named_like_secrets_are_hidden(written: Written) -> None:
    written.open()
    log.logger("vault").info(
        "facts",
        password="canary1",
        api_secret="canary2",
        access_token="canary3",
        nested={"Authorization": "canary4", "list": [{"totp": "canary5"}]},
        token=408065,
        tag="KEPT",
    )
    line = json.loads(written.everything().splitlines()[-1])
    assert "canary" not in json.dumps(line)
    assert line["token"] == 408065  # a broker's instrument number
    assert line["tag"] == "KEPT"


@pytest.mark.parametrize(
    "text",
    [
        "GET wss://ws.kite.trade?api_key=abc&access_token=canary99 101",
        "redirected to http://127.0.0.1:9/?request_token=canary99&status=success",
        "Authorization: token abc:canary99",
        "{'Authorization': 'token abc:canary99', 'X-Kite-Version': '3'}",
        "sent header token kitekey:canary99 to the broker",
        '{"password": "canary99", "user_id": "AB1234"}',
        "body user_id=AB1234&password=canary99",
        "enctoken=canary99; user",
        "Cookie: kf_session=canary99",
    ],
)
def test_secrets_in_text_are_hidden_where_they_usually_stand(written: Written, text: str) -> None:
    written.open()
    log.logger("brokers").info(text)
    assert "canary99" not in written.everything()


def test_a_registered_value_is_hidden_everywhere_tracebacks_included(written: Written) -> None:
    value = 'pa$$ "wörd"/canary'
    redaction.redact(Secret(value))
    written.open()
    try:
        raise ValueError(f"cannot open with {value}")
    except ValueError:
        log.logger("vault").info("tried", exc_info=True, url="https://x/?q=pa%24%24%20%22w%C3%B6rd%22%2Fcanary")
        logging.getLogger("app.foreign").info("tried", exc_info=True)
    text = written.everything()
    assert "canary" not in text
    assert text.count("ValueError: cannot open with ***") == 4


def test_hiding_does_not_break_the_json(written: Written) -> None:
    redaction.redact(Secret("back\\slash\nand newline"))
    written.open()
    log.logger("a").info("said back\\slash\nand newline, twice: access_token=x\\y", more='"password": "q"')
    (line,) = written.lines()
    assert line["event"].startswith("said ***, twice: access_token=***")


def test_ordinary_words_about_tokens_stay() -> None:
    text = "the token died at 06:00; log in again. secret kept, pin code: none"
    assert redaction.Redactor().text(text) == text


def test_short_values_are_not_searched_for() -> None:
    redactor = redaction.Redactor()
    redactor.add(Secret("abc"))
    assert redactor.text("abc") == "abc"


def test_a_cleared_redactor_holds_no_secret() -> None:
    redactor = redaction.Redactor()
    redactor.add(Secret("canary-value"))
    assert redactor.text("canary-value") == "***"
    redactor.clear()
    assert "canary" not in repr(vars(redactor))


def test_libraries_are_heard_from_warning_on(written: Written) -> None:
    written.open()
    logging.getLogger("httpx").info("HTTP Request: GET ...")
    log.logger("a").info("ours")
    assert [line["event"] for line in written.lines()] == ["ours"]


def test_closing_twice_is_fine_and_the_log_can_be_opened_again(written: Written) -> None:
    written.open()
    written.logs.close()
    written.logs.close()
    written.open()
    log.logger("a").info("again")
    assert [line["event"] for line in written.lines()] == ["again"]
