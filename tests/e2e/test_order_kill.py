"""Killed between an order and its answer: the next run finds what the broker has, exactly once, and sends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hosts import HostDied, Nursery
from tests.exchange import PaperExchange, eventually

INFY = "NSE:INFY"


@pytest.mark.timeout(90)
@pytest.mark.parametrize(("fault", "orders", "end"), [("lost-after", 1, "filled"), ("lost-before", 0, "denied")])
def test_killed_between_order_and_answer(fault: str, orders: int, end: str, tmp_path: Path) -> None:
    with Nursery() as nursery, PaperExchange(None, "--seed", "1") as exchange:
        with nursery.host(tmp_path / "profile") as first:
            account = first.set_up(exchange)
            exchange.call("POST", "/simulator/faults", {"faults": [f"{fault}:route=place"]})
            first.ask("die", at="order out", account=account, after=0.3)
            with pytest.raises(HostDied):
                first.ask("trade", account=account, instrument=INFY, side="BUY", quantity=5, product="MIS")
        for row in exchange.call("GET", "/simulator/faults")["faults"]:
            exchange.call("DELETE", f"/simulator/faults?id={row['id']}")
        with nursery.host(tmp_path / "profile") as again:
            assert again.ask("open") == [account]
            again.ask("recovered", account=account)

            def settled() -> list[dict[str, Any]]:
                found: list[dict[str, Any]] = again.ask("orders", account=account, instrument=INFY)
                return found if found and found[0]["trail"][-1:] == [end] else []

            (found,) = eventually(settled, 20)
            assert found["status"] == end
            assert (found["trail"][0], found["trail"].count("submitted")) == ("submitted", 1)
        assert [order["quantity"] for order in exchange.book()["orders"]] == [5] * orders
