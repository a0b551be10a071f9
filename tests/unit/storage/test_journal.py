"""The journal: stops, intents and the audit trail, as the engine relies on them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.errors import StorageError
from app.domain.ids import BrokerOrderId, StopId, Tag
from app.domain.intent import Intent, IntentNews
from app.domain.order import OrderKind, OrderStatus, Purpose
from app.domain.stop import StopState
from app.storage.journal import Journal
from app.storage.store import Store
from tests.unit.storage.samples import A, B, entry, exit_of, finished_stop, manual_order, stop


async def test_a_stop_comes_back_as_it_was(journal: Journal) -> None:
    armed = stop()
    await journal.save_stop(armed, entry())
    assert await journal.open_stops() == [armed]
    done = finished_stop()
    await journal.save_stop(done, entry(20))
    assert await journal.stops_since(0) == [done, armed]


async def test_the_newest_state_of_a_stop_replaces_the_one_before(journal: Journal) -> None:
    armed = stop()
    await journal.save_stop(armed, entry())
    fired = replace(armed, state=StopState.FIRED, fired_at=7, fired_price=148_000, trigger=148_010)
    await journal.save_stop(fired, entry(7, "fired"))
    assert await journal.open_stops() == [fired]
    assert [line.what for line in await journal.audit_lines()] == ["fired", "armed"]


@pytest.mark.parametrize("state", list(StopState))
async def test_open_stops_are_those_that_are_not_final(journal: Journal, state: StopState) -> None:
    await journal.save_stop(stop(state=state), entry())
    assert bool(await journal.open_stops()) is not state.is_final


async def test_stops_of_today_are_the_open_ones_and_those_that_ended_since(journal: Journal) -> None:
    old, today, still = stop(1), stop(2), stop(3)
    await journal.save_stop(still, entry(10))
    await journal.save_stop(replace(old, state=StopState.CLOSED, closed_at=50), entry(50))
    await journal.save_stop(replace(today, state=StopState.DISARMED, closed_at=150), entry(150))
    assert {s.id for s in await journal.stops_since(100)} == {today.id, still.id}
    assert {s.id for s in await journal.stops_since(50)} == {old.id, today.id, still.id}


async def test_the_exit_prepared_with_a_stop_is_found_by_its_tag(journal: Journal) -> None:
    armed = stop()
    await journal.save_stop(armed, entry(5), exit_of(armed))
    (intent,) = await journal.unresolved_intents(A)
    assert intent == Intent(intent.order_id, armed.tag(), exit_of(armed), 5, armed.id, Purpose.EXIT)
    assert await journal.unresolved_intents(B) == []


async def test_a_manual_order_comes_back_with_every_field(journal: Journal) -> None:
    order_id, request = manual_order()
    await journal.record_intent(order_id, request, Purpose.MANUAL, entry(9))
    assert request.tag is not None
    assert await journal.unresolved_intents(B) == [Intent(order_id, request.tag, request, 9, None)]


async def test_an_order_is_unresolved_until_somebody_says_what_became_of_it(journal: Journal) -> None:
    order_id, request = manual_order()
    tag = Tag(str(request.tag))
    await journal.record_intent(order_id, request, Purpose.MANUAL, entry())
    await journal.record_news([IntentNews(tag, OrderStatus.UNKNOWN, None, 2)], [entry(2, "unknown")])
    assert [i.tag for i in await journal.unresolved_intents(B)] == [tag]
    await journal.record_news([IntentNews(tag, OrderStatus.OPEN, BrokerOrderId("7"), 3, 5, 2)], [entry(3, "open")])
    assert await journal.unresolved_intents(B) == []
    (open_still,) = await journal.unfinished_intents(B)
    known = (open_still.status, open_still.broker_order_id, open_still.filled, open_still.changes)
    assert known == (OrderStatus.OPEN, "7", 5, 2)
    assert [line.what for line in await journal.audit_lines()] == ["open", "unknown", "armed"]


async def test_what_the_exits_of_a_stop_closed_is_known_on_another_day(journal: Journal) -> None:
    armed = stop()
    again = replace(armed, attempt=2, state=StopState.EXITING)
    back = replace(exit_of(again), side=armed.side.opposite, tag=replace(again, attempt=3).tag())
    await journal.save_stop(armed, entry(), exit_of(armed))
    await journal.save_stop(again, entry(2), exit_of(again), back)
    for tag, filled in ((armed.tag(), 40), (again.tag(), 30), (back.tag, 20)):
        await journal.record_news([IntentNews(Tag(str(tag)), OrderStatus.FILLED, None, 3, filled)], [])
    assert await journal.closed_by(armed.id, armed.side) == 50
    assert await journal.closed_by(StopId("NOSUCHSTOP00"), armed.side) == 0


async def test_exits_of_before_that_nobody_saw_end_may_have_filled_the_rest(journal: Journal) -> None:
    armed = stop()
    await journal.save_stop(armed, entry(), exit_of(armed))
    units = exit_of(armed).quantity
    assert await journal.unseen(armed.id, armed.side, entry().at) == 0
    later = entry().at + 1
    assert await journal.unseen(armed.id, armed.side, later) == units
    await journal.record_news([IntentNews(armed.tag(), OrderStatus.PARTIALLY_FILLED, None, 3, 40)], [])
    assert await journal.unseen(armed.id, armed.side, later) == units - 40
    await journal.record_news([IntentNews(armed.tag(), OrderStatus.CANCELLED, None, 3, 40)], [])
    assert await journal.unseen(armed.id, armed.side, later) == 0


async def test_the_end_of_a_stop_settles_its_exits(journal: Journal) -> None:
    armed = stop()
    await journal.save_stop(armed, entry(), exit_of(armed))
    await journal.save_stop(replace(armed, state=StopState.DISARMED), entry(2, "disarmed"))
    assert await journal.unresolved_intents(A) == []


async def test_an_ended_order_is_not_unfinished_and_keeps_its_number(journal: Journal) -> None:
    order_id, request = manual_order()
    tag = Tag(str(request.tag))
    await journal.record_intent(order_id, request, Purpose.ENTRY, entry())
    await journal.record_news([IntentNews(tag, OrderStatus.OPEN, BrokerOrderId("7"), 3)], [])
    await journal.record_news([IntentNews(tag, OrderStatus.UNKNOWN, None, 4)], [])
    (known,) = await journal.unfinished_intents(B)
    assert (known.purpose, known.status, known.broker_order_id) == (Purpose.ENTRY, OrderStatus.UNKNOWN, "7")
    await journal.record_news([IntentNews(tag, OrderStatus.EXPIRED, None, 5)], [])
    assert await journal.unfinished_intents(B) == []


async def test_news_of_an_order_from_another_profile_is_only_a_line_of_the_trail(journal: Journal) -> None:
    await journal.record_news([IntentNews(Tag("NOSUCHTAG"), OrderStatus.OPEN, None, 1)], [entry(1, "open")])
    assert await journal.unfinished_intents(A) == []
    assert [line.what for line in await journal.audit_lines()] == ["open"]


async def test_a_tag_names_one_order_for_ever(journal: Journal) -> None:
    order_id, request = manual_order()
    await journal.record_intent(order_id, request, Purpose.MANUAL, entry())
    other, _ = manual_order(2)
    with pytest.raises(StorageError, match="tag"):
        await journal.record_intent(other, request, Purpose.MANUAL, entry(2, "again"))
    assert request.tag is not None
    await journal.record_news([IntentNews(request.tag, OrderStatus.CANCELLED, None, 3)], [entry(3, "cancelled")])
    with pytest.raises(StorageError, match="tag"):
        await journal.record_intent(other, request, Purpose.MANUAL, entry(4, "again"))
    with pytest.raises(StorageError):
        await journal.record_intent(order_id, replace(request, tag=Tag("M2")), Purpose.MANUAL, entry(5, "again"))
    assert [line.what for line in await journal.audit_lines()] == ["cancelled", "armed"]


async def test_an_order_without_a_tag_is_not_recorded(journal: Journal) -> None:
    order_id, request = manual_order()
    with pytest.raises(ValueError, match="tag"):
        await journal.record_intent(order_id, replace(request, tag=None), Purpose.MANUAL, entry())


async def test_an_armed_stop_may_prepare_its_exit_again_with_another_quantity(journal: Journal) -> None:
    armed = stop()
    await journal.save_stop(armed, entry(), exit_of(armed))
    smaller = replace(armed, quantity=50)
    request = exit_of(smaller, kind=OrderKind.LIMIT, price=147_000)
    await journal.save_stop(smaller, entry(2, "resized"), request)
    (intent,) = await journal.unresolved_intents(A)
    assert intent.request == request


@pytest.mark.parametrize("state", [StopState.FIRED, StopState.EXITING])
async def test_a_stop_that_fired_cannot_use_its_tag_again(journal: Journal, state: StopState) -> None:
    armed = stop()
    await journal.save_stop(armed, entry(), exit_of(armed))
    fired = replace(armed, state=state)
    await journal.save_stop(fired, entry(2, "fired"))
    with pytest.raises(StorageError, match="tag"):
        await journal.save_stop(replace(fired, note="again"), entry(3, "again"), exit_of(fired))
    # All or nothing: neither the stop nor the audit line of the refused write is there.
    assert await journal.open_stops() == [fired]
    assert len(await journal.audit_lines()) == 2
    second = replace(fired, attempt=2)
    await journal.save_stop(second, entry(4, "attempt"), exit_of(second))
    assert [i.tag for i in await journal.unresolved_intents(A)] == [fired.tag(), second.tag()]


async def test_a_stop_cannot_take_the_tag_of_another(journal: Journal) -> None:
    one, two = stop(1), stop(2)
    await journal.save_stop(one, entry(), exit_of(one))
    await journal.save_stop(two, entry())
    with pytest.raises(StorageError, match="tag"):
        await journal.save_stop(two, entry(), exit_of(two, tag=one.tag()))


async def test_audit_lines_come_back_newest_first(journal: Journal) -> None:
    lines = [entry(n, f"word {n}", account=B, subject=f"order:{n}", detail="₹ 1,00,000", stop=None) for n in range(5)]
    await journal.audit(*lines)
    await journal.audit()
    assert await journal.audit_lines() == lines[::-1]
    assert await journal.audit_lines(2) == [lines[4], lines[3]]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET what = 'nothing'",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 1",
        "INSERT OR REPLACE INTO audit (id, at, account, subject, what, detail) VALUES (1, 1, 'a', 's', 'w', 'd')",
        "INSERT INTO audit (id, at, account, subject, what, detail) VALUES (2, 1, 'a', 's', 'w', 'd')",
        "INSERT INTO audit (id, at, account, subject, what, detail) VALUES (-5, 1, 'a', 's', 'w', 'd')",
    ],
)
async def test_the_audit_trail_is_never_edited(journal: Journal, journal_store: Store, statement: str) -> None:
    await journal.audit(entry(1), entry(2), entry(3))
    with pytest.raises(StorageError):
        await journal_store.change(lambda c: c.exec_driver_sql(statement))
    assert [line.at for line in await journal.audit_lines()] == [3, 2, 1]


async def test_running_state_is_remembered_by_key(journal: Journal) -> None:
    assert await journal.get_state("clean exit") is None
    await journal.put_state("clean exit", "no")
    await journal.put_state("clean exit", "yes")
    assert await journal.get_state("clean exit") == "yes"
    assert await journal.get_state("other") is None


async def test_a_closed_journal_refuses_in_words(journal: Journal) -> None:
    await journal.close()
    with pytest.raises(StorageError, match="closed"):
        await journal.audit(entry())
    await journal.close()


async def test_levels_that_moved_are_kept_and_a_stop_that_fired_is_left_alone(journal: Journal) -> None:
    armed, other = stop(1), stop(2)
    for one in (armed, other):
        await journal.save_stop(one, entry())
    fired = replace(other, state=StopState.FIRED)
    await journal.save_stop(fired, entry(what="fired"))
    moved = [replace(one, trigger=149_000, best=150_000, seen_price=149_500, seen_at=7) for one in (armed, other)]
    await journal.save_levels(moved, 9)
    await journal.save_levels([], 10)
    assert await journal.open_stops() == [moved[0], fired]
