"""Logins that the trader approves on the phone (semi-automatic login). Loop thread only.

The token arrives at an address that is registered with the broker, out in the network: whoever receives it there hands
it on to here. It carries no signature, so it is proved with a real call before it is taken.
"""

from __future__ import annotations

from app.brokers.market_parts import ApprovalLogin
from app.desk.messages import AccountView
from app.desk.services_messages import Approval
from app.desk.session import SessionDesk
from app.desk.workspace import Workspace
from app.domain.errors import AppError, Denied
from app.domain.ids import AccountId
from app.runtime.redaction import redact
from app.runtime.secret import Secret


class Approvals:
    """The part of `desk.services_verbs.ServiceVerbs` about logins."""

    def __init__(self, workspace: Workspace, session: SessionDesk) -> None:
        self.__workspace = workspace
        self.__session = session

    async def request_approval(self, account: AccountId) -> Approval:
        """Asks the broker to ask the trader."""
        asked = await self._login(account).request_approval()
        return Approval(account, asked.until, asked.notified)

    async def take_approval(self, account: AccountId, notice: Secret) -> AccountView:
        """The message that arrived. Raises LoginFailed, BadAnswer; then nothing has changed."""
        redact(notice)
        login = self._login(account)
        try:
            session = await login.approved(notice.reveal().encode())
            return await self.__session.take(account, session)
        except AppError:
            await self.__workspace.login_ended(account, False)
            raise

    def _login(self, account: AccountId) -> ApprovalLogin:
        login = self.__session.login_of(account)
        if not isinstance(login, ApprovalLogin):
            title = self.__workspace.title(self.__workspace.record(account).broker)
            raise Denied(f"{title} has no login that is approved on the phone.", "Log in by its login page.")
        return login
