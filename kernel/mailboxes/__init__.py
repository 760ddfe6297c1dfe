"""Mailboxes: where local mail ends and users collect it."""
