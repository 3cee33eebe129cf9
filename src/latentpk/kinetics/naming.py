"""How parameters are named: other ways to write the same name."""

ALIASES = {"v": "v1", "q": "q2", "vp": "v2", "tlag": "alag", "lag": "alag", "k10": "ke", "k": "ke"}


def canonical(name: str) -> str:
    """The name as the code writes it: v is v1, q is q2, tlag is alag.

    Example:
        >>> canonical("V"), canonical("Tlag")
        ('v1', 'alag')
    """
    return ALIASES.get(name.lower(), name.lower())
