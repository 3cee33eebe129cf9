"""What adapting a model to local data found: how far it moved, what it gained, what is used."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from latentpk.inference.departure import BetweenSites, Departure
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.hybrid import HybridDecoder
from latentpk.models.decoders.kernel import KernelDecoder
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.decoders.neural_ode import NeuralOdeDecoder
from latentpk.models.latent import LatentModel
from latentpk.models.published import PublishedPrior


@dataclass(frozen=True, eq=False)
class Local:
    """An adaptation and what it was judged by.

    Attributes:
        source: The model before.
        adapted: The model after.
        departure: Between them.
        sites: How much sites differ, the penalty's widths.
        levels: Levels of each local subject, shape (subject,).
        before: Marginal log likelihood of each subject's levels, source [nats], shape (subject,).
        after: The same, adapted [nats], shape (subject,).
        gains: Adapted minus source [nats] for subjects left out of the adaptation, shape (held,).
    """

    source: LatentModel
    adapted: LatentModel
    departure: Departure
    sites: BetweenSites
    levels: Int[np.ndarray, " subject"]
    before: Float[np.ndarray, " subject"]
    after: Float[np.ndarray, " subject"]
    gains: Float[np.ndarray, " held"]

    @property
    def kept(self) -> bool:
        """Whether the adapted population is used.

        The penalty already weighs few patients against the source, so only evidence against
        adapting undoes it: patients left out lose by it more than one standard error.
        """
        gain, error = self.gain
        return gain >= -error

    @property
    def per_level(self) -> tuple[float, float]:
        """Local log likelihood per level of source and adapted model [nats]."""
        count = max(int(self.levels.sum()), 1)
        return float(self.before.sum()) / count, float(self.after.sum()) / count

    @property
    def gain(self) -> tuple[float, float]:
        """Mean held-out gain of a subject and its standard error [nats]."""
        count = self.gains.size
        error = float(np.std(self.gains, ddof=1) / np.sqrt(count)) if count > 1 else 0.0
        return float(np.mean(self.gains)), error


def adaptation_card(local: Local) -> dict[str, Any]:
    """The card's sections on an adaptation, each number with its unit."""
    before, after = local.per_level
    gain, error = local.gain
    sites = local.sites
    return {
        "adaptation": {
            "local patients": local.levels.size,
            "local levels": int(local.levels.sum()),
            "between-site SD of log typical values": sites.typical,
            "between-site SD of log SD between patients": sites.spread,
            "between-site SD of log residual SD": sites.error,
            "log likelihood per local level, source [nats]": before,
            "log likelihood per local level, adapted [nats]": after,
            "gain for patients left out [nats per patient]": f"{gain:.3g} (SE {error:.2g})",
            "population used": _used(local),
        },
        "what adapting moved": moved(local),
    }


def moved(local: Local) -> dict[str, str]:
    """Factors on typical values, SDs between patients, and the residual error."""
    by = local.departure
    typical, spread = np.exp(np.asarray(by.typical)), np.exp(np.asarray(by.spread))
    varies = np.any(np.asarray(local.source.prior.chol()) != 0, axis=1)
    lines: dict[str, str] = {}
    decoder = local.source.decoder
    if isinstance(decoder, KernelDecoder | NeuralOdeDecoder | HybridDecoder):
        least, most = typical.min(), typical.max()
        kernel = isinstance(decoder, KernelDecoder)
        what = "rates and weights of the response" if kernel else "exp of latent dimensions"
        lines[what] = f"x {least:.3g} to x {most:.3g}"
        lines["SD of latent dimensions"] = f"x {spread.min():.3g} to x {spread.max():.3g}"
    else:
        rows = zip(_names(local.source), typical, spread, varies, strict=True)
        for name, shift, stretch, random in rows:
            tail = f", SD between patients x {stretch:.3g}" if random else ""
            lines[name] = f"x {shift:.3g}{tail}"
    kind = local.source.residual.kind
    for name, change, absent in zip(("a", "b"), np.exp(np.asarray(by.error)), _ABSENT, strict=True):
        if kind not in absent:
            lines[f"residual {name}"] = f"x {change:.3g}"
    return lines


_ABSENT = (("proportional", "lognormal"), ("additive",))  # kinds without a, without b


def sentences(local: Local) -> tuple[str, ...]:
    """What a user is told at once."""
    before, after = local.per_level
    gain, error = local.gain
    factors = "; ".join(f"{name} {text}" for name, text in moved(local).items())
    return (
        f"adapted to {local.levels.size} local patients: {factors}",
        f"log likelihood per local level: {before:.3f} nats by the source, {after:.3f} adapted",
        f"patients left out gain {gain:.3g} nats each (SE {error:.2g}) by adapting; "
        f"population used: {_used(local)}",
    )


def _used(local: Local) -> str:
    return "adapted" if local.kept else "the source's, which explains left-out patients better"


def _names(model: LatentModel) -> tuple[str, ...]:
    prior, decoder = model.prior, model.decoder
    if isinstance(prior, PublishedPrior):
        return prior.population.names
    if isinstance(decoder, CompartmentDecoder | MechanisticDecoder):
        return decoder.structure.names
    raise TypeError("a learned one has names there")
