"""The true populations in the package's own form, to run our posterior under the truth."""

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.forecast_oracle.populations import Population

if TYPE_CHECKING:
    from latentpk.models.published import PopulationModel

CRCL = {"kind": "linear", "covariate": "CRCL", "reference": 66, "slope": 0.0154}


def _power(exponent: float, reference: float) -> dict[str, object]:
    return {"kind": "power", "covariate": "WT", "reference": reference, "exponent": exponent}


STRUCTURES = {
    "vancomycin-2c-infusion": (
        "2c-iv",
        [
            {"name": "cl", "value": 2.99, "unit": "L/h", "effects": [CRCL]},
            {"name": "v1", "value": 0.675, "unit": "L", "effects": [_power(1, 1)]},
            {"name": "q2", "value": 2.28, "unit": "L/h"},
            {"name": "v2", "value": 0.732, "unit": "L", "effects": [_power(1, 1)]},
        ],
    ),
    "oral-1c": (
        "1c-oral-lag",
        [
            {"name": "cl", "value": 0.132, "unit": "L/h", "effects": [_power(0.75, 70)]},
            {"name": "v1", "value": 7.96, "unit": "L", "effects": [_power(1, 70)]},
            {"name": "ka", "value": 1.45, "unit": "1/h"},
            {"name": "alag", "value": 0.9, "unit": "h"},
        ],
    ),
}


def published(population: Population) -> "PopulationModel":
    """A true population as a PopulationModel.

    Args:
        population: One whose structure the package has.

    Returns:
        The same typical values, covariate effects, covariance and residual error.
    """
    from latentpk.models.published import PopulationModel

    structure, parameters = STRUCTURES[population.name]
    rows = [row[: i + 1] for i, row in enumerate(np.asarray(population.omega).tolist())]
    variability = {
        "parameters": [parameter["name"] for parameter in parameters],
        "covariance": rows,
        "convention": "variances of the log parameters",
    }
    residual = {
        "kind": "combined2",
        "additive": population.additive,
        "proportional": population.proportional,
    }
    return PopulationModel.model_validate(
        {
            "structure": structure,
            "parameters": parameters,
            "variability": variability,
            "residual": residual,
        }
    )
