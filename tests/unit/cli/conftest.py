from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.helpers import lasting_helpers


@pytest.fixture(scope="package", autouse=True)
def helpers() -> Iterator[None]:
    with lasting_helpers():
        yield
