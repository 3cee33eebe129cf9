"""What a user must know of courses that their equations do not allow, as sentences."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.inference.doubts import doubts
from latentpk.kinetics.ode import BELOW
from latentpk.kinetics.system import System
from latentpk.kinetics.user import UserEquations
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record

UNRESOLVED = 1e-2  # error of a step, relative, from which a course was not resolved
NEGATIVE, COARSE = "NegativeState", "UnresolvedCourse"  # names that the sentences begin with


def doubtful_courses(
    model: LatentModel,
    records: Record,
    eps: Float[np.ndarray, "subject effect"],
    who: Sequence[str],
) -> list[str]:
    """Sentences on states that fell below 0 and on courses that were not resolved.

    Args:
        model: The population.
        records: Stacked records.
        eps: Each subject's random effects, as estimated.
        who: Names of the subjects.

    Returns:
        None where all is well, else one sentence for each state and one for the error.
    """
    found = doubts(model, records, eps)
    if found is None or not isinstance(model.decoder, MechanisticDecoder):
        return []
    system, told = model.decoder.stepped, []
    for k in range(system.size):
        bad = np.flatnonzero(found.below[:, k] > BELOW)
        if bad.size:
            first = int(bad[0])
            told.append(
                f"{NEGATIVE}: {_state(system, k)} of {system} falls below 0 in {bad.size} of "
                f"{len(who)} subjects (subject {who[first]} at {found.below_at[first, k]:.3g} h) "
                "and was held at 0, so that amounts came from nothing. Let what leaves it vanish "
                "with it, or limit what may grow past it."
            )
    bad = np.flatnonzero(~(found.error <= UNRESOLVED))
    if bad.size:
        told.append(
            f"{COARSE}: the courses of {bad.size} of {len(who)} subjects change too fast for the "
            f"solver's steps (subject {who[int(bad[0])]}: an error of "
            f"{found.error[int(bad[0])]:.2g}). Look for rates far beyond the time between levels."
        )
    return told


def _state(system: System, k: int) -> str:
    return (
        f"state {system.model.states[k]!r}"
        if isinstance(system, UserEquations)
        else f"state {k + 1}"
    )


def doubtful_fit(model: LatentModel, records: Record, who: Sequence[str]) -> list[str]:
    """The same of a learned model, at the middle of what its encoder says of each subject."""
    if not isinstance(model.decoder, MechanisticDecoder):
        return []
    return doubtful_courses(model, records, np.asarray(_encoded(model, records)), who)


@eqx.filter_jit
def _encoded(model: LatentModel, records: Record) -> Float[Array, "subject effect"]:
    return jax.lax.map(lambda record: model.encode(record).mean, jax.tree.map(jnp.asarray, records))
