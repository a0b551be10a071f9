"""Composition root: builds every object in order. The only module that names concrete classes; nobody imports it."""

from __future__ import annotations

from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int:
    """The program: parses the command line, builds what the command needs, returns its exit code."""
    raise NotImplementedError(arguments)
