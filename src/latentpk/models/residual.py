"""The residual error between a measured level and the concentration behind it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from latentpk import precision  # noqa: F401  (sets x64 before any array)
from latentpk.models.config import ResidualKind

FORMULAS: dict[ResidualKind, str] = {
    "additive": "sd = a",
    "proportional": "sd = b f",
    "combined1": "sd = a + b f",
    "combined2": "sd = sqrt(a^2 + b^2 f^2)",
    "lognormal": "log y ~ N(log f, b)",
}

_FAR = 30.0  # standard deviations


class Residual(eqx.Module):
    r"""Gaussian error with a standard deviation that depends on the concentration f.

    The names have been swapped in print, so the formula counts: combined1 is a + b f,
    combined2 is sqrt(a^2 + b^2 f^2). A level below its limit of quantification contributes the
    probability of being below it (M3).

    Attributes:
        log_a: log of the additive SD [log mg/L].
        log_b: log of the proportional (or logarithmic) SD.
        kind: Which formula.
        floor: The least SD [mg/L]; keeps a proportional error finite at f = 0.
    """

    log_a: Float[Array, ""]
    log_b: Float[Array, ""]
    kind: ResidualKind = eqx.field(static=True)
    floor: float = eqx.field(static=True)

    def sd(self, f: Float[Array, "*draws level"]) -> Float[Array, "*draws level"]:
        """SD of a measurement [mg/L] at concentrations f [mg/L]; lognormal: SD of log y."""
        a, b = jnp.exp(self.log_a), jnp.exp(self.log_b)
        match self.kind:
            case "additive":
                sd = jnp.broadcast_to(a, f.shape)
            case "proportional":
                sd = jnp.sqrt(b**2 * f**2 + self.floor**2)
            case "combined1":
                sd = a + b * f
            case "combined2":
                sd = jnp.sqrt(a**2 + b**2 * f**2)
            case "lognormal":
                return jnp.broadcast_to(b, f.shape)
        return sd + 1e-3 * self.floor

    def standardized(
        self, y: Float[Array, " level"], f: Float[Array, " level"]
    ) -> Float[Array, " level"]:
        """Residuals in units of their SD."""
        if self.kind == "lognormal":
            return (self._log(y) - self._log(f)) / self.sd(f)
        return (y - f) / self.sd(f)

    def log_density(
        self,
        y: Float[Array, " level"],
        f: Float[Array, " level"],
        censored: Bool[Array, " level"],
    ) -> Float[Array, " level"]:
        """Log density of levels y, or log probability of lying below y where censored."""
        z = self.standardized(y, f)
        jacobian = self._log(y) if self.kind == "lognormal" else 0.0
        seen = -0.5 * z**2 - jnp.log(self.sd(f)) - 0.5 * jnp.log(2 * jnp.pi) - jacobian
        return jnp.where(censored, log_below(z), seen)

    def perturb(
        self, f: Float[Array, "*draws level"], noise: Float[Array, "*#draws #level"]
    ) -> Float[Array, "*draws level"]:
        """A new measurement at concentrations f for standard normal noise, never negative."""
        if self.kind == "lognormal":
            return f * jnp.exp(self.sd(f) * noise)
        return jnp.maximum(f + self.sd(f) * noise, 0.0)

    def _log(self, x: Float[Array, " level"]) -> Float[Array, " level"]:
        return jnp.log(jnp.maximum(x, self.floor))


def log_below(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Log of the standard normal probability below z, with a slope however far z lies.

    Far below, the library's slope is a difference of large numbers, infinite in float32; there the
    tail's expansion is exact to 1e-5 and its slope is plain arithmetic (Abramowitz and Stegun
    26.2.12).
    """
    far = jnp.minimum(z, -_FAR)  # keeps the branch not taken finite, and its slope too
    tail = -0.5 * far**2 - jnp.log(-far) - 0.5 * jnp.log(2 * jnp.pi) - far**-2.0
    return jnp.where(z < -_FAR, tail, jax.scipy.special.log_ndtr(jnp.clip(z, -_FAR, _FAR)))


def hazard_below(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Slope of `log_below`."""
    near = jnp.clip(z, -_FAR, _FAR)
    ratio = jnp.exp(-0.5 * near**2 - 0.5 * jnp.log(2 * jnp.pi) - jax.scipy.special.log_ndtr(near))
    far = jnp.minimum(z, -_FAR)
    return jnp.where(z < -_FAR, -far - 1 / far + 2 / far**3, ratio)
