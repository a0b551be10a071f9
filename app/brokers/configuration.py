"""Whether what a trader entered to connect can work, judged before anything is sent or stored; each fault in words.

Pure. Live secrets never go to an overridden address off this machine, and the secrets of a paper exchange never leave
it (J1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, urlsplit

from app.domain.account import LOOPBACK, Endpoints
from app.domain.broker import BrokerInfo, ConfigField
from app.domain.errors import Denied

_HTTP = ("https", "http")
_SOCKET = ("wss", "ws")
ADDRESSES: Mapping[str, tuple[str, tuple[str, str]]] = {
    "api_url": ("API address", _HTTP),
    "login_url": ("login page", _HTTP),
    "ws_url": ("price stream", _SOCKET),
}
"""Of each address: what it is called, and its schemes, the encrypted one first."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong with what was entered."""

    field: str
    """Of `BrokerInfo.fields` or of `Endpoints`; empty: it is about several."""
    cause: str
    next_step: str


def problems(
    info: BrokerInfo, values: Mapping[str, str], endpoints: Endpoints | None = None
) -> tuple[ConfigProblem, ...]:
    """Everything that is wrong, in the order of the form; empty when it can work. No value of a secret is repeated."""
    found = [problem for field in info.fields for problem in _field_problems(info, field, values)]
    known = {field.name for field in info.fields}
    found += [
        ConfigProblem(name, f"{info.title} has no setting called {name}.", f"It knows: {', '.join(sorted(known))}.")
        for name in values
        if name not in known
    ]
    if endpoints is not None:
        found += endpoint_problems(info, endpoints)
    return tuple(found)


def check(info: BrokerInfo, values: Mapping[str, str], endpoints: Endpoints | None = None) -> None:
    """Raises Denied with the first problem; the others stand in its detail."""
    raise_first(problems(info, values, endpoints))


def completed(info: BrokerInfo, endpoints: Endpoints | None) -> Endpoints:
    """The broker's own addresses, with what was entered beside them (the redirect URL); or all that were entered."""
    if endpoints is None:
        return info.endpoints
    if endpoints.api_url or endpoints.login_url or endpoints.ws_url:
        return endpoints
    return replace(info.endpoints, redirect_url=endpoints.redirect_url, ca_file=endpoints.ca_file)


def check_endpoints(info: BrokerInfo, endpoints: Endpoints) -> None:
    """Raises Denied when a session or a secret must not be sent to these addresses."""
    raise_first(endpoint_problems(info, endpoints))


def raise_first(found: Sequence[ConfigProblem]) -> None:
    """Raises Denied with the first problem, if there is one; the others stand in its detail."""
    if found:
        first, *others = found
        raise Denied(first.cause, first.next_step, detail=" ".join(problem.cause for problem in others))


def _field_problems(info: BrokerInfo, field: ConfigField, values: Mapping[str, str]) -> Iterator[ConfigProblem]:
    value = values.get(field.name, "")
    where = field.help or f"See {info.documentation}."
    if not value:
        if field.required:
            yield ConfigProblem(field.name, f"The {field.label} is missing.", where)
    elif value != value.strip() or any(letter.isspace() for letter in value):
        yield ConfigProblem(field.name, f"The {field.label} has blanks or line breaks in it.", "Copy it again, alone.")
    elif not all(letter.isprintable() and letter.isascii() for letter in value):
        yield ConfigProblem(
            field.name, f"The {field.label} has letters in it that no {field.label} has.", "Copy it again, alone."
        )
    elif field.pattern and re.fullmatch(field.pattern, value) is None:
        looks = f"It looks like {field.example}. " if field.example else ""
        yield ConfigProblem(field.name, f"This is no {field.label} of {info.title}.", f"{looks}{where}")


def endpoint_problems(info: BrokerInfo, endpoints: Endpoints) -> tuple[ConfigProblem, ...]:
    """What is wrong with addresses: their form first, then whose they are."""
    found = [problem for name in ADDRESSES for problem in _address_problems(name, getattr(endpoints, name))]
    found += _redirect_problems(endpoints)
    return tuple(found) or tuple(_whose(info, endpoints))


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        valid = bool(parts.hostname) and parts.port != 0  # reading a port that is no number raises
    except ValueError:
        return None
    return parts if valid else None


def _address_problems(name: str, address: str) -> Iterator[ConfigProblem]:
    title, schemes = ADDRESSES[name]
    whole = f"It begins with {schemes[0]}:// and a host."
    if not address:
        yield ConfigProblem(name, f"The address of the {title} is missing.", "Other addresses need all three.")
        return
    parts = _split(address)
    if parts is None or any(letter.isspace() for letter in address):
        yield ConfigProblem(name, f"The address of the {title} is not an address.", whole)
    elif parts.scheme not in schemes:
        yield ConfigProblem(name, f"The address of the {title} cannot begin with {parts.scheme or 'nothing'}:.", whole)
    elif parts.username is not None or parts.password is not None:
        yield ConfigProblem(name, f"The address of the {title} has a name or password in it.", "Leave them out.")
    elif parts.scheme == schemes[1] and parts.hostname not in LOOPBACK:
        yield ConfigProblem(
            name, f"The {title} would be spoken to without encryption, over the network.", f"Use {schemes[0]}://."
        )


def _redirect_problems(endpoints: Endpoints) -> Iterator[ConfigProblem]:
    if not endpoints.redirect_url:
        return
    parts = _split(endpoints.redirect_url)
    if parts is None or parts.scheme not in _HTTP:
        yield ConfigProblem(
            "redirect_url", "The redirect URL is not an address.", "Copy it from the broker's developer page."
        )
    elif parts.fragment:
        yield ConfigProblem(
            "redirect_url", "The redirect URL ends with a #, which no login page keeps.", "Leave the # out."
        )


def _whose(info: BrokerInfo, endpoints: Endpoints) -> Iterator[ConfigProblem]:
    """The broker's own addresses of one world, or all on this machine: a mixture would send a session of one world to
    the other."""
    if endpoints.paper:
        return
    worlds = [info.endpoints, *(environment.endpoints for environment in info.environments)]
    if not any(_same_places(endpoints, world) for world in worlds):
        hosts = ", ".join(urlsplit(getattr(endpoints, name)).netloc for name in ADDRESSES)
        yield ConfigProblem(
            "",
            f"These addresses are neither {info.title}'s nor all on this machine ({hosts}).",
            "Use the broker's own addresses, or a paper exchange on 127.0.0.1.",
        )


def _same_places(one: Endpoints, other: Endpoints) -> bool:
    return all(urlsplit(getattr(one, name))[:2] == urlsplit(getattr(other, name))[:2] for name in ADDRESSES)


def check_same_money(before: Endpoints, after: Endpoints) -> None:
    """An account stays what it was, PAPER or LIVE. Raises Denied.

    The paper exchange's secrets never leave this machine, and a live key is not tried on a paper exchange.
    """
    if before.paper != after.paper:
        was, would = ("play money", "a live broker") if before.paper else ("real money", "a paper exchange")
        raise Denied(
            f"This account trades {was}; with these addresses its secrets would go to {would}.",
            "Connect the other one as an account of its own, with its own API key.",
        )
