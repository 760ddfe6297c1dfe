"""The conversation of POP3, and what it decides: no sockets, no clock."""
