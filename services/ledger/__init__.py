"""Ledger: remembers what became of every message, and keeps what has to wait."""
