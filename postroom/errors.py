"""What can go wrong between the command and the server."""


class RefusedError(Exception):
    """The server understood, and said no. The text is its explanation."""


class NotFoundError(RefusedError):
    """There is no such thing."""


class ChangedError(RefusedError):
    """Somebody else has changed it since we read it."""


class UnreachableError(Exception):
    """The server did not answer, or could not: later it may."""
