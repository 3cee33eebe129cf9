"""Where a patient lies before any level: a Gaussian whose location depends on the covariates.

A population of several groups is a mixture of such Gaussians.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from latentpk.kinetics.doses import ABSORPTION
from latentpk.models.config import CovariateConfig
from latentpk.models.groups import AnyIndex, Frame, Groups
from latentpk.networks.attention import MultiViewNetwork
from latentpk.views.patient import knowledge_view


class Prior(eqx.Module):
    r"""z = location(covariates) + chol eps, eps ~ N(0, I) in a population of one group.

    Of several groups each has such a prior of its own, `of_group`; location and chol are those of
    the first, which is the largest.
    """

    @property
    def group_count(self) -> int:
        """Number of groups of people that the population consists of."""
        return 1

    def log_shares(self) -> Float[Array, " group"]:
        """Log of each group's share of the population, shape (group,)."""
        return jnp.zeros(1)

    def of_group(self, group: AnyIndex) -> "Prior":
        """The prior of the people of one group, who are one group."""
        return self

    def frame(self, group: AnyIndex) -> Frame:
        """Where a group's eps lie among those of the population."""
        effects = self.chol().shape[1]
        return Frame(jnp.zeros(effects), jnp.eye(effects))

    @abc.abstractmethod
    def location(self, covariates: Float[Array, " covariate"]) -> Float[Array, " latent"]:
        """The prior's mean of z for raw covariates, shape (latent,)."""

    def own(self, state: Float[Array, "dose covariate"]) -> Float[Array, "dose absorption"]:
        """Logarithms of what each dose's absorption (ka, alag, f) is multiplied by.

        Raises:
            ValueError: This prior knows of no covariates of doses.
        """
        raise ValueError("these doses have covariates, of which this prior knows nothing")

    def read_doses(self, state: Float[Array, "dose covariate"]) -> Float[Array, "dose raw"]:
        """What networks read of each dose's covariates, all of order one."""
        return state

    @property
    def reference_dose(self) -> tuple[float, ...]:
        """Covariates of a dose that changes nothing, which the typical values are of."""
        return ()

    @abc.abstractmethod
    def widened(self, times: float) -> "Prior":
        """The same prior with effects that vary `times` as much."""

    @abc.abstractmethod
    def shifted(self, by: Float[Array, " latent"]) -> "Prior":
        """The same prior with every patient's z moved by as much."""

    @abc.abstractmethod
    def stretched(self, by: Float[Array, " latent"]) -> "Prior":
        """The same prior with the SD of each z times exp(by); correlations stay."""

    @abc.abstractmethod
    def raw_view(self, covariates: Float[Array, " covariate"]) -> Float[Array, " raw"]:
        """What networks read of raw covariates, all of order one, shape (raw,)."""

    @abc.abstractmethod
    def chol(self) -> Float[Array, "latent effect"]:
        """The factor of the prior's covariance, shape (latent, effect)."""

    @abc.abstractmethod
    def occasion_chol(self) -> Float[Array, "latent kappa"] | None:
        """The factor of the covariance between a patient's occasions; None where there is none."""


class LearnedPrior(Prior):
    r"""Linear in the raw view, plus a multi-view network where one is asked for.

    .. math:: m(x) = m_0 + B\,r(x) + g(r(x), k(x))

    r is the standardized raw view, k the knowledge view, g the cross-attention network of
    `MultiViewNetwork`, which starts at zero: so the linear prior is the network's special case.
    What is said of a dose, r_d, changes its absorption alone, linearly on the log scale,

    .. math:: (k_a, t_{lag}, F)_d = (k_a, t_{lag}, F) \exp(B_d\,r_d)

    so that a patient's own parameters are those of a dose in the reference state, r_d = 0.
    """

    typical: Float[Array, " latent"]
    slope: Float[Array, "latent raw"]
    network: MultiViewNetwork | None
    factor: Float[Array, "latent latent"]  # strict lower triangle, and the log of the diagonal
    groups: Groups | None
    dose_slope: Float[Array, "absorption raw"] | None  # None where nothing is said of doses
    covariates: tuple[CovariateConfig, ...] = eqx.field(static=True)
    dose_covariates: tuple[CovariateConfig, ...] = eqx.field(static=True)
    knowledge: tuple[str, ...] = eqx.field(static=True)

    def __init__(  # noqa: PLR0913  (each is a static choice of one configuration)
        self,
        latent: int,
        covariates: tuple[CovariateConfig, ...],
        knowledge: tuple[str, ...],
        *,
        width: int | None,
        components: int = 1,
        dose_covariates: tuple[CovariateConfig, ...] = (),
        key: PRNGKeyArray,
    ) -> None:
        raw = sum(c.width for c in covariates)
        self.typical = jnp.zeros((latent,), jnp.float64)
        self.slope = jnp.zeros((latent, raw), jnp.float64)
        self.factor = jnp.log(0.4) * jnp.eye(latent, dtype=jnp.float64)
        self.groups = Groups.alike(components, latent) if components > 1 else None
        said = sum(c.width for c in dose_covariates)
        self.dose_slope = jnp.zeros((len(ABSORPTION), said), jnp.float64) if said else None
        self.covariates, self.knowledge = covariates, knowledge
        self.dose_covariates = dose_covariates
        # attention needs a token on either side
        self.network = (
            MultiViewNetwork((raw, len(knowledge)), latent, width, key=key)
            if width is not None and raw > 0 and knowledge
            else None
        )

    def raw_view(self, covariates: Float[Array, " covariate"]) -> Float[Array, " raw"]:
        """Standardize covariates; a categorical one fills an entry per code but the first."""
        return raw_view(self.covariates, covariates)

    def read_doses(self, state: Float[Array, "dose covariate"]) -> Float[Array, "dose raw"]:
        """Standardize the covariates of each dose as those of the patient."""
        return jax.vmap(lambda row: raw_view(self.dose_covariates, row))(state)

    @property
    def reference_dose(self) -> tuple[float, ...]:
        """Covariates of a dose that changes nothing, which the typical values are of."""
        return tuple(known.reference for known in self.dose_covariates)

    def own(self, state: Float[Array, "dose covariate"]) -> Float[Array, "dose absorption"]:
        """Logarithms of what each dose's absorption (ka, alag, f) is multiplied by."""
        if self.dose_slope is None:
            return super().own(state)
        return self.read_doses(state) @ self.dose_slope.T

    def known(
        self, names: tuple[str, ...], covariates: Float[Array, " covariate"]
    ) -> Float[Array, " name"]:
        """Some of the covariates as the raw view has them, each of one entry."""
        pairs = zip(self.covariates, covariates, strict=True)
        entries = {spec.name: _standardized(spec, value) for spec, value in pairs}
        return jnp.concatenate([entries[name] for name in names])

    def location(self, covariates: Float[Array, " covariate"]) -> Float[Array, " latent"]:
        """The prior's mean of z for raw covariates, shape (latent,)."""
        raw = self.raw_view(covariates)
        place = self.typical + self.slope @ raw
        if self.network is None:
            return place
        names = [spec.name for spec in self.covariates]
        return place + self.network(raw, knowledge_view(self.knowledge, names, covariates))

    def widened(self, times: float) -> "LearnedPrior":
        """The same prior with effects that vary `times` as much."""
        diagonal = jnp.diag(jnp.diag(self.factor) + jnp.log(times))
        factor = times * jnp.tril(self.factor, -1) + diagonal
        return eqx.tree_at(lambda prior: prior.factor, self, factor)

    def shifted(self, by: Float[Array, " latent"]) -> "LearnedPrior":
        """The same prior with every patient's z moved by as much."""
        return eqx.tree_at(lambda prior: prior.typical, self, self.typical + by)

    def stretched(self, by: Float[Array, " latent"]) -> "LearnedPrior":
        """The same prior with the SD of each z times exp(by); correlations stay."""
        factor = jnp.exp(by)[:, None] * jnp.tril(self.factor, -1)
        factor = factor + jnp.diag(jnp.diag(self.factor) + by)
        return eqx.tree_at(lambda prior: prior.factor, self, factor)

    @property
    def group_count(self) -> int:
        """Number of groups of people that the population consists of."""
        return 1 if self.groups is None else self.groups.count

    def log_shares(self) -> Float[Array, " group"]:
        """Log of each group's share of the population, shape (group,)."""
        return jnp.zeros(1) if self.groups is None else self.groups.log_shares()

    def of_group(self, group: AnyIndex) -> "LearnedPrior":
        """The prior of the people of one group, who are one group."""
        if self.groups is None:
            return self
        alone = eqx.tree_at(lambda prior: prior.groups, self, None)
        size = jnp.broadcast_to(self.groups.sizes[group], self.typical.shape)
        return alone.shifted(self.groups.shifts[group]).stretched(size)

    def frame(self, group: AnyIndex) -> Frame:
        """Where a group's eps lie among those of the population."""
        if self.groups is None:
            return super().frame(group)
        chol, shift = self.chol(), self.groups.shifts[group]
        both = jnp.concatenate([shift[:, None], self.of_group(group).chol()], axis=1)
        white = jax.scipy.linalg.solve_triangular(chol, both, lower=True)
        return Frame(white[:, 0], white[:, 1:])

    def largest_first(self) -> "LearnedPrior":
        """The same prior with its groups in falling order of their shares."""
        if self.groups is None:
            return self
        groups, first = self.groups.ordered()
        return self.of_group(first).divided(groups)

    def divided(self, groups: Groups) -> "LearnedPrior":
        """This prior as that of the first of several groups."""
        return eqx.tree_at(
            lambda prior: prior.groups, self, groups, is_leaf=lambda leaf: leaf is None
        )

    def spread_by(self, chol: Float[Array, "latent latent"]) -> "LearnedPrior":
        """The same prior with this lower factor of its covariance."""
        factor = jnp.tril(chol, -1) + jnp.diag(jnp.log(jnp.diag(chol)))
        return eqx.tree_at(lambda prior: prior.factor, self, factor)

    def chol(self) -> Float[Array, "latent latent"]:
        """The lower factor of the prior's covariance, shape (latent, latent)."""
        diagonal = jnp.exp(jnp.clip(jnp.diag(self.factor), -7.0, 3.0))
        return jnp.tril(self.factor, -1) + jnp.diag(diagonal)

    def occasion_chol(self) -> None:
        """None: a learned model's patients do not vary between occasions."""


def raw_view(
    known: tuple[CovariateConfig, ...], covariates: Float[Array, " covariate"]
) -> Float[Array, " raw"]:
    """Standardize covariates; a categorical one fills an entry per code but the first."""
    entries = [_standardized(spec, value) for spec, value in zip(known, covariates, strict=True)]
    return jnp.concatenate(entries) if entries else covariates[:0]


def _standardized(spec: CovariateConfig, value: Float[Array, ""]) -> Float[Array, " entry"]:
    if spec.kind == "categorical":
        return jnp.stack([(value == level).astype(value.dtype) for level in spec.levels[1:]])
    x = jnp.log(jnp.maximum(value, 1e-6)) if spec.log else value
    # far outside the training range a linear effect is no knowledge: gate B says so, z stays finite
    return jnp.clip((x - spec.center) / spec.scale, -10.0, 10.0)[None]


def attention_map(prior: LearnedPrior, covariates: Float[Array, " covariate"]) -> jax.Array:
    """What each latent dimension read: shape (latent, raw, knowledge), summing to 1 each."""
    if prior.network is None:
        raise ValueError("this prior has no attention; fit with prior='multiview'")
    names = [spec.name for spec in prior.covariates]
    raw = prior.raw_view(covariates)
    return prior.network.attentions[0](raw, knowledge_view(prior.knowledge, names, covariates))[1]
