"""The ledger's decisions: what became of a recipient, and who is still to be served."""
