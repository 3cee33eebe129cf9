r"""The names that a structure's parameters may be given by: clearances, or rate constants.

A form is a choice of names whose logarithms are sums and differences of the structure's own:

.. math:: \log cl = \log ke + \log v_1, \qquad \log q_2 = \log k_{12} + \log v_1, \qquad
          \log v_2 = \log q_2 - \log k_{21}

Which of them vary log-normally between patients makes different models of the same structure.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from latentpk.errors import InputError, Problem
from latentpk.kinetics.naming import canonical
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.system import System
from latentpk.kinetics.user import UserEquations

# structure's name: other name it may be computed from, and the (name, power) pairs that do it
INSTEAD = {
    "cl": ("ke", (("ke", 1), ("v1", 1))),
    "q2": ("k12", (("k12", 1), ("v1", 1))),
    "v2": ("k21", (("q2", 1), ("k21", -1))),
    "q3": ("k13", (("k13", 1), ("v1", 1))),
    "v3": ("k31", (("q3", 1), ("k31", -1))),
}
UNITS = {
    **dict.fromkeys(("cl", "q2", "q3"), "L/h"),
    **dict.fromkeys(("v1", "v2", "v3"), "L"),
    **dict.fromkeys(("ke", "k12", "k21", "k13", "k31"), "1/h"),
    "ka": "1/h",
    "alag": "h",
    "f": "(share)",
    # of nonlinear systems
    **dict.fromkeys(("dcl", "clt", "clb", "clm"), "L/h"),
    **dict.fromkeys(("vc", "vm"), "L"),
    **dict.fromkeys(("ka2", "kr", "kgb", "kbile", "ktr", "kdeg", "kint"), "1/h"),
    **dict.fromkeys(("koff", "koffm"), "1/h"),
    **dict.fromkeys(("kon", "konm"), "L/(mg h)"),
    **dict.fromkeys(("alag2", "t50", "tgb", "dgb", "dmeal"), "h"),
    **dict.fromkeys(("tmeal1", "tmeal2", "tmeal3", "tmeal4"), "h"),
    **dict.fromkeys(("vmax", "kin"), "mg/h"),
    **dict.fromkeys(("km", "kd0", "base", "kss"), "mg/L"),
    "mtt": "h",
    "n": "1",
    "ksyn": "mg/(L h)",
    "bmax": "mg",
    "alpha": "1",
    "fodds": "(odds)",
    **dict.fromkeys(("vinh", "fa"), "(share)"),
}


def parameter_unit(structure: Structure | System, name: str) -> str:
    """Unit of a structure's parameter; of a user's system what the user said, else empty."""
    if isinstance(structure, UserEquations):
        return structure.model.units.get(name, "")
    return UNITS[name]


def read_form(
    asked: Sequence[str] | None, names: tuple[str, ...], *, source: str
) -> tuple[str, ...]:
    """Check the names that parameters are given by.

    Args:
        asked: Such as ("ka", "ke", "v"); None takes the structure's own.
        names: Of the structure's parameters.
        source: Where the names come from, for messages.

    Returns:
        The names in the code's writing, in the order asked for.

    Raises:
        InputError: Every name that is unknown, missing or twice there.

    Example:
        >>> read_form(("ka", "ke", "v"), ("cl", "v1", "ka"), source="--parameters")
        ('ka', 'ke', 'v1')
    """
    if asked is None:
        return names
    form = tuple(canonical(name) for name in asked)
    problems = []
    allowed = {name: {name} | _instead(name, names) for name in names}
    known = {one for own in allowed.values() for one in own}
    rule = "The structure takes " + ", ".join(
        " or ".join(sorted(own, key=lambda one: one != name)) for name, own in allowed.items()
    )
    for name in sorted(set(form) - known):
        problems.append(Problem(source, name, rule, "Leave it out or correct it"))
    for name, own in allowed.items():
        count = sum(form.count(one) for one in own)
        if count != 1:
            found = f"{' and '.join(sorted(own))} {count} times"
            problems.append(Problem(source, found, rule, f"Name one of them for {name}"))
    if problems:
        raise InputError(problems, source="the parameters")
    return form


def _instead(name: str, names: tuple[str, ...]) -> set[str]:
    """The other name a parameter may be computed from, where its parts are the structure's."""
    other, parts = INSTEAD.get(name, ("", ()))
    there = other not in names and all(part in (*names, other) for part, _ in parts)
    return {other} if other and there else set()


def form_matrix(
    form: tuple[str, ...], names: tuple[str, ...]
) -> Float[np.ndarray, "parameter given"]:
    """What turns logarithms of the given parameters into those of the structure's.

    Args:
        form: From `read_form`.
        names: Of the structure's parameters.

    Returns:
        Whole numbers, shape (parameter, given); invertible.

    Example:
        >>> form_matrix(("ke", "v1"), ("cl", "v1")).tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """

    def row(name: str) -> np.ndarray:
        if name in form:
            return np.array([float(one == name) for one in form])
        return sum((power * row(one) for one, power in INSTEAD[name][1]), np.zeros(len(form)))

    return np.stack([row(name) for name in names])
