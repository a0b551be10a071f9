"""One owner per profile, and the local socket over which the command line and a second start talk to it.

Requests and answers are JSON in length-prefixed messages of `multiprocessing.connection`; nothing is ever unpickled.
Both sides prove that they can read the profile's key file, which only its owner can.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

import msgspec

from app.desk.companions import VERB, Companions
from app.domain.errors import AppError, NotAnswering
from app.runtime.files import write_atomically
from app.runtime.log import correlated, logger
from app.runtime.paths import ProfilePaths

_log = logger("desk.remote")

_MESSAGE_LIMIT = 1_000_000
_LONGEST_PATH = 100
"""Bytes of a socket's path; Linux allows 107, macOS 103."""

REACH_SECONDS = 30.0
"""How long a workstation may take to start listening, and to prove itself: after that it hangs, however long the verb
itself may take."""
ALIVE_SECONDS = 15.0
"""How long its loop may take to do nothing at all before it counts as hanging."""

AGAIN_SECONDS = 5.0
"""Between two tries to listen, where the disk has no room for the two small files that it takes."""
_FULL = (errno.ENOSPC, errno.EDQUOT)

Verb = Callable[[Mapping[str, Any]], Awaitable[Any]]
"""A verb's handler: a coroutine function of the loop thread. Its answer must be serialisable."""


class ProfileInUse(AppError):
    """Another process owns the profile."""


class ProfileLock:
    """Held by the one process that owns a profile; the system frees it when that process dies, however it dies."""

    _held_here: set[Path] = set()  # noqa: RUF012 -- POSIX record locks do not exclude their own process
    _guard = threading.Lock()

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._file: int | None = None

    def acquire(self) -> None:
        """Raises ProfileInUse when another has it. A second call does nothing."""
        with self._guard:
            if self._file is not None:
                return
            if self._path in self._held_here:
                raise self._in_use()
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                _lock(file)
            except OSError as error:
                os.close(file)
                raise self._in_use() from error
            self._file = file
            self._held_here.add(self._path)

    def release(self) -> None:
        """Lets the next one in. A second call does nothing."""
        with self._guard:
            if self._file is not None:
                os.close(self._file)
                self._file = None
                self._held_here.discard(self._path)

    def _in_use(self) -> ProfileInUse:
        return ProfileInUse(
            f"Stopline is already running on the profile {self._path.parent}.",
            "Use that window, or choose another folder with --profile.",
        )


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        # Not flock: a forked helper would inherit it and keep a dead owner's profile locked.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked on a connection: one verb with its parameters."""

    verb: str
    params: dict[str, Any] = {}


class _Failure(msgspec.Struct):
    kind: str
    cause: str
    next_step: str = ""
    detail: str = ""


class _Answer(msgspec.Struct):
    result: Any = None
    failure: _Failure | None = None


class RemoteServer:
    """Listens for the owner of the profile lock. Its threads only carry messages; verbs run on the loop thread."""

    def __init__(
        self,
        paths: ProfilePaths,
        verbs: Mapping[str, Verb],
        loop: asyncio.AbstractEventLoop,
        companions: Companions | None = None,
    ) -> None:
        self._paths = paths
        self._verbs = verbs
        self._loop = loop
        self._companions = companions
        self._key = secrets.token_bytes(32)
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None
        self._trying: threading.Thread | None = None
        self._closing = threading.Event()

    def start(self) -> None:
        """Listens when it returns; on a full disk once there is room, for no stop waits for that. Raises OSError."""
        try:
            self._listen()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            _log.warning("nobody can call this desk yet", cause=str(error))
            self._trying = threading.Thread(target=self._try_on, name="remote", daemon=True)
            self._trying.start()

    def _try_on(self) -> None:
        while not self._closing.wait(AGAIN_SECONDS):
            with contextlib.suppress(OSError):
                self._listen()
                return

    def _listen(self) -> None:
        address = _bindable_address(self._paths)
        # A socket file left by a dead owner is in the way; ours it is, for we hold the lock.
        Path(address).unlink(missing_ok=True) if sys.platform != "win32" else None
        write_atomically(self._paths.remote_key, self._key)
        listener = Listener(address, family=_family())
        try:
            write_atomically(self._paths.remote_address, address.encode())
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self._thread = threading.Thread(target=self._accept, name="remote", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends listening; a second call does nothing. Call it before the loop ends."""
        self._closing.set()
        if self._trying is not None:
            self._trying.join(5)
        if self._listener is None or self._thread is None:
            return
        address = self._listener.address
        # Closing a socket does not wake the thread that waits on it; a caller does.
        with contextlib.suppress(OSError):
            Client(address, family=_family()).close()
        self._thread.join(5)
        self._listener.close()
        self._listener = None
        self._paths.remote_address.unlink(missing_ok=True)
        self._paths.remote_key.unlink(missing_ok=True)

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101 -- started by start() alone
        while not self._closing.is_set():
            try:
                connection = self._listener.accept()
            except OSError as error:
                if not self._closing.is_set():
                    _log.error("the local socket broke", cause=str(error))
                return
            if self._closing.is_set():
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection,), name="remote call", daemon=True).start()

    def _serve(self, connection: Connection[Any, Any]) -> None:
        with connection:
            try:
                deliver_challenge(connection, self._key)
                answer_challenge(connection, self._key)
                request = connection.recv_bytes(_MESSAGE_LIMIT)
                if self._companions is not None and (beside := _beside(request)) is not None:
                    self._companions.attend(connection, beside)
                else:
                    connection.send_bytes(msgspec.json.encode(self._answer(request)))
            except (EOFError, OSError, AuthenticationError) as error:
                # The caller went away, or is not one of ours: its affair.
                _log.info("a local call ended early", cause=str(error))

    def _answer(self, data: bytes) -> _Answer:
        try:
            request = msgspec.json.decode(data, type=Request)
        except msgspec.DecodeError as error:
            return _Answer(failure=_Failure("AppError", "The request cannot be read.", detail=str(error)))
        verb = self._verbs.get(request.verb)
        if verb is None:
            known = ", ".join(sorted(self._verbs))
            return _Answer(failure=_Failure("AppError", f"There is no verb {request.verb!r}.", f"There are: {known}."))
        if not self._alive():
            _log.error("a local call found the loop hanging", verb=request.verb)
            return _Answer(failure=_Failure(NotAnswering.__name__, *_hangs(self._paths)))
        try:
            # The future is read here, so a failure cannot get lost.
            result = asyncio.run_coroutine_threadsafe(_run(verb, request), self._loop).result()
            return _Answer(result=msgspec.to_builtins(result))
        except AppError as error:
            return _Answer(failure=_Failure(type(error).__name__, error.cause, error.next_step, error.detail))
        except Exception as error:  # noqa: BLE001 -- the caller must not wait for ever; the bug is in the log
            _log.error("a local call failed", verb=request.verb, exc_info=error)
            return _Answer(failure=_Failure("AppError", f"{request.verb} failed.", "The workstation's log says why."))

    def _alive(self) -> bool:
        """Whether the loop gets round to anything. A verb is not begun on one that does not: its caller has left by
        the time that it would run."""
        turn = threading.Event()
        try:
            self._loop.call_soon_threadsafe(turn.set)
        except RuntimeError:  # it has ended
            return False
        return turn.wait(ALIVE_SECONDS)


def _beside(data: bytes) -> Mapping[str, Any] | None:
    """The parameters of a guard that asks to wait beside this desk; None for any other request."""
    try:
        request = msgspec.json.decode(data, type=Request)
    except msgspec.DecodeError:
        return None  # `_answer` says what is wrong with it
    return request.params if request.verb == VERB else None


def _run(verb: Verb, request: Request) -> Coroutine[Any, Any, Any]:
    async def run() -> Any:
        with correlated():
            _log.info("local call", verb=request.verb)
            return await verb(request.params)

    return run()


def call(paths: ProfilePaths, verb: str, params: Mapping[str, Any] | None = None, *, timeout: float = 60.0) -> Any:
    """Asks the process that owns the profile; returns plain JSON values. Blocks: not for an event loop.

    Raises the verb's own AppError, and NotAnswering when nobody answers within `timeout` seconds, or proves to be there
    within half a minute. An owner that is still starting is waited for.
    """
    deadline = time.monotonic() + timeout
    with reach(paths, min(deadline, time.monotonic() + REACH_SECONDS)) as connection:
        try:
            # From here on nothing is sent twice: the verb may have been run.
            connection.send_bytes(msgspec.json.encode(Request(verb, dict(params or {}))))
            _wait(connection, paths, deadline)
            answer = msgspec.json.decode(connection.recv_bytes(), type=_Answer)
        except (EOFError, OSError) as error:
            raise _not_answering(paths) from error
    if answer.failure is not None:
        raise _as_error(answer.failure)
    return answer.result


def reach(paths: ProfilePaths, deadline: float) -> Connection[Any, Any]:
    """A connection on which both sides have proved themselves; tried until `deadline` (monotonic), at least once.

    Raises NotAnswering. Blocks.
    """
    while True:
        connection = None
        try:
            key, address = paths.remote_key.read_bytes(), paths.remote_address.read_bytes().decode()
            connection = Client(address, family=_family())
            _wait(connection, paths, deadline)
            answer_challenge(connection, key)
            deliver_challenge(connection, key)
        except (EOFError, OSError, AuthenticationError) as error:
            # Not listening yet, just gone, or its key was changed by a restart: try again.
            if connection is not None:
                connection.close()
            if time.monotonic() > deadline:
                raise _not_answering(paths) from error
            time.sleep(0.05)
        except NotAnswering:
            if connection is not None:
                connection.close()
            raise
        else:
            return connection


def _wait(connection: Connection[Any, Any], paths: ProfilePaths, deadline: float) -> None:
    if not connection.poll(max(0.0, deadline - time.monotonic())):
        raise _not_answering(paths)


def _not_answering(paths: ProfilePaths) -> NotAnswering:
    return NotAnswering(*_hangs(paths))


def _hangs(paths: ProfilePaths) -> tuple[str, str]:
    """(cause, next step)."""
    return (
        f"The workstation on the profile {paths.root} does not answer.",
        "Close it, or end its process, and try again.",
    )


def _as_error(failure: _Failure) -> AppError:
    """The error again, of the class that has this name; an unknown name becomes a plain AppError."""
    kinds, known = [AppError], {}
    while kinds:
        kind = kinds.pop()
        known[kind.__name__] = kind
        kinds += kind.__subclasses__()
    return known.get(failure.kind, AppError)(failure.cause, failure.next_step, detail=failure.detail)


def _family() -> str:
    return "AF_PIPE" if sys.platform == "win32" else "AF_UNIX"


def _bindable_address(paths: ProfilePaths) -> str:
    """A socket in the profile; where its path is too long, in a private folder of the system's, named by a hash."""
    name = hashlib.sha256(os.fsencode(paths.root.resolve())).hexdigest()[:16]
    if sys.platform == "win32":
        return rf"\\.\pipe\stopline-{name}"
    inside = str(paths.root.resolve() / "desk.sock")
    if len(os.fsencode(inside)) <= _LONGEST_PATH:
        return inside
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"stopline-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    owned = folder.lstat()
    if not stat.S_ISDIR(owned.st_mode) or owned.st_uid != os.getuid() or owned.st_mode & 0o077:
        raise OSError(f"{folder} is not a private folder of this user")
    return str(folder / f"{name}.sock")
