"""The one history of all tables: auth's and the ledger's."""
