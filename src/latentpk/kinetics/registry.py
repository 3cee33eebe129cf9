"""The users' systems of this process, by name: a saved model holds names and no code."""

from latentpk.errors import InputError
from latentpk.kinetics.user import PREFIX, UserEquations, UserSystem
from latentpk.kinetics.user_check import written

_KNOWN: dict[str, UserSystem] = {}  # by name@digest, the latest of a name last


def register_system(system: UserSystem) -> str:
    """Make a user's system known in this process, so that its name stands for it.

    Equations that changed may be registered again under their name: each model keeps those it was
    made with.

    Args:
        system: The system.

    Returns:
        The structure's name, "user:", the system's name and a digest of its equations; without the
        digest it stands for the latest of that name.

    Raises:
        InputError: The name is taken by other equations that agree at all trial points, so that
            one could be taken for the other.

    Example:
        >>> mine = UserSystem(
        ...     "bolus", lambda y, p, inputs: [-p["ke"] * y["central"]], ("ke", "v1"),
        ...     ("central",), "central",
        ... )
        >>> register_system(mine).partition("@")[0]
        'user:bolus'
    """
    name = str(system)
    held = _KNOWN.pop(name, None)
    if held is not None and held != system and written(held) != written(system):
        _KNOWN[name] = held
        raise InputError(
            f"UserSystem {system.name!r}: the name is taken by equations that give the same at all "
            "trial points and are written differently. One could be taken for the other. Give this "
            "one another name."
        )
    _KNOWN[name] = held or system  # programs compiled for the first serve the second
    return name


def is_users(text: str) -> bool:
    """Whether that is how a user's system is named, known or not."""
    return text.startswith(PREFIX)


def users_system(text: str) -> UserEquations:
    """The equations of that name.

    Args:
        text: "user:" and a name, perhaps with the digest.

    Raises:
        InputError: None of that name is registered, or with other equations.
    """
    if text in _KNOWN:
        return _KNOWN[text].system
    name, _, digest = text.partition("@")
    same = [known for known in _KNOWN.values() if f"{PREFIX}{known.name}" == name]
    if same and not digest:
        return same[-1].system
    if same:
        raise InputError(
            f"structure {text!r}: what is registered as {same[-1].name!r} has other equations "
            f"(digest {same[-1].digest}). Register the UserSystem that it was made with."
        )
    known = ", ".join(sorted({f"{PREFIX}{one.name}" for one in _KNOWN.values()})) or "none"
    raise InputError(
        f"structure {text!r} is a user's system that this process does not know; registered: "
        f"{known}. Call latentpk.register_system(UserSystem({name.removeprefix(PREFIX)!r}, ...)) "
        "first: equations are never stored, only their name."
    )
