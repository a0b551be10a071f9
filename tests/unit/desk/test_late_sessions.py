"""A session of before that is still tried when a login has brought another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.brokers.base import Session
from app.desk.tokens import pack
from app.domain.errors import SessionExpired
from app.domain.events import SessionState, SyncProgressed, SyncStep
from app.domain.sync import SyncPlan
from app.runtime.secret import Secret
from tests.unit.desk.profiles import make_profile, opened
from tests.unit.storage.samples import A


async def test_a_start_that_still_tries_the_stored_session_goes_on_with_what_a_login_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the good one would be given up for the death of the one before."""
    await make_profile(tmp_path, 3)
    async with opened(tmp_path) as desk:
        workspace, sessions = desk._workspace, desk.session._sessions
        tried: list[str] = []

        async def keep(token: str) -> None:
            sealed = workspace.vault.seal(A, pack(Session(A, "AB1234", "A", Secret(token), 0, 4 * 10**18)))
            record = replace(workspace.record(A), state=SessionState.ERROR, sealed_token=sealed)
            await workspace.save(replace(record, token_issued_at=0, token_expires_at=4 * 10**18))

        async def begin(_account: object, session: Session, *, late: bool = False) -> None:
            assert late
            tried.append(session.access_token.reveal())
            if len(tried) == 1:
                await keep("fresh")
                raise SessionExpired("It is over.")

        await keep("stored")
        monkeypatch.setattr(sessions, "_begin", begin)
        await sessions.resume(A)
        assert tried == ["stored", "fresh"]
        assert not workspace.record(A).state.dead


@pytest.mark.parametrize("what", ["a sync that ends", "a plan that is changed"])
async def test_a_login_is_not_undone_by_what_is_written_of_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Else the next start, or the guard, takes up the session of before: dead, and all stops blind."""
    await make_profile(tmp_path, 3)
    async with opened(tmp_path) as desk:
        workspace = desk._workspace

        async def login(*_: object) -> None:
            await workspace.save(replace(workspace.record(A), sealed_token=b"fresh", state=SessionState.ACTIVE))

        monkeypatch.setattr(type(workspace.vault), "renewed", lambda _vault, _account, sealed: sealed)
        await workspace.save(replace(workspace.record(A), sealed_token=b"old", state=SessionState.EXPIRED))
        if what == "a sync that ends":
            monkeypatch.setattr(desk.sync._traded, "learn", login)
            await desk.sync._record(SyncProgressed("1", A, SyncStep.COMPLETED, "manual", created=1, ended_at=1))
        else:
            monkeypatch.setattr(workspace.book.sync_plans, "save", login)
            await desk.sync.save_plan(SyncPlan(A))
        record = workspace.record(A)
        assert (record.sealed_token, record.state) == (b"fresh", SessionState.ACTIVE)
