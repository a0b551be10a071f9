"""The file of a backup: a head that says how to open it, and an encrypted body.

    16 bytes  magic
    2 x 16 KiB  two slots for the head: length, number, SHA-256, text; the valid one with the higher number counts, so
                that the head can be replaced in place and a torn write leaves the other
    body      AES-256-GCM in chunks of 1 MiB. The key is random and used for this file alone, so the nonce is the
              chunk's number, with a mark on the last one (STREAM: Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015):
              chunks can be neither swapped, dropped nor cut off
    inside    length and text of the manifest, then the files one after the other

Used in the helper process, but for the heads.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.domain.errors import Damaged, StorageError

MAGIC = b"STOPLINE BACKUP1"
_SLOT = 16 * 1024
_SLOT_HEAD = struct.Struct(">II32s")
_BODY = len(MAGIC) + 2 * _SLOT
_CHUNK = 1 << 20
_TAG = 16
_LENGTH = struct.Struct(">I")
_MOST_MANIFEST = 1 << 22

Digests = dict[str, tuple[int, str]]
"""Rows and SHA-256 of each table of a database."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is inside, written first."""

    backup: str
    made_at: int
    program: str
    members: tuple[Member, ...]
    digests: dict[str, Digests]
    """Of each database, by its file name."""


def write_container(path: Path, lock: bytes, key: bytes, manifest: Manifest, files: Sequence[Path]) -> None:
    """A new file, flushed. Raises OSError."""
    text = msgspec.json.encode(manifest)
    with path.open("wb") as out:
        path.chmod(0o600)
        out.write(MAGIC + _slot(1, lock) + bytes(_SLOT))
        cipher, bound = AESGCM(key), manifest.backup.encode()
        pieces = _whole_chunks(_LENGTH.pack(len(text)) + text, files, manifest.members)
        waiting = next(pieces)
        number = 0
        for piece in pieces:
            out.write(cipher.encrypt(_nonce(number, last=False), waiting, bound))
            waiting, number = piece, number + 1
        out.write(cipher.encrypt(_nonce(number, last=True), waiting, bound))
        out.flush()
        os.fsync(out.fileno())


def unpack(path: Path, key: bytes, backup: str, folder: Path) -> Manifest:
    """Every file inside, written into `folder`. Raises Damaged, OSError."""
    plain = _Plain(path, key, backup)
    (length,) = _LENGTH.unpack(plain.take(_LENGTH.size))
    if length > _MOST_MANIFEST:
        raise _damaged(path, "the list of its content is too long")
    try:
        manifest = msgspec.json.decode(plain.take(length), type=Manifest)
    except msgspec.DecodeError as error:
        raise _damaged(path, str(error)) from error
    for member in manifest.members:
        if Path(member.name).name != member.name:
            raise _damaged(path, "a file in it has a path")
        with (folder / member.name).open("wb") as out:
            (folder / member.name).chmod(0o600)
            left = member.size
            while left:
                piece = plain.take(min(left, _CHUNK))
                out.write(piece)
                left -= len(piece)
            out.flush()
            os.fsync(out.fileno())
    plain.end()
    return manifest


def read_lock(path: Path) -> bytes:
    """The head. Raises Damaged, StorageError."""
    try:
        with path.open("rb") as file:
            head = file.read(_BODY)
    except OSError as error:
        raise StorageError(f"{path} cannot be read.", "Check its name and permissions.", detail=str(error)) from error
    if not head.startswith(MAGIC):
        raise Damaged(f"{path.name} is not a backup of Stopline.", "Choose another file.")
    found = [slot for at in (0, 1) if (slot := _read_slot(head[len(MAGIC) + at * _SLOT :][:_SLOT])) is not None]
    if not found:
        raise _damaged(path, "its head cannot be read")
    return max(found)[1]


def write_lock(path: Path, lock: bytes) -> None:
    """Replaces the head in place: first into the free slot, then the old one is wiped. Raises OSError, Damaged."""
    with path.open("rb+") as file:
        head = file.read(_BODY)
        slots = [_read_slot(head[len(MAGIC) + at * _SLOT :][:_SLOT]) for at in (0, 1)]
        newest = max((slot[0], at) for at, slot in enumerate(slots) if slot is not None)
        for at, content in ((1 - newest[1], _slot(newest[0] + 1, lock)), (newest[1], bytes(_SLOT))):
            file.seek(len(MAGIC) + at * _SLOT)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _slot(number: int, lock: bytes) -> bytes:
    if len(lock) > _SLOT - _SLOT_HEAD.size:
        raise ValueError("the head of a backup is too long")
    return (_SLOT_HEAD.pack(len(lock), number, _sum(number, lock)) + lock).ljust(_SLOT, b"\0")


def _read_slot(slot: bytes) -> tuple[int, bytes] | None:
    if len(slot) < _SLOT:
        return None
    length, number, check = _SLOT_HEAD.unpack_from(slot)
    lock = slot[_SLOT_HEAD.size : _SLOT_HEAD.size + length]
    return (number, lock) if number and len(lock) == length and _sum(number, lock) == check else None


def _sum(number: int, lock: bytes) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "big") + lock).digest()


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _whole_chunks(head: bytes, files: Sequence[Path], members: Sequence[Member]) -> Iterator[bytes]:
    buffer = bytearray(head)
    for path, member in zip(files, members, strict=True):
        left = member.size
        with path.open("rb") as file:
            while left:
                piece = file.read(min(left, _CHUNK))
                if not piece:
                    raise StorageError(f"{path.name} became shorter while it was copied.", "Try again.")
                left -= len(piece)
                buffer += piece
                while len(buffer) >= _CHUNK:
                    yield bytes(buffer[:_CHUNK])
                    del buffer[:_CHUNK]
    yield bytes(buffer)


class _Plain:
    """The decrypted body as a stream."""

    def __init__(self, path: Path, key: bytes, backup: str) -> None:
        self._path = path
        self._chunks = self._decrypted(AESGCM(key), backup.encode())
        self._rest = bytearray()

    def take(self, size: int) -> bytes:
        """So many bytes. Raises Damaged where there are fewer."""
        while len(self._rest) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise _damaged(self._path, "it is too short")
            self._rest += chunk
        piece = bytes(self._rest[:size])
        del self._rest[:size]
        return piece

    def end(self) -> None:
        """Raises Damaged when there is more."""
        if self._rest or next(self._chunks, None):
            raise _damaged(self._path, "it is too long")

    def _decrypted(self, cipher: AESGCM, bound: bytes) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            file.seek(_BODY)
            number, sealed = 0, file.read(_CHUNK + _TAG)
            while True:
                after = file.read(_CHUNK + _TAG)
                try:
                    yield cipher.decrypt(_nonce(number, last=not after), sealed, bound)
                except (InvalidTag, ValueError) as error:
                    raise _damaged(self._path, "its content was changed or cut off") from error
                if not after:
                    return
                number, sealed = number + 1, after


def _damaged(path: Path, why: str) -> Damaged:
    return Damaged(f"The backup {path.name} is damaged.", "Use another one; it was left as it is.", detail=why)
