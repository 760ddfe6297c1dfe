"""Whatever is set up and whatever comes: nobody relays who may not, and our own is never relayed.

What is asked goes the way of a real question, and is judged here by other means than by the
rules: from what was set up, not from the facts.
"""

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.model.address import Address
from kernel.model.questions import RelayAnswer, RelayQuestion
from services.auth.core.directory import SHARED, Domain, Entry, Undelivered, User
from services.auth.core.grants import Grant, Granting
from services.auth.core.lan import Networks
from services.auth.core.listener import ListenerSettings, RequireAuth
from services.auth.core.lists import AddressList
from services.auth.core.patterns import Patterns
from services.auth.core.policies import Policies
from services.auth.core.relay import decide
from tests.support.mail import NOON

CLIENTS = ["203.0.113.9", "192.168.1.7", "::ffff:192.168.1.7", "2001:db8::7", "127.0.0.1", "::1"]
CLIENTS += ["fe80::7%eth0", "nonsense", "", "192.168.1.7.", "0.0.0.0"]
HOLDERS = ["203.0.113.9", "192.168.1.7", "2001:db8::7", "2001:db8::/64", "127.0.0.1", "::1"]
NETWORKS = ["192.168.1.*", "127.0.0.0/8", "::1", "2001:db8::/32", "203.0.113.9", "!192.168.1.7"]
OURS = ["ours.test", "own.test", "mx.ours.test", "[192.0.2.25]"]
ELSEWHERE = ["far.test", "backup.test", "[192.0.2.99]", "sub.ours.test"]
LOOPBACK = ["[127.0.0.1]", "[127.9.9.9]", "[IPv6:::1]", "[IPv6:::ffff:127.0.0.1]", "[0.0.0.0]"]
LOCALS = [
    "ann",
    "ANN",
    "rex",
    "bob",
    "bob%far.test",
    "far.test!bob",
    '"bob@far.test"',
    "postmaster",
]
LOCALS += ['"ann"', "ann+x", '"@far.test:bob"', '"bob"']
LOCALS += ["SRS0=AAAAAAAA=AA=far.test=bob", "srs1=AAAAAAAA=far.test==AAAA=AA=far.test=bob"]
PATTERNS = ["far.test", "*.backup.test", "backup.test", "*@ours.test", "ann@*.test", "bob@far.test"]
CERTIFICATES = ["sha256:" + 32 * digits for digits in ("c0", "ff")]
LOGINS = ["ann", "rex", "off", "gone"]

addresses = st.builds(
    lambda local, domain: Address.parse(f"{local}@{domain}"),
    st.sampled_from(LOCALS),
    st.sampled_from(OURS + ELSEWHERE + LOOPBACK).flatmap(
        lambda name: st.sampled_from([name, name.upper().replace("[IPV6", "[IPv6")])
    ),
)
patterns = st.lists(st.sampled_from(PATTERNS), max_size=2).map(tuple)
flags = st.booleans()
lists = st.builds(
    AddressList,
    st.lists(st.sampled_from(NETWORKS), max_size=2).map(Networks.of),
    patterns.map(Patterns.of),
    patterns.map(Patterns.of),
)
tame_listeners = st.builds(
    ListenerSettings,
    require_auth=st.sampled_from([RequireAuth.NEVER, RequireAuth.TO_RELAY]),
    own_addresses_only=flags,
    collection_grants=st.just(True),  # noqa: FBT003 - a strategy
    reject_local_sender_spoof=flags,
)
wild_listeners = st.builds(
    ListenerSettings,
    access=st.sampled_from([("any",), ("lan",), (), ("any", "!203.0.113.0/24")]),
    require_auth=st.sampled_from(RequireAuth),
    own_addresses_only=flags,
    collection_grants=flags,
    relay_outside_lan=flags,
    relay_nonlocal_senders=flags,
    reject_local_sender_spoof=flags,
    reject_local_helo_spoof=flags,
    always_relay_senders=patterns,
    always_relay_recipients=patterns,
    client_certificates=flags,
    trusted_certificates=st.lists(st.sampled_from(CERTIFICATES), max_size=1).map(tuple),
)
domains = st.sets(st.sampled_from(OURS)).flatmap(
    lambda names: st.fixed_dictionaries(
        {
            name: st.builds(
                Domain,
                st.just(name),
                own_users=flags,
                undelivered=st.sampled_from(Undelivered),
                undelivered_mailbox=st.none() | st.just(Address("ann", "ours.test")),
            )
            for name in names
        }
    )
)
policies = st.builds(
    Policies,
    st.just("mx.ours.test"),
    domains,
    st.lists(st.sampled_from(NETWORKS), max_size=3).map(Networks.of)
    | st.just(Networks.of(["192.168.1.*", "!192.168.1.7"])),
    st.fixed_dictionaries({"mx": tame_listeners | wild_listeners}),
    st.just(AddressList()) | lists,
    st.just(AddressList()) | lists,
    st.builds(
        Granting,
        prefix=st.sampled_from([64, 128]),
        never=st.sampled_from([[], HOLDERS[:1], NETWORKS[:2]]).map(Networks.of),
    ),
    st.sampled_from([b"", b"nobody knows this one"]),
)
users = st.fixed_dictionaries(
    {
        login: st.builds(
            User,
            st.just(login),
            st.just(Address(login, "ours.test")),
            may_relay=flags,
            disabled=flags,
            send_as=patterns,
        )
        for login in LOGINS[:-1]
    }
)
entries = st.dictionaries(
    st.tuples(
        st.sampled_from([SHARED, *OURS]), st.sampled_from(["ann", "rex", "bob", "postmaster"])
    ),
    st.none()
    | st.builds(Entry, st.sampled_from(LOGINS), addresses)
    | st.builds(lambda targets: Entry(targets=tuple(targets)), st.lists(addresses, min_size=1)),
)
held = st.lists(
    st.builds(
        Grant,
        st.sampled_from(LOGINS),
        st.integers(-1, 1).map(lambda seconds: NOON + timedelta(seconds=seconds)),
    ),
    min_size=1,
    max_size=3,
).map(tuple)
grants = st.fixed_dictionaries(dict.fromkeys(HOLDERS, held))
questions = st.builds(
    RelayQuestion,
    st.just("mx"),
    st.just(HOLDERS[0]) | st.sampled_from(CLIENTS),
    st.sampled_from(["client.test", "ours.test", "[127.0.0.1]", "no name"]),
    st.none() | addresses,
    st.just(Address("cat", "far.test")) | addresses,
    st.just("") | st.sampled_from(LOGINS),
    certificate=st.just("") | st.sampled_from(CERTIFICATES),
)


@dataclass(frozen=True)
class World:
    """All that is set up."""

    policies: Policies
    users: dict
    entries: dict
    grants: dict

    def answer(self, question):
        facts = self.policies.facts(question, self.entries, self.users, self.grants, NOON)
        decision = decide(facts)
        return RelayAnswer(decision.reply, decision.rule, decision.submitter)

    def is_ours(self, domain):
        return domain in self.policies.domains or domain.startswith(
            ("[127.", "[0.0.0.0", "[ipv6:::1]")
        )

    def may_relay(self, login):
        user = self.users.get(login)
        return user is not None and user.may_relay and not user.disabled

    def is_in_lan(self, client):
        lan = self.policies.lan
        return covered(client, lan.included) and not covered(client, lan.excluded)

    def holders(self, client):
        """Who holds a grant that counts for this client."""
        fresh = [
            grant.login
            for place, held in self.grants.items()
            for grant in held
            if covered(client, [ip_network(place)]) and grant.until > NOON
        ]
        never = self.policies.granting.never.included
        return [] if covered(client, never) else list(filter(self.may_relay, fresh))


def covered(client, networks):
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)


def is_named(patterns, address):
    """Whether one of the patterns above means the address."""
    if address is None:
        return False
    text = f"{address.local.casefold()}@{address.domain}"
    meanings = {
        "far.test": address.domain == "far.test",
        "backup.test": address.domain == "backup.test",
        "*.backup.test": address.domain.endswith(".backup.test"),
        "*@ours.test": address.domain == "ours.test",
        "ann@*.test": text.startswith("ann@") and text.endswith(".test"),
        "bob@far.test": text == "bob@far.test",
    }
    return any(meanings[pattern] for pattern in patterns)


worlds = st.builds(World, policies, users, entries, grants)


@settings(max_examples=700, deadline=None)
@given(worlds, questions)
def test_whatever_comes_is_relayed_for_a_reason(world, question):
    answer = world.answer(question)

    if answer.reply.is_positive:
        ours = world.is_ours(question.recipient.domain)
        assert (answer.rule == "local") is ours
        assert ours or may_be_relayed(world, question)
    if answer.submitter:
        assert not world.users[answer.submitter].disabled
        assert answer.submitter == question.login or not question.login


def may_be_relayed(world, question):
    listener = world.policies.listeners["mx"]
    grants_count = listener.collection_grants and not question.login
    return (
        world.is_in_lan(question.client)
        or (listener.client_certificates and question.certificate in listener.trusted_certificates)
        or world.may_relay(question.login)
        or (grants_count and world.holders(question.client))
        or is_named(listener.always_relay_senders, question.sender)
        or is_named(listener.always_relay_recipients, question.recipient)
        or listener.relay_outside_lan
    )
