"""Ledgerline for Stopline. The entry point leads to `LedgerlineFactory`."""

from stopline_ledgerline.provider import LedgerlineFactory

__all__ = ["LedgerlineFactory"]
