"""Scopes: what an API key may do. ``users:write`` implies ``users:read``; ``*`` is everything."""

from collections.abc import Iterable

RESOURCES = (
    "users",
    "app-passwords",
    "domains",
    "aliases",
    "networks",
    "listeners",
    "lists",
    "routes",
    "dkim-keys",
    "grants",
    "lockouts",
    "audit",
    "keys",
)
ACTS = ("explain", "logins")
"""What is done rather than read or written."""

EVERYTHING = "*"
SCOPES = (
    EVERYTHING,
    *ACTS,
    *(f"{resource}:{verb}" for resource in RESOURCES for verb in ("read", "write")),
)


def scope_of(resource: str, *, writing: bool) -> str:
    """Return the scope that looking at ``resource``, or changing it, takes."""
    if resource in ACTS:
        return resource
    return f"{resource}:{'write' if writing else 'read'}"


def allows(held: Iterable[str], scope: str) -> bool:
    """Whether who holds the scopes ``held`` may do what ``scope`` names."""
    resource, _, _ = scope.partition(":")
    return not {EVERYTHING, scope, f"{resource}:write"}.isdisjoint(held)
