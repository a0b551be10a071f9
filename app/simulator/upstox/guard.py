"""What the client set up at Upstox against itself: registered addresses and the kill switch (B3). Kept in the book."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from app.simulator.book import Book
from app.simulator.clock import ExchangeClock
from app.simulator.figures import stamp
from app.simulator.listing import Listing
from app.simulator.refusal import Refused
from app.simulator.upstox.envelope import refuse
from app.simulator.upstox.keys import segment_of

SEGMENTS = ("NSE_EQ", "BSE_EQ", "NSE_FO", "BSE_FO", "NCD_FO", "BCD_FO", "MCX_FO", "NSE_COM")
COOLING_SECONDS = 12 * 3600
"""After it was pulled, a kill switch stays for about so long."""
WEEK_SECONDS = 7 * 86_400
"""Addresses can be changed once a week."""


class Guard:
    """Owned by the Upstox door; on the loop thread."""

    def __init__(self, clock: ExchangeClock, book: Book) -> None:
        self._clock = clock
        self._book = book
        self._addresses: dict[str, Any] = {"primary_ip": "127.0.0.1", "secondary_ip": None}
        self._addresses |= {"changed": 0.0, "changed_at": None}
        self._killed: dict[str, float] = {}
        """Segment -> exchange time when its switch was pulled."""

    def addresses(self, *, invalidated: bool = False) -> dict[str, Any]:
        """GET and PUT /v2/user/ip."""
        at = self._addresses["changed_at"]
        return {
            "primary_ip": self._addresses["primary_ip"],
            "secondary_ip": self._addresses["secondary_ip"],
            "primary_ip_updated_at": at,
            "secondary_ip_updated_at": at if self._addresses["secondary_ip"] else None,
            "access_tokens_invalidated": invalidated,
        }

    def register(self, primary: object, secondary: object) -> None:
        """New addresses. Raises Refused: a bad address, or too soon after the last change."""
        for value, path in ((primary, "primary_ip"), (secondary, "secondary_ip")):
            if value in (None, "") and path == "secondary_ip":
                continue
            try:
                ip_address(str(value))
            except ValueError:
                raise refuse("UDAPI1179", f"Invalid {path}", path=path, value=value) from None
        if primary == secondary:
            raise refuse("UDAPI1180", "The primary and the secondary IP cannot be the same", path="secondary_ip")
        now = self._clock.epoch()
        if self._addresses["changed"] and now < self._addresses["changed"] + WEEK_SECONDS:
            raise refuse("UDAPI1181", "The static IP can be changed once a week only")
        changed = {"changed": now, "changed_at": stamp(self._clock.now())}
        self._addresses = {"primary_ip": primary, "secondary_ip": secondary or None, **changed}
        self._book.put("upstox-guard", "addresses", self._addresses)
        self._book.commit(durable=True)

    def switches(self) -> list[dict[str, Any]]:
        """GET /v2/user/kill-switch."""
        return [
            {
                "segment": segment,
                "segment_status": "INACTIVE" if segment in self._killed else "ACTIVE",
                "kill_switch_enabled": segment in self._killed,
            }
            for segment in SEGMENTS
        ]

    def pull(self, items: object) -> None:
        """POST /v2/user/kill-switch: all or nothing. Raises Refused."""
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise refuse("UDAPI1184", "Invalid kill switch request")
        killed = dict(self._killed)
        for item in items:
            segment, action = item.get("segment"), item.get("action")
            if segment not in SEGMENTS:
                raise refuse("UDAPI1185", "Invalid segment", path="segment", value=segment)
            if action == "ENABLE":
                killed[segment] = self._clock.epoch()
            elif action != "DISABLE":
                raise refuse("UDAPI1186", "Invalid action", path="action", value=action)
            elif self._clock.epoch() < killed.get(segment, -COOLING_SECONDS) + COOLING_SECONDS:
                raise refuse(
                    "UDAPI1188", "The kill switch cannot be disabled during its cooling period", path="segment"
                )
            else:
                killed.pop(segment, None)
        self._killed = killed
        self._book.put("upstox-guard", "killed", killed)
        self._book.commit(durable=True)

    def check(self, listing: Listing) -> None:
        """Raises Refused when orders of a listing are switched off."""
        segment = segment_of(listing)
        if segment in self._killed:
            raise refuse("UDAPI1184", f"Trading in {segment} is disabled by the kill switch.")
        if segment == "MCX_FO":
            raise refuse(
                "UDAPI1161",
                "MCX API orders are temporarily disabled. Meanwhile, place commodity orders on NSE (NSCOM).",
            )

    def load(self) -> None:
        """From the book."""
        kept = self._book.load("upstox-guard")
        self._addresses = kept.get("addresses", self._addresses)
        self._killed = kept.get("killed", self._killed)


def closed_at_night() -> Refused:
    """Order calls outside of 05:30 to 24:00."""
    return refuse("UDAPI100074", "The order API is accessible from 5:30 AM to 12:00 AM IST daily.")
