"""Upstox's segments, as instrument keys and files name them. Pure.

Source: Upstox developer documentation, instruments, place order.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.instrument import Exchange

SEGMENTS: Mapping[str, tuple[Exchange, int]] = {
    "NSE_EQ": (Exchange.NSE, 1),
    "NSE_FO": (Exchange.NFO, 2),
    "NCD_FO": (Exchange.CDS, 3),
    "BSE_EQ": (Exchange.BSE, 4),
    "BSE_FO": (Exchange.BFO, 5),
    "BCD_FO": (Exchange.BCD, 6),
    "MCX_FO": (Exchange.MCX, 7),
    "NSE_INDEX": (Exchange.NSE, 9),
    "BSE_INDEX": (Exchange.BSE, 10),
    "MCX_INDEX": (Exchange.MCX, 11),
    "NSE_COM": (Exchange.NCO, 12),
}
"""Upstox's segment -> our exchange, and the low byte of the token; Kite's numbers where Kite has one."""

IN_LOTS = frozenset({Exchange.MCX, Exchange.NCO})
"""Orders here count lots, everywhere else units (place order, quantity); so a lot is the unit here."""

NOT_CARRIED = frozenset({"GLOBAL_INDEX", "GLOBAL_INDICATOR"})
"""Quotes from abroad: no orders, no place in our calendar."""
