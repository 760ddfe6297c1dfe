"""What can go wrong between the command and the server."""


class RefusedError(Exception):
    """The server understood, and said no. The text is its explanation."""


class UnreachableError(Exception):
    """The server did not answer."""
