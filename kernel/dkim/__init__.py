"""DKIM: what both who signs and who verifies must do alike (RFC 6376). Pure."""
