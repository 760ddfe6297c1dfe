"""What ingress hears of a listener."""

import pytest

from kernel.model.questions import PlaintextAuth
from kernel.model.rate import Rate
from services.auth.core.listener import ListenerSettings


def test_rates_are_told_as_what_they_mean():
    told = ListenerSettings(message_rate_per_ip=("60/minute", "1000/hour")).public("mx")

    assert told.message_rate_per_ip == (Rate(60, 60), Rate(1_000, 3_600))


@pytest.mark.parametrize(
    ("settings", "restricted"),
    [
        ({}, False),
        ({"access": ("lan",)}, True),
        ({"plaintext_auth": PlaintextAuth.LAN}, True),
        ({"greet_pause": 5}, True),
    ],
)
def test_auth_is_asked_about_a_client_where_the_lan_makes_a_difference(settings, restricted):
    assert ListenerSettings(**settings).public("mx").restricted is restricted
