"""The true populations of complex profiles, fixed before any fit (see README.md)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.complex_profiles import kinetics
from benchmarks.forecast_oracle import designs
from benchmarks.forecast_oracle import kinetics as linear
from benchmarks.forecast_oracle.designs import Design, Draw, Regimen
from benchmarks.forecast_oracle.kinetics import Doses
from benchmarks.forecast_oracle.populations import TWO_PEAKS, VANCOMYCIN, WARFARIN, Population

Floats = NDArray[np.float64]
Typical = dict[str, tuple[float, float, float]]  # value at 70 kg, exponent of WT/70, sd of its log
MakeRegimen = Callable[[np.random.Generator, float, float], Regimen]


def every(
    intervals: tuple[float, ...],
    amounts: tuple[float, ...],
    until: float,
    *,
    infused: float = 0.0,
    fed: bool = False,
) -> MakeRegimen:
    """One amount at one interval, both drawn for each patient; perhaps with or without food."""

    def regimen(rng: np.random.Generator, _: float, __: float) -> Regimen:
        time = np.arange(0.0, until, float(rng.choice(intervals)))
        amount = np.full(len(time), float(rng.choice(amounts)))
        given = (time, amount, np.full(len(time), infused))
        return (*given, rng.integers(0, 2, len(time)).astype(float)) if fed else given

    return regimen


def titrated(
    interval: float, amounts: tuple[float, ...], times: tuple[float, ...], until: float
) -> MakeRegimen:
    """Infusions of 1 h at one interval; those after the first are so many times as large."""

    def regimen(rng: np.random.Generator, _: float, __: float) -> Regimen:
        time = np.arange(0.0, until, interval)
        amount = np.full(len(time), float(rng.choice(amounts)))
        amount[1:] *= float(rng.choice(times))
        return time, amount, np.ones(len(time))

    return regimen


def anywhere(span: float, first: float, power: float) -> Draw:
    """A level from `first` after a dose to the next or `span`, early ones preferred by `power`."""

    def level(rng: np.random.Generator, given: float, following: float) -> float:
        last = min(following - given, span) - 0.5 * first
        return given + first + (last - first) * rng.random() ** power

    return level


def decades(first: float) -> Draw:
    """A level anywhere on the logarithm of the time from `first` after a dose to the next one."""

    def level(rng: np.random.Generator, given: float, following: float) -> float:
        last = following - given - first
        return given + first * (last / first) ** rng.random()

    return level


def _levels(draw: Draw) -> dict[str, Any]:
    return {"level": draw, "level_whole": draw}


def _weights(rng: np.random.Generator, size: int) -> Floats:
    draws = 72 * np.exp(np.sqrt(np.log1p(0.2**2)) * rng.standard_normal(size))
    return np.round(np.clip(draws, 40, 130), 1)[:, None]


def _population(
    name: str,
    typical: Typical,
    concentration: Callable[[dict[str, Floats], Floats, Doses], Floats],
    *,
    fixed: dict[str, float] | None = None,
    **settings: Any,
) -> Population:
    names = tuple(typical)
    value, exponent, spread = (np.array(column) for column in zip(*typical.values(), strict=True))

    def location(covariates: Floats) -> Floats:
        return np.log(value) + exponent * np.log(covariates / 70)

    def follow(link: Floats, time: Floats, doses: Doses) -> Floats:
        values = dict(zip(names, np.moveaxis(np.exp(link), -1, 0), strict=True))
        values |= {key: np.full(link.shape[:2], one) for key, one in (fixed or {}).items()}
        return concentration(values, time, doses)

    made = replace(TWO_PEAKS, name=name, typical=location, omega=np.diag(spread**2))
    return replace(made, concentration=follow, draw_covariates=_weights, **settings)


def _two_lags(p: dict[str, Floats], time: Floats, doses: Doses) -> Floats:
    share = p["odds"] / (1 + p["odds"])
    sites = [(share, p["ka"], p["lag1"]), (1 - share, p["ka"], p["lag2"])]
    return linear.oral_one_compartment(np.stack([p["cl"], p["v"]], axis=-1), sites, time, doses)


def _fed(p: dict[str, Floats], time: Floats, doses: Doses) -> Floats:
    one = np.ones_like(p["ka"])
    sites = ((one, p["ka"], 0.25 * one), (1.5 * one, 0.25 * p["ka"], 1.5 * one))
    return kinetics.by_meal(p["cl"], p["v"], sites, time, doses)


HOURLY = tuple(np.arange(24.5, 48.1, 1.0))
TWO_DAYS = Design(24.0, 48.0, (1, 4), (8, 10), HOURLY)
THREE_DAYS = Design(24.0, 72.0, (1, 4), (8, 10), tuple(np.arange(25.0, 72.1, 2.0)), rounding=0.25)
DENSE = _levels(designs.dense_level)
SPREAD = _levels(anywhere(48.0, 0.5, 1.0))
SLOW = _levels(anywhere(336.0, 6.0, 1.3))

RECIRCULATION = _population(
    "recirculation",
    {
        "ka": (1.2, 0.0, 0.4),
        "cl": (6.0, 0.75, 0.3),
        "clb": (8.0, 0.75, 0.4),
        "v": (30.0, 1.0, 0.2),
    },
    lambda p, time, doses: kinetics.follow(kinetics.RECIRCULATION, p, time, doses),
    fixed={"q": 10.0, "v2": 60.0},
    additive=0.02,
    proportional=0.10,
    regimen=every((24.0,), (250.0, 500.0), 72.0),
    other_regimen=every((12.0,), (125.0, 1000.0), 72.0),
    design=THREE_DAYS,
    **_levels(anywhere(24.0, 0.5, 1.2)),
)

MONOCLONAL = _population(
    "tmdd",
    {
        "cl": (0.2 / 24, 0.75, 0.25),
        "v1": (3.0, 1.0, 0.15),
        "ksyn": (5.0 / 24, 0.0, 0.4),
        "kint": (0.3 / 24, 0.0, 0.25),
    },
    lambda p, time, doses: kinetics.follow(kinetics.TMDD, p, time, doses),
    fixed={"q": 0.5 / 24, "v2": 3.0},
    oral=False,
    additive=0.1,
    proportional=0.12,
    regimen=every((336.0,), (60.0, 200.0, 600.0), 1008.0),
    other_regimen=every((168.0,), (30.0, 100.0, 300.0), 1008.0),
    design=Design(
        336.0,
        1008.0,
        (1, 4),
        (6, 8),
        tuple(np.arange(342.0, 1008.1, 30.0)),
        grid=6.0,
        rounding=6.0,
    ),
    **SLOW,
)

SATURABLE = _population(
    "michaelis-menten",
    {"vmax": (20.0, 0.75, 0.25), "km": (5.0, 0.0, 0.3), "v": (50.0, 1.0, 0.15)},
    lambda p, time, doses: kinetics.follow(kinetics.MICHAELIS_MENTEN, p, time, doses),
    oral=False,
    additive=0.05,
    proportional=0.10,
    regimen=every((48.0,), (100.0, 300.0, 900.0), 144.0, infused=1.0),
    other_regimen=every((24.0,), (50.0, 200.0, 400.0), 144.0, infused=1.0),
    design=Design(48.0, 144.0, (1, 4), (6, 8), tuple(np.arange(50.0, 144.1, 4.0)), rounding=0.25),
    **SPREAD,
)

TRANSIT = _population(
    "transit",
    {"cl": (5.0, 0.75, 0.25), "v": (40.0, 1.0, 0.2), "mtt": (5.0, 0.0, 0.35)},
    lambda p, time, doses: kinetics.gamma_input(p["cl"], p["v"], p["mtt"], 5.7, time, doses),
    additive=0.02,
    proportional=0.10,
    regimen=every((24.0,), (100.0, 200.0), 48.0),
    other_regimen=every((12.0,), (50.0, 400.0), 48.0),
    design=TWO_DAYS,
    **DENSE,
)

DUAL = replace(TWO_PEAKS, name="dual-absorption", other_regimen=every((8.0,), (50.0, 600.0), 48.0))

POWER_LAW = _population(
    "power-law",
    {"v": (20.0, 1.0, 0.2), "tau": (1.5, 0.0, 0.4), "alpha": (1.3, 0.0, 0.15)},
    lambda p, time, doses: kinetics.power_law(p["v"], p["tau"], p["alpha"], time, doses),
    oral=False,
    additive=0.01,
    proportional=0.10,
    regimen=every((24.0,), (100.0, 200.0), 72.0),
    other_regimen=every((12.0,), (50.0, 400.0), 72.0),
    design=THREE_DAYS,
    **_levels(anywhere(24.0, 0.25, 1.5)),
)

TWO_LAGS = _population(
    "two-lags",
    {
        "cl": (8.0, 0.75, 0.25),
        "v": (25.0, 1.0, 0.2),
        "ka": (1.5, 0.0, 0.4),
        "lag1": (0.5, 0.0, 0.2),
        "lag2": (6.0, 0.0, 0.2),
        "odds": (1.0, 0.0, 0.8),
    },
    _two_lags,
    additive=0.05,
    proportional=0.10,
    regimen=every((24.0,), (100.0, 200.0, 300.0), 48.0),
    other_regimen=every((12.0,), (50.0, 600.0), 48.0),
    design=TWO_DAYS,
    **DENSE,
)

FED = _population(
    "fed-fasted",
    {"cl": (8.0, 0.75, 0.25), "v": (50.0, 1.0, 0.2), "ka": (1.5, 0.0, 0.4)},
    _fed,
    additive=0.02,
    proportional=0.10,
    regimen=every((12.0, 24.0), (100.0, 200.0), 48.0, fed=True),
    other_regimen=every((8.0,), (50.0, 400.0), 48.0, fed=True),
    dose_covariates=("FED",),
    design=TWO_DAYS,
    **DENSE,
)

# In place of the four whose misfit by a compartment model was too small (README.md).
TITRATED = replace(
    SATURABLE,
    name="michaelis-menten-titrated",
    regimen=titrated(48.0, (100.0, 300.0), (1.0, 3.0), 144.0),
    other_regimen=titrated(24.0, (50.0, 200.0), (1.0, 2.0), 144.0),
)

TRANSIT_SEEN = _population(
    "transit-seen",
    {"cl": (10.0, 0.75, 0.2), "v": (20.0, 1.0, 0.15), "mtt": (6.0, 0.0, 0.2)},
    lambda p, time, doses: kinetics.gamma_input(p["cl"], p["v"], p["mtt"], 5.7, time, doses),
    additive=0.02,
    proportional=0.07,
    regimen=every((24.0,), (100.0, 200.0), 48.0),
    other_regimen=every((12.0,), (50.0, 400.0), 48.0),
    design=TWO_DAYS,
    **DENSE,
)

DUAL_APART = replace(
    TWO_PEAKS,
    name="dual-absorption-apart",
    typical=lambda covariates: TWO_PEAKS.typical(covariates) + np.log([1.5, 1, 1, 2, 1.5, 1.5]),
    omega=np.diag([0.2, 0.15, 0.3, 0.3, 0.15, 0.4]) ** 2,
    proportional=0.07,
    regimen=every((24.0,), (100.0, 200.0, 300.0), 48.0),
    other_regimen=every((12.0,), (50.0, 600.0), 48.0),
)

AFTER = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 330.0)
POWER_DECADES = _population(
    "power-law-decades",
    {"v": (20.0, 1.0, 0.15), "tau": (0.1, 0.0, 0.3), "alpha": (0.6, 0.0, 0.08)},
    lambda p, time, doses: kinetics.power_law(p["v"], p["tau"], p["alpha"], time, doses),
    oral=False,
    additive=0.002,
    proportional=0.07,
    regimen=every((336.0,), (100.0, 200.0), 1008.0),
    other_regimen=every((168.0,), (50.0, 400.0), 1008.0),
    design=Design(
        336.0,
        1008.0,
        (1, 4),
        (8, 10),
        tuple(start + after for start in (336.0, 672.0) for after in AFTER),
        rounding=0.05,
    ),
    **_levels(decades(0.15)),
)

REPLACED = (SATURABLE, TRANSIT, DUAL, POWER_LAW)
COMPLEX = (
    RECIRCULATION, MONOCLONAL, TITRATED, TRANSIT_SEEN, DUAL_APART, POWER_DECADES, TWO_LAGS, FED
)  # fmt: skip
PLAIN = (VANCOMYCIN, WARFARIN)
POPULATIONS = {one.name: one for one in (*COMPLEX, *PLAIN, *REPLACED)}
