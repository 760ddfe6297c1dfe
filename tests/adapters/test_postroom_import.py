"""Users of other servers, taken over by the command into a real auth."""

import asyncio
import io
import json

import pytest

from kernel.model.questions import LoginQuestion, LoginVerdict
from postroom import cli
from services.auth.adapters import users
from tests.support.command import postroom, real_auth
from tests.support.hashers import hash_of

DEADLINE = 10.0
OURS = "$argon2id$v=19$m=19456,"
SSHA = "{SSHA}0qVmAgXeo+ZxNW9uB1qcLZfIwe/lJ3bp"  # of "x"


@pytest.fixture
async def auth(tmp_path, monkeypatch):
    async with real_auth(monkeypatch, tmp_path) as auth:
        yield auth


@pytest.fixture
def take_over(auth, tmp_path, capsys):
    """Import a file; return the exit code, and what became of each."""

    async def take(text, *options):
        file = tmp_path / "users"
        file.write_text(text)
        code = await postroom("import", str(file), "--json", *options)
        outcomes = json.loads(capsys.readouterr().out)
        return code, {outcome["who"]: (outcome["deed"], outcome["why"]) for outcome in outcomes}

    return take


async def can_log_in(auth, login, password):
    question = LoginQuestion("smtp", "submission", "127.0.0.1", "PLAIN", login, password, tls=True)
    return (await auth.desk.logins.attempt(question)).verdict is LoginVerdict.GRANTED


async def stored_hash(auth, login):
    async with auth.desk.database.reading() as db:
        return (await users.find(db, login, None)).user.password


@pytest.mark.parametrize(
    "command",
    [
        *(
            f"doveadm pw -s {scheme} -p {{}}"
            for scheme in (
                "SSHA",
                "SSHA256",
                "SSHA512",
                "SSHA512.HEX",
                "SHA512.b64",
                "SMD5",
                "LDAP-MD5",
                "PLAIN-MD5",
                "MD5-CRYPT",
                "SHA256-CRYPT",
                "SHA512-CRYPT",
                "BLF-CRYPT",
                "PBKDF2",
                "ARGON2ID",
                "PLAIN",
            )
        ),
        "htpasswd -nbB user {}",
        "htpasswd -nbs user {}",
        "openssl passwd -6 {}",
        "openssl passwd -5 {}",
        "openssl passwd -1 {}",
        "slappasswd -s {}",
    ],
)
async def test_who_is_taken_over_logs_in_as_before_and_gets_a_better_hash(auth, take_over, command):
    hashed = await asyncio.to_thread(hash_of, command, "gehëim 1")

    code, became = await take_over(f"ann@ours.test:{hashed}:1:1:Ann Example::\n")

    assert (code, became) == (0, {"ann@ours.test": ("added", "")})
    assert not await can_log_in(auth, "ann@ours.test", "geheim 1")
    assert await can_log_in(auth, "ann@ours.test", "gehëim 1")
    async with asyncio.timeout(DEADLINE):
        while not (await stored_hash(auth, "ann@ours.test")).startswith(OURS):  # noqa: ASYNC110 - it is made after the answer, and tells nobody
            await asyncio.sleep(0.01)
    assert await can_log_in(auth, "ann@ours.test", "gehëim 1")


async def test_a_csv_file_brings_users_with_all_that_belongs_to_them(auth, take_over):
    code, became = await take_over(
        "login,address,password,full_name,may_relay,send_as,quota,disabled,aliases\n"
        "ann,ann@ours.test,secret,Ann Example,no,*@old.test,1GiB,no,info@ours.test\n"
        "bob,bob@ours.test,secret,,,,,yes,info@ours.test\n"
    )

    assert (code, {deed for deed, _ in became.values()}) == (0, {"added"})
    ann = (await auth.call("GET", "/v1/users/ann")).body
    assert ann["full_name"] == "Ann Example"
    assert ann["send_as"] == ["*@old.test"]
    assert (ann["may_relay"], ann["quota"]) == (False, 1 << 30)
    assert (await auth.call("GET", "/v1/users/bob")).body["disabled"]
    alias = (await auth.call("GET", "/v1/aliases/info@ours.test")).body
    assert alias["targets"] == ["ann@ours.test", "bob@ours.test"]
    assert await can_log_in(auth, "ann", "secret")


async def test_it_may_be_done_again(auth, take_over):
    text = "login,address,password,aliases\nann,ann@ours.test,secret,info@ours.test\n"
    await take_over(text)

    code, became = await take_over(text)

    assert code == 0
    assert became == {"ann@ours.test": ("left", ""), "info@ours.test": ("left", "an alias")}


async def test_who_is_there_already_is_changed_only_if_told(auth, take_over):
    await auth.made("/v1/users", {"address": "ann@ours.test", "password": "own"})
    await auth.made("/v1/aliases", {"address": "info@ours.test", "targets": ["a@b.test"]})
    text = f"address,password_hash,full_name,aliases\nann@ours.test,{SSHA},Ann,info@ours.test\n"

    await take_over(text)
    assert await can_log_in(auth, "ann@ours.test", "own")
    _, became = await take_over(text, "--update")

    assert {deed for deed, _ in became.values()} == {"updated"}
    assert await can_log_in(auth, "ann@ours.test", "x")
    assert (await auth.call("GET", "/v1/users/ann@ours.test")).body["full_name"] == "Ann"
    alias = (await auth.call("GET", "/v1/aliases/info@ours.test")).body
    assert alias["targets"] == ["a@b.test", "ann@ours.test"]


@pytest.mark.parametrize("options", [(), ("--update",)])
async def test_a_trial_tells_the_same_and_changes_nothing(auth, take_over, options):
    await auth.made("/v1/users", {"address": "ann@ours.test", "login": "ann", "password": "own"})
    text = (
        "login,address,password,full_name,aliases\n"
        "ann,ann@ours.test,new,Ann,info@ours.test\n"
        "bob,bob@ours.test,new,,\n"
        "ANNE,dan@ours.test,new,,\n"
        ",eve@elsewhere.test,new,,\n"
    ).replace("\nann,dan", "\nANN,dan")

    trial = await take_over(text, "--dry-run", *options)
    before = (await auth.call("GET", "/v1/users")).body
    real = await take_over(text, *options)

    assert [user["login"] for user in before["items"]] == ["admin", "ann"]
    assert {who: deed for who, (deed, _) in trial[1].items()} == {
        who: deed for who, (deed, _) in real[1].items()
    }
    assert trial[0] == real[0] == cli.REFUSED


async def test_a_line_that_is_wrong_stops_nobody_else(auth, take_over):
    code, became = await take_over(
        f"ann:{SSHA}\n"
        "bob:{NTLM}abc\n"
        "cat:*\n"
        f"dan@elsewhere.test:{SSHA}\n"
        "eve:{SSHA}tooshort\n"
        f"fay:{SSHA}\n",
        "--domain",
        "ours.test",
    )

    assert code == cli.REFUSED
    assert {who: deed for who, (deed, _) in became.items()} == {
        "ann@ours.test": "added",
        "bob": "failed",
        "cat": "skipped",
        "dan@elsewhere.test": "failed",
        "eve@ours.test": "failed",
        "fay@ours.test": "added",
    }
    assert became["eve@ours.test"][1].startswith("password_hash: this is no hash of SSHA")
    assert became["dan@elsewhere.test"][1] == "address: elsewhere.test is no domain of ours"


async def test_the_one_who_does_it_is_not_shut_out(auth, take_over):
    text = f"admin@ours.test:{SSHA}\nann@ours.test:{SSHA}\n"

    code, became = await take_over(text, "--update")

    assert code == cli.REFUSED
    assert became["admin@ours.test"][0] == "failed"
    assert became["ann@ours.test"] == ("added", "")


async def test_a_locked_account_is_no_failure(auth, take_over):
    code, became = await take_over("root:*:0:0:root:/root:/bin/sh\n")

    assert (code, became) == (0, {"root": ("skipped", "is locked")})


async def test_people_read_a_table_and_a_summary(auth, tmp_path, capsys):
    file = tmp_path / "users"
    file.write_bytes(f"ann@ours.test:{SSHA}:::Müller\n".encode("latin-1"))

    assert await postroom("import", str(file)) == 0

    told = capsys.readouterr()
    assert told.out.splitlines()[1].split() == ["1", "ann@ours.test", "added", "-"]
    assert told.err == "read as Latin-1: 1 added\n"


async def test_a_file_may_come_in_by_a_pipe(auth, monkeypatch, capsys):
    line = io.BytesIO(f"ann@ours.test:{SSHA}".encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(line))

    assert await postroom("import", "-", "--dry-run") == 0

    assert "1 added (a trial: nothing is changed)" in capsys.readouterr().err


async def test_what_was_done_is_told_also_when_the_server_goes_away(
    auth, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("POSTROOM_AUTH_URL", "http://127.0.0.1:1")
    file = tmp_path / "users"
    file.write_text(f"ann@ours.test:{SSHA}\nbob@ours.test:*\n")

    assert await postroom("import", str(file)) == cli.UNREACHABLE

    assert "bob@ours.test  skipped" in capsys.readouterr().out


async def test_a_file_that_is_none_of_these_is_not_understood(auth, tmp_path, capsys):
    file = tmp_path / "users"
    file.write_text("login,colour\n")

    assert await postroom("import", str(file)) == cli.USAGE
    assert "there is no column colour" in capsys.readouterr().err

    assert await postroom("import", str(tmp_path / "none")) == cli.REFUSED
