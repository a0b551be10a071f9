from __future__ import annotations

import ast
import asyncio
import gc
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest

import app.ui
from app.brokers.http import HttpClient
from app.domain.errors import Cancelled, Denied
from app.domain.events import Level, Noticed
from app.runtime.log import correlation
from app.ui.bridge import Bridge
from tests.fakes.scripted_server import ScriptedServer
from tests.ui.charts.stage import Stage

T = TypeVar("T")


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


@pytest.mark.parametrize("through_a_view", [False, True])
def test_a_click_counts_although_its_view_goes_in_the_same_moment(
    stage: Stage, recwarn: pytest.WarningsRecorder, through_a_view: bool
) -> None:
    begun: list[bool] = []

    async def verb() -> None:
        begun.append(True)

    async def view(answer: asyncio.Future[None]) -> None:
        await answer

    answer = stage.bridge.call(verb())
    click = stage.bridge.start(view(answer) if through_a_view else answer)
    click.cancel()
    del answer
    stage.until(lambda: begun == [True])
    assert click.cancelled()
    del click
    gc.collect()
    assert [str(one.message) for one in recwarn if "never awaited" in str(one.message)] == []
    assert stage.problems == []


def test_a_verb_that_fails_after_its_view_went_is_told_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    async def refused() -> None:
        done.set()
        raise Denied("There is no money left.", "Pay some in.")

    async def view(answer: asyncio.Future[None]) -> None:
        await answer

    stage.bridge.start(view(stage.bridge.call(refused()))).cancel()
    stage.until(done.is_set)
    stage.settle()
    gc.collect()
    assert caplog.messages == []  # the broker's refusal is no bug, and its answer is not "never retrieved"


def test_a_verb_for_a_desk_that_has_ended_is_put_away_too(stage: Stage, recwarn: pytest.WarningsRecorder) -> None:
    ended = asyncio.new_event_loop()
    ended.close()
    bridge = Bridge(None, lambda verb: asyncio.run_coroutine_threadsafe(verb, ended), stage.loop)

    async def verb() -> None:
        raise AssertionError("nobody runs it")

    answer = bridge.call(verb())
    stage.until(answer.done)
    assert isinstance(answer.exception(), Cancelled)
    gc.collect()
    assert [str(one.message) for one in recwarn if "never awaited" in str(one.message)] == []


def test_no_view_hands_a_coroutine_to_a_coroutine() -> None:
    """Cancelled before its first step, the outer one would leave the inner one behind: views hand on answers."""
    handed = []
    for file in Path(app.ui.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef) and node.name != "_correlated":
                handed += [
                    f"{file.name}:{node.lineno} {node.name}({one.arg})"
                    for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                    if one.annotation is not None and ast.unparse(one.annotation).startswith(("Coroutine", "Awaitable"))
                ]
    assert handed == []


def test_what_a_view_begins_after_the_end_does_not_run(stage: Stage) -> None:
    begun: list[bool] = []

    async def late() -> None:
        begun.append(True)

    stage.loop.run_until_complete(stage.bridge.close())
    task = stage.bridge.start(late())
    stage.settle()
    assert task.cancelled()
    assert begun == []


def test_a_verb_that_the_end_overtakes_is_put_away_without_a_word(
    stage: Stage, recwarn: pytest.WarningsRecorder
) -> None:
    ending = asyncio.new_event_loop()
    begun: list[bool] = []

    async def verb() -> None:
        begun.append(True)

    def submit(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, ending)

    bridge = Bridge(None, submit, stage.loop)
    click = bridge.start(bridge.call(verb()))
    stage.settle()
    ending.call_soon(lambda: [task.cancel() for task in asyncio.all_tasks(ending)])
    ending.call_later(0.01, ending.stop)
    ending.run_forever()
    ending.close()
    stage.until(click.done)
    del click
    gc.collect()
    assert begun == []
    assert [str(one.message) for one in recwarn if "never awaited" in str(one.message)] == []
