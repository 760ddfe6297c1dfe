"""Collect: users collect their mail by POP3; a login here opens relaying for a while."""
