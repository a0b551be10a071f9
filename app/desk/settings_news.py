"""What is wrong with the profile's settings file, told to the trader as a notice."""

from __future__ import annotations

from app.desk.desk import LocalDesk
from app.domain.errors import AppError
from app.domain.events import Level, Noticed


def tell_mistake(mistake: AppError | None, desk: LocalDesk) -> None:
    """When the profile opens; None: there is none."""
    if mistake is not None:
        notice = Noticed(
            Level.WARNING,
            "Stopline started with default settings",
            f"{mistake.cause} {mistake.detail}".strip(),
            mistake.next_step,
        )
        desk.session.on_open.append(lambda: desk.announce(notice))
