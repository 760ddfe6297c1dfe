"""The arguments of EHLO, MAIL and RCPT (RFC 5321 §4.1.1, §4.1.2) and their parameters.

SIZE (RFC 1870), BODY (RFC 6152, 3030), SMTPUTF8 (RFC 6531), DSN (RFC 3461), AUTH= (RFC 4954 §5),
REQUIRETLS (RFC 8689), HOLDFOR and HOLDUNTIL (RFC 4865).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from kernel.model.address import Address, BadAddressError
from kernel.model.envelope import Body, Recipient
from kernel.model.reply import Reply
from services.ingress.core import replies

_HOP = r"@(?:\[[^\]<>\"\s]+\]|[^\[\]@:,<>\"\s]+)"
_PATH = (
    rf"<(?:{_HOP}(?:,{_HOP})*:)?"  # a source route is accepted and ignored, RFC 5321 §4.1.1.3
    r'((?:"(?:[^"\\]|\\.)*")?[^<>"\s]*)>'
    r"(?: +(.*))?"
)
_NULL_PATH = re.compile("FROM: ?<>", re.IGNORECASE)
_FROM = re.compile(f"FROM: ?{_PATH}", re.IGNORECASE)
_TO = re.compile(f"TO: ?{_PATH}", re.IGNORECASE)
_BDAT = re.compile(r"([0-9]{1,20})(?: +(.+))?")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\x00-\x20=\x7f]+))?")
_HELO = re.compile(r"[A-Za-z0-9._-]{1,255}|\[[A-Za-z0-9.:]{1,64}\]")
_XTEXT = r"(?:[!-*,-<>-~]|\+(?:[2-6][0-9A-F]|7[0-9A-E]))"  # printable, RFC 3461 §4.2, §4.4
_ENVID = re.compile(rf"{_XTEXT}{{1,100}}")
_ORCPT = re.compile(rf"[A-Za-z0-9-]+;(?:{_XTEXT}|[\u0080-\U0010ffff])+")
_HOLDFOR = re.compile(r"[1-9][0-9]{0,8}")  # RFC 4865 §3
_HOLDUNTIL = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)  # RFC 3339 §5.6
_MAX_ORCPT = 500
_MAX_PATH = 256  # octets with its brackets, RFC 5321 §4.5.3.1.3
_MAX_SIZE_DIGITS = 20  # RFC 1870 §4
_NOTIFY = ("SUCCESS", "FAILURE", "DELAY")
_POSTMASTER = "postmaster"


class MailCommand(NamedTuple):
    """What MAIL says. ``size`` is 0 when the client does not say how big its message is.

    It may say when the message shall go on, by one of ``hold_for`` and ``hold_until``.
    """

    sender: Address | None
    size: int = 0
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    requiretls: bool = False
    hold_for: timedelta | None = None
    hold_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class BdatCommand:
    """What BDAT says. However malformed the rest is, ``size`` octets follow."""

    size: int
    is_last: bool = False
    is_malformed: bool = False


def parse_helo(argument: str) -> str | None:
    """Return the name that a client gives itself, or None: lenient, but safe in a header."""
    return argument if _HELO.fullmatch(argument) else None


def parse_mail(
    argument: str, *, extended: bool, tls: bool = False, holds: bool = False
) -> MailCommand | Reply:
    """Return what MAIL says, or why it cannot be taken.

    ``extended`` is set after EHLO, ``holds`` where mail may be held back.
    """
    match = _FROM.fullmatch(argument)
    if match is None:
        return replies.BAD_MAIL
    path, words = match.groups()
    fields: _Fields | Reply = {}
    if words:
        fields = _parameters(words, _mail_parameters(extended=extended, tls=tls, holds=holds))
    if isinstance(fields, Reply):
        return fields
    if "hold_for" in fields and "hold_until" in fields:
        return replies.BAD_PARAMETER
    try:
        is_null = not path and _NULL_PATH.match(argument)
        sender = None if is_null else _mailbox(path)
    except BadAddressError:
        return replies.BAD_SENDER
    if not path.isascii() and "smtputf8" not in fields:
        return replies.NEEDS_SMTPUTF8
    return MailCommand(sender, **fields)


def parse_rcpt(argument: str, *, extended: bool, smtputf8: bool, domain: str) -> Recipient | Reply:
    """Return whom RCPT names, or why it cannot be taken; a bare Postmaster is in ``domain``."""
    match = _TO.fullmatch(argument)
    if match is None:
        return replies.BAD_RCPT
    path, words = match.groups()
    if not path.isascii() and not smtputf8:
        return replies.NEEDS_SMTPUTF8
    fields = _parameters(words, _RCPT_PARAMETERS if extended else {}) if words else {}
    if isinstance(fields, Reply):
        return fields
    try:
        return Recipient(_recipient(path, domain), **fields)
    except BadAddressError:
        return replies.BAD_RECIPIENT


def _recipient(text: str, domain: str) -> Address:
    if text.lower() == _POSTMASTER:  # RFC 5321 §4.5.1
        text = f"{text}@{domain}"
    return _mailbox(text)


def _mailbox(text: str) -> Address:
    if len(text.encode()) + len("<>") > _MAX_PATH:
        raise BadAddressError(f"the path is longer than {_MAX_PATH} octets")
    return Address.parse(text)


def parse_bdat(argument: str) -> BdatCommand | None:
    """Return what BDAT says (RFC 3030 §2), or None if not even its size can be read."""
    match = _BDAT.fullmatch(argument)
    if match is None:
        return None
    is_last = (match[2] or "").upper() == "LAST"
    return BdatCommand(int(match[1]), is_last, is_malformed=bool(match[2]) and not is_last)


_Fields = dict[str, Any]
_Reader = Callable[[str], _Fields | None]


def _parameters(text: str, readers: Mapping[str, _Reader]) -> _Fields | Reply:
    fields: _Fields = {}
    seen: set[str] = set()
    for word in filter(None, text.split(" ")):
        match = _PARAMETER.fullmatch(word)
        keyword = match[1].upper() if match else ""
        if match is None or keyword in seen:
            return replies.BAD_PARAMETER
        if keyword not in readers:
            return replies.UNKNOWN_PARAMETER
        read = readers[keyword](match[2] or "")
        if read is None:
            return replies.BAD_PARAMETER
        seen.add(keyword)
        fields |= read
    return fields


def _size(value: str) -> _Fields | None:
    digits = value.isascii() and value.isdigit() and len(value) <= _MAX_SIZE_DIGITS
    return {"size": int(value)} if digits else None


def _body(value: str) -> _Fields | None:
    body = value.upper()
    return {"body": Body(body)} if body in set(Body) else None


def _smtputf8(value: str) -> _Fields | None:
    return None if value else {"smtputf8": True}


def _requiretls(value: str) -> _Fields | None:
    return None if value else {"requiretls": True}


def _hold_for(value: str) -> _Fields | None:
    return {"hold_for": timedelta(seconds=int(value))} if _HOLDFOR.fullmatch(value) else None


def _hold_until(value: str) -> _Fields | None:
    try:
        moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # at the ends of time there is no UTC
        return None
    return {"hold_until": moment} if _HOLDUNTIL.fullmatch(value) else None


def _ret(value: str) -> _Fields | None:
    return {"ret": value.upper()} if value.upper() in ("FULL", "HDRS") else None


def _envid(value: str) -> _Fields | None:
    return {"envid": value} if _ENVID.fullmatch(value) else None


def _auth(value: str) -> _Fields | None:
    """Somebody else's word on who submitted the mail: we trust nobody's (RFC 4954 §5)."""
    return {} if value else None


def _notify(value: str) -> _Fields | None:
    words = tuple(value.upper().split(","))
    if words == ("NEVER",):
        return {"notify": words}
    return {"notify": words} if all(word in _NOTIFY for word in words) else None


def _orcpt(value: str) -> _Fields | None:
    return {"orcpt": value} if len(value) <= _MAX_ORCPT and _ORCPT.fullmatch(value) else None


_MAIL_PARAMETERS: Mapping[str, _Reader] = {
    "SIZE": _size,
    "BODY": _body,
    "SMTPUTF8": _smtputf8,
    "RET": _ret,
    "ENVID": _envid,
    "AUTH": _auth,
}
_UNDER_TLS: Mapping[str, _Reader] = {"REQUIRETLS": _requiretls}
_WHERE_HELD: Mapping[str, _Reader] = {"HOLDFOR": _hold_for, "HOLDUNTIL": _hold_until}
_RCPT_PARAMETERS: Mapping[str, _Reader] = {"NOTIFY": _notify, "ORCPT": _orcpt}


def _mail_parameters(*, extended: bool, tls: bool, holds: bool) -> Mapping[str, _Reader]:
    """Return what is on offer: REQUIRETLS under TLS alone (RFC 8689 §3)."""
    return _OFFERED[tls, holds] if extended else {}


_OFFERED: Mapping[tuple[bool, bool], Mapping[str, _Reader]] = {
    (tls, holds): {
        **_MAIL_PARAMETERS,
        **(_UNDER_TLS if tls else {}),
        **(_WHERE_HELD if holds else {}),
    }
    for tls in (False, True)
    for holds in (False, True)
}
