"""How the ledger reaches what is outside of it."""
