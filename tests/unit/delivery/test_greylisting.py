from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.reply import Reply
from kernel.smtp_reply import ReplyReader
from services.delivery.core.greylisting import LONGEST_WAIT, SHORTEST_WAIT, wait_asked_for

SAID = [
    ("Postgrey", ("450 4.2.0 <bob@there.test>: Recipient address rejected: Greylisted, see "
     "http://postgrey.schweikert.ch/help/there.test.html"), 300),
    ("Postgrey's own text", ("450 4.7.1 <bob@there.test>: Recipient address rejected: Greylisted "
     "for 240 seconds"), 240),
    ("sqlgrey", "450 4.7.1 <bob@there.test>: Recipient address rejected: Greylisted for 5 minutes",
     300),
    ("rspamd", "451 4.7.1 Try again later", 300),
    ("Exchange Online", ("451 4.7.500 Server busy. Please try again later from [192.0.2.1]. "
     "(AS77713107)"), 300),
    ("Exchange Online, reputation", ("451 4.7.650 The mail server [192.0.2.1] has been temporarily "
     "rate limited due to IP reputation."), 300),
    ("milter-greylist", "451 4.7.1 Greylisting in action, please come back in 00:04:59", 299),
    ("OpenBSD spamd", "451 Temporary failure, please try again later.", 300),
    ("Debian's greylistd for Exim", ("451 192.0.2.1 is not yet authorized to deliver mail from "
     "<ann@ours.test> to <bob@there.test>. Please try later."), 300),
    ("iRedAPD", "451 4.7.1 Intentional policy rejection, please try again later", 300),
    ("Cluebringer", "450 4.7.1 Greylisting in effect, please come back later", 300),
    ("Plesk", "451 4.7.1 Service unavailable - try again later", 300),
    ("Stalwart", "452 4.2.2 Greylisted, please try again in a few moments.", 300),
    ("ourselves", "451 4.7.1 Greylisted, try again later", 300),
    ("a long wait", "450 4.7.1 Greylisted, try again in 24 hours", 3_600),
    ("no wait at all", "450 4.7.1 Greylisted, try again in 1 second", 30),
    ("postscreen, which has seen us now", "450 4.3.2 Service currently unavailable", None),
    ("a full mailbox", "452 4.2.2 The recipient's mailbox is full", None),
    ("Gmail, a busy user", ("450 4.2.1 The user you are trying to contact is receiving mail at a "
     "rate that prevents additional messages from being delivered."), None),
    ("a name that does not resolve", ("450 4.7.1 Client host rejected: cannot find your reverse "
     "hostname"), None),
    ("a server that went quiet", "421 4.4.2 Timeout after 300 seconds", None),
    ("a refusal for good", "550 5.7.1 Greylisted for 300 seconds", None),
    ("a yes", "250 2.0.0 Not greylisted", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "seconds"), [(line, wait) for _, line, wait in SAID], ids=[who for who, *_ in SAID]
)
def test_what_servers_say(line, seconds):
    (reply,) = ReplyReader().feed(f"{line}\r\n".encode())

    wait = wait_asked_for(reply)

    assert (wait and wait.total_seconds()) == seconds


@given(
    code=st.integers(200, 599),
    status=st.sampled_from(["", "4.0.0", "4.7.1", "4.2.0", "4.7.512"]),
    text=st.text() | st.from_regex(r"(greylisted|try) again in [0-9]{1,9} ?[smh]\w{0,6}"),
)
def test_the_wait_is_bounded_whatever_a_server_says(code, status, text):
    wait = wait_asked_for(Reply(code, status, text))

    assert wait is None or (400 <= code < 500 and SHORTEST_WAIT <= wait <= LONGEST_WAIT)
    assert wait is None or isinstance(wait, timedelta)
