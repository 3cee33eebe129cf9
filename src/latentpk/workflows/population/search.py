"""Which structure a cohort asks for: compartments, a form of absorption, as long as BICc falls."""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from latentpk.kinetics.naming import canonical
from latentpk.kinetics.structure import Structure
from latentpk.models.published import structure_of
from latentpk.records.subject import Cohort
from latentpk.workflows.population.asked import parse_effects, parse_initial
from latentpk.workflows.population.fit import (
    PopfitSettings,
    PopulationFit,
    expect_structure,
    fit_structure,
    make_config,
    records_for,
)
from latentpk.workflows.population.outcome import bicc

Progress = Callable[[int, int, str], None]
Score = Callable[..., float]  # of a structure, and the one that will be asked for next
Forms = Callable[[Structure], Sequence[str]]  # other absorptions of a structure, by name
MOST = 3  # compartments
MOST_DELAYED = 2  # behind transit compartments
GAIN = 2.0  # by which BICc must fall for a richer structure


def search_structure(
    cohort: Cohort, settings: PopfitSettings, *, progress: Progress | None = None
) -> PopulationFit:
    """Compare structures by BICc of FOCEI's objective, and fit the chosen one as asked.

    Compartments are added one by one while that helps; where doses go through an absorption site,
    with a lag, behind transit compartments, and from two sites, which follow doses whose
    parameters do not change. A free F where both routes occur; where the file tells no route, both
    are tried.

    Args:
        cohort: The cohort.
        settings: What is fitted; its structure is chosen here.
        progress: Called with (done, total, label).

    Returns:
        The fit of the structure with the lowest BICc; `tried` tells of all.
    """
    depot = np.concatenate([subject.doses.depot for subject in cohort])
    both = bool(np.any(depot == 1) and np.any(depot == 0))
    routes = (True,) if np.any(depot == 1) else (False,)
    if np.all(np.isnan(depot)):
        routes = (False, True)
    tried: dict[str, PopulationFit] = {}

    def quick(structure: str) -> PopfitSettings:
        focei = settings.estimation.model_copy(update={"method": "focei"})
        return settings.model_copy(update={"structure": structure, "estimation": focei})

    def score(structure: str, then: str | None = None) -> float:
        for one in (structure, then) if then else ():  # in the order in which they are waited for
            expect_structure(cohort, quick(one))
        tried[structure] = fit_structure(cohort, quick(structure), hessian=False, progress=progress)
        return bicc(tried[structure])

    best, lowest = str(Structure(1, routes[0], False, both)), np.inf
    for oral in routes:
        chosen, least = _climb(
            Structure(1, oral, False, both), score, lambda one: _forms(one, cohort, settings)
        )
        if least < lowest - GAIN:
            best, lowest = chosen, least
    told = tuple(_told(fitted, one, one == best) for one, fitted in tried.items())
    own = settings.model_copy(update={"structure": best})
    found = fit_structure(cohort, own, hessian=True, progress=progress)
    return PopulationFit(found.config, found.found, found.cohort, found.records, told)


def _climb(first: Structure, score: Score, forms: Forms) -> tuple[str, float]:
    """One compartment more, and then another absorption, as long as that helps."""
    body, lowest = first, score(str(first), str(_richer(first)[0]))
    for richer in _richer(first):
        value = score(str(richer))
        if value >= lowest - GAIN:
            break
        body, lowest = richer, value
    best = str(body)
    others = forms(body) if body.oral else ()
    for name, then in zip_longest(others, others[1:]):
        value = score(name, then)
        if value < lowest - GAIN:
            best, lowest = name, value
    return best, lowest


def _richer(first: Structure) -> list[Structure]:
    return [
        Structure(count, first.oral, first.lag, first.bioavailability)
        for count in range(first.compartments + 1, MOST + 1)
    ]


def _forms(body: Structure, cohort: Cohort, settings: PopfitSettings) -> list[str]:
    """A lag, transit compartments and two sites, where the cohort and what is asked allow them."""
    lagged = str(Structure(body.compartments, True, True, body.bioavailability))
    plain = make_config(cohort, settings.model_copy(update={"structure": str(body)}))
    records = records_for(cohort, plain)
    still = records.change.shape[-1] == 1 and not settings.iov and not records.paths.steady
    if settings.parameters is not None or cohort.dose_covariates or not still:
        return [lagged]
    free = "-f" * body.bioavailability
    others = [f"{min(body.compartments, MOST_DELAYED)}c-transit{free}"]
    if body.compartments == 1 and not free:
        others.append("dual-absorption")
    asked = {one.parameter for one in parse_effects(settings.effects)}
    asked |= {canonical(name) for name in (*(settings.varying or ()),)}
    asked |= {name for name in parse_initial(settings.initial) if name in plain.parameters}
    return [lagged, *(name for name in others if asked <= set(structure_of(name).names))]


def _told(fitted: PopulationFit, structure: str, chosen: bool) -> dict[str, Any]:
    return {
        "structure": structure,
        "bicc_of_focei": None if not np.isfinite(bicc(fitted)) else bicc(fitted),
        "numbers": len(fitted.found.value),
        "arrived": fitted.found.arrived,
        "chosen": chosen,
    }
