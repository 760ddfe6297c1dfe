"""Auth: who may do what. Users, domains, aliases, networks, listeners; the relay decision."""
