"""The report to send: secrets and names are put everywhere, and none is found in it; the story is."""

from __future__ import annotations

import getpass
import io
import json
import logging
import platform
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.errors import Denied
from app.domain.ids import BrokerOrderId, OrderId, Tag
from app.runtime import redaction
from app.runtime.log import Logs, correlated
from app.runtime.secret import Secret
from tests.e2e.test_secrets import spellings
from tests.unit.desk.profiles import make_profile, opened
from tests.unit.desk.test_exports import order
from tests.unit.desk.test_metrics import flight
from tests.unit.storage.samples import INFY, B

ORDER = BrokerOrderId("2611160000000004711")
NOTE = "canary-note-of-the-trader"
CANARIES = {
    "API secret": "q7canaryapisecretzx4mvn82kfjwe91",
    "access token": "canary/access+token=with odd signs",
    "API key": "canarykey01",
    "client": "CN4711",
    "name": "Asha Canary Rao",
    "a part of the name": "Canary Rao",
    "order": ORDER,
    "tag": "M0000000canary",
    "mail": "asha@canary.example",
    "address": "203.0.113.99",
    "note": NOTE,
}


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    yield
    redaction.shared().clear()


def everywhere(profile: Path) -> None:
    """The log, an earlier log of a program that redacted nothing, a crash report."""
    logs = Logs()
    logs.open(profile / "logs", console=io.StringIO())
    with correlated("c0ffee11"):
        logging.getLogger("app.engine").info("order %s of zerodha-CN4711 (Asha Canary Rao) fired", ORDER)
    logs.close()
    text = " ".join(f"{name}: {value}" for name, value in CANARIES.items() if name != "note")
    (profile / "logs" / "stopline.jsonl.1").write_text(json.dumps({"event": text}) + "\n")
    (profile / "crash" / "20261126T010101-ValueError-1.txt").write_text(
        f"ValueError\n\nFile {profile}/book.db of {getpass.getuser()} on {platform.node()}, {Path.home()}/x\n{text}\n"
    )


async def test_no_canary_is_in_the_report_and_the_story_is(tmp_path: Path) -> None:
    profile = tmp_path / "profile of canary"
    await make_profile(profile, fills=3, armed=False)
    async with opened(profile) as desk:
        workspace = desk._workspace
        live = replace(
            workspace.record(B), user_id="CN4711", client_name="Asha Canary Rao", api_key="canarykey01",
            last_error=f"Refused for CN4711, order {ORDER}",
        )  # fmt: skip
        await workspace.save(live)
        for name in ("API secret", "access token"):
            redaction.redact(Secret(CANARIES[name]))
        mine = replace(order(1, INFY, 1), broker_order_id=ORDER, tag=Tag("M0000000canary"), id=OrderId("canary-o1"))
        await workspace.book.orders.save([mine])
        await workspace.journal.flights.save(replace(flight(1, 300), sent=(f"POST {NOTE}",)))
        everywhere(profile)
        shown = await desk.reports.preview()
        saved = await desk.reports.save(str(tmp_path / "report.zip"), shown)
        with pytest.raises(Denied, match="exists already"):
            await desk.reports.save(str(tmp_path / "report.zip"))
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        files = {name.removeprefix("stopline-report/"): archive.read(name) for name in archive.namelist()}
    assert [(one.name, one.text.encode()) for one in shown] == list(files.items())
    assert list(files) == list(saved.members)
    assert {"versions.json", "health.json", "settings.json", "accounts.json", "metrics.json", "exits.json"} < set(files)
    for file, content in files.items():
        for name, canary in CANARIES.items():
            assert not any(form in content for form in spellings(canary)), (name, file)
        for own in (getpass.getuser(), platform.node(), str(profile), profile.name, str(Path.home())):
            assert not re.search(rf"(?<!\w){re.escape(own)}(?!\w)", content.decode()), (own, file)
    log = files["logs/stopline.jsonl"].decode()
    accounts = json.loads(files["accounts.json"])
    (refused,) = (one for one in accounts if one["last_error"])
    # Who is who can be followed from file to file, and the id of the click too.
    assert re.fullmatch(r"Refused for client-\d, order order-\d+", refused["last_error"])
    who, what = re.findall(r"client-\d|order-\d+", refused["last_error"])
    assert f"order {what} of zerodha-{who} (name-" in log
    assert "c0ffee11" in log
    assert json.loads(files["exits.json"])["latency"][0]["exits"] == 1
    assert json.loads(files["stores.json"])["journal.db"]["rows"]["stops"] == 2
    assert "crashes/1.txt" in files


async def test_a_profile_that_does_not_open_has_a_report_without_its_logs(tmp_path: Path) -> None:
    from app.bootstrap import build_desk
    from app.runtime.paths import ProfilePaths

    await make_profile(tmp_path, fills=1, armed=False)
    everywhere(tmp_path)
    desk = await build_desk(ProfilePaths(tmp_path), paper=False, guarding=False)
    try:
        members = {member.name: member.text for member in await desk.reports.preview()}
    finally:
        await desk.stop()
    assert set(members) == {"about.txt", "versions.json", "health.json"}
    assert str(tmp_path) not in "".join(members.values())
