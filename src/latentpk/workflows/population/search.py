"""Which structure a cohort asks for: one compartment more, a lag, as long as BICc falls."""

from collections.abc import Callable
from typing import Any

import numpy as np

from latentpk.kinetics.structure import Structure
from latentpk.records.subject import Cohort
from latentpk.workflows.population.fit import PopfitSettings, PopulationFit, fit_structure
from latentpk.workflows.population.outcome import bicc

Progress = Callable[[int, int, str], None]
MOST = 3  # compartments
GAIN = 2.0  # by which BICc must fall for a richer structure


def search_structure(
    cohort: Cohort, settings: PopfitSettings, *, progress: Progress | None = None
) -> PopulationFit:
    """Compare structures by BICc of FOCEI's objective, and fit the chosen one as asked.

    Compartments are added one by one while that helps; where doses go through an absorption site,
    with and without a lag. A free F where both routes occur; where the file tells no route, both
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
    tried: dict[Structure, PopulationFit] = {}

    def score(structure: Structure) -> float:
        quick = settings.estimation.model_copy(update={"method": "focei"})
        own = settings.model_copy(update={"structure": str(structure), "estimation": quick})
        tried[structure] = fit_structure(cohort, own, hessian=False, progress=progress)
        return bicc(tried[structure])

    best, lowest = Structure(1, routes[0], False, both), np.inf
    for oral in routes:
        chosen, least = _climb(Structure(1, oral, False, both), score)
        if least < lowest - GAIN:
            best, lowest = chosen, least
    told = tuple(_told(fitted, one, one == best) for one, fitted in tried.items())
    own = settings.model_copy(update={"structure": str(best)})
    found = fit_structure(cohort, own, hessian=True, progress=progress)
    return PopulationFit(found.config, found.found, found.cohort, found.records, told)


def _climb(first: Structure, score: Callable[[Structure], float]) -> tuple[Structure, float]:
    """One compartment more, and then a lag, as long as that helps."""
    best, lowest = first, score(first)
    for richer in _richer(first):
        value = score(richer)
        if value >= lowest - GAIN:
            break
        best, lowest = richer, value
    if best.oral:
        lagged = Structure(best.compartments, True, True, best.bioavailability)
        value = score(lagged)
        if value < lowest - GAIN:
            best, lowest = lagged, value
    return best, lowest


def _richer(first: Structure) -> list[Structure]:
    return [
        Structure(count, first.oral, first.lag, first.bioavailability)
        for count in range(first.compartments + 1, MOST + 1)
    ]


def _told(fitted: PopulationFit, structure: Structure, chosen: bool) -> dict[str, Any]:
    return {
        "structure": str(structure),
        "bicc_of_focei": None if not np.isfinite(bicc(fitted)) else bicc(fitted),
        "numbers": len(fitted.found.value),
        "arrived": fitted.found.arrived,
        "chosen": chosen,
    }
