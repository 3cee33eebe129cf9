"""Simple or complex: two kinds of people, estimated from a population and told of each subject."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from latentpk.inference.bank import (
    Bank,
    LeftOut,
    densities,
    later_given_earlier,
    leave_one_out,
    log_mean,
    make_bank,
    normal_weights,
    standard_ratio,
)
from latentpk.inference.dimension import Dimension, directions, informed, measure_dimension
from latentpk.inference.two_kinds import (
    DRAWS,
    Mixture,
    Side,
    Verdicts,
    completed,
    draws_under,
    fit_alone,
    fit_mixture,
    held_out_gain,
    judge,
    let_in,
    presence_of,
    surely_more,
)
from latentpk.models.config import Frozen
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, stack_records, take
from latentpk.records.subject import Cohort, Subject
from latentpk.workflows.complexity.rival import (
    FOLDED,
    GIVEN,
    SEEN,
    UNSEEN,
    check_input,
    fit_rival,
    folded_rivals,
    told,
    trained_on,
)
from latentpk.workflows.profile import ProfileVAE

Progress = Callable[[int, int, str], None]
PSEUDO = 10.0  # subjects by which the training data's share counts for other data
MOST_DRAWS = 400_000  # subjects times draws that are held at once


class ComplexitySettings(Frozen):
    """How subjects are told apart.

    Attributes:
        draws: Of each subject's posterior; fewer where subjects are many.
        sure: Probability from which a subject is called complex; 1 minus it, simple.
        dimension_subjects: Most subjects by which the latent dimension is told.
        seed: Of everything random.
    """

    draws: int = Field(default=512, ge=64)
    sure: float = Field(default=0.8, gt=0.5, lt=1)
    dimension_subjects: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, eq=False)
class Judged:
    """One of the two models, as it was trained, on the subjects with levels enough.

    Attributes:
        bank: Draws of every subject.
        weight: Posterior weights, which sum to 1, shape (subject, draw).
        left_out: Each level predicted from the others.
        evidence: Log density of all levels [nats], shape (subject,).
        later: Log density of the later half given the earlier one [nats], shape (subject,).
    """

    bank: Bank
    weight: Float[np.ndarray, "subject draw"]
    left_out: LeftOut
    evidence: Float[np.ndarray, " subject"]
    later: Float[np.ndarray, " subject"]


@dataclass(frozen=True, eq=False)
class Assessment:
    """What was found; `answer.told` makes JSON of it.

    Attributes:
        model: The trained model.
        rival: The compartment model.
        cohort: All subjects.
        index: Of those with levels enough, shape (judged,).
        seen: What either model has seen, as a sentence.
        settings: How.
        trained: The trained model on them.
        compartment: The rival on them.
        mixture: The two kinds.
        verdicts: What it says of them.
        presence: Probability that there are complex people at all.
        parted: Probability that they are people apart, where presence may also be a decoder that
            fits everybody a little better: of the gain less what stays open of who is what.
        gain: Log density that subjects of the training data gain by there being complex ones,
            fitted without them [nats], shape (training subject,).
        probability: Of being complex, shape (judged,).
        informed: Directions that each subject's levels inform, shape (judged,).
        dimension: Of the latent space.
    """

    model: ProfileVAE
    rival: ProfileVAE
    cohort: Cohort
    index: Int[np.ndarray, " judged"]
    seen: str
    settings: ComplexitySettings
    trained: Judged
    compartment: Judged
    mixture: Mixture
    verdicts: Verdicts
    presence: float
    parted: float
    gain: Float[np.ndarray, " subject"]
    probability: Float[np.ndarray, " judged"]
    informed: Float[np.ndarray, " judged"]
    dimension: Dimension

    def stacked(self, *, until_last_level: bool = True) -> Record:
        """Records of the judged subjects."""
        few = [self.cohort.subjects[i] for i in self.index]
        return _stack(self.model, few, until_last_level=until_last_level)


def assess(
    model: ProfileVAE,
    cohort: Cohort,
    *,
    train: Cohort | None = None,
    rival: ProfileVAE | None = None,
    settings: ComplexitySettings | None = None,
    progress: Progress | None = None,
) -> Assessment:
    """Tell which subjects a compartment model describes, and which it does not.

    Args:
        model: A trained model with a decoder that is no compartment model.
        cohort: The subjects to judge, read with `model.reading()`.
        train: The population that the compartment model is fitted to and the kinds of people are
            found in; None takes the judged subjects themselves.
        rival: A compartment model that is there already; None fits the best one.
        settings: How.
        progress: Called with (done, total, label).

    Raises:
        InputError: Every reason why these cannot be compared.
    """
    settings = settings or ComplexitySettings()
    check_input(model, cohort, train, rival)
    source = cohort if train is None else train
    population = source.subset(told(source))
    index = told(cohort)
    given = rival is not None
    if rival is None:
        rival = fit_rival(model, population, seed=settings.seed, progress=progress)
    seen = _seen(model, cohort, train, given=given)
    pair = (model, rival)
    trained, compartment, records = _judged_levels(pair, population, settings, progress)
    residual = model.model.residual
    sides = _sides(pair, trained, compartment)
    mixture, banks = fit_mixture(*sides, residual, seed=settings.seed, progress=progress)
    alone = fit_alone(sides[0], residual, compartment.evidence, seed=settings.seed)
    gain = held_out_gain(mixture, banks, alone, seed=settings.seed)
    loose, renewed = let_in(*sides, mixture, banks, seed=settings.seed, progress=progress)
    gained = held_out_gain(loose, renewed, alone, seed=settings.seed)
    sure, surer = completed(gain, judge(mixture, *banks)), completed(gained, judge(loose, *renewed))
    if surely_more(surer, sure):
        mixture, banks, gain, sure = loose, renewed, gained, surer
    presence, parted = presence_of(gain), presence_of(sure)
    if train is None:
        verdicts = judge(mixture, *banks)
    else:
        asked = cohort.subset(index)
        trained, compartment, records = _judged_levels(pair, asked, settings, progress)
        verdicts = _judge_others(mixture, _sides(pair, trained, compartment), settings)
    if seen == FOLDED:
        folds = folded_rivals(model, rival, population, seed=settings.seed, progress=progress)
        compartment = _crossed(compartment, records, folds, settings)
    along = directions(trained.bank, trained.weight)
    few = np.arange(len(index))[: settings.dimension_subjects]
    dimension = measure_dimension(
        model.model, take(records, few), along, seed=settings.seed, progress=progress
    )
    return Assessment(
        model=model,
        rival=rival,
        cohort=cohort,
        index=index,
        seen=seen,
        settings=settings,
        trained=trained,
        compartment=compartment,
        mixture=mixture,
        verdicts=verdicts,
        presence=presence,
        parted=parted,
        gain=gain,
        probability=presence * verdicts.probability,
        informed=informed(trained.bank, trained.weight),
        dimension=dimension,
    )


def _judged_levels(
    pair: tuple[ProfileVAE, ProfileVAE],
    cohort: Cohort,
    settings: ComplexitySettings,
    progress: Progress | None,
) -> tuple[Judged, Judged, Record]:
    """Both models as they were trained, on the same subjects."""
    records = _stack(pair[0], cohort.subjects)
    names = ("the trained model", "the compartment model")
    trained, compartment = (
        _judge_levels(one.model, records, settings, progress, f"held-out levels, {name}")
        for one, name in zip(pair, names, strict=True)
    )
    return trained, compartment, records


def _sides(
    pair: tuple[ProfileVAE, ProfileVAE], trained: Judged, compartment: Judged
) -> tuple[Side, Side]:
    """Simple and complex."""
    return Side(pair[1].model, compartment.bank), Side(pair[0].model, trained.bank)


def _judge_others(
    mixture: Mixture, sides: tuple[Side, Side], settings: ComplexitySettings
) -> Verdicts:
    """Kinds that were found in one population told of other subjects."""
    simple, complex_ = (
        draws_under(side, kind, mixture.residual, draws=DRAWS, seed=settings.seed)
        for side, kind in zip(sides, (mixture.simple, mixture.complex), strict=True)
    )
    return judge(mixture, simple, complex_, told=PSEUDO)


def _judge_levels(
    model: LatentModel,
    records: Record,
    settings: ComplexitySettings,
    progress: Progress | None,
    label: str = "",
) -> Judged:
    count = len(np.asarray(records.mask))
    draws = int(np.clip(MOST_DRAWS // count, min(256, settings.draws), settings.draws))
    bank = make_bank(
        model, records, draws=draws, seed=settings.seed, progress=progress, label=label
    )
    each, ratio = densities(bank, model.residual), standard_ratio(bank)
    return Judged(
        bank,
        normal_weights(each, ratio),
        leave_one_out(model, bank, seed=settings.seed),
        log_mean(each.sum(axis=2) + ratio),
        later_given_earlier(bank, each, ratio),
    )


def _crossed(
    judged: Judged,
    records: Record,
    folds: list[tuple[ProfileVAE, np.ndarray]],
    settings: ComplexitySettings,
) -> Judged:
    """Held-out levels by rivals that have not seen their subjects; draws stay the first one's."""
    found = {name: value.copy() for name, value in vars(judged.left_out).items()}
    for rival, held in folds:
        own = _judge_levels(rival.model, take(records, held), settings, None)
        for name in found:
            found[name][held] = getattr(own.left_out, name)
    return replace(judged, left_out=LeftOut(**found))


def _stack(
    model: ProfileVAE, subjects: Sequence[Subject], *, until_last_level: bool = True
) -> Record:
    undecided = float(model.fitted.chosen.route == "oral")
    return stack_records(
        subjects,
        undecided=undecided,
        until_last_level=until_last_level,
        tight=True,
    )


def _seen(model: ProfileVAE, cohort: Cohort, train: Cohort | None, *, given: bool) -> str:
    if given:
        return GIVEN
    mine = trained_on(model, cohort)
    if train is None:
        return SEEN if mine else FOLDED
    return SEEN if mine and train.source_hash == cohort.source_hash else UNSEEN
