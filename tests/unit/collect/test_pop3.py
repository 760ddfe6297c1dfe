"""The conversation of POP3."""

from base64 import b64decode, b64encode
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.questions import LoginAnswer, LoginVerdict
from kernel.sasl import MECHANISMS
from services.collect.core.doorway import Doorway, Plaintext
from services.collect.core.pop3 import Obstacle, Session
from services.collect.core.speech import ENOUGH
from tests.support import sasl
from tests.unit.collect.talk import ELSEWHERE, LOGIN, LOOPBACK, MESSAGES, talk

SIZES = [len(data) for data in MESSAGES.values()]
CERTIFICATE = b"the certificate that we show"
PLAIN = b64encode(b"\0ann\0secret")


def refused(verdict=LoginVerdict.REFUSED):
    return LoginAnswer(verdict)


def capabilities(one):
    _, *lines, end = one.hear(b"CAPA\r\n").decode().splitlines()
    assert end == "."
    return lines


# Logging in.


def test_the_greeting_has_no_timestamp_for_apop():
    [say] = Session(Doorway("pop3", lambda: "n"), LOOPBACK, secured=False).greet()

    assert say.octets.startswith(b"+OK ")
    assert b"<" not in say.octets


def test_a_name_and_a_password_open_the_maildrop():
    one = talk(b"USER ann\r\n")
    assert one.lines == ["+OK Send your password"]

    one.send(b"PASS secret\r\n")

    assert one.lines[1:] == [f"+OK 3 messages ({sum(SIZES)} octets)"]
    [question] = one.asked
    assert (question.service, question.listener, question.client) == ("pop3", "pop3", LOOPBACK)
    assert (question.mechanism, question.login, question.password) == ("USER", "ann", "secret")
    assert not question.tls


def test_spaces_belong_to_the_password():
    one = talk(b"USER ann\r\nPASS  two words \r\n")

    assert one.asked[0].password == " two words "


def test_nobody_hears_which_names_there_are():
    assert talk().hear(b"USER nobody\r\n") == talk().hear(b"USER ann\r\n")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refused(), "[AUTH]"),
        (refused(LoginVerdict.LOCKED), "[SYS/TEMP]"),
        (None, "[SYS/TEMP]"),
        (LoginAnswer(LoginVerdict.CONTINUE), "[SYS/TEMP]"),
        (LoginAnswer(LoginVerdict.GRANTED, "admin"), "[SYS/PERM]"),
    ],
    ids=["wrong password", "locked", "auth is away", "nonsense", "a user without a mailbox"],
)
def test_who_does_not_get_in_hears_why_by_a_code(answer, code):
    one = talk(LOGIN, answer=answer)

    assert one.lines[1].startswith(f"-ERR {code} ")
    assert one.hear(b"STAT\r\n").startswith(b"-ERR")


def test_a_lockout_looks_like_any_other_trouble():
    assert talk(LOGIN, answer=refused(LoginVerdict.LOCKED)).said == talk(LOGIN, answer=None).said


def test_after_a_wrong_password_another_one_is_heard():
    one = talk(b"USER ann\r\nPASS wrong\r\n", LOGIN)

    assert [line[0] for line in one.lines] == ["+", "-", "+", "+"]


def test_a_password_wants_a_name_first():
    assert talk().hear(b"PASS secret\r\n") == b"-ERR Say USER first\r\n"
    assert talk(b"USER ann\r\nPASS wrong\r\n").hear(b"PASS secret\r\n").startswith(b"-ERR Say USER")


def test_a_maildrop_has_one_reader():
    one = talk(LOGIN, claim=Obstacle.IN_USE)
    assert one.lines[1].startswith("-ERR [IN-USE] ")

    one.claim = None

    assert one.hear(LOGIN).endswith(b"octets)\r\n")


def test_a_maildrop_out_of_reach_is_no_permanent_trouble():
    assert talk(LOGIN, claim=Obstacle.UNAVAILABLE).lines[1].startswith("-ERR [SYS/TEMP] ")


@pytest.mark.parametrize("command", [b"APOP ann 0123\r\n", b"XYZZY\r\n", b"\r\n", b"\0\r\n"])
def test_what_we_do_not_know_is_refused(command):
    assert talk().hear(command) == b"-ERR Unknown command\r\n"


@pytest.mark.parametrize("verb", ["STAT", "LIST", "UIDL", "RETR 1", "DELE 1", "TOP 1 1", "NOOP"])
def test_before_the_login_there_are_no_messages(verb):
    assert talk().hear(f"{verb}\r\n".encode()) == b"-ERR Not now\r\n"


@pytest.mark.parametrize(
    "command", [b"USER ann\r\n", b"PASS x\r\n", b"AUTH PLAIN\r\n", b"STLS\r\n"]
)
def test_after_the_login_there_is_no_other(command):
    assert talk(LOGIN).hear(command) == b"-ERR Not now\r\n"


# Passwords and TLS.


@pytest.mark.parametrize(
    ("plaintext", "client", "secured", "allowed"),
    [
        (Plaintext.NEVER, LOOPBACK, False, False),
        (Plaintext.NEVER, LOOPBACK, True, True),
        (Plaintext.LOOPBACK, LOOPBACK, False, True),
        (Plaintext.LOOPBACK, "::1", False, True),
        (Plaintext.LOOPBACK, ELSEWHERE, False, False),
        (Plaintext.LOOPBACK, ELSEWHERE, True, True),
        (Plaintext.ALWAYS, ELSEWHERE, False, True),
    ],
)
def test_a_password_crosses_no_wire_that_others_can_listen_to(plaintext, client, secured, allowed):
    one = talk(plaintext=plaintext, client=client, secured=secured)

    offered = capabilities(one)
    assert ("USER" in offered) is allowed
    assert any("PLAIN" in line for line in offered) is allowed
    assert one.hear(b"USER ann\r\n").startswith(b"+OK" if allowed else b"-ERR Not without TLS")
    assert one.hear(b"AUTH PLAIN " + PLAIN + b"\r\n").startswith(b"+OK" if allowed else b"-ERR Not")
    assert bool(one.asked) is allowed


def test_stls_forgets_what_was_said_before_and_throws_away_what_came_with_it():
    one = talk(b"USER ann\r\n", b"STLS\r\nPASS secret\r\nUSER eve\r\n")

    assert one.lines[1:] == ["+OK Begin TLS"]
    assert one.tls == 1
    assert one.hear(b"PASS secret\r\n").startswith(b"-ERR Say USER")
    assert not one.asked


def test_there_is_no_second_tls():
    one = talk(b"STLS\r\n")

    assert "STLS" not in capabilities(one)
    assert one.hear(b"STLS\r\n").startswith(b"-ERR")
    assert one.hear(LOGIN).count(b"+OK") == 2
    assert one.asked[0].tls


# AUTH.


def authenticate(one, mechanism, client, *, initial=True):
    """Log in as a client does; return what the server said last."""
    first = next(client)
    with_it = initial and first
    line = f"AUTH {mechanism}".encode() + (b" " + b64encode(first) if with_it else b"")
    said = one.hear(line + b"\r\n")
    if not with_it and first:
        assert said == b"+ \r\n"
        said = one.hear(b64encode(first) + b"\r\n")
    while said.startswith(b"+ "):
        said = one.hear(b64encode(client.send(b64decode(said[2:]))) + b"\r\n")
    return said


@pytest.mark.parametrize("initial", [True, False], ids=["initial response", "asked for"])
@pytest.mark.parametrize(
    "mechanism", ["PLAIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "scram-sha-256"]
)
def test_every_mechanism_logs_in(mechanism, initial):
    binding = sasl.sha256(CERTIFICATE).digest()
    one = talk(secured=True, binding=binding, mechanisms=tuple(MECHANISMS))
    client = sasl.client(mechanism.upper(), "ann", "secret", CERTIFICATE)

    said = authenticate(one, mechanism, client, initial=initial)

    assert said == f"+OK 3 messages ({sum(SIZES)} octets)\r\n".encode()


def test_login_asks_for_name_and_password():
    one = talk(b"AUTH LOGIN\r\n")
    one.send(b64encode(b"ann") + b"\r\n", b64encode(b"secret") + b"\r\n")

    assert one.lines[:2] == ["+ VXNlcm5hbWU6", "+ UGFzc3dvcmQ6"]
    assert one.lines[2].startswith("+OK 3 messages")


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "SCRAM-SHA-256"])
def test_who_shows_no_password_needs_no_tls(mechanism):
    one = talk(client=ELSEWHERE, plaintext=Plaintext.NEVER)

    assert "SASL SCRAM-SHA-256 CRAM-MD5" in capabilities(one)
    assert authenticate(one, mechanism, sasl.client(mechanism, "ann", "secret", b"")).startswith(
        b"+OK"
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_a_wrong_password_is_refused_by_every_mechanism(mechanism):
    one = talk()

    said = authenticate(one, mechanism, sasl.client(mechanism, "ann", "wrong", b""))

    assert said == b"-ERR [AUTH] Wrong name or password\r\n"
    assert one.hear(LOGIN).endswith(b"octets)\r\n")


def test_to_bind_to_tls_there_must_be_tls():
    one = talk(binding=b"a hash", mechanisms=tuple(MECHANISMS))

    assert not any("PLUS" in line for line in capabilities(one))
    assert one.hear(b"AUTH SCRAM-SHA-256-PLUS\r\n").startswith(b"-ERR Not without TLS")
    one.send(b"STLS\r\n")
    assert any("SCRAM-SHA-256-PLUS" in line for line in capabilities(one))


def test_who_could_bind_to_tls_logs_in_where_we_do_not_offer_it():
    one = talk(secured=True, binding=b"a hash")

    assert "SASL SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN" in capabilities(one)
    one.send(b"AUTH PLAIN " + PLAIN + b"\r\n")
    assert one.asked[0].channel_binding == b""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"*", b"-ERR Cancelled\r\n"),
        (b"not base64!", b"-ERR Not what that mechanism wants\r\n"),
        (b64encode(b"ann"), b"-ERR Not what that mechanism wants\r\n"),
        (b"A" * 12_289, b"-ERR Line too long\r\n"),
        (b"A" * 1_000_000, b"-ERR Line too long\r\n"),
    ],
    ids=["cancelled", "no base64", "no PLAIN", "too long", "far too long"],
)
def test_an_exchange_that_fails_ends_and_nobody_is_asked(line, said):
    one = talk(b"AUTH PLAIN\r\n")

    assert one.hear(line + b"\r\n") == said
    assert not one.asked
    assert one.hear(LOGIN).endswith(b"octets)\r\n")


@pytest.mark.parametrize("command", [b"AUTH\r\n", b"AUTH \r\n", b"AUTH NTLM\r\n"])
def test_a_mechanism_that_we_do_not_know_is_refused(command):
    assert talk().hear(command) == b"-ERR No such mechanism\r\n"


def test_an_auth_that_goes_away_in_an_exchange_is_no_permanent_trouble():
    one = talk(answer=None)

    assert one.hear(b"AUTH PLAIN " + PLAIN + b"\r\n").startswith(b"-ERR [SYS/TEMP]")
    one.answer = "judge"
    assert one.hear(LOGIN).endswith(b"octets)\r\n")


# Messages.


def test_stat_list_and_uidl_tell_of_all_messages():
    one = talk(LOGIN)

    assert one.hear(b"STAT\r\n").decode() == f"+OK 3 {sum(SIZES)}\r\n"
    listed = "".join(f"{n} {size}\r\n" for n, size in enumerate(SIZES, 1))
    assert one.hear(b"LIST\r\n").decode().partition("\r\n")[2] == listed + ".\r\n"
    assert one.hear(b"UIDL\r\n").endswith(b"\r\n1 first\r\n2 second\r\n3 third\r\n.\r\n")


def test_list_and_uidl_tell_of_one_message():
    one = talk(LOGIN)

    assert one.hear(b"LIST 2\r\n").decode() == f"+OK 2 {SIZES[1]}\r\n"
    assert one.hear(b"uidl 3\r\n") == b"+OK 3 third\r\n"


@pytest.mark.parametrize("verb", ["LIST {}", "UIDL {}", "RETR {}", "DELE {}", "TOP {} 1"])
@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("0", "No such message"),
        ("4", "No such message"),
        ("-1", "Not what"),
        ("1x", "Not what"),
        ("٣", "Not what"),
        ("9" * 50, "Not what"),
    ],
)
def test_there_are_no_other_messages(verb, number, said):
    one = talk(LOGIN)

    assert one.hear(verb.format(number).encode() + b"\r\n").decode().startswith(f"-ERR {said}")


@pytest.mark.parametrize(
    "command", [b"RETR\r\n", b"DELE\r\n", b"TOP 1\r\n", b"STAT 1\r\n", b"QUIT 1\r\n"]
)
def test_a_command_that_lacks_what_it_needs_is_refused(command):
    one = talk(LOGIN)

    assert one.hear(command) == b"-ERR Not what that command wants\r\n"
    assert one.updates == []


def test_a_message_comes_with_its_dots_stuffed():
    one = talk(LOGIN)

    said = one.hear(b"RETR 2\r\n")

    stuffed = b"Subject: two\r\n\r\n..dots\r\n...\r\n..\r\nlast\r\n"
    assert said == f"+OK {SIZES[1]} octets\r\n".encode() + stuffed + b".\r\n"
    assert (one.core.retrieved, one.core.octets) == (1, len(stuffed))


def test_top_gives_the_header_and_so_many_lines():
    one = talk(LOGIN)

    said = one.hear(b"TOP 3 2\r\n")

    assert said.partition(b"\r\n")[2] == b"Subject: three\r\n\r\na line\r\na line\r\n.\r\n"
    assert one.core.retrieved == 0


def test_a_message_that_has_vanished_is_only_missing():
    one = talk(LOGIN, trouble=Obstacle.MISSING)

    assert one.hear(b"RETR 1\r\n") == b"-ERR No such message\r\n"
    one.trouble = None
    assert one.hear(b"RETR 2\r\n").startswith(b"+OK")


def test_a_message_out_of_reach_is_no_permanent_trouble():
    assert (
        talk(LOGIN, trouble=Obstacle.UNAVAILABLE).hear(b"RETR 1\r\n").startswith(b"-ERR [SYS/TEMP]")
    )


def test_half_a_message_never_looks_like_a_whole_one():
    one = talk(LOGIN)
    wanted = one.core.receive(b"RETR 1\r\n")
    assert len(wanted) == 1

    one.act(one.core.fetched(b"Subject: one\r\n"))
    one.act(one.core.not_fetched(Obstacle.UNAVAILABLE))

    assert one.closed
    assert one.said.endswith(b"Subject: one\r\n")
    assert one.updates == []


# Deleting.


def test_what_is_deleted_is_gone_at_once_for_this_client_and_for_good_at_quit():
    one = talk(LOGIN, b"DELE 2\r\n")

    assert one.hear(b"STAT\r\n").decode() == f"+OK 2 {SIZES[0] + SIZES[2]}\r\n"
    assert one.hear(b"UIDL\r\n").endswith(b"\r\n1 first\r\n3 third\r\n.\r\n")
    assert one.hear(b"DELE 2\r\n") == one.hear(b"RETR 2\r\n") == b"-ERR No such message\r\n"
    assert one.updates == []

    assert one.hear(b"QUIT\r\n") == b"+OK Bye\r\n"
    assert one.updates == [("second",)]
    assert one.closed


def test_rset_brings_everything_back():
    one = talk(LOGIN, b"DELE 1\r\nDELE 2\r\nRSET\r\n")

    assert one.hear(b"STAT\r\n").decode() == f"+OK 3 {sum(SIZES)}\r\n"
    one.send(b"QUIT\r\n")
    assert one.updates == [()]


def test_what_could_not_be_removed_is_said():
    one = talk(LOGIN, b"DELE 1\r\n", update_works=False)

    assert one.hear(b"QUIT\r\n").startswith(b"-ERR [SYS/TEMP] Some deleted messages")
    assert one.closed


def test_who_is_not_logged_in_leaves_without_a_trace():
    one = talk(b"USER ann\r\nQUIT\r\nPASS secret\r\n")

    assert one.lines[1:] == ["+OK Bye"]
    assert (one.closed, one.updates, one.asked) == (True, [], [])


# Limits.


@pytest.mark.parametrize("length", [249, 250])
def test_a_command_may_be_as_long_as_the_standard_says(length):
    said = talk(LOGIN).hear(b"NOOP" + b" " + b"x" * (length - 1) + b"\r\n")

    assert said == (b"+OK\r\n" if length == 249 else b"-ERR Line too long\r\n")


def test_too_many_errors_end_the_conversation():
    one = talk(b"X\r\n" * 30, max_errors=5)

    assert one.lines == ["-ERR Unknown command"] * 5 + ["-ERR Too many errors"]
    assert one.closed
    assert one.hear(LOGIN) == b""


def test_wrong_passwords_are_errors_too():
    assert talk(b"USER ann\r\nPASS wrong\r\n" * 5, max_errors=5).closed


def test_an_endless_line_takes_no_room():
    one = talk()
    for _ in range(100):
        one.send(b"x" * 65_536)

    assert len(one.core._lines._octets) < 13_000
    assert one.hear(b"\r\n") == b"-ERR Line too long\r\n"
    assert one.hear(LOGIN).endswith(b"octets)\r\n")


# Properties.

words = (
    b"USER ann;PASS secret;PASS wrong;STAT;LIST;LIST 2;UIDL;RETR 1;RETR 2;TOP 3 1;DELE 1;DELE 3;"
)
words += b"RSET;NOOP;CAPA;STLS;AUTH;AUTH PLAIN;AUTH PLAIN " + PLAIN + b";" + PLAIN + b";*;X;;\xff"
commands = st.sampled_from(words.split(b";"))
ends = st.sampled_from([b"\r\n", b"\n"])
lines = st.tuples(commands | st.just(b"QUIT"), ends).map(b"".join)


@given(st.lists(lines), st.lists(st.integers(0, 400)), st.integers(1, 40))
def test_however_the_octets_are_cut_the_same_is_said(spoken, cuts, part):
    octets = b"".join(line for line in spoken if not line.startswith(b"STLS"))
    places = [0, *sorted(cut for cut in cuts if cut < len(octets)), len(octets)]

    whole = talk(octets)
    cut = talk(*(octets[start:end] for start, end in pairwise(places)), part=part)

    assert (cut.said, cut.updates, cut.closed) == (whole.said, whole.updates, whole.closed)
    assert cut.core.octets == whole.core.octets


def test_a_breath_of_commands_never_wants_everything_in_memory_at_once():
    box = {f"message {n}": b"x" for n in range(500)}

    one = talk(LOGIN, b"UIDL\r\n" * 200, box=box)

    assert one.said.count(b"+OK 500 messages") == 201
    assert one.longest < 2 * ENOUGH < len(one.said)


@given(st.lists(st.binary() | commands, max_size=30), st.booleans())
def test_whatever_comes_there_is_an_answer_to_each_line(spoken, logged_in):
    one = talk(*[LOGIN] * logged_in, max_errors=1000)
    for octets in spoken:
        said = one.hear(octets.replace(b"\n", b"") + b"\r\n")
        assert one.closed or said.startswith((b"+OK", b"-ERR", b"+ "))
        assert one.closed or said.endswith(b"\r\n")


@given(st.lists(commands), st.booleans())
def test_no_command_but_quit_deletes_anything(spoken, logged_in):
    one = talk(*[LOGIN] * logged_in)
    for command in spoken:
        one.send(command + b"\r\n")

    assert one.updates == []


@given(st.lists(commands.filter(lambda c: c != b"RSET")), st.lists(commands), st.booleans())
def test_quit_deletes_what_was_deleted_since_the_last_rset_and_nothing_else(before, after, reset):
    one = talk(LOGIN)
    said = [(c, one.hear(c + b"\r\n")) for c in [*before, *[b"RSET"] * reset]]
    since = said if not reset else []
    later = [c for c in after if c != b"RSET"]
    since = since + [(c, one.hear(c + b"\r\n")) for c in later]
    closed = one.closed

    one.send(b"QUIT\r\n")

    keys = dict(enumerate(MESSAGES, 1))
    marked = {keys[int(c[5:])] for c, answer in since if c[:4] == b"DELE" and answer[:1] == b"+"}
    assert one.updates == ([] if closed else [tuple(k for k in MESSAGES if k in marked)])
