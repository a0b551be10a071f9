"""Brokers of third parties: found in installed packages by their entry points, checked before they are believed.

A provider runs inside this program with all its rights, as any installed package does; what is checked here is that it
fits, not that it means well. Whatever is wrong with one is named with its package and never stops the program.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import Distribution, EntryPoint, entry_points

from app.brokers.base import CONTRACT, ReadFactory
from app.brokers.configuration import endpoint_problems
from app.domain.broker import KEY_FIELDS, BrokerInfo, ProviderProblem
from app.runtime.helper import Helper

GROUP = "stopline.brokers"
"""The entry point group. An entry names a callable that takes the `Helper` (or None) and returns a factory."""

_NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")
_STORED = frozenset(field.name for field in KEY_FIELDS)

log = logging.getLogger(__name__)


class Unfit(Exception):
    """Why a provider cannot be used."""

    def __init__(self, cause: str, next_step: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.next_step = next_step


class Found:
    """A provider that fits."""

    __slots__ = ("factory", "package")

    def __init__(self, factory: ReadFactory, package: str) -> None:
        self.factory = factory
        self.package = package


def find_providers(
    taken: Callable[[str], str | None], helper: Helper | None, folders: Sequence[str] = ()
) -> Iterator[Found | ProviderProblem]:
    """Every provider of every installed package, in the order of their packages' names.

    `taken` says whose a broker's name already is. `folders` are searched beside the interpreter's own path: what was
    installed with `pip install --target`, which a frozen program needs.
    """
    for folder in folders:
        if folder not in sys.path:
            sys.path.append(folder)  # last: a provider's folder hides none of our own modules
    for distribution, entry in sorted(_entries(), key=lambda pair: (_package(pair[0]), pair[1].name)):
        package = _package(distribution)
        try:
            yield Found(_checked(_made(entry, helper), entry, taken), package)
        except Unfit as unfit:
            log.warning("provider %s of %s is left out: %s", entry.name, package, unfit.cause, exc_info=unfit.__cause__)
            yield ProviderProblem(package, entry.name, unfit.cause, unfit.next_step)


def _entries() -> Iterator[tuple[Distribution, EntryPoint]]:
    # Of two packages of one name the first on the path counts, as for an import. Names are read from the folders: to
    # open every package's metadata would take a tenth of a second of the start.
    for entry in entry_points(group=GROUP):
        if entry.dist is not None:
            yield entry.dist, entry


def _package(distribution: Distribution) -> str:
    return f"{distribution.metadata['Name']} {distribution.version}"


def _made(entry: EntryPoint, helper: Helper | None) -> object:
    """Runs the package's code: the import, and its callable. Whatever that raises is the package's."""
    try:
        made: object = entry.load()(helper)
    except (Exception, SystemExit) as failure:
        raise Unfit(
            f"It failed to load: {type(failure).__name__}: {str(failure).rstrip('.')}.",
            "Ask its author, or uninstall the package.",
        ) from failure
    return made


def _checked(made: object, entry: EntryPoint, taken: Callable[[str], str | None]) -> ReadFactory:
    contract = getattr(made, "contract", None)
    if contract is None:
        raise Unfit("It does not say for which version of the broker contract it was written.", "Ask its author.")
    if contract != CONTRACT:
        newer = isinstance(contract, int) and contract > CONTRACT
        raise Unfit(
            f"It was written for version {contract!r} of the broker contract; this program has {CONTRACT}.",
            "Update Stopline." if newer else "Update the package.",
        )
    info = getattr(made, "info", None)
    if not isinstance(info, BrokerInfo):
        raise Unfit("It does not say what it is (info).", "Ask its author.")
    if not isinstance(made, ReadFactory):
        missing = [part for part in ("login", "session") if not hasattr(made, part)]
        raise Unfit(f"It lacks what the contract asks for: {', '.join(missing)}.", "Ask its author.")
    _check_info(info, entry)
    owner = taken(info.name)
    if owner is not None:
        step = "Ask its author for another name, or uninstall the package."
        raise Unfit(f"The name {info.name} is already taken by {owner}.", step)
    return made


def _check_info(info: BrokerInfo, entry: EntryPoint) -> None:
    if _NAME.fullmatch(info.name) is None:
        raise Unfit(f"Its name {info.name!r} is not of lower-case letters, digits and underscores.", "Ask its author.")
    if info.name != entry.name:
        raise Unfit(f"It calls itself {info.name} and its entry point {entry.name}.", "Ask its author.")
    strange = sorted(field.name for field in info.fields if field.name not in _STORED)
    if strange:
        raise Unfit(
            f"It asks for settings that this program does not store: {', '.join(strange)}.",
            "Ask its author to make do with key and secret.",
        )
    wrong = endpoint_problems(info, info.endpoints)
    if wrong:
        raise Unfit(wrong[0].cause, "Ask its author.")
