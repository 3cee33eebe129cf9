"""Populations of several kinds of people: how each group differs from the first."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from latentpk import precision  # noqa: F401  (sets x64 before any array)

AnyIndex = int | Int[Array, ""]


class Groups(eqx.Module):
    r"""What tells the further groups of a population from its first, the largest one.

    .. math:: p(z \mid x) = \sum_k \pi_k\, N(m(x) + \delta_k,\; s_k^2 L L^\top), \qquad
              \delta_1 = 0,\; s_1 = 1

    Covariate effects and the shape of the spread are shared: who belongs where is not known, and
    levels of a few hundred people tell a shift of every dimension and how wide a group is, hardly
    a covariance of its own. Shares do not depend on covariates.

    Attributes:
        odds: Log odds of each further group against the first, shape (further,).
        shift: How far its typical z lies from the first one's, shape (further, latent).
        size: Log of its SD over the first one's, shape (further,).
    """

    odds: Float[Array, " further"]
    shift: Float[Array, "further latent"]
    size: Float[Array, " further"]

    @staticmethod
    def alike(components: int, latent: int) -> "Groups":
        """As many groups that do not differ, of the same share."""
        further = components - 1
        return Groups(jnp.zeros(further), jnp.zeros((further, latent)), jnp.zeros(further))

    @property
    def count(self) -> int:
        """Number of groups."""
        return self.odds.shape[0] + 1

    def log_shares(self) -> Float[Array, " group"]:
        """Log of each group's share of the population, shape (group,)."""
        return jax.nn.log_softmax(jnp.concatenate([jnp.zeros_like(self.odds[:1]), self.odds]))

    @property
    def shifts(self) -> Float[Array, "group latent"]:
        """How far each group's typical z lies from the first one's, shape (group, latent)."""
        return jnp.concatenate([jnp.zeros_like(self.shift[:1]), self.shift])

    @property
    def sizes(self) -> Float[Array, " group"]:
        """Log of each group's SD over the first one's, shape (group,)."""
        return jnp.concatenate([jnp.zeros_like(self.size[:1]), self.size])

    def ordered(self) -> "tuple[Groups, Int[Array, '']]":
        """The groups in falling order of their shares, and which of them was made the first."""
        shares = self.log_shares()
        order = jnp.argsort(-shares)
        first, further = order[0], order[1:]
        moved = Groups(
            shares[further] - shares[first],
            self.shifts[further] - self.shifts[first],
            self.sizes[further] - self.sizes[first],
        )
        return moved, first


class Frame(NamedTuple):
    """Where a group lies among all: eps of the population = origin + spread @ eps of the group.

    Attributes:
        origin: Shape (effect,).
        spread: Shape (effect, effect).
    """

    origin: Float[Array, " effect"]
    spread: Float[Array, "effect effect"]
