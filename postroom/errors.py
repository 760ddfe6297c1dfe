"""What can go wrong between the command and the server."""


class RefusedError(Exception):
    """The server understood, and said no. The text is its explanation.

    ``field`` is what the API calls the field at fault, if there is one.
    """

    def __init__(self, words: str, field: str = "") -> None:
        super().__init__(words)
        self.field = field


class NotFoundError(RefusedError):
    """There is no such thing."""


class ChangedError(RefusedError):
    """Somebody else has changed it since we read it."""


class UnreachableError(Exception):
    """The server did not answer, or could not: later it may."""
