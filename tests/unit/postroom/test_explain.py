"""How an explanation reads."""

from postroom.commands.explain import lines_of

ANSWER = {
    "reply": "250 2.1.5 Recipient ok",
    "rule": "local",
    "submitter": "",
    "stranger": True,
    "facts": {"in_lan": False},
    "rules": [{"rule": "local", "verdict": "local: 250 2.1.5 Recipient ok"}],
    "grants": [],
    "grants_refused": "",
}
CHECK = {
    "check": "dnslists",
    "outcome": "listed",
    "seconds": 0.0123,
    "closed": True,
    "reply": "554 5.7.1 Your address is listed",
}


def told(ingress):
    return [" ".join(line.split()) for line in lines_of({**ANSWER, "ingress": ingress})]


def test_checks_and_limits_stand_below_the_rules():
    limits = [{"limit": "message_rate_per_ip", "used": 12.5, "most": "60/minute"}]

    lines = told({"checks": [CHECK], "limits": limits})

    assert lines[-5:] == [
        "CHECK FINDS REPLY AFTER IF SILENT",
        "dnslists listed 554 5.7.1 Your address is listed 0.012 s 451",
        "",
        "LIMIT USED OF",
        "message_rate_per_ip 12.5 60/minute",
    ]


def test_who_is_no_stranger_is_not_checked():
    assert "nothing is checked" in told({"checks": [], "limits": []})


def test_an_ingress_out_of_reach_takes_nothing_from_the_decision():
    lines = told({"why_not": "no answer"})

    assert lines[:2] == ["250 2.1.5 Recipient ok", "rule: local"]
    assert lines[-1] == "checks and limits are not known: no answer"
