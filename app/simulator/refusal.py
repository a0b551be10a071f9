"""What the core says when it does not do what was asked. Each wire puts it into its own words and statuses."""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """A refusal: an HTTP status, a kind (Kite's `error_type`), and words for the client."""

    def __init__(
        self,
        status: int,
        error_type: str,
        message: str,
        *,
        data: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message
        self.data = data
        self.headers = dict(headers or {})


def bad_input(message: str) -> Refused:
    """A missing or bad parameter."""
    return Refused(400, "InputException", message)
