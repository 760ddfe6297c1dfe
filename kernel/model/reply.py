"""Reply: an SMTP answer as a value (RFC 5321 §4.2, enhanced status codes RFC 3463)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """``250 2.0.0 OK``.

    ``text`` may hold several lines, parted by line feeds; it is untrusted when it
    came from a remote (clean it with `printable` before showing it).
    """

    code: int
    status: str
    text: str

    @property
    def is_positive(self) -> bool:
        """2yz and 3yz: the server did, or goes on to do, what was asked."""
        return self.code < 400  # noqa: PLR2004 - RFC 5321 §4.2.1

    @property
    def is_transient(self) -> bool:
        """4yz: not now, and perhaps later (RFC 5321 §4.2.1)."""
        return 400 <= self.code < 500  # noqa: PLR2004 - RFC 5321 §4.2.1

    @property
    def is_permanent(self) -> bool:
        """5yz: not now and not later (RFC 5321 §4.2.1)."""
        return self.code >= 500  # noqa: PLR2004 - RFC 5321 §4.2.1

    def lines(self) -> bytes:
        """Return the reply as octets on the wire, the status on every line (RFC 2034 §4)."""
        status = f"{self.status} " if self.status else ""
        more, last = "", self.text
        if "\n" in last:
            *first, last = last.split("\n")
            more = "".join(f"{self.code}-{status}{line}\r\n" for line in first)
        return f"{more}{self.code} {status}{last}\r\n".encode("utf-8", "replace")

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.status, self.text.replace("\n", " "))))


def printable(text: str) -> str:
    """Return ``text`` without control characters: fit for a log, a page or a report."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " for c in text)
