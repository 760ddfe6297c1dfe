from dataclasses import replace
from email import message_from_bytes

import pytest

from kernel.blobs.port import BlobMissingError
from kernel.mailboxes.port import MailboxUnavailableError
from kernel.model.address import Address
from kernel.model.envelope import Blob, Body
from kernel.model.events import Local
from services.delivery.adapters.mailbox import DELIVERED, UNAVAILABLE, MailboxCourier, key_of
from tests.support.fakes import DictBlobs, DictMailboxes
from tests.support.mail import ANN, BOB, MESSAGE, make_envelope, make_leg


def make_courier(blobs=None):
    mailboxes = DictMailboxes()
    return MailboxCourier(mailboxes, blobs or DictBlobs()), mailboxes


async def test_a_message_lies_in_the_mailbox_under_its_trace_fields():
    courier, mailboxes = make_courier()

    carried = await courier.carry(make_leg(ANN, BOB, hop=Local()))

    assert carried.replies == {ANN: DELIVERED, BOB: DELIVERED}
    (message,) = mailboxes.boxes[BOB].values()
    assert message == (
        b"Return-Path: <ann@ours.test>\r\nDelivered-To: bob@elsewhere.test\r\n" + MESSAGE
    )


async def test_a_report_has_an_empty_return_path():
    courier, mailboxes = make_courier()

    await courier.carry(make_leg(ANN, hop=Local(), sender=None))

    (message,) = mailboxes.boxes[ANN].values()
    assert message.startswith(b"Return-Path: <>\r\n")


async def test_a_second_delivery_changes_nothing():
    courier, mailboxes = make_courier()

    for attempt in (1, 2):
        await courier.carry(make_leg(ANN, hop=Local(), attempt=attempt))

    assert len(mailboxes.boxes[ANN]) == 1


async def test_a_large_message_comes_from_its_blob():
    blobs = DictBlobs()
    blobs.blobs["m"] = MESSAGE
    courier, mailboxes = make_courier(blobs)

    await courier.carry(make_leg(ANN, hop=Local(), content=Blob("m", len(MESSAGE))))

    (message,) = mailboxes.boxes[ANN].values()
    assert message.endswith(MESSAGE)


@pytest.mark.parametrize("is_large", [False, True])
async def test_a_binary_message_lies_there_in_lines(is_large):
    octets = bytes(range(256))
    content = b"Content-Transfer-Encoding: binary\r\n\r\n" + octets
    blobs = DictBlobs()
    blobs.blobs["m"] = content
    courier, mailboxes = make_courier(blobs)
    leg = make_leg(ANN, hop=Local(), content=Blob("m", len(content)) if is_large else content)

    await courier.carry(replace(leg, envelope=replace(leg.envelope, body=Body.BINARY)))

    (message,) = mailboxes.boxes[ANN].values()
    assert message.startswith(b"Return-Path: <ann@ours.test>\r\nDelivered-To: ann@ours.test\r\n")
    assert message.count(b"\r\n") == message.count(b"\r") == message.count(b"\n")
    assert message_from_bytes(message).get_payload(decode=True) == octets


async def test_a_mailbox_out_of_reach_is_a_deferral():
    courier, mailboxes = make_courier()
    mailboxes.failure = MailboxUnavailableError("disk full")

    carried = await courier.carry(make_leg(ANN, hop=Local()))

    assert carried.replies == {ANN: UNAVAILABLE}
    assert UNAVAILABLE.is_transient


async def test_a_missing_content_is_our_fault():
    courier, _ = make_courier()

    with pytest.raises(BlobMissingError):
        await courier.carry(make_leg(ANN, BOB, hop=Local(), content=Blob("m", 1)))


def test_a_key_is_fit_for_a_file_name_and_differs_by_mailbox():
    odd = Address.parse('"../../etc/x:y"@ours.test')
    envelope = make_envelope(odd)

    assert key_of(envelope, odd).replace(".", "").isalnum()
    assert key_of(envelope, odd) != key_of(envelope, ANN)
    assert key_of(envelope, odd) == key_of(envelope, odd)
