from __future__ import annotations

import asyncio
import logging

import pytest

from app.brokers.http import HttpClient
from app.domain.events import Level, Noticed
from app.runtime.log import correlation
from tests.fakes.scripted_server import ScriptedServer
from tests.ui.charts.stage import Stage


def test_what_was_told_before_any_view_could_show_it_is_shown_by_the_first_one(stage: Stage) -> None:
    early = Noticed(Level.ALARM, "The journal had to be started anew", repeat_key="journal")
    late = Noticed(Level.WARNING, "The feed is silent")
    stage.publish(early)
    heard: list[Noticed] = []
    stage.bridge.subscribe(Noticed, heard.append)
    assert heard == []  # the view that asks is not whole yet
    stage.publish(late)
    assert heard == [early, late]


def test_what_comes_of_one_click_carries_one_id_down_to_the_request(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    class Trading:
        async def place(self) -> tuple[str, list[str]]:
            """As a verb does: at once, and in a task of its own."""
            async with ScriptedServer(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as server:
                client = HttpClient(server.url)
                await client.request("POST", "/orders/regular")
                await asyncio.create_task(client.request("GET", "/orders"))
                await client.close()
                return correlation(), [seen.headers["x-correlation-id"] for seen in server.seen]

    found: list[tuple[str, list[str]]] = []

    async def click() -> None:
        found.append(await stage.bridge.call(Trading().place()))

    with caplog.at_level(logging.INFO, logger="app"):
        stage.bridge.start(click())
        stage.bridge.start(click())
        stage.until(lambda: len(found) == 2)
    (first, sent), (second, sent_then) = found
    assert first != second
    assert (sent, sent_then) == ([first] * 2, [second] * 2)
    assert sum(line.startswith("click: ") for line in caplog.messages) == 2
    assert sum("POST /orders/regular 200" in line for line in caplog.messages) == 2


def test_what_a_view_begins_after_the_end_does_not_run(stage: Stage) -> None:
    begun: list[bool] = []

    async def late() -> None:
        begun.append(True)

    stage.loop.run_until_complete(stage.bridge.close())
    task = stage.bridge.start(late())
    stage.settle()
    assert task.cancelled()
    assert begun == []
