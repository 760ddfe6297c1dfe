"""The documents say what is so."""

import re
import shlex
from contextlib import suppress
from dataclasses import asdict, fields
from ipaddress import ip_network
from pathlib import Path
from typing import get_args

import pytest
from cyclopts import MissingArgumentError

from kernel.bus.port import LANES, queue_of
from kernel.model.events import Event
from postroom import cli
from postroom.reference import settings_page
from postroom.serve import SERVICES
from services.auth.core import listener
from services.auth.core.listener import DEFAULTS, ListenerSettings
from services.auth.core.relay import RULES
from services.auth.settings import Settings as AuthSettings

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page for pattern in ("*.md", "docs/**/*.md", "bench/*.md") for page in ROOT.glob(pattern)
)
ARRANGEMENTS = "docs/arrangements.md"
SECRETS = {"POSTROOM_AUTH_SECRET_KEY"}  # in containers it stands in a file
OLD_NAMES = {"POSTROOM_INGRESS_TLS_CERT", "POSTROOM_INGRESS_TLS_KEY"}  # still understood


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


STANDARDS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in read("docs/standards.md").splitlines()
    if line.startswith("| RFC")
]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))


def test_every_setting_stands_in_the_page_of_settings():
    assert read("docs/settings.md") == settings_page(), "run `make docs`"


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_stands_in_the_way_of_a_message(kind):
    assert f"`{kind.__name__}`" in read("docs/flow.md")


@pytest.mark.parametrize(
    "queue", [queue_of(k, lane) for k, lanes in LANES.items() for lane in lanes]
)
def test_every_queue_stands_in_the_way_of_a_message(queue):
    assert f"`{queue}`" in read("docs/flow.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_is_named_exists(page):
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))

    assert named <= make_targets()


@pytest.mark.parametrize("target", sorted(make_targets() - {"help"}))
def test_every_make_target_is_explained(target):
    assert re.search(rf"^{target}:.* ## \w", read("Makefile"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_postroom_command_that_is_shown_can_be_given(page):
    for line in re.findall(r"^\$ postroom (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        understand(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_postroom_command_that_is_named_exists(page):
    for line in re.findall(r"`postroom\s([^`]+)`", page.read_text(encoding="utf-8")):
        with suppress(MissingArgumentError):
            understand(line)


def understand(line: str) -> None:
    """Raise cyclopts's error if the command does not."""
    words = shlex.split(line, comments=True)
    cli.build().parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_is_named_exists(page):
    known = {*re.findall(r"POSTROOM_\w+", settings_page()), *compose_variables()}
    named = set(re.findall(r"POSTROOM_[A-Z][A-Z0-9_]*[A-Z0-9]", page.read_text(encoding="utf-8")))

    assert named <= known


def compose_variables() -> set[str]:
    return set(re.findall(r"\$\{(POSTROOM_\w+)", read("docker-compose.yml")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_section_on_operating_stands_in_its_contents():
    contents, *sections = re.split(r"^## ", read("docs/operating.md"), flags=re.MULTILINE)
    titles = [section.partition("\n")[0] for section in sections]

    assert [title for title in titles if f"](#{anchor(title)})" not in contents] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_part_of_a_page_that_is_linked_exists(page):
    links = re.findall(r"\]\(([^):]*\.md)?#([^)]+)\)", page.read_text(encoding="utf-8"))

    for other, part in links:
        target = (page.parent / other) if other else page
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert part in map(anchor, headings), f"{other}#{part}"


def anchor(heading: str) -> str:
    """Return what a link to the heading names."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:kernel|services|postroom|tests|migrations|deploy)/[\w./-]+)`", text)

    assert [name for name in named if not (ROOT / name).exists()] == []


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table under ``heading``, without its head."""
    (text,) = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", read(page), re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    return [line.split(" | ") for line in lines[1:]]


def test_the_rules_stand_in_their_order():
    named = [cells[0].strip("`") for cells in rows(ARRANGEMENTS, "The rules in their order")]

    assert named == [*(name for name, _ in RULES), "relay-denied"]


def test_every_setting_of_a_listener_is_explained():
    named = [cells[0].strip("`") for cells in rows(ARRANGEMENTS, "Settings of a listener")]

    assert named == [field.name for field in fields(ListenerSettings)]


def test_the_settings_of_a_listener_have_the_defaults_that_are_written():
    settings = {name: asdict(defaults) for name, defaults in DEFAULTS.items()}

    for cells in rows(ARRANGEMENTS, "Settings of a listener"):
        name = cells[0].strip("`")
        mx, users, implicit = (spoken(settings[where][name]) for where in DEFAULTS)
        assert cells[1:3] == [mx, users if users == implicit else f"{users}, {implicit}"], name


def spoken(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case ():
            return "none"
        case listener.OFFERED:
            return "all but -PLUS"
        case (only,):
            return only
        case _:
            return str(value)


@pytest.mark.parametrize("cells", STANDARDS, ids=lambda cells: cells[0])
def test_a_standard_that_is_followed_names_its_test(cells):
    tests = re.findall(r"`(tests/[\w./]+)`", cells[-1])

    assert cells[1] in ("yes", "partly", "no")
    assert bool(tests) == (cells[1] != "no")


def test_every_setting_that_containers_are_given_exists():
    given = set(re.findall(r"^ +(POSTROOM_\w+):", read("docker-compose.yml"), re.MULTILINE))

    assert given - OLD_NAMES <= set(re.findall(r"POSTROOM_\w+", settings_page()))


@pytest.mark.parametrize("part", sorted((ROOT / "kernel").glob("[a-z]*")), ids=lambda p: p.name)
def test_every_part_of_the_kernel_stands_in_the_tree(part):
    name = f"{part.name}/" if part.is_dir() else part.name

    assert re.search(rf"^  (.*  )?{re.escape(name)}(  |$)", read("ARCHITECTURE.md"), re.MULTILINE)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_its_container(service):
    assert f"{{SERVICE: {service}}}" in read("docker-compose.yml")


def test_every_decision_has_a_number_of_its_own():
    numbers = [page.name[:4] for page in sorted((ROOT / "docs" / "adr").glob("*.md"))]

    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_containers_trust_no_network_but_themselves():
    compose = read("docker-compose.yml")

    assert re.search(r"^ +POSTROOM_LAN: *(#.*)?$", compose, re.MULTILINE)
    assert re.search(r"^ +POSTROOM_LAN_NEVER: gateway\b", compose, re.MULTILINE)
    assert all(ip_network(network).is_loopback for network in AuthSettings().lan)


def test_containers_hear_of_balancers_and_of_addresses_that_many_share():
    compose = read("docker-compose.yml")

    for service, setting in (
        ("ingress", "POSTROOM_BALANCERS"),
        ("ingress", "POSTROOM_XCLIENT"),
        ("collect", "POSTROOM_BALANCERS"),
        ("auth", "POSTROOM_AUTH_GRANT_NEVER"),
    ):
        part = container(compose, service)
        assert re.search(rf"^ +{setting}: *(#.*)?$", part, re.MULTILINE)


@pytest.mark.parametrize("service", SERVICES)
def test_containers_hear_of_every_setting_that_an_operator_is_told_of(service):
    pattern = rf"POSTROOM_{service.upper()}_[A-Z0-9_]*[A-Z0-9]"
    told = set(re.findall(pattern, read("docs/operating.md"))) - SECRETS

    heard = re.findall(r"^ +(\w+):", container(read("docker-compose.yml"), service), re.MULTILINE)
    assert told - set(heard) == set()


def container(compose: str, service: str) -> str:
    (its_part,) = re.findall(rf"^  {service}:\n(?:(?:    .*)?\n)+", compose, re.MULTILINE)
    return its_part
