"""Opens grants: who has logged in to collect mail may send from there (POP/IMAP-before-SMTP)."""

from dataclasses import asdict, dataclass
from datetime import datetime

import structlog

from kernel.model.events import DirectoryChanged
from kernel.model.questions import LoginAnswer, LoginQuestion, LoginVerdict
from kernel.model.reply import printable
from services.auth.adapters import grants
from services.auth.adapters.grants import HeldGrant
from services.auth.core.directory import User
from services.auth.core.grants import COLLECTING, Granting, Refusal
from services.auth.core.lan import Client, parse_client
from services.auth.desk import Desk
from services.auth.ports import DirectoryUnavailableError, TakenError

_log = structlog.get_logger("auth")


@dataclass(frozen=True, slots=True)
class Opening:
    """Until when a grant stands, or why there is none."""

    until: datetime | None = None
    refusal: Refusal | None = None


async def admit_login(desk: Desk, question: LoginQuestion) -> LoginAnswer:
    """Return the verdict on a login; if it is granted to collect mail, a grant is open.

    Raises what `Logins.attempt` raises. A grant that cannot be written down fails no login.
    """
    answer = await desk.logins.attempt(question)
    if answer.verdict is LoginVerdict.GRANTED and question.service in COLLECTING:
        try:
            await open_grant(desk, question.service, answer.login, question.client)
        except DirectoryUnavailableError as error:
            _log.error("no grant", login=answer.login, client=question.client, why=str(error))
    return answer


async def open_grant(desk: Desk, service: str, login: str, client: str) -> Opening:
    """Give or renew the grant that a login opens. Raises `DirectoryUnavailableError`."""
    policies = await desk.directory.policies()
    user = await desk.logins.find(login)
    address = parse_client(client)
    refusal = policies.granting.judge(user, address, policies.lan)
    opening = Opening(refusal=refusal)
    if user and address and not refusal:
        opening = await _renew(desk, policies.granting, user, address)
    warn = _log.warning if policies.counts_grants else _log.debug
    log = warn if opening.refusal else _log.debug
    log("grant", login=printable(login), client=client, service=service, **asdict(opening))
    return opening


async def _renew(desk: Desk, granting: Granting, user: User, client: Client) -> Opening:
    """Give or renew a grant. Renewing it again and again costs no further write."""
    now = desk.clock()
    key = granting.key(client)
    for held in (await desk.directory.grants([key]))[key] or ():
        if held.login == user.login and granting.is_recent(held, now):
            return Opening(held.until)
    grant = HeldGrant(key, user.login, now + granting.time)
    if not await _given(desk, grant, now):
        return Opening(refusal=Refusal.GONE)
    desk.tell_soon(DirectoryChanged("grants", key))
    return Opening(grant.until)


async def _given(desk: Desk, grant: HeldGrant, now: datetime) -> bool:
    try:
        async with desk.database.writing() as db:
            return await grants.give(db, grant, now)
    except TakenError:
        return True  # another login of the same user has opened it in this moment
