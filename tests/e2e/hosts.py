"""Starts, asks and kills `tests.e2e.host` processes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.exchange import ROOT, PaperExchange

SECONDS = 60.0
"""Patience: the machine may have other things to do."""


class HostDied(Exception):
    """The process ended before it answered."""


class Refused(Exception):
    """The desk raised: the error's class and words."""


class Nursery:
    """The process that every host is forked from. `light`: their helpers are threads, not processes."""

    def __init__(self, *, light: bool = False) -> None:
        self._light = light
        self._hosts: list[RunningHost] = []
        # A socket's address is short: the temporary folder of a test may be too long for it.
        self._folder = tempfile.mkdtemp(prefix="stopline-")
        self.address = f"{self._folder}/hosts"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.host", self.address],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def host(self, profile: Path, *, owner: bool = False) -> RunningHost:
        """A fresh process on a profile; `owner`: with the profile's lock, as a window."""
        host = RunningHost(self.address, profile, owner=owner, beside=self._light)
        self._hosts.append(host)
        return host

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(SECONDS)
        for host in self._hosts:  # those of a test that failed too
            host.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        shutil.rmtree(self._folder)


class RunningHost:
    """One process on a profile."""

    def __init__(self, address: str, profile: Path, *, owner: bool = False, beside: bool = False) -> None:
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(address)
        self._incoming = self._line.makefile("r", encoding="utf-8")
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self._some = threading.Condition()
        self._asking = threading.Lock()
        self._ended = False
        self._reader = threading.Thread(target=self._read, name=f"host of {profile.name}", daemon=True)
        self._reader.start()
        self._write({"profile": str(profile), "owner": owner, "beside": beside})
        self.pid: int = self.event("Started")["pid"]

    # -- life --------------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """Politely: the desk's ordered stop."""
        with contextlib.suppress(OSError):  # it is dead
            self._line.shutdown(socket.SHUT_WR)
        self.wait()

    def wait(self) -> None:
        """Until it is dead: its end of the line is closed then."""
        self._reader.join(SECONDS)
        assert self._ended, f"host {self.pid} still lives"
        self._incoming.close()
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- verbs -------------------------------------------------------------------------------------------------------

    def send(self, verb: str, **arguments: Any) -> int:
        """Asks without waiting for the answer."""
        with self._asking:  # scenes of one desk ask from threads of their own
            self._number += 1
            number = self._number
            self._write({"id": number, "do": verb, **arguments})
        return number

    def _write(self, message: dict[str, Any]) -> None:
        try:
            self._line.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            raise HostDied(message.get("do", "start")) from None

    def answer(self, number: int, seconds: float = SECONDS) -> Any:
        """What a question was answered."""
        self._until(lambda: number in self._answers, seconds, f"answer {number}")
        answer = self._answers.pop(number)
        if "error" in answer:
            raise Refused(answer["error"], answer["words"])
        return answer["ok"]

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Asks and waits."""
        return self.answer(self.send(verb, **arguments))

    def event(self, kind: str, seconds: float = SECONDS, since: int = 0, **wanted: Any) -> dict[str, Any]:
        """The first event of a kind with these values, past or to come."""

        def find() -> dict[str, Any] | None:
            for event in self.events[since:]:
                if event["event"] == kind and all(event.get(name) == value for name, value in wanted.items()):
                    return event
            return None

        self._until(lambda: find() is not None, seconds, f"{kind} {wanted}")
        found = find()
        assert found is not None
        return found

    def alarms(self) -> list[str]:
        """Causes of all alarms."""
        return [e["cause"] for e in self.events if e["event"] == "Noticed" and e["level"] == "alarm"]

    # -- the way in --------------------------------------------------------------------------------------------------

    def log_in(self, exchange: PaperExchange, account: str) -> None:
        """Through the exchange's login page."""
        page = self.ask("login_page", account=account)
        params = parse_qs(urlsplit(page).query)["redirect_params"][0]
        self.ask("complete_login", account=account, redirect=exchange.log_in(parse_qs(params)["state"][0]))

    def set_up(self, exchange: PaperExchange) -> str:
        """A fresh profile's first minute. Returns the account, its feed live."""
        self.ask("open")
        account: str = self.ask("connect", urls=exchange.urls)
        self.log_in(exchange, account)
        self.ask("recovered", account=account)
        return account

    def hold(self, account: str, instrument: str, quantity: int, product: str = "MIS") -> None:
        """Trades so many units (negative: sells) and waits until the desk knows the position."""
        since = len(self.events)
        side = "BUY" if quantity > 0 else "SELL"
        self.ask("trade", account=account, instrument=instrument, side=side, quantity=abs(quantity), product=product)
        name = f"{instrument}@{product}"
        self._until(
            lambda: any(
                event["event"] == "PositionsChanged" and event["quantities"].get(name) == quantity
                for event in self.events[since:]
            ),
            SECONDS,
            f"{quantity} {name}",
        )

    # -- inside ------------------------------------------------------------------------------------------------------

    def _until(self, check: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        with self._some:
            while not check():
                if self._ended:
                    raise HostDied(what)
                left = deadline - time.monotonic()
                assert left > 0, f"no {what} within {seconds} s; last events: {self.events[-12:]}"
                self._some.wait(left)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # reset by a kill with questions unread
            for line in self._incoming:
                if not line.endswith("\n"):
                    break  # cut off by the kill
                message = json.loads(line)
                with self._some:
                    if "event" in message:
                        self.events.append(message)
                    else:
                        self._answers[message["id"]] = message
                    self._some.notify_all()
        with self._some:
            self._ended = True
            self._some.notify_all()


def in_parallel(jobs: list[Callable[[], None]]) -> None:
    """Runs all; raises the first failure after all have ended."""
    failures: queue.Queue[BaseException] = queue.Queue()

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as failure:  # noqa: BLE001 - raised again below
            failures.put(failure)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not failures.empty():
        raise failures.get()
