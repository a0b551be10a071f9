"""What Upstox's answers say of orders that were sent. Pure. An answer that says less than it should leaves the outcome
open: the order may be there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.brokers.parts import PlacedOrder
from app.brokers.upstox.refusals import refused_line
from app.domain.errors import BrokerError, OutcomeUnknown
from app.domain.ids import BrokerOrderId, GttId


def order_ids_of(answer: Mapping[str, Any]) -> list[BrokerOrderId]:
    """The order ids of a v3 placement: one, or one for each slice. Raises OutcomeUnknown."""
    return [BrokerOrderId(one) for one in _texts(answer, "order_ids")]


def gtt_ids_of(answer: Mapping[str, Any]) -> list[GttId]:
    """The ids of a GTT call. Raises OutcomeUnknown."""
    return [GttId(one) for one in _texts(answer, "gtt_order_ids")]


def order_id_of(answer: Mapping[str, Any]) -> BrokerOrderId:
    """The order id of a v2 placement, or of a change. Raises OutcomeUnknown."""
    data = answer.get("data")
    order = data.get("order_id") if isinstance(data, Mapping) else None
    if not isinstance(order, str) or not order:
        raise OutcomeUnknown("The broker took the order and did not say its number.", detail=str(data)[:80])
    return BrokerOrderId(order)


def _texts(answer: Mapping[str, Any], name: str) -> list[str]:
    data = answer.get("data")
    found = data.get(name) if isinstance(data, Mapping) else None
    if not isinstance(found, list) or not found or not all(isinstance(one, str) and one for one in found):
        raise OutcomeUnknown("The broker took the order and did not say its number.", detail=str(data)[:80])
    return list(found)


def outcomes_from(answer: Mapping[str, Any], count: int) -> list[PlacedOrder]:
    """An outcome for each line of a basket that was numbered from 1.

    A sliced line's orders are numbered behind its own number (`3_1`): the first one stands for it.
    """
    placed: dict[str, BrokerOrderId] = {}
    refused: dict[str, BrokerError] = {}
    for row in answer.get("data") or []:
        if isinstance(row, Mapping) and row.get("order_id"):
            line = str(row.get("correlation_id")).partition("_")[0]
            placed.setdefault(line, BrokerOrderId(str(row["order_id"])))
    for row in answer.get("errors") or []:
        if isinstance(row, Mapping):
            refused.setdefault(str(row.get("correlation_id")).partition("_")[0], refused_line(row))
    outcomes = []
    for number in range(1, count + 1):
        line = str(number)
        if line in placed:
            outcomes.append(PlacedOrder(placed[line]))
        else:
            unsaid = OutcomeUnknown("The broker's answer leaves open whether the order exists.", detail=f"line {line}")
            outcomes.append(PlacedOrder(None, refused.get(line, unsaid)))
    return outcomes


def bulk_from(answer: Mapping[str, Any]) -> tuple[list[BrokerOrderId], list[BrokerError]]:
    """(orders that were taken, refusals) of cancelling or squaring off many at once."""
    data = answer.get("data")
    ids = data.get("order_ids") if isinstance(data, Mapping) else None
    errors = answer.get("errors")
    return (
        [BrokerOrderId(str(one)) for one in ids or []],
        [refused_line(row) for row in errors or [] if isinstance(row, Mapping)],
    )
