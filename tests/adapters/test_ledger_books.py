"""The ledger's books and its waiting room, over SQLite and over PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from kernel.model.address import Address
from kernel.model.events import (
    OUTCOMES,
    MailDeferred,
    MailRouted,
    MailTraced,
    Remote,
    Stage,
    Summary,
    Trace,
)
from migrations.upgrade import upgrade
from services.ledger.adapters import database as adapter
from services.ledger.adapters import waiting as waiting_room
from services.ledger.adapters.books import SqlBooks
from services.ledger.adapters.database import Database
from services.ledger.adapters.reading import MailFilter, Reading
from services.ledger.adapters.tables import from_micros, metadata, to_micros
from services.ledger.adapters.waiting import SqlWaitingRoom, WaitingFilter
from services.ledger.core.record import Records, record
from services.ledger.core.release import WaitingLeg
from services.ledger.ports import StoreUnavailableError
from tests.support.mail import (
    AN_HOUR_LATER,
    ANN,
    BOB,
    BUSY,
    CAT,
    MAIL_ID,
    NOON,
    OK,
    make_envelope,
    make_leg,
)

LEG = make_leg(BOB, CAT)
NEXT = make_leg(BOB, CAT, attempt=2)
SUMMARY = Summary(ANN, 100, "mx 127.0.0.1", "ann", MAIL_ID)
ROUTED = (Stage.ROUTED,)
LEASE = timedelta(seconds=60)
A_MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """Where an empty database is."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/postroom.db"
    return request.getfixturevalue("database_url")


@pytest.fixture
async def database(url):
    """A database at its newest revision."""
    await upgrade(url)
    database = Database(url)
    yield database
    await database.aclose()


@pytest.fixture
def books(database):
    return SqlBooks(database)


@pytest.fixture
def room(database):
    return SqlWaitingRoom(database)


@pytest.fixture
def reading(database):
    return Reading(database)


def accepted(*recipients, mail=MAIL_ID, at=NOON, summary=SUMMARY):
    traces = tuple(Trace(r, Stage.ACCEPTED, "listener mx") for r in recipients or (BOB, CAT))
    return MailTraced(mail, at, mail, traces, summary)


def traced(stage, *recipients, leg=LEG, at=NOON, reply=None):
    traces = tuple(Trace(r, stage, "mx.elsewhere.test", reply) for r in recipients or (BOB, CAT))
    return MailTraced(leg.envelope.id, at, leg.id, traces)


def deferred(leg=NEXT, due=NOON, unless=()):
    return MailDeferred(leg, due, BUSY, unless)


def leg_of(mail, hop, sender=ANN):
    return MailRouted(make_envelope(BOB, mail_id=mail, sender=sender), hop, 1)


async def enter(books, *events):
    await books.record(record(events))


async def stages(reading, mail=MAIL_ID):
    story = await reading.story(mail)
    return {fate.recipient: fate.stage for fate in story.recipients}


async def taken(room, now=NOON):
    return [waiting.leg for waiting in await room.take(now, LEASE, 100)]


def test_moments_survive_the_tables():
    assert from_micros(to_micros(NOON + timedelta(microseconds=1))) == NOON + timedelta(
        microseconds=1
    )


async def test_the_migration_makes_the_tables_that_the_code_speaks_of(database):
    def compare(connection):
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        def ours(name, kind, _):
            return kind != "table" or name in metadata.tables

        context = MigrationContext.configure(
            connection, opts={"include_name": ours, "compare_type": True}
        )
        return compare_metadata(context, metadata)

    async with database.reading() as connection:
        assert await connection.run_sync(compare) == []


async def test_a_database_without_tables_is_unavailable(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/empty.db")
    try:
        with pytest.raises(StoreUnavailableError):
            await database.check()
    finally:
        await database.aclose()


async def test_a_database_that_does_not_answer_is_unavailable():
    database = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    try:
        with pytest.raises(StoreUnavailableError):
            await database.check()
    finally:
        await database.aclose()


async def test_a_server_that_falls_silent_is_unavailable(database_url, monkeypatch):
    monkeypatch.setattr(adapter, "ANSWER_TIMEOUT", 0.2)
    database = Database(database_url)

    with pytest.raises(StoreUnavailableError):
        async with database.writing() as connection:
            await connection.execute(sa.text("SELECT pg_sleep(10)"))
    async with database.reading() as connection:
        assert await connection.scalar(sa.text("SELECT 1")) == 1
    await database.aclose()


async def test_a_mail_s_story_is_told_in_order(books, reading):
    await enter(
        books,
        traced(Stage.RELAYED, BOB, at=NOON + A_MINUTE, reply=OK),
        traced(Stage.ROUTED, BOB, at=NOON + timedelta(seconds=1)),
        accepted(BOB),
    )

    story = await reading.story(MAIL_ID)

    assert [entry.stage for entry in story.timeline] == ["accepted", "routed", "relayed"]
    assert story.timeline[-1].reply == "250 2.0.0 OK"
    assert story.timeline[-1].cause == LEG.id
    assert (story.sender, story.size, story.submitter) == (str(ANN), 100, "ann")
    assert story.accepted_at == NOON
    assert story.ended_at == NOON + A_MINUTE
    assert [(f.recipient, f.stage) for f in story.recipients] == [(str(BOB), "relayed")]


async def test_an_unknown_mail_has_no_story(reading):
    assert await reading.story("01unknown") is None


async def test_twins_change_nothing(books, reading):
    events = [accepted(), traced(Stage.ROUTED), traced(Stage.RELAYED, BOB)]
    await enter(books, *events)
    before = await reading.story(MAIL_ID)

    await enter(books, *events)
    for event in events:
        await enter(books, event)

    assert await reading.story(MAIL_ID) == before


async def test_traces_in_any_order_say_the_same(books, reading):
    events = [
        accepted(),
        traced(Stage.ROUTED),
        traced(Stage.RELAYED, BOB),
        traced(Stage.DEFERRED, CAT),
        traced(Stage.ROUTED, CAT, leg=NEXT),
    ]

    for event in reversed(events):
        await enter(books, event)

    assert await stages(reading) == {str(BOB): "relayed", str(CAT): "routed"}
    assert (await reading.story(MAIL_ID)).ended_at is None


async def test_a_mail_ends_with_its_last_recipient_even_if_its_acceptance_comes_last(
    books, reading
):
    await enter(books, traced(Stage.RELAYED, BOB))
    await enter(books, traced(Stage.FAILED, CAT))
    assert (await reading.story(MAIL_ID)).ended_at is None

    await enter(books, accepted())

    assert (await reading.story(MAIL_ID)).ended_at == NOON


async def test_a_mail_whose_alias_ended_is_open_until_its_members_end(books, reading):
    everyone = Address("all", "ours.test")
    await enter(books, accepted(everyone))
    expanded = (Trace(everyone, Stage.EXPANDED), Trace(BOB, Stage.ACCEPTED))
    await enter(books, MailTraced(MAIL_ID, NOON, MAIL_ID, expanded))
    assert (await reading.story(MAIL_ID)).ended_at is None

    await enter(books, traced(Stage.RELAYED, BOB))

    assert (await reading.story(MAIL_ID)).ended_at == NOON


async def test_an_ended_mail_that_gets_another_recipient_is_open_again(books, reading):
    await enter(books, accepted(BOB), traced(Stage.RELAYED, BOB))
    member = (Trace(CAT, Stage.ACCEPTED),)

    await enter(books, MailTraced(MAIL_ID, NOON, MAIL_ID, member))

    assert (await reading.story(MAIL_ID)).ended_at is None


async def test_a_crowd_of_events_is_entered_at_once(books, reading):
    ids = [f"01kdq5h4g0crowd{n:011d}" for n in range(6000)]

    await enter(books, *(accepted(BOB, mail=mail) for mail in ids))

    assert (await reading.balance(NOON)).accepted == 6000


async def test_mails_are_listed_newest_first_page_by_page(books, reading):
    ids = [f"01kdq5h4g0list{n:012d}" for n in range(5)]
    await enter(books, *(accepted(BOB, mail=mail) for mail in ids))

    first = await reading.mails(MailFilter(), 3)
    rest = await reading.mails(MailFilter(after=first[-1].id), 3)

    assert [m.id for m in first + rest] == ids[::-1]


async def test_mails_are_found_by_sender_recipient_and_state(books, reading):
    other = f"{MAIL_ID[:-1]}x"
    report = replace(SUMMARY, sender=None)
    await enter(books, accepted(BOB), traced(Stage.RELAYED, BOB))
    await enter(books, accepted(CAT, mail=other, summary=report))

    async def found(**wanted):
        return [m.id for m in await reading.mails(MailFilter(**wanted), 10)]

    assert await found(sender=str(ANN)) == [MAIL_ID]
    assert await found(recipient=str(CAT)) == [other]
    assert await found(ended=True) == [MAIL_ID]
    assert await found(ended=False) == [other]


async def test_every_recipient_is_counted(books, room, reading):
    await enter(books, accepted(), traced(Stage.RELAYED, BOB), traced(Stage.DEFERRED, CAT))
    await room.put([deferred(make_leg(CAT, attempt=2))], NOON)

    balance = await reading.balance(AN_HOUR_LATER)

    assert (balance.accepted, balance.ended, balance.open, balance.waiting) == (2, 1, 1, 1)
    assert balance.silent == 0


async def test_an_open_recipient_of_whom_nobody_speaks_is_drift(books, reading):
    await enter(books, accepted(BOB))

    assert (await reading.balance(NOON)).silent == 0
    assert await reading.gauges(AN_HOUR_LATER) == (1, 0, 1)


async def test_a_leg_is_taken_when_it_is_due_and_by_one_alone(database, room):
    await room.put([deferred(due=AN_HOUR_LATER)], NOON)

    assert await taken(room, NOON) == []
    both = await asyncio.gather(
        taken(room, AN_HOUR_LATER), taken(SqlWaitingRoom(database), AN_HOUR_LATER)
    )

    assert sorted(both, key=len) == [[], [NEXT]]


async def test_a_leg_of_a_ledger_that_vanished_is_taken_again_and_counted(room):
    await room.put([deferred()], NOON)
    await room.take(NOON, LEASE, 100)

    (again,) = await room.take(NOON + LEASE, LEASE, 100)

    assert again.takes == 2
    assert again.serving == OUTCOMES


async def test_a_leg_waits_once(room):
    await room.put([deferred(), deferred()], NOON)
    await room.put([deferred()], NOON)

    assert await taken(room) == [NEXT]


async def test_a_released_leg_is_recognised_by_its_twin(room):
    await room.put([deferred()], NOON)
    legs = await room.take(NOON, LEASE, 100)
    await room.release(legs, Records(), NOON)

    await room.put([deferred()], NOON)

    assert await taken(room, AN_HOUR_LATER) == []
    assert await room.next_due() is None


async def test_a_leg_in_doubt_is_put_back_even_after_its_release(room):
    await room.put([deferred()], NOON)
    await room.release(await room.take(NOON, LEASE, 100), Records(), NOON)

    await room.put([deferred(due=AN_HOUR_LATER, unless=OUTCOMES)], NOON)

    (waiting,) = await room.take(AN_HOUR_LATER, LEASE, 100)
    assert waiting == WaitingLeg(NEXT, NOON, OUTCOMES, 1, waiting.lease)


async def test_a_leg_put_back_while_it_is_being_released_stays(room):
    await room.put([deferred()], NOON)
    legs = await room.take(NOON, LEASE, 100)

    await room.put([deferred(unless=OUTCOMES)], NOON)
    await room.release(legs, Records(), NOON)

    (waiting,) = await room.take(NOON, LEASE, 100)
    assert waiting.unless == OUTCOMES


async def test_a_leg_that_was_not_out_since_keeps_its_own_doubt(room):
    await room.put([deferred(unless=OUTCOMES)], NOON)

    await room.put([deferred(unless=ROUTED)], NOON)

    (waiting,) = await room.take(NOON, LEASE, 100)
    assert waiting.unless == OUTCOMES


async def test_an_outcome_proves_more_than_a_routing(room):
    await room.put([deferred(unless=ROUTED)], NOON)

    await room.put([deferred(unless=OUTCOMES)], NOON)

    (waiting,) = await room.take(NOON, LEASE, 100)
    assert waiting.unless == OUTCOMES


async def test_an_outcome_proves_more_even_if_both_come_at_once(room):
    await room.put([deferred(unless=OUTCOMES), deferred(unless=ROUTED)], NOON)

    (waiting,) = await room.take(NOON, LEASE, 100)
    assert waiting.unless == OUTCOMES


async def test_a_leg_that_is_being_released_is_not_served_because_it_was_routed(room):
    await room.put([deferred(unless=OUTCOMES)], NOON)
    legs = await room.take(NOON, LEASE, 100)

    await room.put([deferred(unless=ROUTED)], NOON)
    await room.give_back(legs)

    (waiting,) = await room.take(NOON, LEASE, 100)
    assert waiting.serving == OUTCOMES


async def test_who_was_served_is_found_in_the_timeline_of_that_very_leg(books, room):
    await enter(books, accepted(), traced(Stage.ROUTED, BOB), traced(Stage.ROUTED, CAT, leg=NEXT))
    await room.put([deferred(LEG, unless=ROUTED)], NOON)

    legs = await room.take(NOON, LEASE, 100)

    assert await room.served(legs) == {LEG.id: {str(BOB)}}


async def test_only_the_stages_asked_for_show_that_somebody_was_served(books, room):
    await enter(books, traced(Stage.ROUTED, BOB), traced(Stage.DEFERRED, CAT))
    await room.put([deferred(LEG, unless=OUTCOMES)], NOON)

    legs = await room.take(NOON, LEASE, 100)

    assert await room.served(legs) == {LEG.id: {str(CAT)}}


async def test_a_postponed_leg_comes_again_later_as_if_it_had_not_been_taken(room):
    await room.put([deferred(unless=ROUTED)], NOON)

    await room.postpone(await room.take(NOON, LEASE, 100), NOON + A_MINUTE)

    assert await taken(room) == []
    assert await room.next_due() == NOON + A_MINUTE
    (waiting,) = await room.take(NOON + A_MINUTE, LEASE, 100)
    assert waiting.serving == (*ROUTED, *OUTCOMES)


async def test_a_leg_given_back_is_in_doubt(room):
    await room.put([deferred()], NOON)

    await room.give_back(await room.take(NOON, LEASE, 100))

    (waiting,) = await room.take(NOON, LEASE, 100)
    assert waiting.serving == OUTCOMES


async def test_what_a_release_says_is_kept_with_it(room, reading):
    await room.put([deferred()], NOON)
    legs = await room.take(NOON, LEASE, 100)

    await room.release(legs, record([traced(Stage.ROUTED, leg=NEXT)]), NOON)

    assert await stages(reading) == {str(BOB): "routed", str(CAT): "routed"}


async def test_tombstones_are_dropped_in_time(room):
    await room.put([deferred()], NOON)
    await room.release(await room.take(NOON, LEASE, 100), Records(), NOON)

    assert await room.bury(NOON) == 0
    assert await room.bury(AN_HOUR_LATER) == 1


async def test_an_unreadable_leg_holds_up_no_other(database, room):
    await room.put([deferred(), deferred(LEG)], NOON)
    async with database.writing() as connection:
        spoil = sa.text("UPDATE waiting SET leg = :leg WHERE id = :id")
        await connection.execute(spoil, {"leg": b"?", "id": LEG.id})

    assert await taken(room) == [NEXT]


async def test_what_waits_is_listed_soonest_first_page_by_page(room, reading):
    legs = [make_leg(BOB, attempt=n) for n in range(1, 6)]
    await room.put([deferred(leg, NOON + n * A_MINUTE) for n, leg in enumerate(legs)], NOON)

    first = await reading.waiting(WaitingFilter(), None, 3)
    rest = await reading.waiting(WaitingFilter(), (first[-1].due, first[-1].id), 3)

    assert [w.id for w in first + rest] == [leg.id for leg in legs]
    assert (first[0].sender, first[0].recipients) == (str(ANN), [str(BOB)])
    assert (first[0].hop, first[0].attempt, first[0].why) == (
        "remote:elsewhere.test",
        1,
        "451 4.3.0 Try again later",
    )


async def test_a_waiting_leg_can_be_made_due(room):
    await room.put([deferred(due=AN_HOUR_LATER)], NOON)

    assert await room.retry(NEXT.id, NOON)
    assert not await room.retry("01unknown/local/1", NOON)

    assert await taken(room) == [NEXT]


BY_FILTER = [
    (WaitingFilter(), {"plain", "forwarded", "report", "other"}),
    (WaitingFilter(domain="a.test"), {"plain", "forwarded", "report"}),
    (WaitingFilter(domain="b.test"), {"other"}),
    (WaitingFilter(domain="test"), set()),
    (WaitingFilter(sender=""), {"report"}),
    (WaitingFilter(sender=str(ANN), domain="a.test"), {"plain", "forwarded"}),
    (WaitingFilter(mail="forwarded"), {"forwarded"}),
]


@pytest.mark.parametrize(("wanted", "meant"), BY_FILTER)
async def test_waiting_legs_can_be_made_due_together(room, reading, wanted, meant):
    legs = [
        leg_of("plain", Remote("a.test")),
        leg_of("forwarded", Remote("a.test", forwarded=True)),
        leg_of("report", Remote("a.test"), sender=None),
        leg_of("other", Remote("b.test")),
    ]
    await room.put([deferred(leg, due=AN_HOUR_LATER) for leg in legs], NOON)

    found = {waiting.mail for waiting in await reading.waiting(wanted, None, 10)}
    assert found == meant
    assert await room.retry_all(wanted, NOON) == len(meant)
    assert await room.retry_all(wanted, NOON) == 0

    assert {leg.envelope.id for leg in await taken(room)} == meant


async def test_what_its_sender_holds_is_not_made_due_along_with_others(room):
    leg = leg_of("held", Remote("a.test"))
    held = replace(leg, envelope=replace(leg.envelope, hold_until=AN_HOUR_LATER))
    was_held = replace(leg_of("was-held", Remote("a.test")), attempt=2)
    was_held = replace(was_held, envelope=replace(was_held.envelope, hold_until=NOON))
    await room.put([deferred(leg, due=AN_HOUR_LATER) for leg in (held, was_held)], NOON)

    assert await room.retry_all(WaitingFilter(), NOON) == 1
    assert await taken(room) == [was_held]

    assert await room.retry(held.id, NOON)
    assert await taken(room) == [held]


@pytest.mark.parametrize("at_once", [1, 2, 3, 4])
async def test_however_many_wait_all_are_made_due(room, monkeypatch, at_once):
    monkeypatch.setattr(waiting_room, "MADE_DUE_AT_ONCE", at_once)
    legs = [leg_of(f"mail{n}", Remote("a.test")) for n in range(3)]
    await room.put([deferred(leg, due=AN_HOUR_LATER) for leg in legs], NOON)

    assert await room.retry_all(WaitingFilter(), NOON) == 3

    assert len(await taken(room)) == 3


async def test_what_is_on_the_bus_again_is_not_made_due(room):
    await room.put([deferred(due=NOON)], NOON)
    legs = await room.take(NOON, LEASE, 10)
    await room.release(legs, Records(), NOON)

    assert await room.retry_all(WaitingFilter(), AN_HOUR_LATER) == 0


async def test_the_blob_of_an_ended_mail_is_idle_after_a_while(books):
    await enter(books, accepted(BOB), traced(Stage.RELAYED, BOB))

    assert await books.idle_blobs(NOON, 10) == {}
    assert await books.idle_blobs(NOON + A_MINUTE, 10) == {MAIL_ID: MAIL_ID}

    await books.blobs_deleted([MAIL_ID])
    assert await books.idle_blobs(NOON + A_MINUTE, 10) == {}


async def test_the_blob_of_a_mail_that_has_not_ended_is_never_idle(books):
    await enter(books, accepted(), traced(Stage.RELAYED, BOB))

    assert await books.idle_blobs(AN_HOUR_LATER, 10) == {}


async def test_the_blob_of_a_mail_of_which_something_waits_is_not_idle(books, room):
    await enter(books, accepted(BOB), traced(Stage.RELAYED, BOB))
    await room.put([deferred()], NOON)

    assert await books.idle_blobs(AN_HOUR_LATER, 10) == {}


async def test_a_blob_is_needed_unless_its_mail_is_unknown_or_has_ended(books, room):
    ended, still_open, partly, waits = (f"01kdq5h4g0need{n:012d}" for n in range(4))
    await enter(books, accepted(BOB, mail=ended), accepted(BOB, mail=still_open))
    over = make_leg(BOB)
    over = replace(over, envelope=make_envelope(BOB, mail_id=ended))
    await enter(books, traced(Stage.RELAYED, BOB, leg=over))
    part = replace(over, envelope=make_envelope(BOB, mail_id=partly))
    await enter(books, traced(Stage.RELAYED, BOB, leg=part))
    await room.put([deferred(replace(over, envelope=make_envelope(BOB, mail_id=waits)))], NOON)

    needed = await books.blobs_needed({ended, still_open, partly, waits, "01unknown"})

    assert needed == {still_open, partly, waits}


async def test_old_mails_are_forgotten_once_they_have_ended(books, reading):
    young = f"{MAIL_ID[:-1]}y"
    await enter(books, accepted(BOB), traced(Stage.RELAYED, BOB))
    await enter(books, accepted(BOB, mail=young, at=AN_HOUR_LATER))
    await books.blobs_deleted([MAIL_ID])

    assert await books.forget(NOON, 10) == 0
    assert await books.forget(AN_HOUR_LATER, 10) == 1

    assert await reading.story(MAIL_ID) is None
    assert await reading.story(young) is not None


async def test_two_ledgers_may_write_at_once(url, database, reading):
    other = Database(url)
    both = (SqlBooks(database), SqlBooks(other))
    ids = [f"01kdq5h4g0both{n:012d}" for n in range(20)]
    await enter(both[0], *(accepted(mail=mail) for mail in ids))

    for mail in ids:
        leg = replace(LEG, envelope=make_envelope(BOB, CAT, mail_id=mail))
        await asyncio.gather(
            enter(both[0], traced(Stage.RELAYED, BOB, leg=leg)),
            enter(both[1], traced(Stage.RELAYED, CAT, leg=leg)),
        )
    await other.aclose()

    assert await reading.mails(MailFilter(ended=False), 100) == []
    assert all(mail.ended_at for mail in await reading.mails(MailFilter(), 100))
