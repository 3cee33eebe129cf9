"""Where training starts: a forward-only random search on the pooled levels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.errors import InputError
from latentpk.kinetics.doses import ABSORPTION
from latentpk.kinetics.structure import Structure
from latentpk.models.config import KernelConfig
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.decoder import LOG_BOUND
from latentpk.models.decoders.grid import GridDecoder
from latentpk.models.decoders.hybrid import HybridDecoder
from latentpk.models.decoders.kernel import KernelDecoder
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.decoders.neural_ode import NeuralOdeDecoder
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, take

CANDIDATES = 512
ROUNDS = 4
FAINT_FLOW = 0.03  # of elimination or absorption: a flow that training has yet to find
SUBJECTS = 48


@dataclass(frozen=True)
class Scales:
    """Sizes of a cohort that everything is measured in.

    Attributes:
        time: A typical late time after the first dose [h].
        early: A typical early time [h].
        level: Median level [mg/L].
        dose: Median amount [mg].
        least: A small positive level [mg/L].
    """

    time: float
    early: float
    level: float
    dose: float
    least: float


def measure(records: Record) -> Scales:
    """Read the scales off stacked records."""
    seen = records.mask & ~records.censored & (records.value > 0)
    given = (records.doses.amount > 0) | (records.doses.rate > 0)
    first = np.min(np.where(given, records.doses.time, np.inf), axis=1, keepdims=True)
    first = np.where(np.isfinite(first), first, 0.0)
    since = (records.time - first)[seen]
    since = since[since > 0]
    values = records.value[seen]
    amounts = np.where(records.doses.amount > 0, records.doses.amount, records.doses.rate)[given]
    late = float(np.quantile(since, 0.9)) if since.size else 24.0
    return Scales(
        time=late,
        early=float(np.quantile(since, 0.1)) if since.size else 0.1 * late,
        level=float(np.median(values)) if values.size else 1.0,
        dose=float(np.median(amounts)) if amounts.size else 1.0,
        least=float(np.quantile(values, 0.01)) if values.size else 1e-3,
    )


def place(model: LatentModel, records: Record, scales: Scales, seed: int) -> LatentModel:
    """Move an untrained model near the data.

    Args:
        model: From `build`.
        records: Stacked records of the training subjects.
        scales: From `measure`.
        seed: Of the search.

    Returns:
        The model with a typical patient that fits the pooled levels.

    Raises:
        InputError: A nonlinear system, of which nothing is known; see `place_at`.
    """
    if isinstance(model.decoder, MechanisticDecoder):
        raise InputError(
            f"{model.decoder.structure} is nonlinear: nothing tells where its parameters begin. "
            "Give a typical value of each with initial={...}."
        )
    if isinstance(model.decoder, CompartmentDecoder):
        best = search(model.decoder.structure, records, scales, seed)
        return eqx.tree_at(lambda m: m.prior.typical, model, jnp.asarray(best))
    if isinstance(model.decoder, HybridDecoder):
        best = search(model.decoder.structure, records, scales, seed)
        typical = np.pad(best, (0, model.decoder.latent - best.size))  # the factor is 1 at first
        return eqx.tree_at(lambda m: m.prior.typical, model, jnp.asarray(typical))
    if isinstance(model.decoder, KernelDecoder):
        return _place_kernel(model, model.decoder, records, scales, seed)
    if isinstance(model.decoder, NeuralOdeDecoder):
        return _place_field(model, model.decoder, records, scales, seed)

    def last(m: LatentModel) -> Any:  # equinox marks the place with leaves of its own
        assert isinstance(m.decoder, GridDecoder)  # noqa: S101 - the only decoder left
        return m.decoder.network.layers[-1].bias

    start = jnp.full_like(last(model), np.log(scales.level / scales.dose))
    return eqx.tree_at(last, model, start)


def place_at(model: LatentModel, typical: Mapping[str, float]) -> LatentModel:
    """Begin with a typical patient of these parameters, natural scale, in the decoder's order."""
    values = np.log(list(typical.values()))
    return eqx.tree_at(lambda m: m.prior.typical, model, jnp.asarray(values))


def largest(structure: Structure) -> Structure:
    """The structure that holds this one as a special case: one program serves both."""
    return Structure(3, structure.oral, structure.oral, structure.bioavailability)


def absent(names: tuple[str, ...], scales: Scales) -> Float[np.ndarray, " parameter"]:
    """Log values at which parameters have no effect: no exchange, no lag, complete absorption."""
    volume = np.log(scales.dose / scales.level)
    values = {"q2": -LOG_BOUND, "q3": -LOG_BOUND, "v2": volume, "v3": volume, "f": 0.0}
    values["alag"] = np.log(1e-5 * scales.early)
    return np.array([values.get(name, 0.0) for name in names])


def absorption_of(structure: Structure) -> np.ndarray:
    """Which parameters of a dose's absorption (ka, alag, f) may differ: the share always may."""
    return np.array([name == "f" or name in structure.names for name in ABSORPTION])


def search(
    structure: Structure, records: Record, scales: Scales, seed: int
) -> Float[np.ndarray, " parameter"]:
    """Log parameters whose curve fits the pooled levels of up to 48 subjects best.

    Volumes and clearances share one scale, which has a closed form (the median log ratio of
    level to prediction), so the search is over rates and ratios only.
    """
    rng = np.random.default_rng(seed)
    index = rng.permutation(records.mask.shape[0])[:SUBJECTS]
    sample = take(records, index)
    whole = largest(structure)
    names = whole.names
    here = np.isin(names, structure.names)
    sized = here & np.array([name[0] in "cvq" for name in names])
    limits = np.array([scales.level, 1e-3 * scales.least])

    center, spread = _guess(names, scales)
    center = np.where(here, center, absent(names, scales))
    spread = np.where(here, spread, 0.0)
    best, lowest = center, np.inf
    for round_ in range(ROUNDS):
        noise = rng.standard_normal((CANDIDATES, len(names)))
        width = spread if round_ == 0 else spread * 0.4**round_
        candidates = np.clip(best + width * noise, center - 3 * spread, center + 3 * spread)
        candidates[0] = best
        found = _misfit(CompartmentDecoder(whole), candidates, sample, limits)
        size, shift = (np.asarray(part) for part in found)
        size = np.where(np.isfinite(size), size, np.inf)
        winner = int(np.argmin(size))
        if size[winner] < lowest:
            lowest = size[winner]
            best = candidates[winner] - np.where(sized, shift[winner], 0.0)
    return best[here]


@eqx.filter_jit
def _misfit(
    decoder: CompartmentDecoder,
    candidates: Array | np.ndarray,
    sample: Record,
    limits: Array | np.ndarray,
) -> tuple[Array, Array]:
    """Weighted size of the log residuals of each candidate, and the shift that centers them."""
    level, least = limits

    def one(z: Array) -> tuple[Array, Array]:
        def curve(record: Record) -> Array:
            still = jnp.broadcast_to(z, (record.change.shape[0], z.shape[0]))
            return decoder.concentration(
                still, record.change, record.doses, record.time, record.order, paths=record.paths
            )

        f = jax.vmap(curve)(sample)
        use = sample.mask & ~sample.censored & (sample.value > 0)
        ratio = jnp.log(sample.value) - jnp.log(jnp.maximum(f, least))
        shift = jnp.nanmedian(jnp.where(use, ratio, jnp.nan))
        weight = jnp.where(use, jnp.sqrt(sample.value / level), 0.0)
        size = jnp.sum(weight * jnp.minimum(jnp.abs(ratio - shift), 3.0)) / jnp.sum(weight)
        return size, shift

    return jax.lax.map(one, candidates, batch_size=32)


def _guess(names: tuple[str, ...], scales: Scales) -> tuple[np.ndarray, np.ndarray]:
    """Log-scale centers and spreads of the first candidates."""
    volume = np.log(scales.dose / scales.level / 2)
    slow, fast = np.log(1 / scales.time), np.log(1 / max(scales.early, 1e-3 * scales.time))
    middle = 0.5 * (slow + fast)
    table = {
        "cl": (volume + slow, 1.0),
        "v1": (volume, 0.7),
        "q2": (volume + middle, 1.0),
        "v2": (volume, 0.8),
        "q3": (volume + slow, 1.0),
        "v3": (volume, 0.8),
        "ka": (middle, 1.2),
        "alag": (np.log(0.3 * scales.early), 0.7),
        "f": (-0.3, 0.3),
    }
    pairs = np.array([table[name] for name in names])
    return pairs[:, 0], pairs[:, 1]


def _place_kernel(
    model: LatentModel, decoder: KernelDecoder, records: Record, scales: Scales, seed: int
) -> LatentModel:
    """Start the free response at the best two-compartment curve, its absorption spread out."""
    config: KernelConfig = decoder.config
    oral = config.sites > 0
    structure = Structure.parse("2c-oral" if oral else "2c-iv")
    structure = replace(structure, bioavailability=config.bioavailability)
    z = search(structure, records, scales, seed)
    response = structure.response(jnp.exp(jnp.asarray(z)))
    rates, weights = np.asarray(response.rate), np.maximum(np.asarray(response.weight), 1e-12)
    between = np.geomspace(rates.max(), rates.min(), config.modes)
    owner = np.abs(np.log(between[:, None] / rates[None])).argmin(axis=1)
    shares = weights[owner] / np.bincount(owner, minlength=2)[owner]
    bias = np.concatenate([np.log(between), np.log(np.maximum(shares, 1e-3 * weights.max()))])
    model = _set_bias(model, "disposition", bias)
    if not oral:
        return model
    ka = float(response.ka[0])
    gap = max(scales.early, 0.5 / ka)
    lag = np.log(np.concatenate([[0.1 * scales.early], np.full(config.sites - 1, gap)]))
    absorption = np.concatenate(
        [
            np.linspace(1.0, -1.0, config.sites),
            np.full(config.sites, np.log(ka)),
            lag,
            [1.0],
        ]
    )
    return _set_bias(model, "absorption", absorption)


def _place_field(
    model: LatentModel, decoder: NeuralOdeDecoder, records: Record, scales: Scales, seed: int
) -> LatentModel:
    """Start the field as the best two compartments, its further states hardly reached."""
    config = decoder.config
    structure = Structure.parse("2c-oral" if config.depot else "2c-iv")
    structure = replace(structure, bioavailability=config.bioavailability)
    z = dict(zip(structure.names, search(structure, records, scales, seed), strict=True))
    out = z["cl"] - z["v1"]
    log = np.full((config.states, config.states), out + np.log(FAINT_FLOW))
    log[0, 0], log[0, 1], log[1, 0] = out, z["q2"] - z["v1"], z["q2"] - z["v2"]
    log[2 : 1 + config.hidden, 0] = out + np.log(0.3)  # what gets there comes back, later
    if config.depot:
        log[-1] = z["ka"] + np.log(FAINT_FLOW)
        log[-1, 0] = z["ka"]
    typical = np.zeros(config.latent)
    typical[0] = z["v1"]
    if config.bioavailability:
        typical[4] = np.log(np.expm1(-min(z["f"], -0.05)) ** -1)  # its odds
    return eqx.tree_at(
        lambda m: (m.decoder.field.usual, m.prior.typical),
        model,
        (jnp.asarray(log), jnp.asarray(typical)),
    )


def _set_bias(
    model: LatentModel, part: Literal["disposition", "absorption"], bias: np.ndarray
) -> LatentModel:
    return eqx.tree_at(lambda m: getattr(m.decoder, part).linear.bias, model, jnp.asarray(bias))
