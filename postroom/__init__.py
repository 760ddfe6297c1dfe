"""The `postroom` command: runs the services, and talks to them."""
