"""What all mailboxes promise."""

import asyncio
import mailbox as stdlib_mailbox
import sys

import pytest

from kernel.mailboxes import maildir
from kernel.mailboxes.port import (
    MailboxBusyError,
    MailboxUnavailableError,
    MessageMissingError,
)
from kernel.model.address import Address
from tests.support.fakes import DictMailboxes
from tests.support.mail import ANN, BOB, MESSAGE

KEY = "01kdq5h4g0test000000000000.ann"


@pytest.fixture(params=["maildir", "fake"])
def mailboxes(request, tmp_path):
    """Every kind of mailbox in turn, and the fake that the other tests trust."""
    if request.param == "fake":
        return DictMailboxes()
    return maildir.open_mailboxes(f"maildir:///{tmp_path}")


async def chunks(*parts):
    for part in parts:
        yield part


async def whole(mailboxes, key):
    return b"".join([chunk async for chunk in mailboxes.read(ANN, key)])


async def test_a_message_is_kept_octet_for_octet(mailboxes):
    assert await mailboxes.deliver(ANN, KEY, chunks(MESSAGE[:10], MESSAGE[10:])) is True

    assert await whole(mailboxes, KEY) == MESSAGE
    (stored,) = await mailboxes.messages(ANN)
    assert (stored.key, stored.size) == (KEY, len(MESSAGE))


async def test_a_twin_is_recognised(mailboxes):
    await mailboxes.deliver(ANN, KEY, chunks(MESSAGE))

    assert await mailboxes.deliver(ANN, KEY, chunks(MESSAGE)) is False

    assert len(await mailboxes.messages(ANN)) == 1


async def test_messages_come_oldest_first(mailboxes):
    keys = [f"01kdq5h4g{n}test000000000000.ann" for n in range(3)]

    for key in keys:
        await mailboxes.deliver(ANN, key, chunks(MESSAGE))

    assert [stored.key for stored in await mailboxes.messages(ANN)] == keys


async def test_a_mailbox_that_never_had_mail_is_empty(mailboxes):
    assert await mailboxes.messages(ANN) == ()


async def test_a_deleted_message_is_gone(mailboxes):
    await mailboxes.deliver(ANN, KEY, chunks(MESSAGE))

    await mailboxes.delete(ANN, [KEY])
    await mailboxes.delete(ANN, [KEY])

    assert await mailboxes.messages(ANN) == ()
    with pytest.raises(MessageMissingError):
        await whole(mailboxes, KEY)


async def test_what_is_not_to_be_deleted_stays(mailboxes):
    keys = [f"01kdq5h4g{n}test000000000000.ann" for n in range(3)]
    for key in keys:
        await mailboxes.deliver(ANN, key, chunks(MESSAGE))

    await mailboxes.delete(ANN, [keys[0], keys[2], "unheard-of"])

    assert [stored.key for stored in await mailboxes.messages(ANN)] == [keys[1]]


async def test_a_claimed_mailbox_is_had_by_nobody_else(mailboxes):
    async with mailboxes.claim(ANN):
        with pytest.raises(MailboxBusyError):
            async with mailboxes.claim(ANN):
                pass


async def test_a_mailbox_can_be_claimed_again_and_another_one_meanwhile(mailboxes):
    async with mailboxes.claim(ANN), mailboxes.claim(BOB):
        pass
    async with mailboxes.claim(ANN):
        pass


async def test_a_claim_ends_with_whatever_was_done_meanwhile(mailboxes):
    with pytest.raises(KeyError):
        async with mailboxes.claim(ANN):
            raise KeyError

    async with mailboxes.claim(ANN):
        pass


async def test_mail_is_delivered_read_and_deleted_while_the_mailbox_is_claimed(mailboxes):
    async with mailboxes.claim(ANN):
        assert await mailboxes.deliver(ANN, KEY, chunks(MESSAGE)) is True
        assert await whole(mailboxes, KEY) == MESSAGE
        await mailboxes.delete(ANN, [KEY])

    assert await mailboxes.messages(ANN) == ()


async def test_other_processes_are_kept_out_until_the_one_that_claims_is_killed(tmp_path):
    mailboxes = maildir.open_mailboxes(f"maildir:///{tmp_path}")
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CLAIMANT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert await other.stdout.readline() == b"claimed\n"

    with pytest.raises(MailboxBusyError):
        async with mailboxes.claim(ANN):
            pass
    other.kill()
    await other.wait()

    async with mailboxes.claim(ANN):
        pass


_CLAIMANT = """\
import asyncio, sys
from kernel.mailboxes import maildir
from kernel.model.address import Address

async def main():
    mailboxes = maildir.open_mailboxes(f"maildir:///{sys.argv[1]}")
    async with mailboxes.claim(Address("ann", "ours.test")):
        print("claimed", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_other_software_does_not_take_the_lock_for_mail_or_a_folder(tmp_path):
    mailboxes = maildir.open_mailboxes(f"maildir:///{tmp_path}")
    await mailboxes.deliver(ANN, KEY, chunks(MESSAGE))

    async with mailboxes.claim(ANN):
        theirs = stdlib_mailbox.Maildir(tmp_path / "ours.test" / "ann", create=False)
        assert (len(theirs), theirs.list_folders()) == (1, [])
    assert len(await mailboxes.messages(ANN)) == 1


async def test_a_twin_is_recognised_after_a_reader_has_seen_and_flagged_it(tmp_path):
    mailboxes = maildir.open_mailboxes(f"maildir:///{tmp_path}")
    await mailboxes.deliver(ANN, KEY, chunks(MESSAGE))
    folder = tmp_path / "ours.test" / "ann"
    (folder / "new" / KEY).rename(folder / "cur" / f"{KEY}:2,S")

    assert await mailboxes.deliver(ANN, KEY, chunks(MESSAGE)) is False

    assert await whole(mailboxes, KEY) == MESSAGE


async def test_other_software_reads_the_maildir(tmp_path):
    mailboxes = maildir.open_mailboxes(f"maildir:///{tmp_path}")
    await mailboxes.deliver(ANN, KEY, chunks(MESSAGE))

    (message,) = stdlib_mailbox.Maildir(tmp_path / "ours.test" / "ann", create=False).values()

    assert message["Subject"] == "hello"


@pytest.mark.parametrize(
    "address",
    [Address("../../etc", "ours.test"), Address("..", "ours.test"), Address("a/b c", "ours.test")],
    ids=str,
)
async def test_no_address_leaves_the_folder(tmp_path, address):
    mailboxes = maildir.open_mailboxes(f"maildir:///{tmp_path}/mail")

    await mailboxes.deliver(address, KEY, chunks(MESSAGE))

    (found,) = tmp_path.rglob(KEY)
    assert found.parent.parent.parent == tmp_path / "mail" / "ours.test"


async def test_two_spellings_of_one_name_are_one_mailbox(tmp_path):
    mailboxes = maildir.open_mailboxes(f"maildir:///{tmp_path}")

    await mailboxes.deliver(Address("Ann", "ours.test"), KEY, chunks(MESSAGE))

    assert len(await mailboxes.messages(ANN)) == 1


async def test_a_mailbox_that_cannot_be_written_is_unavailable(tmp_path):
    (tmp_path / "mail").write_text("a file where the folder should be")
    mailboxes = maildir.open_mailboxes(f"maildir:///{tmp_path}/mail")

    with pytest.raises(MailboxUnavailableError):
        await mailboxes.deliver(ANN, KEY, chunks(MESSAGE))
    with pytest.raises(MailboxUnavailableError):
        async with mailboxes.claim(ANN):
            pass
    with pytest.raises(MailboxUnavailableError):
        await mailboxes.messages(ANN)
    with pytest.raises(MailboxUnavailableError):
        await mailboxes.delete(ANN, [KEY])
