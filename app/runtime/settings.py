"""Settings: each declared once, with type, default and help. A typo in the file is an error that names its place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

import msgspec

from app.domain.errors import AppError, StorageError
from app.runtime.files import write_atomically


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a profile may set before its book is open. Change one with `msgspec.structs.replace`."""

    log_level: Annotated[
        Literal["debug", "info", "warning"],
        msgspec.Meta(description="How much is written to the log; debug is for finding faults."),
    ] = "info"
    paper_feed: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(random|replay:.+)$",
            description="Prices of the paper exchange: `random`, or `replay:FILE` for a recorded day.",
        ),
    ] = "random"
    paper_speed: Annotated[
        float, msgspec.Meta(ge=1, le=100, description="How fast the paper exchange's clock runs, 1 to 100.")
    ] = 1.0


class BadSettings(AppError):
    """The settings file says something that is not a setting."""


S = TypeVar("S", bound=msgspec.Struct)


class SettingsFile(Generic[S]):
    """A settings struct in a JSON file. One owner; not for several threads."""

    def __init__(self, path: Path, kind: type[S]) -> None:
        self._path = path
        self._kind = kind

    def load(self) -> S:
        """The settings; a file that is not there means all defaults. Raises BadSettings, StorageError."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return self._kind()
        except OSError as error:
            raise StorageError(f"The settings in {self._path} cannot be read.", detail=str(error)) from error
        try:
            return msgspec.json.decode(content, type=self._kind)
        except msgspec.DecodeError as error:
            raise BadSettings(
                f"The settings file {self._path} has a mistake.",
                "Correct it, or delete the file to start with the defaults.",
                detail=str(error),
            ) from error

    def save(self, settings: S) -> None:
        """Writes all of them, atomically. Raises StorageError."""
        content = msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
        try:
            write_atomically(self._path, content)
        except OSError as error:
            raise StorageError(f"The settings could not be saved to {self._path}.", detail=str(error)) from error


def describe(kind: type[msgspec.Struct]) -> dict[str, tuple[object, str]]:
    """Default and help of every setting by its name, for `--help` and the settings view."""
    told: dict[str, tuple[object, str]] = {}
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    for field in msgspec.structs.fields(kind):
        told[field.name] = (field.default, schema[field.encode_name].get("description", ""))
    return told
