"""What all mailboxes promise."""

import mailbox as stdlib_mailbox

import pytest

from kernel.mailboxes import maildir
from kernel.mailboxes.port import MailboxUnavailableError, MessageMissingError
from kernel.model.address import Address
from tests.support.fakes import DictMailboxes
from tests.support.mail import ANN, MESSAGE

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

    await mailboxes.delete(ANN, KEY)
    await mailboxes.delete(ANN, KEY)

    assert await mailboxes.messages(ANN) == ()
    with pytest.raises(MessageMissingError):
        await whole(mailboxes, KEY)


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
