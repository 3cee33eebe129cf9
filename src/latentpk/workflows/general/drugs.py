"""Random drugs: a mechanism, typical values in published ranges, spread, covariate effects."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from latentpk.kinetics.structure import Structure
from latentpk.kinetics.systems import is_system, parse_system

LOG_KA, LOG_KE, LOG_V = (-1.0, 2.0), (-5.0, 0.0), (1.0, 7.0)  # of 1/h, 1/h, L
FAST = (-3.0, 0.0)  # log ke where the shape of absorption is to be seen
SLOW = (-5.0, -2.0)  # of drugs with a target
CHAINS = (2, 4, 7)  # transit compartments
SHAPED = ("transit", "dual", "lag", "ehc")
LINEAR = ("cl", "q2", "q3", "clb", "vmax")  # parameters that grow with WT to the 0.75
SIZED = ("v1", "v2", "v3")  # ... and with WT
RENAL = ("cl", "vmax")
Values = dict[str, float]
Mechanism = Literal[
    "iv", "oral", "lag", "transit", "dual", "ehc", "saturable", "saturable-oral", "target"
]
WEIGHTS: Mapping[Mechanism, float] = {
    "iv": 0.26,
    "oral": 0.22,
    "lag": 0.10,
    "transit": 0.09,
    "dual": 0.08,
    "ehc": 0.05,
    "saturable": 0.08,
    "saturable-oral": 0.06,
    "target": 0.06,
}


@dataclass(frozen=True)
class Drug:
    """A drug that does not exist.

    Attributes:
        mechanism: What kind it is.
        structure: Its closed form or system, such as "2c-oral" or "tmdd".
        typical: Parameters of a person of 70 kg with a clearance of 100 mL/min, natural scale.
        spread: SD of their logarithms between people.
        weight: Powers of WT / 70 kg by parameter.
        renal: Powers of CRCL / 100 mL/min by parameter.
        route: Where its doses go.
        dose: Usual amount [mg].
        half_life: ln 2 over ke [h]: how long its story is.
        absorbed: Mean time of absorption [h], 0 after a dose into a vein.
        additive: SD of the additive error over the level that the dose would reach at once.
        proportional: SD of the proportional error.
    """

    mechanism: Mechanism
    structure: str
    typical: Values
    spread: Values
    weight: Values
    renal: Values
    route: Literal["iv", "oral"]
    dose: float
    half_life: float
    absorbed: float
    additive: float
    proportional: float

    @property
    def names(self) -> tuple[str, ...]:
        """The structure's parameters in order."""
        if is_system(self.structure):
            return parse_system(self.structure).names
        return Structure.parse(self.structure).names


@dataclass(frozen=True)
class _Core:
    """What every mechanism starts from: rates [1/h], volume [L], a usual amount [mg]."""

    ka: float
    ke: float
    v1: float
    dose: float

    @property
    def peak(self) -> float:
        """Level that the dose would reach at once [mg/L]."""
        return self.dose / self.v1


def draw_drug(rng: np.random.Generator, mechanism: Mechanism | None = None) -> Drug:
    """Draw one drug.

    Args:
        rng: Source of every draw.
        mechanism: What kind; None draws it too.

    Example:
        >>> draw_drug(np.random.default_rng(1), "target").structure
        'tmdd'
    """
    if mechanism is None:
        kinds = list(WEIGHTS)
        mechanism = kinds[int(rng.choice(len(kinds), p=list(WEIGHTS.values())))]
    core = _core(rng, mechanism)
    structure, typical = _MAKERS[mechanism](rng, core)
    weighed, cleared = rng.random() < 0.7, rng.random() < 0.5
    renal = float(rng.uniform(0.2, 1.0))
    weight = {n: 0.75 for n in typical if n in LINEAR} | {n: 1.0 for n in typical if n in SIZED}
    route = "iv" if mechanism in ("iv", "saturable") else "oral"
    if mechanism == "target" and rng.random() < 0.6:
        route = "iv"
    return Drug(
        mechanism=mechanism,
        structure=structure,
        typical=typical,
        spread={name: float(np.exp(rng.uniform(*np.log([0.08, 0.45])))) for name in typical},
        weight=weight if weighed else {},
        renal={n: renal for n in typical if n in RENAL} if cleared else {},
        route=route,
        dose=core.dose,
        half_life=float(np.log(2) / core.ke),
        absorbed=1 / core.ka if route == "oral" else 0.0,
        additive=float(10 ** rng.uniform(-4, -2)),
        proportional=float(rng.uniform(0.05, 0.25)),
    )


def _core(rng: np.random.Generator, mechanism: Mechanism) -> _Core:
    bounds = FAST if mechanism in SHAPED else SLOW if mechanism == "target" else LOG_KE
    return _Core(
        ka=float(np.exp(rng.uniform(*LOG_KA))),
        ke=float(np.exp(rng.uniform(*bounds))),
        v1=float(np.exp(rng.uniform(*LOG_V))),
        dose=float(10 ** rng.uniform(0, 3)),
    )


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Even on the logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _disposition(rng: np.random.Generator, core: _Core, compartments: int) -> Values:
    """Clearance, volumes and flows of one to three compartments."""
    values = {"cl": core.ke * core.v1, "v1": core.v1}
    for k, deep in ((2, 1.0), (3, 3.0))[: compartments - 1]:
        values[f"q{k}"] = values["cl"] * _between(rng, 0.2, 4.0) / deep
        values[f"v{k}"] = core.v1 * _between(rng, 0.3, 3.0) * deep
    return values


def _linear(rng: np.random.Generator, core: _Core) -> tuple[str, Values]:
    size = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    return f"{size}c-iv", _disposition(rng, core, size)


def _oral(rng: np.random.Generator, core: _Core) -> tuple[str, Values]:
    size = int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))
    return f"{size}c-oral", _disposition(rng, core, size) | {"ka": core.ka}


def _lag(rng: np.random.Generator, core: _Core) -> tuple[str, Values]:
    size = int(rng.choice([1, 2]))
    lag = _between(rng, 0.1, 1.5) / core.ka
    return f"{size}c-oral-lag", _disposition(rng, core, size) | {"ka": core.ka, "alag": lag}


def _transit(rng: np.random.Generator, core: _Core) -> tuple[str, Values]:
    count = int(rng.choice(CHAINS))
    through = (count + 1) * core.ka / _between(rng, 0.7, 4.0)
    return f"transit{count}", _disposition(rng, core, 1) | {"ktr": through}


def _dual(rng: np.random.Generator, core: _Core) -> tuple[str, Values]:
    second = {"ka2": core.ka * _between(rng, 0.3, 1.5), "alag2": _between(rng, 1.0, 5.0) / core.ka}
    share = {"fa": float(rng.uniform(0.3, 0.8)), "ka": core.ka}
    return "dual-absorption", _disposition(rng, core, 1) | share | second


def _recirculated(rng: np.random.Generator, core: _Core) -> tuple[str, Values]:
    values = _disposition(rng, core, 2)
    return "ehc", values | {
        "clb": values["cl"] * _between(rng, 0.3, 2.0),
        "ka": core.ka,
        "kr": core.ka * _between(rng, 0.5, 1.5),
        "tgb": _between(rng, 0.3, 1.5) / core.ke,
        "dgb": _between(rng, 0.1, 0.5) / core.ke,
        "kgb": core.ke * _between(rng, 3.0, 12.0),
    }


def _saturable(rng: np.random.Generator, core: _Core) -> tuple[str, Values]:
    size, beside = int(rng.choice([1, 2], p=[0.7, 0.3])), bool(rng.random() < 0.4)
    linear = _disposition(rng, core, size)
    km = core.peak * _between(rng, 0.05, 2.0)
    whole = linear.pop("cl")
    share = float(rng.uniform(0.1, 0.5)) if beside else 0.0
    values = {"vmax": (1 - share) * whole * (km + 0.5 * core.peak), "km": km} | linear
    values |= {"cl": share * whole} if beside else {}
    return f"{size}c-mm{'-cl' * beside}-iv", values


def _saturable_oral(rng: np.random.Generator, core: _Core) -> tuple[str, Values]:
    name, values = _saturable(rng, core)
    return name.replace("-iv", "-oral"), values | {"ka": core.ka}


def _target(rng: np.random.Generator, core: _Core) -> tuple[str, Values]:
    amount = core.peak * _between(rng, 0.05, 1.0)  # of target, in drug that it binds [mg/L]
    binding = core.ke * _between(rng, 20.0, 100.0)
    lost = core.ke * _between(rng, 1.0, 8.0)
    kon = binding / amount
    return "tmdd", _disposition(rng, core, 2) | {
        "ka": core.ka,
        "f": 1.0,
        "kon": kon,
        "koff": kon * amount * _between(rng, 0.02, 0.3),
        "ksyn": amount * lost,
        "kdeg": lost,
        "kint": core.ke * _between(rng, 1.0, 8.0),
    }


_MAKERS: Mapping[Mechanism, Callable[[np.random.Generator, _Core], tuple[str, Values]]] = {
    "iv": _linear,
    "oral": _oral,
    "lag": _lag,
    "transit": _transit,
    "dual": _dual,
    "ehc": _recirculated,
    "saturable": _saturable,
    "saturable-oral": _saturable_oral,
    "target": _target,
}
