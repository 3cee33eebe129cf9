"""What pharmacology knows of a patient before any level: named features, each with its source.

A feature is used where the covariates it needs are there. All are logarithms of ratios to a
reference adult, so that 0 is "as the reference" and effects add.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.views.feature import Feature, Values, positive


def _log_ratio(name: str, reference: float) -> Callable[[Values], Array]:
    return lambda v: jnp.log(positive(v[name]) / reference)


def _clearance_allometry(v: Values) -> Array:
    return 0.75 * jnp.log(positive(v["WT"]) / 70.0)


def _cockcroft_gault(v: Values) -> Array:
    female = jnp.where(v["SEX"] == 1, 1.0, 0.85)
    clearance = positive(140.0 - v["AGE"]) * v["WT"] * female / (72.0 * positive(v["SCR"]))
    return jnp.log(positive(clearance) / 100.0)


def _body_surface(v: Values) -> Array:
    return jnp.log(jnp.sqrt(positive(v["WT"] * v["HT"]) / 3600.0) / 1.73)


def _fat_free_mass(v: Values) -> Array:
    index = v["WT"] / (positive(v["HT"]) / 100.0) ** 2
    male = 9270.0 * v["WT"] / (6680.0 + 216.0 * index)
    female = 9270.0 * v["WT"] / (8780.0 + 244.0 * index)
    return jnp.log(positive(jnp.where(v["SEX"] == 1, male, female)) / 55.0)


def _renal_maturation(v: Values) -> Array:
    return -jnp.log1p((47.7 / positive(v["PMA"])) ** 3.4)


def _ageing(v: Values) -> Array:
    return -jnp.log1p((v["AGE"] / 61.559) ** 2.241)


FEATURES: tuple[Feature, ...] = (
    Feature("allometric_clearance", ("WT",), "0.75 log(WT/70)", "West 1997", _clearance_allometry),
    Feature("allometric_volume", ("WT",), "log(WT/70)", "Holford 1996", _log_ratio("WT", 70.0)),
    Feature("renal_function", ("CRCL",), "log(CRCL/100)", "Matzke 2011", _log_ratio("CRCL", 100.0)),
    Feature(
        "cockcroft_gault",
        ("AGE", "WT", "SCR", "SEX"),
        "log((140-AGE) WT (0.85 if female) / (72 SCR) / 100), SEX 1 = male",
        "Cockcroft and Gault 1976",
        _cockcroft_gault,
    ),
    Feature(
        "body_surface",
        ("WT", "HT"),
        "log(sqrt(WT HT/3600)/1.73)",
        "Mosteller 1987",
        _body_surface,
    ),
    Feature(
        "fat_free_mass",
        ("WT", "HT", "SEX"),
        "log(FFM/55), SEX 1 = male",
        "Janmahasatian 2005",
        _fat_free_mass,
    ),
    Feature(
        "renal_maturation",
        ("PMA",),
        "-log(1 + (47.7/PMA)^3.4), PMA in weeks",
        "Rhodin 2009",
        _renal_maturation,
    ),
    Feature("ageing", ("AGE",), "-log(1 + (AGE/61.6)^2.24), years", "Colin 2019", _ageing),
    Feature("albumin", ("ALB",), "log(ALB/4), g/dL", "Fasanmade 2009", _log_ratio("ALB", 4.0)),
)
BY_NAME = {feature.name: feature for feature in FEATURES}


def available(covariates: Sequence[str]) -> tuple[str, ...]:
    """Name the features that these covariates allow.

    Example:
        >>> available(["WT", "CRCL"])
        ('allometric_clearance', 'allometric_volume', 'renal_function')
    """
    return tuple(f.name for f in FEATURES if set(f.needs) <= set(covariates))


def knowledge_view(
    features: Sequence[str], covariates: Sequence[str], values: Float[Array, " covariate"]
) -> Float[Array, " feature"]:
    """Compute the knowledge view of one patient.

    Args:
        features: Names from `FEATURES`.
        covariates: Names of the covariates, in the order of `values`.
        values: Covariates [kg, cm, years, mg/dL, mL/min, g/dL], shape (covariate,).

    Returns:
        The features [dimensionless], shape (feature,).
    """
    by_name = dict(zip(covariates, values, strict=True))
    return jnp.stack([BY_NAME[name].compute(by_name) for name in features])
