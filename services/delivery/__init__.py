"""Delivery: carries legs over their hops, to a mailbox or to a remote server."""
