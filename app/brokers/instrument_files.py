"""Where the brokers' instrument lists come from, and whose a file is (D4).

The addresses are in `resources/instruments/sources.json`; the environment may name others
(`STOPLINE_INSTRUMENTS_UPSTOX=https://...`).
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from app.brokers.http import MEGABYTE, HttpClient
from app.brokers.instrument_lines import Source, beginning
from app.brokers.upstox import instruments as upstox
from app.brokers.zerodha import instruments as zerodha
from app.domain.errors import BadAnswer, Denied
from app.runtime.paths import resource

FILE_CAP = 64 * MEGABYTE
"""Bytes on the wire; the largest list has 9 MB there."""
DEADLINE = 120.0
"""Seconds for a whole download, on a slow line."""


@dataclass(frozen=True, slots=True)
class Format:
    """One broker's kind of file."""

    read: Callable[[Source], Iterator[bytes]]
    is_ours: Callable[[bytes], bool]


FORMATS: Mapping[str, Format] = {
    "zerodha": Format(zerodha.pack_file, zerodha.is_ours),
    "upstox": Format(upstox.pack_file, upstox.is_ours),
}
"""Brokers whose files can be read."""


def read_parts(_body: bytes, broker: str, path: str) -> Iterator[bytes]:
    """A file of a broker in packed parts; for the helper process. Raises BadAnswer."""
    return FORMATS[broker].read(Path(path))


def reads(broker: str) -> bool:
    """Whether files of this broker can be read."""
    return broker in FORMATS


def broker_of(path: Path) -> str:
    """Whose list a file is, by its content. Raises BadAnswer for a file that is nobody's. Reads a few kilobytes."""
    first = beginning(path)
    for broker, form in FORMATS.items():
        if form.is_ours(first):
            return broker
    raise BadAnswer(
        f"{path.name} is no instrument list but {_what(first)}.",
        "Zerodha's is a CSV that begins with instrument_token; Upstox's is JSON, or a CSV that begins with "
        "instrument_key; each may be gzipped.",
    )


def _what(first: bytes) -> str:
    """What a file is instead of a list, by its beginning."""
    if not first.strip(b"\xef\xbb\xbf \t\r\n"):
        return "an empty file"
    if b"<html" in first[:2000].lower() or b"<!doctype" in first[:200].lower():
        return "a web page"
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "text in another encoding (UTF-16; save it as UTF-8)"
    if first.startswith(b"PK"):
        return "a zip or a spreadsheet (save it as CSV)"
    if any(first.lstrip(b'\xef\xbb\xbf"').startswith(name) for name in (b"instrument_token", b"instrument_key")):
        return "a CSV whose columns are not separated by commas"
    return "something else"


def refresh_hour() -> tuple[int, int]:
    """Hour and minute, Indian time, at which the lists are fetched anew."""
    hour, _, minute = str(_sources()["refresh_at"]).partition(":")
    return int(hour), int(minute)


def public_address(broker: str) -> str:
    """Where everyone can fetch the broker's list; empty when nowhere is known."""
    told = os.environ.get(f"STOPLINE_INSTRUMENTS_{broker.upper()}", "")
    known = _sources().get(broker)
    return told or (str(known["public"]) if isinstance(known, dict) else "")


def sample_file(broker: str) -> Path | None:
    """The list that ships with the program."""
    known = _sources().get(broker)
    return resource("samples", str(known["sample"])) if isinstance(known, dict) else None


def _sources() -> dict[str, object]:
    loaded: dict[str, object] = json.loads(resource("instruments", "sources.json").read_text(encoding="utf-8"))
    return loaded


async def fetch_public(address: str, into: Path) -> None:
    """Downloads a public file. Raises Unreachable, BadAnswer (a web page, an error), DiskFull, Denied."""
    url = urlsplit(address)
    if url.scheme not in ("http", "https") or not url.netloc:
        raise Denied(f"{address} is no web address.", "It begins with https://.")
    client = HttpClient(f"{url.scheme}://{url.netloc}")
    try:
        path = url.path + (f"?{url.query}" if url.query else "")
        answer = await client.save(path, into, deadline=DEADLINE, cap=FILE_CAP)
    finally:
        await client.close()
    if answer.status != 200 or answer.body:
        raise BadAnswer(
            f"{url.hostname} did not give the instrument list.",
            "Choose a file that you downloaded yourself, or try later.",
            detail=f"HTTP {answer.status}, {answer.headers.get('content-type', 'no content type')}",
        )
