"""Where a broker listens, and whether it is play money."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine: what is sent there leaves it never."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of one broker. Overridden for the paper exchange, stored with the account."""

    api_url: str
    login_url: str
    ws_url: str
    redirect_url: str = ""
    """Where the login page sends the browser when it is done."""
    ca_file: str = ""
    """PEM of a private authority (paper exchange with TLS); empty: the system's."""

    @property
    def paper(self) -> bool:
        """Play money: every address is on loopback. The PAPER/LIVE badge derives from this alone (J1)."""
        return all(urlsplit(url).hostname in LOOPBACK for url in (self.api_url, self.login_url, self.ws_url))
