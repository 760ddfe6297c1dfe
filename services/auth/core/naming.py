"""Naming: which addresses can name a mailbox, and which words a user can log in with."""

import re
from urllib.parse import quote

from kernel.model.address import Address

LONGEST_LOGIN = 254
LONGEST_FOLDER = 255  # octets, as file systems have it
LOGIN = r"^[^\s:/\x00-\x1f\x7f]*[^\s:/\x00-\x1f\x7f.][^\s:/\x00-\x1f\x7f]*$"
"""What can be given as a login name: no colon (RFC 7617 §2), and not dots alone."""
_CAN_LOG_IN = re.compile(r"[^\s:\x00-\x1f\x7f]+")


def why_no_mailbox(address: Address) -> str:
    """Return why ``address`` cannot name a mailbox, whose folder bears its name; empty if it can.

    Folders are told apart by the lower case of their names, and addresses by folding
    their case, which makes more of them equal: no two users share a folder.
    """
    local = address.local
    if not local.strip("."):
        return "a mailbox needs a name before the @"
    if not local.isprintable() or local != local.strip():
        return "a mailbox's name has no control characters, nor spaces at its ends"
    if len(quote(local.lower(), safe="")) > LONGEST_FOLDER:
        return "the name is too long for the mailbox's folder"
    return ""


def why_no_login(login: str) -> str:
    """Return why nobody can log in as ``login``; empty if somebody can."""
    if not _CAN_LOG_IN.fullmatch(login) or not login.isprintable():
        return "a login name has no spaces, colons or control characters"
    return ""
