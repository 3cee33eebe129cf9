"""The three gates: whether a computation, a patient and a fit can be believed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import gammaincc, gammaincinv

from latentpk.inference.posterior import SLOWER, WIDER, Posteriors, PosteriorSettings
from latentpk.inference.psis import k_threshold
from latentpk.records.definition import RenalDefinition
from latentpk.records.recipes import CREATININE, DIALYSIS, RENAL
from latentpk.records.renal import RenalState
from latentpk.units import PHYSICAL

Verdict = Literal["ok", "caution", "refuse"]
RHAT = 1.05
WRONG = 3.0  # times the largest creatinine a patient has: another unit
FAR_DOSE = 20.0  # times usual doses: another unit, or a typing error
# Gate C: shares of false alarms, and the chance below which nothing is believed
MISFIT, IMPOSSIBLE = 0.015, 1e-6
WIDE_ODDS, SLOW_ODDS = 9.0, 2.8  # of gate C's rivals: beyond them there is a caution
INFORMED = 0.05  # share of a direction's variance that levels must tell for it to be judged
STALE, LOST = 10.0, 100.0  # half-lives between the last dose and a level


@dataclass(frozen=True)
class Trust:
    """One gate's verdict.

    Attributes:
        verdict: ok, caution or refuse.
        reason: Why, in one sentence; empty where there is nothing to say.
        gate: "A computation", "B domain" or "C fit".
        value: What was judged; nan where there was nothing to.
        threshold: Where a caution begins.
    """

    verdict: Verdict
    reason: str
    gate: str = "A computation"
    value: float = float("nan")
    threshold: float = float("nan")


@dataclass(frozen=True)
class Range:
    """Where a covariate was when the model was built.

    Attributes:
        name: Column name.
        unit: Unit of the bounds.
        soft: Outside it an answer is a caution.
        hard: Outside it an answer is refused.
        code: Whether it is a code, of which there is nothing between whole numbers.
        meaning: What it is, for whoever gave another value.
    """

    name: str
    unit: str
    soft: tuple[float, float]
    hard: tuple[float, float]
    code: bool = False
    meaning: str = ""


@dataclass(frozen=True)
class Domain:
    """Where a model holds.

    Attributes:
        ranges: Of its covariates, in the order of the records' columns.
        half_life: Of the typical patient, the slowest mode [h]; nan where unknown.
        renal: What its renal function is; None where unknown.
        usual: The smallest and the largest usual dose [mg]; None where unknown.
        doses: Of the covariates of doses, in the order of the records' columns.
    """

    ranges: tuple[Range, ...] = ()
    half_life: float = float("nan")
    renal: RenalDefinition | None = None
    usual: tuple[float, float] | None = None
    doses: tuple[Range, ...] = ()


def worst(gates: Sequence[Trust]) -> Verdict:
    """The verdict of several gates together."""
    found = {gate.verdict for gate in gates}
    return "refuse" if "refuse" in found else "caution" if "caution" in found else "ok"


def reasons(gates: Sequence[Trust]) -> list[str]:
    """What the gates have to say, refusals first."""
    ranked = sorted(gates, key=lambda gate: gate.verdict != "refuse")
    return [gate.reason for gate in ranked if gate.reason]


def gate_a(posterior: Posteriors, subject: int, settings: PosteriorSettings) -> Trust:
    """Judge one subject's computation.

    Args:
        posterior: The posteriors.
        subject: Which.
        settings: How they were computed.

    Returns:
        `ok` when the last rung climbed passed its own test, else `caution`; `refuse` where no
        finite posterior was found.
    """
    method, k, ess = posterior.method[subject], posterior.k[subject], posterior.ess[subject]
    if (
        not np.isfinite(posterior.objective[subject])
        or not np.isfinite(posterior.eps[subject]).all()
    ):
        return Trust("refuse", "No finite posterior was found: check this subject's records.")
    if method == "nuts":
        rhat = float(posterior.rhat[subject])
        if rhat <= RHAT:
            return Trust("ok", "", value=rhat, threshold=RHAT)
        reason = f"NUTS has not converged (R-hat {rhat:.2f}, limit {RHAT})."
        return Trust("caution", reason, value=rhat, threshold=RHAT)
    draws = settings.draws if method == "is" else settings.adaptive_draws
    limit, least = k_threshold(draws), settings.least_ess * settings.draws
    k, ess = float(k), float(ess)
    if not k <= limit:  # nan is not below
        reason = f"Importance weights are heavy-tailed (k-hat {k:.2f}, limit {limit:.2f})."
        return Trust("caution", reason, value=k, threshold=limit)
    if not ess >= least:
        reason = f"Few effective draws ({ess:.0f}, least {least:.0f})."
        return Trust("caution", reason, value=ess, threshold=least)
    return Trust("ok", "", value=k, threshold=limit)


def gate_b(  # noqa: PLR0913  (the last three are of one record)
    domain: Domain,
    covariates: Float[np.ndarray, "piece covariate"],
    dose_time: Float[np.ndarray, " dose"],
    level_time: Float[np.ndarray, " level"],
    renal: RenalState | None = None,
    amounts: Float[np.ndarray, " dose"] | None = None,
    state: Float[np.ndarray, "dose said"] | None = None,
) -> Trust:
    """Judge whether one subject is of the kind the model was built on.

    Args:
        domain: Where the model holds.
        covariates: All the subject's covariates, in the order of `domain.ranges`.
        dose_time: When doses were given [h].
        level_time: When the levels used were drawn [h].
        renal: What is known of the kidneys; None where nothing is.
        amounts: What each dose gave [mg]; None where it is not looked at.
        state: The covariates of each dose, in the order of `domain.doses`.

    Returns:
        `caution` outside a soft range, where a level was drawn so late that the last dose has left
        the body, or where renal function is not what the model means by it; `refuse` outside a
        hard range; `value` is the number of breaches.
    """
    said: list[tuple[bool, str]] = []
    columns = list(zip(domain.ranges, covariates.T, strict=False))
    if state is not None and state.size:
        columns += zip(domain.doses, state.T, strict=True)
    for known, column in columns:
        low, high = float(column.min()), float(column.max())
        for value in (low,) if low == high else (low, high):
            if not known.soft[0] <= value <= known.soft[1]:
                hard = not known.hard[0] <= value <= known.hard[1]
                bounds = known.hard if hard else known.soft
                rule = "it is refused outside" if hard else "the model was built on"
                unit = f" {known.unit}" if known.unit and not known.code else ""
                words = f"{known.name} is {value:g}{unit}; {rule} {bounds[0]:g} to {bounds[1]:g}"
                said.append((hard, words + (f" ({known.meaning})." if known.meaning else ".")))
        if known.code and (broken := _between(column)) is not None:
            words = f"{known.name} is {broken:g}, and it is a code: a whole number"
            said.append((True, words + (f" ({known.meaning})." if known.meaning else ".")))
    said += _stale(domain, dose_time, level_time)
    said += _doses(domain, amounts)
    if renal is not None:
        said += _creatinine(domain, renal) + [(False, words) for words in _renal(domain, renal)]
    verdict: Verdict = "ok" if not said else "refuse" if any(h for h, _ in said) else "caution"
    words = " ".join(text for _, text in sorted(said, key=lambda one: not one[0]))
    return Trust(verdict, words, "B domain", float(len(said)), 0.0)


def cautioned(gate: Trust, said: Sequence[str]) -> Trust:
    """A gate that has more to say: sentences that are a caution each, none of them a refusal."""
    if not said:
        return gate
    verdict = worst((gate, replace(gate, verdict="caution")))
    reason = " ".join([*filter(None, [gate.reason]), *said])
    return replace(gate, verdict=verdict, reason=reason, value=gate.value + len(said))


def _between(values: Float[np.ndarray, " piece"]) -> float | None:
    """The first value that is no whole number."""
    odd = values[np.mod(values, 1) != 0]
    return float(odd[0]) if odd.size else None


def _stale(
    domain: Domain, dose_time: Float[np.ndarray, " dose"], level_time: Float[np.ndarray, " level"]
) -> list[tuple[bool, str]]:
    """What is wrong with when levels were drawn."""
    if level_time.size == 0:
        return []
    if dose_time.size == 0 or level_time.min() < dose_time.min():
        return [(True, f"A level at {level_time.min():g} h was drawn before any dose.")]
    if not np.isfinite(domain.half_life):
        return []
    since = [t - dose_time[dose_time <= t].max() for t in level_time]
    lives = max(since) / domain.half_life
    if lives <= STALE:
        return []
    words = (
        f"A level was drawn {max(since):.10g} h after the dose before it, {lives:.0f} typical "
        "half-lives: that dose has left the body."
    )
    return [(bool(lives > LOST), words)]


def _creatinine(domain: Domain, renal: RenalState) -> list[tuple[bool, str]]:
    """Creatinine that no patient has: a wrong unit, which caps and floors may hide.

    Where the file states renal function itself, and nothing was computed, it is no more than doubt;
    to a model that asks for neither it is nothing.
    """
    names = {one.name for one in domain.ranges}
    if not names & {*RENAL, *CREATININE}:
        return []
    counts = renal.definition is not None or bool(names & set(CREATININE))
    known = PHYSICAL[CREATININE[0]]
    low, high = known.low, known.high
    values = renal.creatinine
    odd = values[(values < low) | (values > high)]
    if odd.size == 0:
        return []
    words = (
        f"Creatinine is {odd[0]:.3g} mg/dL; patients have {low:g} to {high:g}: is its unit right "
        "(--units SCR=umol/L or mg/dL)?"
    )
    wrong = bool((odd < low).any() or (odd > WRONG * high).any())
    return [(counts and wrong, words)]


def _doses(domain: Domain, amounts: Float[np.ndarray, " dose"] | None) -> list[tuple[bool, str]]:
    """Doses that nobody gives: a wrong unit, or a typing error."""
    if domain.usual is None or amounts is None:
        return []
    low, high = domain.usual[0] / FAR_DOSE, domain.usual[1] * FAR_DOSE
    odd = amounts[(amounts > 0) & ((amounts < low) | (amounts > high))]
    if odd.size == 0:
        return []
    words = (
        f"A dose of {odd[0]:.4g} mg was given; usual ones are {domain.usual[0]:.4g} to "
        f"{domain.usual[1]:.4g}: is its unit right (--units AMT=...)?"
    )
    return [(bool((odd > high).any()), words)]


def _renal(domain: Domain, renal: RenalState) -> list[str]:
    """What is doubtful about the renal function a model is given."""
    names = {known.name for known in domain.ranges}
    said = []
    clearance = [known.name for known in domain.ranges if known.name in RENAL]
    if clearance and renal.definition and domain.renal and renal.definition != domain.renal:
        said.append(
            f"{clearance[0]} was computed by {renal.definition.describe()}; the model was built on "
            f"{domain.renal.describe()}."
        )
    leap = renal.leap() if names & {*RENAL, *CREATININE} else None
    if leap is not None:
        said.append(
            f"Creatinine moved from {leap[0]:.3g} to {leap[1]:.3g} mg/dL within {leap[2]:.3g} h: "
            "the formula of renal function assumes a steady state."
        )
    if renal.dialysis and not names & set(DIALYSIS):
        said.append("The patient is on dialysis, which this model does not know.")
    return said


def gate_c(
    posterior: Posteriors, subject: int, used: Bool[np.ndarray, " level"] | None = None
) -> Trust:
    r"""Judge whether the model can explain one subject's levels.

    The patient may be unlike those the model was built on: then the levels are likelier under a
    rival, for patients who differ three times as much from the typical one, or who clear the drug
    five times more slowly than their covariates say (a kidney that fails),

    .. math:: B = p(y | rival) / p(y)

    which exceeds N in at most one of N patients where the model is right (Markov's inequality).
    Or no curve of the model goes through the levels. Where it is linear and right, and S is the
    posterior covariance of the effects,

    .. math:: M = \sum_j r_j^2 + \sum_k \varepsilon_k^2 \sim \chi^2_n, \qquad
              M - W \sim \chi^2_{n-m}

    with r the standardized residuals at the mode, n levels, and W the part of M that lies in the m
    directions of the effects that the levels inform: the remainder shows a wrong curve undiluted.

    In a population of several groups the effects are those within the likeliest group, and the
    evidences those of all groups together.

    Args:
        posterior: The posteriors.
        subject: Which.
        used: Which columns of `posterior.residual` hold a level; None takes those not 0.

    Returns:
        `caution` where B is above 9 or 2.8, or the chance of the remainder below 1.5 %; `refuse`
        where the chance of so large an M is below one in a million. `value` is the smallest of
        9 / B, 2.8 / B and the remainder's chance over 1.5 %: below 1 there is a caution.
    """
    residual = posterior.residual[subject]
    residual = residual[residual != 0] if used is None else residual[used]
    if residual.size == 0:
        return Trust("ok", "", "C fit", 1.0, 1.0)
    own = posterior.likeliest or posterior  # a patient of several groups is judged within one
    effect = own.mode[subject]
    misfit = float(np.sum(residual**2) + np.sum(effect**2))
    whole = float(gammaincc(residual.size / 2, misfit / 2))
    if not whole >= IMPOSSIBLE:  # nan is not above
        words = f"The model cannot explain these levels (misfit {misfit:.3g})."
        ratio = whole / IMPOSSIBLE if np.isfinite(whole) else 0.0
        return Trust("refuse", words, "C fit", ratio, 1.0)
    ratio, words = min(_tests(posterior, subject, residual.size, misfit))
    return Trust("caution" if ratio < 1 else "ok", words if ratio < 1 else "", "C fit", ratio, 1.0)


def _tests(
    posterior: Posteriors, subject: int, levels: int, misfit: float
) -> list[tuple[float, str]]:
    """Each test's chance over its share of the false alarms, and what a small one means."""
    own = posterior.likeliest or posterior
    effect = own.mode[subject]
    draws, weight = own.eps[subject], own.weight[subject]
    centered = draws - weight @ draws
    values, vectors = np.linalg.eigh((centered * weight[:, None]).T @ centered)
    told = 1 - values  # how much of each direction the levels told
    informed = told > INFORMED
    along = (vectors.T @ effect)[informed] ** 2 / told[informed]
    found = _rivals(posterior, subject)
    rest = levels - int(informed.sum())
    if rest > 0:
        remainder = max(misfit - float(along.sum()), 0.0)
        chance = float(gammaincc(rest / 2, remainder / 2))
        usual = 2 * float(gammaincinv(rest / 2, 1 - MISFIT))
        found.append(
            (
                chance / MISFIT,
                f"No curve of this model goes through these levels: misfit {remainder:.3g}, and "
                f"{100 * (1 - MISFIT):g} in 100 patients have less than {usual:.3g}.",
            )
        )
    return found or [(1.0, "")]


def _rivals(posterior: Posteriors, subject: int) -> list[tuple[float, str]]:
    """The odds of each rival, as their limit over them, and what large ones mean."""
    known = (
        (
            posterior.log_evidence_wide,
            WIDE_ODDS,
            "This patient is unlike those the model was built on",
            f"in patients who differ {WIDER:g} times as much from the typical one",
        ),
        (
            posterior.log_evidence_slow,
            SLOW_ODDS,
            "This patient seems to clear the drug far more slowly than the covariates say",
            f"with a clearance {SLOWER:g} times smaller",
        ),
    )
    found = []
    for evidence, limit, meaning, rival in known:
        log_odds = float(evidence[subject] - posterior.log_evidence[subject])
        if np.isfinite(log_odds):
            odds = float(np.exp(min(log_odds, 700.0)))
            words = f"{meaning}: the levels are {min(odds, 1e6):.3g} times likelier {rival}."
            found.append((limit / max(odds, 1e-300), words))
    return found
