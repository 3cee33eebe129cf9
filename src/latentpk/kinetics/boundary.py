r"""Whether equations keep amounts at 0 or above it, told apart from what a solver's step misses.

Amounts that begin at 0 or above it stay there exactly if no empty state can be emptied further,

.. math:: y_i = 0 \;\Rightarrow\; \dot y_i \ge 0,

wherever a course leads. A stiff course may step below 0 although its equations do not.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.ode import Course
from latentpk.kinetics.system import Differential, Inputs, Named

FAINT = 1e-9  # of a state's greatest pace; rounding below it


def emptied_further(
    system: Differential, found: Course, p: Named, since: Float[Array, " time"]
) -> Float[Array, " state"]:
    """How much was added to hold each state at 0 because its equations led below.

    Args:
        system: The equations.
        found: A course, with its states at several times.
        p: The parameters, each one number or one for each time.
        since: These times after the first dose [h], shape (time,).

    Returns:
        `Course.below` where an emptied state would fall further at one of the times, else 0.
    """
    every = {name: jnp.broadcast_to(value, since.shape) for name, value in p.items()}

    def paces(state: Array, own: dict[str, Scalar], hour: Scalar) -> tuple[Array, Array]:
        inputs = Inputs(hour, jnp.ones_like(hour))
        empty = state * (1 - jnp.eye(system.size, dtype=state.dtype))
        each = jax.vmap(lambda y: system.slope(y, own, inputs))(empty)
        return jnp.diag(each), jnp.abs(system.slope(state, own, inputs))

    at_0, pace = jax.vmap(paces)(found.state, every, since)
    scale = jnp.maximum(jnp.max(pace, axis=0), jnp.max(jnp.abs(at_0), axis=0))
    falls = jnp.min(at_0, axis=0) < -FAINT * scale
    return jnp.where(falls, found.below, 0.0)
