"""What is kept of a password, and never the password itself."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is stored of a password: columns of its user.

    ``salt`` is SCRAM's, in base64, and common to all passwords of a user; ``sealed`` holds
    `ChallengeSecrets` for the eyes of this service alone. Empty if there are none.
    """

    hash: str = field(repr=False)
    salt: str = ""
    sealed: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ChallengeSecrets:
    """What proofs are checked against where no password crosses the wire.

    ``cram`` holds the two states of HMAC-MD5 (RFC 2195 §2), ``stored_key`` and ``server_key``
    are SCRAM's (RFC 5802 §3); empty where the password is one that SCRAM cannot take.
    """

    cram: bytes = field(repr=False)
    stored_key: bytes = field(default=b"", repr=False)
    server_key: bytes = field(default=b"", repr=False)
