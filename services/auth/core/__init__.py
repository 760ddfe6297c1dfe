"""Pure decisions: relaying, logins, where an address leads, who is on the LAN."""
