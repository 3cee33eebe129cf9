"""Covariates of doses in a fit: what they ask of the decoder and of the doses."""

import numpy as np

from latentpk.errors import InputError, Problem
from latentpk.kinetics.systems import is_system
from latentpk.models.config import ADDING
from latentpk.records.subject import Cohort

REASONS = {
    "mechanistic": "amounts of all doses lie in one depot and leave it at one rate",
    "neural_ode": "amounts of all doses lie in one depot and leave it at one rate",
    "grid": "its profile is of a whole regimen and knows no single dose",
}


def check_of_doses(cohort: Cohort, decoder: str, structure: str, route: str) -> None:
    """Refuse what covariates of doses could not act on.

    Args:
        cohort: With or without such covariates.
        decoder: As settings name it.
        structure: As settings name it.
        route: Where doses of undecided route go.

    Raises:
        InputError: A decoder that does not follow each dose alone, or no dose that is absorbed.
    """
    if not cohort.dose_covariates:
        return
    names, problems = ", ".join(cohort.dose_covariates), []
    asked = "mechanistic" if is_system(structure) else decoder
    if asked in REASONS:
        rule = f"What is said of a dose ({names}) acts on that dose alone"
        found = f"{asked.replace('_', '-')}: {REASONS[asked]}"
        mend = f"Take {', '.join(ADDING)} or auto, or leave out the covariates of doses"
        problems.append(Problem("decoder", found, rule, mend))
    elif "-iv" in structure:
        rule = f"What is said of a dose ({names}) changes its absorption"
        mend = "Take an oral structure, or leave out the covariates of doses"
        problems.append(Problem("structure", f"{structure} has none", rule, mend))
    depot = np.concatenate([subject.doses.depot for subject in cohort])
    if not (depot == 1).any() and (route == "iv" or not np.isnan(depot).any()):
        rule = f"What is said of a dose ({names}) changes its absorption"
        mend = "Correct the doses' CMT or --route, or leave out the covariates of doses"
        problems.append(Problem("doses", "none of them is absorbed", rule, mend))
    if problems:
        raise InputError(problems, source="the covariates of doses")
