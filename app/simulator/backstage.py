"""What happens on the broker's side of things, as tests need it: the part of the exchange's own door beside `admin`.

PUT  /simulator/gtt      {"id": N, "status": "disabled" | "cancelled" | "rejected", "reason": TEXT}
"""

from __future__ import annotations

from aiohttp import web

from app.simulator.admin import local, object_of
from app.simulator.gtt import BY_BROKER, GttEngine
from app.simulator.kite.envelope import json_response
from app.simulator.refusal import bad_input


class Backstage:
    """Handlers; for programs on this machine only."""

    def __init__(self, gtts: GttEngine) -> None:
        self._gtts = gtts

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        app.router.add_put("/simulator/gtt", local(self.end_gtt))

    async def end_gtt(self, request: web.Request) -> web.Response:
        """The broker ends a trigger."""
        document = await object_of(request)
        gtt_id, status = document.get("id"), document.get("status")
        if not isinstance(gtt_id, int) or status not in BY_BROKER:
            raise bad_input(f"An id and one of {', '.join(BY_BROKER)} are expected.")
        self._gtts.by_broker(gtt_id, status, str(document.get("reason", "")))
        return json_response({"status": "ok"})
