"""Where training of nonlinear systems starts: a forward-only search about the best linear model.

Random candidates, of which the best tell where the next are drawn (the cross-entropy method).
"""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.inference.initial import Scales, search
from latentpk.kinetics.circulation import DAY
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.system import Differential, Superposed, System
from latentpk.kinetics.user import UserEquations
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.record import Record, take

CANDIDATES = 160
ROUNDS = 10
ELITE = 20  # of them, whose mean and spread the next round draws from
SUBJECTS = 32
REPEATS = 3  # searches from each center where courses are closed forms, which cost little
WORST = 3.0  # log ratio of level to prediction beyond which a level counts no more

# A saturable clearance is told by its ratio, as a target is by its level: these are searched for
# relative to the other, since the data hold the ratio and hardly each of them.
RELATIVE = {"vmax": "km", "ksyn": "kdeg"}


def searchable(system: System) -> bool:
    """Whether something is known of where each of its parameters may lie.

    Of a user's equations nothing is: a name there may mean anything.
    """
    if isinstance(system, UserEquations):
        return False
    return set(system.names) <= set(_guess({}, Scales(1.0, 0.1, 1.0, 1.0, 0.1), system))


def begin(
    system: System,
    records: Record,
    scales: Scales,
    seed: int,
    known: Mapping[str, float] | None = None,
) -> Float[np.ndarray, " parameter"]:
    """Log parameters whose courses fit the pooled levels of up to 32 subjects best.

    The best linear model of two compartments tells the volume, the clearance of little drug and
    the rate of absorption; what a mechanism adds is drawn widely about the sizes of the data. After
    oral doses the same curve may be one of slow absorption or of slow elimination, between which
    the mechanism decides: both are begun from.

    Args:
        system: Of parameters that are `searchable`.
        records: Stacked records, leading axis (subject,).
        scales: From `measure`.
        seed: Of the search.
        known: Parameters that are held at a value, natural scale, by name.

    Returns:
        In the order of the system's names, shape (parameter,).
    """
    structure = Structure.parse("2c-oral" if system.oral else "2c-iv")
    linear = dict(zip(structure.names, search(structure, records, scales, seed), strict=True))
    held = {system.names.index(name): np.log(value) for name, value in (known or {}).items()}
    rng = np.random.default_rng([seed, len(system.names)])
    index = rng.permutation(records.mask.shape[0])[:SUBJECTS]
    sample = take(records, index)
    limits = np.array([scales.level, 1e-3 * scales.least])

    def misfit(tried: np.ndarray) -> np.ndarray:
        parameters = _absolute(system, tried, held)
        size = np.asarray(_misfits(MechanisticDecoder(system), parameters, sample, limits))
        return np.where(np.isfinite(size), size, np.inf)

    found = []
    for one in (linear, _flipped(linear)) if system.oral else (linear,):
        table = _guess(one, scales, system)
        center, spread = np.array([table[name] for name in system.names]).T
        for place, value in held.items():
            center[place], spread[place] = value, 0.0
        tries = REPEATS if isinstance(system, Superposed) else 1
        found += [_searched(misfit, center, spread, rng) for _ in range(tries)]
    return _absolute(system, min(found, key=lambda one: one[0])[1][None], held)[0]


def _searched(
    misfit: Callable[[np.ndarray], np.ndarray],
    center: Float[np.ndarray, " parameter"],
    spread: Float[np.ndarray, " parameter"],
    rng: np.random.Generator,
) -> tuple[float, Float[np.ndarray, " parameter"]]:
    """The least misfit about a center, and what has it."""
    best, lowest, middle, width = center, np.inf, center, spread
    for _ in range(ROUNDS):
        noise = rng.standard_normal((CANDIDATES, center.size))
        tried = np.clip(middle + width * noise, center - 3 * spread, center + 3 * spread)
        tried[0] = best
        size = misfit(tried)
        ranked = np.argsort(size)
        if size[ranked[0]] < lowest:
            lowest, best = float(size[ranked[0]]), tried[ranked[0]]
        elite = tried[ranked[:ELITE]]
        middle, width = np.mean(elite, axis=0), np.std(elite, axis=0)
    return lowest, best


def _flipped(linear: Mapping[str, float]) -> dict[str, float]:
    """The same curve with absorption slower than elimination, or the other way round."""
    size = linear["cl"] - linear["ka"] - linear["v1"]
    moved = {name: linear[name] + size for name in ("v1", "q2", "v2")}
    return {**linear, **moved, "ka": linear["cl"] - linear["v1"]}


def _absolute(
    system: System, tried: Float[np.ndarray, "try parameter"], held: Mapping[int, float]
) -> np.ndarray:
    """Log parameters from what is searched for; those that are held stay where they are."""
    found = tried.copy()
    for name, other in RELATIVE.items():
        if name in system.names:
            found[:, system.names.index(name)] += tried[:, system.names.index(other)]
    for place, value in held.items():
        found[:, place] = value
    return found


@eqx.filter_jit
def _misfits(
    decoder: MechanisticDecoder,
    tried: Array | np.ndarray,
    sample: Record,
    limits: Array | np.ndarray,
) -> Array:
    """Weighted size of the log residuals of each candidate, shape (try,)."""
    level, least = limits

    def one(z: Array) -> Array:
        def curve(record: Record) -> Array:
            still = jnp.broadcast_to(z, (record.change.shape[0], z.shape[0]))
            return decoder.concentration(
                still, record.change, record.doses, record.time, record.order, paths=record.paths
            )

        f = jax.vmap(curve)(sample)
        use = sample.mask & ~sample.censored & (sample.value > 0)
        ratio = jnp.log(jnp.where(use, sample.value, 1.0)) - jnp.log(jnp.maximum(f, least))
        weight = jnp.where(use, jnp.sqrt(sample.value / level), 0.0)
        size = jnp.where(use, jnp.minimum(jnp.abs(ratio), WORST), 0.0)
        return jnp.sum(weight * size) / jnp.sum(weight)

    return jax.lax.map(one, jnp.asarray(tried), batch_size=32)


def _guess(
    linear: Mapping[str, float], scales: Scales, system: System
) -> dict[str, tuple[float, float]]:
    """Log-scale center and spread of every parameter of which something is known."""
    slow, fast = np.log(1 / scales.time), np.log(1 / max(scales.early, 1e-3 * scales.time))
    volume = linear.get("v1", np.log(scales.dose / scales.level / 2))
    clearance = linear.get("cl", volume + slow)
    absorbed = linear.get("ka", 0.5 * (slow + fast))
    level = np.log(scales.level)
    chain = system.size - 1 if isinstance(system, Differential) else 1
    passing = max(chain, 1)  # compartments of a chain, each left in its share of the time
    pause = np.log(max(2 * scales.early, 0.1 * scales.time))
    beside = np.log(0.5) if {"vmax", "clb"} & set(system.names) else 0.0  # another way out
    return {
        "cl": (clearance + beside, 1.0),
        "v1": (volume, 0.6),
        "q2": (linear.get("q2", clearance), 0.8),
        "v2": (linear.get("v2", volume), 0.8),
        "ka": (absorbed, 0.8),
        "alag": (np.log(0.3 * scales.early), 0.7),
        "fodds": (0.5, 0.7),
        "km": (level + np.log(3.0), 1.3),
        "vmax": (clearance, 0.8),  # over km
        "kss": (level - 1.0, 1.3),
        "kdeg": (slow, 1.2),
        "ksyn": (level, 1.3),  # over kdeg: the target's level
        "kint": (slow, 1.2),
        "clb": (clearance, 1.0),
        "kr": (absorbed, 0.8),
        "tgb": (pause + 0.7, 0.7),
        "dgb": (pause - 1.0, 0.7),
        "kgb": (2.0 - pause, 0.7),
        **{name: (np.log(hour), 0.6) for name, hour in _meal_times(system).items()},
        "dmeal": (0.0, 0.5),  # an hour, whatever the drug
        "ktr": (absorbed + np.log(passing), 0.8),
        "mtt": (np.log(2.0) - absorbed, 0.8),
        "n": (np.log(3.0), 0.9),
        "fa": (np.log(0.5), 0.3),
        "ka2": (absorbed, 0.8),
        "alag2": (pause, 0.8),
    }


def _meal_times(system: System) -> dict[str, float]:
    """Hours of a system's meals, spread over a day."""
    names = [name for name in system.names if name.startswith("tmeal")]
    return {name: DAY * (place + 0.5) / len(names) for place, name in enumerate(names)}
