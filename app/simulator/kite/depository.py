"""The page on which a client authorises a sale of shares at the depository (A8.4). Works without JavaScript."""

from __future__ import annotations

import html

from aiohttp import web

from app.simulator.bodies import form_of
from app.simulator.depository import Depository
from app.simulator.kite.sessions import Sessions
from app.simulator.pages import page

PATH = "/connect/portfolio/authorise/holdings/{api_key}/{request_id}"


class DepositoryPage:
    """GET shows what is asked for, POST answers it; then the browser is sent to `…/finish?status=success|error`."""

    def __init__(self, sessions: Sessions, depository: Depository) -> None:
        self._sessions = sessions
        self._depository = depository

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        app.router.add_get(PATH, self.show, name="login:authorise")
        app.router.add_post(PATH, self.submit, name="login:authorised")
        app.router.add_get(PATH + "/finish", self.finish, name="login:authorise-finish")

    async def show(self, request: web.Request) -> web.Response:
        """The shares, and two buttons."""
        wanted = self._depository.asked(request.match_info["request_id"])
        if wanted is None or not self._sessions.knows_app(request.match_info["api_key"]):
            return page("Unknown request", "<p>There is nothing to authorise here (any more).</p>", status=400)
        rows = "".join(f"<li>{quantity} {html.escape(key)}</li>" for key, quantity in wanted)
        return page(
            "Authorise at the depository",
            f"""<p>May these shares be sold, until 17:30?</p><ul>{rows}</ul><form method="post">
<div class="buttons"><button class="go" id="submit" type="submit" name="action" value="authorise">Authorise</button>
<button class="no" id="cancel" type="submit" name="action" value="cancel">Cancel</button></div></form>""",
        )

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Either button."""
        granted = (await form_of(request)).get("action") == "authorise"
        known = self._sessions.knows_app(request.match_info["api_key"])
        answered = known and self._depository.answer(request.match_info["request_id"], granted=granted)
        status = "success" if answered and granted else "error"
        raise web.HTTPFound(f"{request.path}/finish?status={status}")

    async def finish(self, request: web.Request) -> web.Response:
        """Where it ends."""
        done = request.query.get("status") == "success"
        return page("Authorised" if done else "Not authorised", "<p>You can close this page now.</p>")
