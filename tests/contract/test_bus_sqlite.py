"""What is SQLite's alone: the file, who owns what in it, and its limits."""

import asyncio
import contextlib
import sqlite3
import stat
from datetime import timedelta

import pytest

from kernel.bus import sqlite
from kernel.bus.port import BusUnavailableError
from kernel.bus.process import Process, is_gone
from kernel.clock import system_clock
from kernel.model.events import MailAccepted
from tests.support.buses import Taken, background, consuming, eventually, working
from tests.support.disks import small_disk
from tests.support.mail import BOB, make_envelope


def make_mail(number: int, size: int = 10) -> MailAccepted:
    return MailAccepted(make_envelope(BOB, mail_id=f"{number:026d}", content=b"x" * size))


async def test_only_its_owner_may_read_the_file(sqlite_buses, tmp_path):
    async with sqlite_buses.open():
        assert stat.S_IMODE((tmp_path / "bus.db").stat().st_mode) == 0o600


async def test_the_folder_is_made(tmp_path):
    async with sqlite.connect(f"sqlite:///{tmp_path}/new/folder/bus.db") as bus:
        await bus.publish(make_mail(1))


async def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "bus.db").write_bytes(b"no database" * 1000)

    with pytest.raises(BusUnavailableError, match="not a database"):
        async with sqlite.connect(f"sqlite:///{tmp_path}/bus.db"):
            pass


async def test_the_file_does_not_grow_with_what_passes_through(sqlite_buses, tmp_path):
    taken = Taken()
    async with sqlite_buses.open() as bus, consuming(bus, taken.handler):
        for start in range(0, 2000, 50):
            events = [make_mail(start + number, 10_000) for number in range(50)]
            await asyncio.gather(*map(bus.publish, events))
            await taken.wait_for(start + 50)

    assert (tmp_path / "bus.db").stat().st_size < 4_000_000


async def test_a_full_disk_is_trouble_until_there_is_room(sqlite_buses):
    async with sqlite_buses.open() as bus:
        await limit_pages(bus, 60)
        with pytest.raises(BusUnavailableError, match="full"):
            await bus.publish(make_mail(1, 1_000_000))
        assert "full" in bus.trouble()

        await limit_pages(bus, 1_000_000)
        await working(bus)
        await bus.publish(make_mail(1, 1_000_000))


async def test_it_is_short_of_room_before_its_disk_is_full(tmp_path):
    with small_disk(tmp_path / "disk", 16) as disk:
        url = f"sqlite:///{disk.folder}/bus.db"
        async with sqlite.connect(url, reserve=512 * 2**20) as bus:
            assert await bus.shortage() == ""

            disk.fill(leave=1_500_000)
            assert "are left on the disk of" in await bus.shortage()
            await bus.publish(make_mail(1))  # what has been taken can go on

            disk.clear()
            assert await bus.shortage() == ""


async def test_a_clock_that_is_set_back_delays_nothing(sqlite_buses):
    taken, ahead = Taken(), timedelta(hours=1)

    async def fails(event) -> None:
        raise ValueError("for now")

    async def has_failed() -> bool:
        return any(queue.ready for queue in await bus.queues())

    async with (
        sqlite.connect(sqlite_buses.url, clock=lambda: system_clock() + ahead) as bus,
        consuming(bus, fails, again=taken.again_handler),
    ):
        await bus.publish(make_mail(1))
        await eventually(has_failed)
        ahead = timedelta(0)
        await taken.wait_for(1)


async def limit_pages(bus, pages: int) -> None:
    await bus._ask(lambda tables: tables._db.execute(f"PRAGMA max_page_count = {pages}").fetchall())


async def test_a_consumer_taken_for_dead_cannot_take_back_what_others_have(sqlite_buses, tmp_path):
    begun, go_on = asyncio.Event(), asyncio.Event()
    taken = Taken()

    async def slow(_) -> None:
        begun.set()
        await go_on.wait()

    async with sqlite_buses.open() as bus, sqlite_buses.open() as other:
        async with background(bus.consume(MailAccepted, slow)):
            await bus.publish(make_mail(1))
            await begun.wait()
            forget_owners(tmp_path / "bus.db")
            async with sqlite_buses.open() as third:  # opening looks for the dead
                states = {state.name: state for state in await third.queues()}
                assert states["MailAccepted"].taken <= 1
            go_on.set()
        async with consuming(other, taken.handler, again=taken.again_handler):
            await eventually(lambda: taken.again)

    assert taken.again == [make_mail(1)]


def forget_owners(path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM owner")


def test_a_process_knows_that_it_lives():
    assert Process.mine().lives()
    assert not is_gone(Process.mine(), silent=1)
    assert is_gone(Process.mine(), silent=16)


def test_a_number_used_again_is_another_process():
    boot, namespace, pid, start = Process.mine().text.split("/")

    assert Process(f"{boot}/{namespace}/{pid}/{int(start) + 1}").lives() is False
    assert Process(f"another-boot/{namespace}/{pid}/{start}").lives() is False


def test_the_processes_of_another_container_cannot_be_seen():
    boot, _, pid, start = Process.mine().text.split("/")
    elsewhere = Process(f"{boot}/pid:[1]/{pid}/{start}")

    assert elsewhere.lives() is None
    assert not is_gone(elsewhere, silent=1)
    assert is_gone(elsewhere, silent=16)
