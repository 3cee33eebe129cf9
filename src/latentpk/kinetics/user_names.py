"""The names of a user's system: which are unknown, double, or taken."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from latentpk.errors import Problem
from latentpk.kinetics.naming import canonical

if TYPE_CHECKING:
    from latentpk.kinetics.user import UserSystem

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WORD = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = ("sigma_add", "sigma_prop")  # numbers of a population fit beside the parameters


def name_problems(model: "UserSystem") -> list[Problem]:
    """Everything wrong with the names of a user's system, before its equations are called."""
    where = f"UserSystem {model.name!r}"
    problems = []
    if not _NAME.fullmatch(model.name):
        rule, mend = "A name is letters, digits, dots and hyphens", "Choose another name"
        problems.append(Problem("UserSystem", f"name {model.name!r}", rule, mend))
    problems += _words(where, "parameter", model.parameters)
    problems += _words(where, "state", model.states)
    for name in sorted(set(model.parameters) & set(model.states)):
        rule, mend = "A name means one thing", "Rename the state"
        problems.append(Problem(where, f"{name} is a parameter and a state", rule, mend))
    return problems + _places(model, where) + _numbers(model, where)


def _words(where: str, what: str, names: tuple[str, ...]) -> list[Problem]:
    problems = []
    if not names:
        problems.append(Problem(where, f"no {what}", f"A system has {what}s", "Name them"))
    for name, count in Counter(names).items():
        if count > 1:
            rule, mend = "A name means one thing", "Rename one"
            problems.append(Problem(where, f"{what} {name!r} {count} times", rule, mend))
        if not _WORD.fullmatch(name) or (what == "parameter" and canonical(name) != name):
            rule = "Names are lower case letters, digits and _, parameters as the code writes them"
            right = canonical(name)
            mend = f"Call it {right}" if _WORD.fullmatch(right) else "Rename it"
            problems.append(Problem(where, f"{what} {name!r}", rule, mend))
        elif what == "parameter" and (name in _TAKEN or name.startswith("om_")):
            rule = "sigma_add, sigma_prop and om_... are numbers of a population fit"
            problems.append(Problem(where, f"parameter {name!r}", rule, "Rename it"))
    return problems


def _places(model: "UserSystem", where: str) -> list[Problem]:
    """Unknown states and parameters where doses enter."""
    problems = []
    if not model.ways:
        rule, mend = "A dose enters a state", "Name a state"
        problems.append(Problem(where, "doses_into is empty", rule, mend))
    known = f"The states are {', '.join(model.states)}"
    states = [("doses_into", way.state) for way in model.ways]
    states += [("central", model.central)] if model.central is not None else []
    for what, name in states:
        if name not in model.states:
            problems.append(Problem(where, f"{what} names {name!r}", known, "Name one of these"))
    rule = f"The parameters are {', '.join(model.parameters)}"
    for way in model.ways:
        for what, value in (("bioavailability", way.bioavailability), ("lag", way.lag)):
            if isinstance(value, str) and value not in model.parameters:
                found = f"{what} of {way.state} names {value!r}"
                problems.append(Problem(where, found, rule, "Name one of these"))
    if model.concentration is None and "v1" not in model.parameters:
        rule = "Without `concentration` it is the central amount over v1, and there is no v1"
        mend = "Give concentration=lambda states, p: ..."
        problems.append(Problem(where, "no concentration", rule, mend))
    return problems


def _numbers(model: "UserSystem", where: str) -> list[Problem]:
    """Typical values and units of unknown or missing parameters, or that are not positive."""
    rule = f"The parameters are {', '.join(model.parameters)}"
    problems = [
        Problem(where, f"{what} of {name!r}", rule, "Correct or drop it")
        for what, names in (("typical value", model.typical or {}), ("unit", model.units))
        for name in _beside(names, model.parameters)
    ]
    if model.typical is not None:
        for name in _beside(model.parameters, model.typical):
            mend = "Give one, or leave `typical` out"
            found = f"no typical value of {name}"
            problems.append(Problem(where, found, "Each parameter has one or none has", mend))
        for name, value in model.typical.items():
            if not 0 < value < float("inf"):
                mend = "Give a positive number"
                found = f"typical value {value!r} of {name}"
                problems.append(Problem(where, found, "Parameters are positive", mend))
    return problems


def _beside(names: Iterable[str], known: Iterable[str]) -> list[str]:
    return [name for name in names if name not in set(known)]
