"""The keys are changed and a backup is made while stops are armed, and while one fires: it exits once, as ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.storage.switch import STAGING
from tests.e2e.hosts import Nursery, Refused
from tests.e2e.test_engine_faults import PLACE, Scene
from tests.exchange import PaperExchange, eventually

NAMES = ("NSE:INFY", "NSE:SBIN", "NSE:TCS")


def test_stops_stay_watched_while_keys_change_and_fire_once_before_and_after(tmp_path: Path) -> None:
    with PaperExchange() as exchange, Nursery() as nursery:
        profile = tmp_path / "profile"
        host = nursery.host(profile)
        account = host.set_up(exchange)
        during, after, late = (Scene(host, exchange, account, name) for name in NAMES)
        for scene in (during, after, late):
            scene.guard()

        # One fires while everything is copied: the change waits for its exit and then takes place.
        changing = host.send("rotate")
        eventually((profile / STAGING).is_dir, every=0.005)  # once it has begun: it begins beside no exit
        during.breach()
        host.event("StopFired", stop=during.stop)
        told = host.answer(changing, 60)
        assert told["secrets"] >= 2  # API secret and access token
        during.closed()
        during.filled_once()
        assert host.ask("status", account=account)["watching"] == 2

        # With the new keys in use the next one is found, written down and closed.
        after.breach()
        after.closed()
        after.filled_once()

        # While an exit is on its way no keys are changed; a backup waits for none.
        fault = late.fault(f"late-lost=3:{PLACE}")
        late.breach()
        eventually(lambda: host.ask("status", account=account)["exiting"] == 1)
        with pytest.raises(Refused, match="A stop is firing"):
            host.ask("rotate")
        assert host.ask("backup")
        assert host.ask("status", account=account)["exiting"] == 1
        late.release(fault)
        late.closed()

        # Killed, the profile opens with the new keys, and the session that was sealed anew is taken up.
        host.kill()
        again = nursery.host(profile)
        assert again.ask("open") == [account]
        again.ask("recovered", account=account)
        journal = again.ask("journal")
        assert {journal[scene.stop] for scene in (during, after, late)} == {"closed"}
        again.close()
