"""Upstox conforms: every card, against the paper exchange."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.brokers.conformance.bench import Bench
from app.brokers.conformance.suite import *  # noqa: F403
from tests.contract.conformance import upstox


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with upstox.bench() as made:
        yield made
