"""What the tables of the book have in common."""

from __future__ import annotations

from sqlalchemy import MetaData

from app.storage.columns import NAMING

metadata = MetaData(naming_convention=NAMING)
