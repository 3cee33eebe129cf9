"""What a fit of stated equations is asked for: which, and where it begins."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentpk.errors import ArtifactError, InputError, Problem
from latentpk.inference.beginning import searchable
from latentpk.kinetics.naming import canonical
from latentpk.kinetics.registry import is_users, users_system
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.system import Differential, Superposed, System
from latentpk.kinetics.systems import is_system, parse_system
from latentpk.kinetics.user import UserEquations

Ladder = tuple[tuple[str, ...], ...]  # steps of names, from simple to rich


def resolved(decoder: str, structure: str) -> System | None:
    """The equations that settings name; None where the decoder needs none.

    Raises:
        InputError: A structure that the decoder cannot be, or none where it needs one.
    """
    if decoder == "mechanistic" and structure == "auto":
        raise InputError(
            "decoder mechanistic without a structure: equations are named, not searched for. Give "
            'structure="1c-mm-oral", another nonlinear one, or a UserSystem.'
        )
    if structure == "auto":
        return None
    if is_system(structure):
        if decoder not in ("auto", "mechanistic"):
            raise InputError(
                f"structure {structure} beside decoder {decoder}: it is nonlinear. Take decoder "
                "mechanistic."
            )
        return parse_system(structure)
    Structure.parse(structure)
    if decoder == "mechanistic":
        raise InputError(
            f"structure {structure} beside decoder mechanistic: it is linear. Take decoder "
            "compartment, which has it in closed form."
        )
    return None


def starting_values(system: System, initial: Mapping[str, float] | None) -> dict[str, float]:
    """Where a fit of stated equations begins: what was given, else a user's typical values.

    Args:
        system: The equations.
        initial: Values by name, natural scale.

    Returns:
        One of each parameter, in their order; where the system is `searchable`, of those given.

    Raises:
        InputError: Every parameter without a value that nothing can find, unknown, or not above 0.

    Example:
        >>> from latentpk.kinetics.systems import parse_system
        >>> starting_values(parse_system("1c-mm-iv"), {"V": 50, "km": 5, "vmax": 20})
        {'vmax': 20.0, 'km': 5.0, 'v1': 50.0}
    """
    usual = system.model.typical if isinstance(system, UserEquations) else None
    given = dict(usual or {}) | {canonical(name): x for name, x in (initial or {}).items()}
    rule = f"{system} has {', '.join(system.names)}"
    problems = [
        Problem("initial", f"{name} is missing", f"{rule}; nothing tells where each begins", mend)
        for name in system.names
        if name not in given and not searchable(system)
        for mend in (f"Give initial={{{name!r}: ...}}, a typical value",)
    ]
    for name, value in given.items():
        if name not in system.names:
            problems.append(Problem("initial", name, rule, "Correct or drop it"))
        elif not 0 < value < float("inf"):
            mend = "Give a positive number"
            problems.append(
                Problem(f"initial {name}", f"{value:g}", "Parameters are above 0", mend)
            )
    if problems:
        raise InputError(problems, source="the starting values")
    return {name: float(given[name]) for name in system.names if name in given}


def mechanisms(*, oral: bool, both: bool, changing: bool = False) -> tuple[Ladder, ...]:
    """The ready-made ones that are tried where no structure fits.

    Args:
        oral: Whether some dose is extravascular.
        both: Whether doses of either kind occur: then only those with a bioavailability.
        changing: Whether some covariate changes with time: then only those that are followed.

    Returns:
        Ladders of names, from simple to rich; a step is tried where the last name of the step
        before was the best so far. Each is `searchable`.

    Example:
        >>> mechanisms(oral=False, both=False)
        ((('1c-mm-iv', '2c-mm-cl-iv'), ('tmdd-qss-iv',)),)
    """
    kind = "oral" + "-f" * both if oral else "iv"
    saturable = ((f"1c-mm-{kind}", f"2c-mm-cl-{kind}"), (f"tmdd-qss-{kind}",))
    if not oral:
        return (saturable,)
    free = "-f" * both
    transit: Ladder = ((f"1c-transit{free}",), (f"2c-transit{free}",))
    if changing:
        transit = (("transit3",), ("transit6",))
    if both:
        return (saturable,) if changing else (transit, saturable)
    circulating = (("ehc", "ehc-meals2"), ("ehc-meals3",))
    return (transit, (("dual-absorption",),), circulating, saturable)


def doses_add_up(name: str) -> bool:
    """Whether a ready-made mechanism's doses do, however its rates change by the clock.

    Example:
        >>> [doses_add_up(name) for name in ("1c-transit", "ehc-meals2", "1c-mm-oral")]
        [True, True, False]
    """
    system = parse_system(name)
    steady = isinstance(system, Differential) and system.steady_rates
    return steady or isinstance(system, Superposed)


def check_registered(folder: str | Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a stored model whose user's system is not registered here.

    Args:
        folder: Where it lies.
        manifest: Of a `ProfileVAE`; anything may be in it.

    Raises:
        ArtifactError: With what to register.
    """
    config, settings = manifest.get("config"), manifest.get("settings")
    decoder = config.get("decoder") if isinstance(config, dict) else None
    structure = decoder.get("structure") if isinstance(decoder, dict) else None
    if not isinstance(structure, str) or not is_users(structure):
        return
    try:
        users_system(structure)
    except InputError as error:
        initial = settings.get("initial") if isinstance(settings, dict) else None
        names = f" Its parameters are {', '.join(initial)}." if isinstance(initial, dict) else ""
        raise ArtifactError(f"{folder}: {error}{names}") from error
