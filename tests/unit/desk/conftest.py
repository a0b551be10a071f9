from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.runtime import helper
from app.runtime.helper import Helper
from tests.fakes.helpers import lasting_helpers


@pytest.fixture(scope="package", autouse=True)
def helpers() -> Iterator[None]:
    with lasting_helpers():
        yield


@pytest.fixture
def own_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that spoils its helper process."""
    monkeypatch.setattr(helper, "Helper", Helper)
