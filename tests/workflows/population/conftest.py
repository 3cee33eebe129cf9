"""The simulated population with known optimum, fitted once."""

from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[2] / "reference"


@pytest.fixture(scope="session")
def simulated():
    """30 subjects with six levels each, combined2 error."""
    from latentpk import read_nonmem

    return read_nonmem(REFERENCE / "popfit_simulated.csv", covariates=[], negative="keep")


@pytest.fixture(scope="session")
def exact(simulated):
    """Its fit by quadrature; never change it."""
    from latentpk.workflows.population.fit import PopfitSettings, fit_population

    return fit_population(
        simulated, PopfitSettings(structure="1c-oral", parameters=("ka", "cl", "v"))
    )


@pytest.fixture(scope="session")
def focei(simulated):
    """Its fit by FOCEI; never change it."""
    from latentpk.inference.estimation import EstimationSettings
    from latentpk.workflows.population.fit import PopfitSettings, fit_population

    settings = PopfitSettings(
        structure="1c-oral",
        parameters=("ka", "cl", "v"),
        estimation=EstimationSettings(method="focei"),
    )
    return fit_population(simulated, settings)
