r"""A population of two kinds of people, each with a decoder and a Gaussian of its own.

.. math:: p(y_i) = (1 - \pi) p(y_i | \mathrm{simple}) + \pi p(y_i | \mathrm{complex}),

.. math:: p(y_i | k) = \int p(y_i | f_k(\epsilon), \sigma) N(\epsilon; \mu_k, \Sigma_k) d\epsilon

A model trained on both kinds has a prior too wide for either, and a compartment model of both an
error and a spread too large for the simple ones: judged as they were trained, the two are hardly
told apart. So the Gaussians are found by expectation and maximization, with draws that are renewed
at every step (a population fitted to draws that rest moves to where their weights are largest by
chance). The residual error belongs to the assay: it is the trained model's for both, since that
model can follow everybody.

The likelihood alone would call everybody complex, because a freer decoder can mimic a compartment
model. So while kinds are found a subject counts as complex only beyond odds of e^NEED to 1, and the
complex kind is learned from those who need it; then the simple ones no longer fit it. Complex
people who were counted as simple meanwhile widen the simple kind, which then describes them: so the
kinds are found once more, from there, at odds of e^LESS. That is kept where held-out subjects gain
by it, what stays open of who is what taken off, by two standard errors: where a decoder only mimics
the other, the likelihood gains as well but nobody is told. (At even odds the freer decoder takes
ever more of the simple people.)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from latentpk.inference.bank import Bank, densities, log_mean, redraw
from latentpk.models.latent import LatentModel
from latentpk.models.residual import Residual

Progress = Callable[[int, int, str], None]
STEPS, LEAST_STEPS = 30, 8  # of expectation and maximization
SETTLED = 0.004  # mean change of the probabilities under which it ends
ALONE_STEPS = 12  # where all are simple
DRAWS = 384  # of each subject and step
NEED = 3.0  # nats: odds of 20, strong evidence (Kass and Raftery 1995)
LESS = 1.0  # nats: odds of e, where their positive evidence begins, once both kinds are known
FOLDS = 5


class Gaussian(NamedTuple):
    """A kind's distribution over eps.

    Attributes:
        mean: Shape (effect,).
        covariance: Shape (effect, effect).
    """

    mean: Float[np.ndarray, " effect"]
    covariance: Float[np.ndarray, "effect effect"]


class Side(NamedTuple):
    """A kind's model, and draws of the subjects under it."""

    model: LatentModel
    bank: Bank


@dataclass(frozen=True, eq=False)
class Mixture:
    """Two kinds of people.

    Attributes:
        share: Of the complex ones.
        simple: Over the compartment model's eps.
        complex: Over the trained model's eps.
        residual: Of either.
        need: Log odds that a subject needed to count as complex while kinds were found.
    """

    share: float
    simple: Gaussian
    complex: Gaussian
    residual: Residual
    need: float = NEED


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What a mixture says of subjects.

    Attributes:
        simple: Log evidence as a simple one [nats], shape (subject,).
        complex: Log evidence as a complex one [nats], shape (subject,).
        share: Of complex ones among them.
    """

    simple: Float[np.ndarray, " subject"]
    complex: Float[np.ndarray, " subject"]
    share: float

    @property
    def log_bayes(self) -> Float[np.ndarray, " subject"]:
        """Log Bayes factor of complex over simple."""
        return self.complex - self.simple

    @property
    def probability(self) -> Float[np.ndarray, " subject"]:
        """Of being complex."""
        return sigmoid(self.log_bayes + logit(self.share))


def standard(effects: int) -> Gaussian:
    """A kind as its model was trained."""
    return Gaussian(np.zeros(effects), np.eye(effects))


def fit_mixture(
    simple: Side,
    complex_: Side,
    residual: Residual,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Mixture, tuple[Bank, Bank]]:
    """Find both kinds in a population.

    Gaussians are held at the trained ones by as many subjects as they have dimensions: thirty
    patients do not fill a covariance.

    Args:
        simple: The compartment model with draws of every subject.
        complex_: The trained model with draws of the same subjects.
        residual: Of both.
        seed: Of the draws.
        progress: Called with (done, total, label).

    Returns:
        The kinds, and draws made after the last step, which no population was fitted to.
    """
    one, other = (standard(side.bank.eps.shape[2]) for side in (simple, complex_))
    bare = Mixture(0.5, one, other, residual)
    banks = (simple.bank, complex_.bank)
    return _found((simple, complex_), bare, banks, seed, progress)


def let_in(
    simple: Side,
    complex_: Side,
    begun: Mixture,
    banks: tuple[Bank, Bank],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Mixture, tuple[Bank, Bank]]:
    """The kinds once more, from where `fit_mixture` found them, by less evidence.

    Args:
        simple: As there.
        complex_: As there.
        begun: What was found.
        banks: With its draws.
        seed: Of the draws.
        progress: Called with (done, total, label).

    Returns:
        The kinds, and draws that they were not fitted to.
    """
    return _found(
        (simple, complex_), replace(begun, share=0.5, need=LESS), banks, seed + 7, progress
    )


def _found(
    sides: tuple[Side, Side],
    begun: Mixture,
    banks: tuple[Bank, Bank],
    seed: int,
    progress: Progress | None,
) -> tuple[Mixture, tuple[Bank, Bank]]:
    """Expectation and maximization until nobody's kind changes."""
    anchors = tuple(standard(side.bank.eps.shape[2]) for side in sides)
    here, before = begun, np.full(len(banks[0]), np.inf)
    for step in range(STEPS):
        joint = _joint(here, banks)
        belongs = _belongs(here, joint)
        weights = [_normal(one) for one in joint]
        kinds = tuple(map(moments, banks, weights, (1 - belongs, belongs), anchors))
        one, other = (
            redraw(side.model, bank, weight, kind, draws=DRAWS, seed=seed + 101 * step)
            for side, bank, weight, kind in zip(sides, banks, weights, kinds, strict=True)
        )
        banks = (one, other)
        here = replace(here, simple=kinds[0], complex=kinds[1])
        if progress is not None:
            progress(step + 1, STEPS, "two kinds of people")
        settled = float(np.mean(np.abs(belongs - before))) < SETTLED
        before = belongs
        if settled and step + 1 >= LEAST_STEPS:
            break
    return replace(here, share=judge(here, *banks).share), banks


def _joint(mixture: Mixture, banks: tuple[Bank, Bank]) -> list[Float[np.ndarray, "subject draw"]]:
    kinds = (mixture.simple, mixture.complex)
    return [joint_of(b, k, mixture.residual) for b, k in zip(banks, kinds, strict=True)]


def _belongs(
    mixture: Mixture, joint: list[Float[np.ndarray, "subject draw"]]
) -> Float[np.ndarray, " subject"]:
    """How far each subject is learned from as a complex one."""
    return sigmoid(log_mean(joint[1]) - log_mean(joint[0]) - mixture.need)


def judge(mixture: Mixture, simple: Bank, complex_: Bank, *, told: float = 2.0) -> Verdicts:
    """Evidence of every subject under both kinds, and the share of complex ones among them.

    Args:
        mixture: The kinds, and the share to begin from.
        simple: Draws of the compartment model.
        complex_: Draws of the trained model, of the same subjects.
        told: Subjects by which the mixture's share counts.
    """
    one = log_mean(joint_of(simple, mixture.simple, mixture.residual))
    other = log_mean(joint_of(complex_, mixture.complex, mixture.residual))
    return Verdicts(one, other, share_of(other - one, mixture.share, told))


def share_of(log_bayes: Float[np.ndarray, " subject"], before: float, told: float) -> float:
    """Share of complex people by its likelihood, held at `before` by as many subjects as `told`."""
    share = before
    for _ in range(500):
        belongs = sigmoid(log_bayes + logit(share))
        moved = float((belongs.sum() + told * before) / (len(log_bayes) + told))
        if abs(moved - share) < 1e-6:
            break
        share = moved
    return share


def draws_under(side: Side, kind: Gaussian, residual: Residual, *, draws: int, seed: int) -> Bank:
    """Draws of subjects under a kind that was found in others."""
    bank = side.bank
    for turn in range(2):  # the second from where the first found the subject to be
        weight = _normal(joint_of(bank, kind, residual))
        bank = redraw(side.model, bank, weight, kind, draws=draws, seed=seed + turn)
    return bank


def fit_alone(
    simple: Side, residual: Residual, trained: Float[np.ndarray, " subject"], *, seed: int = 0
) -> Float[np.ndarray, " subject"]:
    """Log evidence of subjects where all are simple, in their best population [nats].

    The compartment model as it was trained may have been trained on others; with the residual
    error of both kinds its population is found here too, and what explains all subjects together
    better is taken.

    Args:
        simple: The compartment model with draws of every subject.
        residual: The mixture's.
        trained: Log evidence under the compartment model as it was trained.
        seed: Of the draws.
    """
    anchor = standard(simple.bank.eps.shape[2])
    kind, bank = anchor, simple.bank
    everyone = np.ones(len(bank))
    for step in range(ALONE_STEPS):
        weight = _normal(joint_of(bank, kind, residual))
        kind = moments(bank, weight, everyone, anchor)
        bank = redraw(simple.model, bank, weight, kind, draws=DRAWS, seed=seed + 103 * step)
    found = log_mean(joint_of(bank, kind, residual))
    return found if found.sum() > trained.sum() else trained


def held_out_gain(
    mixture: Mixture, banks: tuple[Bank, Bank], alone: Float[np.ndarray, " subject"], *, seed: int
) -> Float[np.ndarray, " subject"]:
    """Log density that subjects gain by there being complex people [nats].

    Kinds and share are those of the other folds. Where all are simple these subjects are among
    those that the population was found in, so that the gain is rather too small.

    Args:
        mixture: The kinds.
        banks: Draws that nothing was fitted to, of simple and complex.
        alone: Log evidence where all are simple (`fit_alone`), shape (subject,).
        seed: Of the folds.
    """
    joint = _joint(mixture, banks)
    weights = [_normal(one) for one in joint]
    belongs = _belongs(mixture, joint)
    anchors = [standard(len(kind.mean)) for kind in (mixture.simple, mixture.complex)]
    order = np.random.Generator(np.random.Philox([seed, len(alone)])).permutation(len(alone))
    gain = np.zeros(len(alone))
    for part in np.array_split(order, min(FOLDS, len(alone))):
        kept = np.setdiff1d(order, part)
        shares = (1 - belongs[kept], belongs[kept])
        own = [
            moments(bank.rows(kept), weight[kept], share, anchor)
            for bank, weight, share, anchor in zip(banks, weights, shares, anchors, strict=True)
        ]
        without = replace(mixture, simple=own[0], complex=own[1])
        share = judge(without, *(bank.rows(kept) for bank in banks)).share
        held = judge(without, *(bank.rows(part) for bank in banks))
        both = np.logaddexp(np.log1p(-share) + held.simple, np.log(share) + held.complex)
        gain[part] = both - alone[part]
    return gain


def presence_of(gain: Float[np.ndarray, " subject"]) -> float:
    """Probability that complex people exist, its log odds the held-out gain less two errors.

    Where nobody is complex the likelihood of their share is flat, and everybody would be complex
    with that share.
    """
    error = float(np.std(gain, ddof=1)) * np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    return float(sigmoid(np.asarray(gain.sum() - 2 * error)))


def completed(
    gain: Float[np.ndarray, " subject"], verdicts: Verdicts
) -> Float[np.ndarray, " subject"]:
    """Held-out gain less what stays open of who is what: the completed likelihood [nats].

    A freer decoder that mimics the other gains likelihood and leaves everybody undecided; kinds
    that are there gain and part (Biernacki, Celeux and Govaert 2000).

    Args:
        gain: From `held_out_gain`.
        verdicts: Of the same subjects.
    """
    p = np.clip(verdicts.probability, 1e-12, 1 - 1e-12)
    return gain + p * np.log(p) + (1 - p) * np.log1p(-p)


def surely_more(gain: Float[np.ndarray, " subject"], before: Float[np.ndarray, " subject"]) -> bool:
    """Whether subjects gain more by two standard errors of the difference."""
    more = gain - before
    if len(more) < 2:
        return False
    return bool(more.sum() > 2 * np.std(more, ddof=1) * np.sqrt(len(more)))


def share_interval(verdicts: Verdicts) -> tuple[float, float]:
    """95 % interval of the share by the curvature of its likelihood on the logit's scale."""
    share = verdicts.share
    belongs = verdicts.probability
    information = float(np.sum((belongs - share) ** 2))
    reach = 1.96 / np.sqrt(max(information, 1e-9))
    low, high = (float(sigmoid(np.asarray(logit(share) + s * reach))) for s in (-1, 1))
    return low, high


def joint_of(bank: Bank, kind: Gaussian, residual: Residual) -> Float[np.ndarray, "subject draw"]:
    """Log likelihood times prior over proposal, of every draw."""
    root = np.linalg.inv(np.linalg.cholesky(kind.covariance))
    white = (bank.eps - kind.mean) @ root.T
    prior = -0.5 * np.sum(white**2, axis=2) + np.sum(np.log(np.diag(root)))
    prior -= 0.5 * len(kind.mean) * np.log(2 * np.pi)
    return densities(bank, residual).sum(axis=2) + prior - bank.log_q


def moments(
    bank: Bank,
    weight: Float[np.ndarray, "subject draw"],
    share: Float[np.ndarray, " subject"],
    anchor: Gaussian,
) -> Gaussian:
    """Mean and covariance of a kind's draws, held weakly at an anchor.

    Args:
        bank: Draws.
        weight: Posterior weights, which sum to 1 for each subject.
        share: How far each subject belongs to the kind.
        anchor: What counts as one subject for the mean, and one more than dimensions for the rest.
    """
    w = weight * share[:, None]
    total, held = float(w.sum()), len(anchor.mean) + 1
    mean = (np.einsum("ns,nsd->d", w, bank.eps) + anchor.mean) / (total + 1)
    away = bank.eps - mean
    scatter = np.einsum("nsd,nse->de", away * w[..., None], away, optimize=True)
    return Gaussian(mean, (scatter + held * anchor.covariance) / (total + held))


def sigmoid(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Probability of log odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -500, 500))))


def logit(share: float) -> float:
    """Log odds of a probability, which stays off 0 and 1."""
    inside = min(max(share, 1e-6), 1 - 1e-6)
    return float(np.log(inside / (1 - inside)))


def _normal(joint: Float[np.ndarray, "subject draw"]) -> Float[np.ndarray, "subject draw"]:
    weight = np.exp(joint - joint.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)
