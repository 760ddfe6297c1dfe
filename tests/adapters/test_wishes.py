"""What a client asks for in MAIL and RCPT, on its way through the services to the next server."""

import asyncio
import email

from kernel import wire
from kernel.model.events import Stage
from kernel.model.questions import Place
from services.delivery.adapters.templates import load_templates
from services.delivery.core.report import Returned
from services.delivery.core.reporting import report_to_sender
from services.delivery.core.settle import Fate
from services.delivery.core.wording import Facts
from services.router.core.expand import Ending
from services.router.core.route import route
from tests.adapters.test_delivery_smtp import GUARDED, guarded_courier
from tests.dialogs.house import open_house
from tests.support.mail import GONE, NOON

OFFERED = "250-there.test\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250-8BITMIME\r\n250 DSN"
CONTENT = "Subject: Grüße\r\n\r\n.dots\r\n"


async def route_of(tmp_path, mail, rcpt):
    """Return the leg of a mail that a user has sent to the world, as the bus carries it."""
    async with open_house(tmp_path) as house, asyncio.timeout(10):
        client = await house.connect("submission")
        await client.reply()
        for line in ("EHLO client.example", "STARTTLS"):
            await client.ask(line)
        await client.start_tls()
        for line in ("EHLO client.example", "AUTH PLAIN AGFubgBzZWNyZXQ=", mail, rcpt):
            assert (await client.ask(line))[0] == "2", line
        octets = CONTENT.encode()
        client.send(b"BDAT %d LAST\r\n" % len(octets) + octets)
        assert (await client.reply()).startswith("250 2.0.0 OK queued")
        [accepted] = house.accepted
    envelope = wire.decode(wire.encode(accepted)).envelope
    endings = [Ending(recipient, Place.REMOTE) for recipient in envelope.recipients]
    [leg] = route(envelope, endings)
    return wire.decode(wire.encode(leg))


async def commands_for(tmp_path, leg, **script):
    async with guarded_courier(tmp_path / "tls", **script) as (courier, there):
        carried = await courier.carry(leg)
    assert {reply.code for reply in carried.replies.values()} == {250}
    [content] = there.contents
    assert content.endswith(CONTENT.encode())
    return there.heard("MAIL") + there.heard("RCPT")


async def test_wishes_about_reports_reach_the_next_server_letter_for_letter(tmp_path):
    leg = await route_of(
        tmp_path,
        "MAIL FROM:<Ann@ours.test> RET=HDRS ENVID=QQ+2Bmixed+3DCase BODY=8BITMIME SMTPUTF8",
        "RCPT TO:<Böb@elsewhere.test> NOTIFY=success,DELAY ORCPT=rfc822;Bob+2BTag@Elsewhere.Test",
    )

    assert await commands_for(tmp_path, leg, ehlo=OFFERED) == [
        "MAIL FROM:<Ann@ours.test> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2Bmixed+3DCase",
        "RCPT TO:<Böb@elsewhere.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2BTag@Elsewhere.Test",
    ]


async def test_a_report_of_failure_quotes_them(tmp_path):
    leg = await route_of(
        tmp_path,
        "MAIL FROM:<ann@ours.test> ENVID=QQ+2Bmixed",
        "RCPT TO:<bob@elsewhere.test> NOTIFY=FAILURE ORCPT=rfc822;Bob+2BTag@Elsewhere.Test",
    )
    [recipient] = leg.envelope.recipients
    facts = Facts(leg.envelope, "mx.ours.test", "ours.test", None, NOON, until=NOON)
    failures, nothing = [Fate(recipient, Stage.FAILED, GONE)], Returned(b"", whole=False)
    report = report_to_sender(leg, facts, failures, nothing, load_templates())

    _, status, _ = email.message_from_bytes(report.content).get_payload()
    about_mail, about_recipient = status.get_payload()
    assert about_mail["Original-Envelope-Id"] == "QQ+mixed"
    assert about_recipient["Original-Recipient"] == "rfc822; Bob+Tag@Elsewhere.Test"


async def test_the_wish_for_tls_reaches_the_next_server(tmp_path):
    leg = await route_of(
        tmp_path, "MAIL FROM:<ann@ours.test> REQUIRETLS", "RCPT TO:<bob@elsewhere.test>"
    )
    guarded = GUARDED.replace("REQUIRETLS", "8BITMIME\r\n250 REQUIRETLS").replace("250 8", "250-8")
    first = "250-there.test\r\n250 STARTTLS"

    [mail, _] = await commands_for(tmp_path, leg, ehlo=[first, guarded])

    assert mail == "MAIL FROM:<ann@ours.test> BODY=8BITMIME REQUIRETLS"
