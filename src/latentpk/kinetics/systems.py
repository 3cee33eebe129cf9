"""The systems by name: saturable elimination, targets, the gallbladder, transit, two sites.

All are homogeneous in mass: amounts of a target, a complex or a metabolite are counted in mg of the
drug they bind or came from, so that mole and mass give the same course.
"""

import re

from latentpk.errors import InputError
from latentpk.kinetics.circulation import (
    BindingRecirculation,
    MealRecirculation,
    Recirculation,
)
from latentpk.kinetics.passage import DualAbsorption, Transit, TransitChain
from latentpk.kinetics.registry import is_users, users_system
from latentpk.kinetics.saturation import MichaelisMenten
from latentpk.kinetics.system import System
from latentpk.kinetics.targets import EquilibriumBinding, QuasiSteadyTarget, TargetMediated

KNOWN = (
    "1c-mm or 2c-mm, then perhaps -cl (a linear clearance beside), perhaps -inh (Vmax falls with "
    "time), then -iv, -oral or -oral-lag, oral ones perhaps with -f; tmdd, tmdd-equilibrium, "
    "tmdd-qss-iv or tmdd-qss-oral, the latter perhaps with -f; ehc, ehc-meals1 to "
    "ehc-meals4, ehc-binding; 1c-transit or 2c-transit (any number of transit compartments, which "
    "is a parameter), then perhaps -ka (a site behind them), then perhaps -f; transit1 to "
    "transit9, dual-absorption, and user:NAME of a registered UserSystem"
)
_MM = re.compile(r"([12])c-mm(-cl)?(-inh)?-(iv|oral|oral-lag)(-f)?")


def parse_system(text: str) -> System:
    """The system of that name.

    Args:
        text: One of `KNOWN`, or a registered system's name.

    Returns:
        The system; `str` gives the name back.

    Raises:
        InputError: An unknown name, or a user's system that is not registered.

    Example:
        >>> parse_system("1c-mm-cl-oral").names
        ('vmax', 'km', 'cl', 'v1', 'ka')
    """
    if is_users(text):
        return users_system(text)
    found = _ready_made(text)
    if found is None:
        raise InputError(f"structure: {text!r}. Known nonlinear ones are {KNOWN}.")
    return found


def is_system(text: str) -> bool:
    """Whether that is the name of a system, a user's among them, registered or not.

    Example:
        >>> is_system("tmdd"), is_system("2c-iv")
        (True, False)
    """
    return is_users(text) or _ready_made(text) is not None


def _ready_made(text: str) -> System | None:
    if (match := _MM.fullmatch(text)) and not (match[4] == "iv" and match[5]):
        return MichaelisMenten(
            compartments=int(match[1]),
            parallel=bool(match[2]),
            inhibited=bool(match[3]),
            oral=match[4] != "iv",
            lag=match[4] == "oral-lag",
            bioavailability=bool(match[5]),
        )
    if match := re.fullmatch(r"transit([1-9])", text):
        return TransitChain(int(match[1]))
    if match := re.fullmatch(r"([12])c-transit(-ka)?(-f)?", text):
        return Transit(int(match[1]), depot=bool(match[2]), bioavailability=bool(match[3]))
    if match := re.fullmatch(r"ehc-meals([1-4])", text):
        return MealRecirculation(int(match[1]))
    return _SINGLE.get(text)


_SINGLE: dict[str, System] = {
    str(system): system
    for system in (
        TargetMediated(),
        EquilibriumBinding(),
        QuasiSteadyTarget(),
        QuasiSteadyTarget(oral=True),
        QuasiSteadyTarget(oral=True, bioavailability=True),
        Recirculation(),
        BindingRecirculation(),
        DualAbsorption(),
    )
}
