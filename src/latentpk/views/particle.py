"""What nanomedicine knows of a particle before any measurement: named features, with sources.

The reference view has sixteen: two criteria that a particle meets or not, and fourteen ratios,
logarithms, polynomials and interactions of its properties. What is missing (NaN) makes the features
that need it missing; whoever uses the view decides what stands for them.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.views.feature import Feature, Values, positive

# Properties, in the order of a particle's values, and their units. CHARGE is -1, 0 or 1; ACTIVE and
# SPHERE are 1 where the particle is targeted or a sphere.
PROPERTIES = {
    "HD": "nm",
    "ZETA": "mV, without its sign",
    "CHARGE": "-1, 0, 1",
    "ACTIVE": "0, 1",
    "SPHERE": "0, 1",
    "TSZ": "cm3 or g",
    "DOSE": "mg/kg",
    "BW": "g",
}
SIZE, TUMOR, DOSE, WEIGHT, ZETA = 100.0, 0.1, 5.0, 20.0, 30.0  # a usual particle and mouse
SMALLEST, LARGEST = 10.0, 200.0  # nm, most relevant for tumors
FILTERED, CLEARED = 150.0, 20.0  # nm, above which organs take more; cleared fastest near


def _size(v: Values) -> Array:
    return jnp.log(positive(v["HD"]) / SIZE)


def _tumor(v: Values) -> Array:
    return jnp.log(positive(v["TSZ"]) / TUMOR)


def _dose(v: Values) -> Array:
    return jnp.log(positive(v["DOSE"]) / DOSE)


def _known(value: Array, *needs: Array) -> Array:
    """The value, missing where what it was decided by is."""
    return jnp.where(jnp.isnan(jnp.stack(needs)).any(axis=0), jnp.nan, value)


def _fits_size(v: Values) -> Array:
    inside = (v["HD"] >= SMALLEST) & (v["HD"] <= LARGEST)
    return _known(jnp.where(inside, 1.0, 0.0), v["HD"])


def _fits_charge(v: Values) -> Array:
    return _known(jnp.where(v["CHARGE"] > 0, 0.0, 1.0), v["CHARGE"])


FEATURES: tuple[Feature, ...] = (
    Feature(
        "f_size",
        ("HD",),
        "1 if 10 <= HD <= 200, else 0",
        "Hickey 2015",
        _fits_size,
        "Smaller particles are filtered by the kidney, larger ones do not leave the vessels.",
    ),
    Feature(
        "f_charge",
        ("CHARGE",),
        "0 if CHARGE > 0, else 1",
        "Blanco 2015, Nat Biotechnol 33:941",
        _fits_charge,
        "Positive particles are taken up everywhere; negative and neutral ones stay in blood.",
    ),
    Feature(
        "log_size", ("HD",), "log(HD/100)", "Perrault 2009, Nano Lett 9:1909", _size,
        "Permeation falls with size.",
    ),
    Feature(
        "log_size_squared", ("HD",), "log(HD/100)^2", "Hickey 2015", lambda v: _size(v) ** 2,
        "A window of size has two ends.",
    ),
    Feature(
        "diffusivity", ("HD",), "100/HD", "Perrault 2009, Nano Lett 9:1909",
        lambda v: SIZE / positive(v["HD"]),
        "Diffusion goes with 1/HD (Stokes-Einstein): small particles leave the vessels' side.",
    ),
    Feature(
        "beyond_150_nm", ("HD",), "max(log(HD/150), 0)", "Blanco 2015, Nat Biotechnol 33:941",
        lambda v: jnp.maximum(jnp.log(positive(v["HD"]) / FILTERED), 0.0),
        "Above about 150 nm lung, liver and spleen take more.",
    ),
    Feature(
        "from_20_nm", ("HD",), "abs(log(HD/20))", "Lu 2024",
        lambda v: jnp.abs(jnp.log(positive(v["HD"]) / CLEARED)),
        "Blood is cleared fastest of particles near 20 nm.",
    ),
    Feature(
        "size_to_tumor", ("HD", "TSZ"), "(HD/100)/(TSZ/0.1)", "arXiv 2503.13798",
        lambda v: v["HD"] / SIZE / (positive(v["TSZ"]) / TUMOR),
        "The way into a tumor grows with it, the pace falls with the particle's size.",
    ),
    Feature(
        "tumor_share", ("TSZ", "BW"), "log((TSZ/0.1)/(BW/20))",
        "Chou 2023, J Control Release 361:53",
        lambda v: _tumor(v) - jnp.log(positive(v["BW"]) / WEIGHT),
        "A larger share of the body gets a larger share of the dose.",
    ),
    Feature(
        "dose_to_tumor", ("DOSE", "BW", "TSZ"), "log((DOSE/5)(BW/20)/(TSZ/0.1))",
        "Chou 2023, J Control Release 361:53",
        lambda v: _dose(v) + jnp.log(positive(v["BW"]) / WEIGHT) - _tumor(v),
        "What there is to take for each gram of tumor.",
    ),
    Feature(
        "log_dose", ("DOSE",), "log(DOSE/5)", "Ouyang 2020, Nat Mater 19:1362", _dose,
        "Phagocytes saturate with the dose.",
    ),
    Feature(
        "particle_number", ("DOSE", "HD"), "log(DOSE/5) - 3 log(HD/100)",
        "Ouyang 2020, Nat Mater 19:1362",
        lambda v: _dose(v) - 3.0 * _size(v),
        "Kupffer cells saturate by the number of particles, mass over HD^3.",
    ),
    Feature(
        "zeta_squared", ("ZETA",), "(ZETA/30)^2", "Blanco 2015, Nat Biotechnol 33:941",
        lambda v: (v["ZETA"] / ZETA) ** 2,
        "A strong charge of either sign binds proteins.",
    ),
    Feature(
        "signed_zeta", ("ZETA", "CHARGE"), "CHARGE ZETA/30", "Blanco 2015, Nat Biotechnol 33:941",
        lambda v: v["CHARGE"] * v["ZETA"] / ZETA,
        "Uptake outside the tumor rises with positive charge.",
    ),
    Feature(
        "targeted_and_fit", ("ACTIVE", "HD"), "ACTIVE f_size", "Wilhelm 2016",
        lambda v: v["ACTIVE"] * _fits_size(v),
        "A ligand helps only a particle that arrives.",
    ),
    Feature(
        "unround_size", ("SPHERE", "HD"), "(1 - SPHERE) log(HD/100)",
        "Blanco 2015, Nat Biotechnol 33:941",
        lambda v: (1.0 - v["SPHERE"]) * _size(v),
        "Spheres are taken up least by other organs; the longer another shape, the more.",
    ),
)  # fmt: skip
BY_NAME = {feature.name: feature for feature in FEATURES}


def particle_view(
    values: Float[Array, " property"], features: Sequence[str] = tuple(BY_NAME)
) -> Float[Array, " feature"]:
    """Compute the knowledge view of one particle.

    Args:
        values: In the order and units of `PROPERTIES`, NaN where missing, shape (property,).
        features: Names from `FEATURES`.

    Returns:
        The features [dimensionless], NaN where what they need is missing, shape (feature,).
    """
    by_name = dict(zip(PROPERTIES, values, strict=True))
    return jnp.stack([BY_NAME[name].compute(by_name) for name in features])
