"""The compartment model that a trained model is compared with, and what either may have seen."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from latentpk.errors import InputError, Problem
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.prior import LearnedPrior
from latentpk.records.subject import Cohort, Subject
from latentpk.workflows.profile import ProfileVAE

Progress = Callable[[int, int, str], None]
LEAST = 20  # subjects of at least TOLD levels by whom a population is estimated
TOLD = 2  # levels below which one cannot be held out
FOLDS = 3
SEEN = "both models were trained on these subjects"
UNSEEN = "neither model was trained on these subjects"
FOLDED = (
    "the trained model was not trained on these subjects; for the errors of held-out levels the "
    "compartment model was fitted three times, each without the subjects it was judged on"
)
GIVEN = "the compartment model was given; whether it was trained on these subjects is not known"


def levels_of(subject: Subject) -> int:
    """How many levels a subject has."""
    return len(subject.levels)


def told(cohort: Cohort) -> np.ndarray:
    """Indices of the subjects with levels enough to hold one out."""
    return np.flatnonzero([levels_of(s) >= TOLD for s in cohort])


def check_input(
    model: ProfileVAE, cohort: Cohort, train: Cohort | None, rival: ProfileVAE | None
) -> None:
    """Refuse what cannot be compared, every reason at once.

    Raises:
        InputError: The model is itself a compartment model, or was not trained from data; the rival
            is none, or reads other covariates; there are too few subjects to estimate kinds of
            people from.
    """
    wrong: list[Problem] = []
    if isinstance(model.model.decoder, CompartmentDecoder):
        wrong.append(
            Problem(
                "MODEL",
                f"itself a compartment model ({_named(model)})",
                "It would be compared with itself",
                "Fit a freer one to the same data: latentpk fit DATA.csv --decoder kernel (or "
                "hybrid, neural-ode), or --decoder auto, which tries them",
            )
        )
    elif not isinstance(model.model.prior, LearnedPrior):
        rule = "Only a population that was learned from data has kinds of people to be found"
        wrong.append(Problem("MODEL", "a published population", rule, "Use `latentpk fit`"))
    for name, one in (("MODEL", model), ("--rival", rival)):
        if one is not None and one.model.prior.group_count > 1:
            rule = "Simple and complex people are the only groups that are looked for"
            mend = "Fit it without --components"
            wrong.append(Problem(name, "knows groups of people itself", rule, mend))
    if rival is not None:
        if not isinstance(rival.model.decoder, CompartmentDecoder) or not isinstance(
            rival.model.prior, LearnedPrior
        ):
            rule = "The rival is a compartment model trained on data"
            mend = "Make one: latentpk fit DATA.csv --decoder compartment"
            wrong.append(Problem("--rival", f"{_named(rival)}", rule, mend))
        names = [c.name for c in rival.fitted.config.covariates]
        if names != list(cohort.covariate_names):
            rule = "Both models read the same covariates, in the same order"
            mine = ", ".join(cohort.covariate_names) or "none"
            mend = f"Fit it with --covariates {mine}"
            wrong.append(Problem("--rival", ", ".join(names) or "no covariates", rule, mend))
        if rival.model.residual.kind != model.model.residual.kind:
            rule = "The assay is the same for both, so its error has one form"
            mend = f"Fit it with residual error {model.model.residual.kind}"
            wrong.append(Problem("--rival", rival.model.residual.kind, rule, mend))
    source = cohort if train is None else train
    count = len(told(source))
    if count < LEAST:
        where = "DATA" if train is None else "--train"
        rule = f"At least {LEAST} subjects tell how the two kinds of people are spread"
        mend = "Give the data the model was fitted to with --train"
        found = f"{count} subjects with {TOLD} levels or more"
        wrong.append(Problem(where, found, rule, mend))
    if train is not None and len(told(cohort)) == 0:
        rule = f"A subject is judged by {TOLD} levels or more"
        wrong.append(Problem("DATA", "no subject with as many levels", rule, "Add levels"))
    if wrong:
        raise InputError(wrong, source="what is to be compared")


def fit_rival(
    model: ProfileVAE,
    cohort: Cohort,
    *,
    structure: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    label: str = "compartment model",
) -> ProfileVAE:
    """The best compartment model by held-out forecasts, with the trained model's freedom otherwise.

    The residual error has the same form, covariates act through the same kind of prior, and doses
    of undecided route go the same way.

    Args:
        model: The trained model.
        cohort: What to fit.
        structure: auto, or one that was chosen already.
        seed: Of everything random.
        progress: Called with (done, total, label).
        label: Before what the fit itself says.
    """
    chosen = model.fitted.chosen
    route: Literal["iv", "oral"] = chosen.route
    prior = chosen.prior if chosen.prior in ("linear", "multiview") else "linear"
    fitted = ProfileVAE(
        decoder="compartment",
        structure=structure,
        route=route,
        prior=prior,
        residual=model.model.residual.kind,
        seed=seed,
    )
    heard = None if progress is None else _labelled(progress, label)
    return fitted.fit(cohort, progress=heard)


def folded_rivals(
    model: ProfileVAE,
    rival: ProfileVAE,
    cohort: Cohort,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[tuple[ProfileVAE, np.ndarray]]:
    """The rival fitted without each third of the subjects in turn, and whom it has not seen.

    The structure is the one chosen on all: that is one choice of a handful, and it costs most.
    """
    order = np.random.Generator(np.random.Philox([seed, len(cohort)])).permutation(len(cohort))
    found = []
    for fold in range(FOLDS):
        held = np.sort(order[fold::FOLDS])
        kept = cohort.subset(np.setdiff1d(order, held))
        kept = replace(kept, source_hash=f"{cohort.source_hash}-{fold}")
        label = f"compartment model, fold {fold + 1} of {FOLDS}"
        structure = rival.fitted.chosen.decoder
        own = fit_rival(model, kept, structure=structure, seed=seed, progress=progress, label=label)
        found.append((own, held))
    return found


def trained_on(model: ProfileVAE, cohort: Cohort) -> bool:
    """Whether a model was fitted to this very file."""
    return model.card().get("hashes", {}).get("data") == cohort.source_hash


def _labelled(progress: Progress, label: str) -> Progress:
    return lambda done, total, said: progress(done, total, f"{label}: {said}")


def _named(model: ProfileVAE) -> str:
    return str(model.fitted.chosen.decoder)
