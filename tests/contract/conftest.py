from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.helpers import lasting_helpers


@pytest.fixture(scope="package", autouse=True)
def helpers() -> Iterator[None]:
    """For the desks; what is made without one (a sync, a session) has a process of its own."""
    with lasting_helpers():
        yield
