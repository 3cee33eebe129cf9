r"""A particle's tumor as a point in a latent space, and its course as what the point decodes to.

:math:`z` holds the logarithms of the six parameters that were fitted by hand in the published
table: four of the tumor cells' uptake, the partition PT and the permeability PATC. The prior is a
mixture over trained members, each a Gaussian whose location a multi-view network reads from the
particle's properties; the PBPK model of the mouse decodes z:

.. math:: z \mid x \sim \tfrac1M \sum_m N(\mu_m(x), L_m L_m^\top), \quad
          \log y_j \sim N(\log f(z, t_j), \sigma_m^2)

A measured zero says that less was there than a limit.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from latentpk import precision  # noqa: F401  (sets x64 before any array)
from latentpk.errors import ArtifactError
from latentpk.kinetics.mouse import Species, Tumor, follow
from latentpk.models.config import Frozen
from latentpk.models.descriptors import Descriptors, Properties
from latentpk.models.multiview import NetworkConfig, Networks
from latentpk.models.smooth import check_arrays

LATENT = ("KTRESmax", "KTRES50", "KTRESn", "KTRESrelease", "PT", "PATC")
# beyond these a parameter changes no course of a week; draws of the tails end here
LOWEST = np.log([1e-5, 1e-5, 1e-3, 1e-6, 1e-5, 1e-8])
HIGHEST = np.log([1e3, 2e3, 30.0, 1e3, 1e3, 30.0])
Assay = Literal["tissue", "tissue+blood"]
FAINT = 1e-9  # %ID, less than which no assay tells from nothing
FEW, MANY = 16, 192  # times of one compiled program, padded
DRAWS = 256


class Mouse(NamedTuple):
    """What the PBPK model needs of a mouse; never an input of a predictor.

    Attributes:
        flow: QTC, share of the cardiac output, shape (row,).
        volume: VTC, share of the body weight.
        blood: BVT, share of the tumor.
        weight: Of the body [kg].
    """

    flow: Float[np.ndarray, " row"]
    volume: Float[np.ndarray, " row"]
    blood: Float[np.ndarray, " row"]
    weight: Float[np.ndarray, " row"]

    def take(self, rows: Int[np.ndarray, " kept"]) -> "Mouse":
        """Some of the mice."""
        return Mouse(*(own[rows] for own in self))

    def body(self, row: int) -> tuple[float, float, float, float]:
        """QTC, VTC, BVT and weight of one."""
        flow, volume, blood, weight = (float(own[row]) for own in self)
        return flow, volume, blood, weight


class Draws(NamedTuple):
    """Points of a particle's latent space.

    Attributes:
        z: Shape (draw, latent).
        log_density: Of what they were drawn from, shape (draw,).
        log_prior: Of the prior, shape (draw,).
    """

    z: Float[np.ndarray, "draw latent"]
    log_density: Float[np.ndarray, " draw"]
    log_prior: Float[np.ndarray, " draw"]


class Decoded(NamedTuple):
    """Courses of the draws, in % of the dose.

    Attributes:
        tissue: The tumor's tissue with its phagocytes, shape (draw, time).
        blood: Capillary blood of the tumor.
        delivery: DE24, DE168, DEmax, shape (draw, 3).
        organs: Plasma, then liver, spleen, kidney and lung as wholes, shape (draw, time, organ).
    """

    tissue: Float[np.ndarray, "draw time"]
    blood: Float[np.ndarray, "draw time"]
    delivery: Float[np.ndarray, "draw 3"]
    organs: Float[np.ndarray, "draw time organ"]

    def assayed(self, assay: Assay) -> Float[np.ndarray, "draw time"]:
        """What an assay of the tumor finds."""
        return self.tissue if assay == "tissue" else self.tissue + self.blood


ORGANS = ("liver", "spleen", "kidney", "lung")


def decode(
    z: Float[np.ndarray, "draw latent"],
    mouse: tuple[float, float, float, float],
    times: Float[np.ndarray, " time"],
    *,
    species: Species = "mouse",
) -> Decoded:
    """Follow every draw of one particle.

    Args:
        z: Points.
        mouse: QTC, VTC, BVT and body weight [kg].
        times: Up to 180 [h].
        species: Other than a mouse is extrapolation.

    Returns:
        Their courses.
    """
    run = _courses(species)
    found: list[Decoded] = []
    size = FEW if len(times) <= FEW else MANY
    for start in range(0, max(len(times), 1), size):
        own = times[start : start + size]
        padded = jnp.asarray(np.concatenate([own, np.full(size - len(own), 1.0)]))
        blocks = []
        for first in range(0, len(z), DRAWS):
            some = z[first : first + DRAWS]
            short = DRAWS - len(some)
            filled = np.concatenate([some, np.repeat(some[-1:], short, axis=0)])
            got = run(jnp.asarray(filled), jnp.asarray(mouse, float), padded)
            blocks.append([np.asarray(one)[: len(some)] for one in got])
        tissue, blood, delivery, organs = (
            np.concatenate(parts) for parts in zip(*blocks, strict=True)
        )
        count = len(own)
        found.append(Decoded(tissue[:, :count], blood[:, :count], delivery, organs[:, :count]))
    return Decoded(
        np.concatenate([one.tissue for one in found], axis=1),
        np.concatenate([one.blood for one in found], axis=1),
        found[0].delivery,
        np.concatenate([one.organs for one in found], axis=1),
    )


def _courses(species: Species) -> Any:
    if species not in _COURSES:

        def one(z: Array, mouse: Array, times: Array) -> tuple[Array, ...]:
            largest, half, power, release, partition, permeability = jnp.exp(
                jnp.clip(z, LOWEST, HIGHEST)
            )
            flow, volume, blood, weight = mouse
            tumor = Tumor(
                flow, volume, blood, partition, permeability, release, largest, half, power
            )
            course = follow(tumor, weight, times, species=species)
            organs = [course.plasma, *(course.organ(name) for name in ORGANS)]
            delivery = jnp.stack([course.de24, course.de168, course.demax])
            return (
                course.tissue("tumor"),
                course.blood("tumor"),
                delivery,
                jnp.stack(organs, axis=1),
            )

        _COURSES[species] = jax.jit(jax.vmap(one, in_axes=(0, None, None)))
    return _COURSES[species]


_COURSES: dict[Species, Any] = {}


def log_likelihood(
    log_found: Float[Array, "*draw time"],
    log_seen: Float[Array, " time"],
    measured: Float[Array, " time"],
    censored: Float[Array, " time"],
    log_sigma: Float[Array, ""],
) -> Float[Array, "*draw"]:
    """Of log-normal measurements, some of them only below a limit (their value in `log_seen`)."""
    apart = (log_seen - log_found) * jnp.exp(-log_sigma)
    seen = -0.5 * apart**2 - log_sigma - 0.5 * np.log(2 * np.pi)
    below = jax.scipy.stats.norm.logcdf(apart)
    return jnp.sum(measured * jnp.where(censored > 0, below, seen), axis=-1)


class TumorConfig(Frozen):
    """What a stored latent model says in JSON.

    Attributes:
        network: Shape of the members' networks, one output for each of `LATENT`.
        learners: How each member reads particles.
        assay: What the measurements are of.
    """

    network: NetworkConfig
    learners: tuple[Descriptors, ...]
    assay: Assay


@dataclass(frozen=True, eq=False)
class TumorModel:
    """The latent model: members of the prior, and the error of the measurements.

    Attributes:
        config: Shapes, readings and what was measured.
        weights: Of each member's network, shape (member, weight).
        typical: Location where the network says nothing, shape (member, latent).
        factor: Lower factor of the covariance, shape (member, latent, latent).
        log_sigma: Log of the SD of log measurements, shape (member,).
    """

    config: TumorConfig
    weights: Float[np.ndarray, "member weight"]
    typical: Float[np.ndarray, "member latent"]
    factor: Float[np.ndarray, "member latent latent"]
    log_sigma: Float[np.ndarray, " member"]

    @property
    def sigma(self) -> float:
        """SD of log measurements, of all members."""
        return float(np.exp(self.log_sigma.mean()))

    def location(self, known: Properties) -> Float[np.ndarray, "member row latent"]:
        """Each member's location for each particle."""
        found = []
        for member, descriptors in enumerate(self.config.learners):
            networks = Networks(self.config.network, self.weights[member : member + 1])
            views = descriptors.encode(known).views[: len(self.config.network.views)]
            found.append(networks.predict(views) + self.typical[member])
        return np.stack(found)

    def draw(self, location: Float[np.ndarray, "member latent"], count: int, *, seed: int) -> Draws:
        """Draw from one particle's prior, as many of each member as the count allows."""
        rng = np.random.default_rng(seed)
        members = np.arange(count) % len(location)
        noise = rng.standard_normal((count, len(LATENT)))
        z = location[members] + np.einsum("dij,dj->di", self.factor[members], noise)
        density = self.log_prior(z, location)
        return Draws(z, density, density)

    def log_prior(
        self, z: Float[np.ndarray, "draw latent"], location: Float[np.ndarray, "member latent"]
    ) -> Float[np.ndarray, " draw"]:
        """Log density of one particle's prior."""
        each = [
            gaussian(z, middle, factor)
            for middle, factor in zip(location, self.factor, strict=True)
        ]
        return np.logaddexp.reduce(each, axis=0) - np.log(len(each))

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """A JSON dict and named arrays."""
        arrays = {
            "weights": self.weights,
            "typical": self.typical,
            "factor": self.factor,
            "log_sigma": self.log_sigma,
        }
        return self.config.model_dump(mode="json"), arrays

    @classmethod
    def from_parts(cls, manifest: Any, arrays: dict[str, np.ndarray]) -> "TumorModel":
        """Put a latent model together again, trusting nothing.

        Raises:
            ArtifactError: Anything missing, misshapen or not finite.
        """
        try:
            config = TumorConfig.model_validate(manifest)
        except ValueError as error:
            raise ArtifactError(
                f"The manifest does not describe a latent model: {error}"
            ) from error
        members, latent = len(config.learners), len(LATENT)
        weights = arrays.get("weights", np.zeros((0, 0)))
        shapes = {
            "weights": (members, weights.shape[-1]),
            "typical": (members, latent),
            "factor": (members, latent, latent),
            "log_sigma": (members,),
        }
        check_arrays(arrays, shapes, "latent model")
        Networks.from_weights(config.network, weights)
        if (
            config.network.targets != latent
            or not (np.diagonal(arrays["factor"], 0, 1, 2) > 0).all()
        ):
            raise ArtifactError("The latent model's covariance is damaged: fit it again.")
        return cls(config, weights, arrays["typical"], arrays["factor"], arrays["log_sigma"])


def gaussian(
    z: Float[np.ndarray, "draw latent"],
    location: Float[np.ndarray, " latent"],
    factor: Float[np.ndarray, "latent latent"],
) -> Float[np.ndarray, " draw"]:
    """Log density of a Gaussian by its lower factor."""
    from scipy.linalg import solve_triangular

    whitened = solve_triangular(factor, (z - location).T, lower=True)
    level = np.log(np.diag(factor)).sum() + 0.5 * len(factor) * np.log(2 * np.pi)
    return -0.5 * np.sum(whitened**2, axis=0) - level
