"""Names of hosts, and patterns of them."""


def covers(pattern: str, name: str) -> bool:
    """Return whether ``pattern`` is ``name``, or stands for it: ``*.example.org`` for one label.

    So it is in certificates (RFC 6125 §6.4.3) and in policies (RFC 8461 §4.1).
    """
    pattern, name = _plain(pattern), _plain(name)
    if pattern.startswith("*."):
        label, _, rest = name.partition(".")
        return bool(label) and rest == pattern[2:]
    return pattern == name


def _plain(name: str) -> str:
    return name.lower().rstrip(".")
