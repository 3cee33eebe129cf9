r"""The half-life of a nonlinear system where there is little drug: its slowest linear mode.

Near the state without drug the amounts move by their Jacobian,

.. math:: \dot y = J y, \qquad C(t) = c^\top e^{J t} b = \sum_i (c^\top v_i)(w_i^\top b)\,
          e^{\lambda_i t}

with c the slope of the concentration and b a dose. A mode that adds nothing to the area of C is
none of the drug's: the turnover of a target is not.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from latentpk.kinetics.system import Differential, Inputs, Named

LITTLE = 1e-9  # mg: no process is near saturation, and no slope is taken at a corner
LATE = 1e6  # hours after the first dose: what changes with time has changed
SHARE = 1e-6  # of the area; a mode below it carries no drug


def slowest_half_life(system: Differential, p: Named) -> float:
    """Half-life of the slowest mode that carries drug, at a low concentration [h].

    Where elimination saturates, a higher concentration falls more slowly than this; a switch
    (the gallbladder) counts as on, inhibition that grows with time as complete.

    Args:
        system: The equations.
        p: Concrete parameters of one patient by name; not traced.

    Returns:
        The half-life [h]; nan where no mode decays.

    Example:
        >>> from latentpk.kinetics.systems import parse_system
        >>> p = {"vmax": jnp.array(20.0), "km": jnp.array(5.0), "v1": jnp.array(50.0)}
        >>> print(f"{slowest_half_life(parse_system('1c-mm-iv'), p):.3f}")  # log 2 x 50 / (20 / 5)
        8.664
    """
    jacobian, seen = map(np.asarray, _slopes(system, dict(p)))
    given = np.zeros(system.size)
    given[system.central] = 1.0
    for site in system.sites(p):
        given[site.state] += float(site.share)
    rate, mode = np.linalg.eig(jacobian)
    part = np.abs((seen @ mode) * np.linalg.solve(mode, given.astype(mode.dtype)))
    decay = -np.real(rate)
    area = np.where(decay > 0, part / np.where(decay > 0, decay, 1.0), 0.0)
    carrying = (area > SHARE * area.sum()) & (decay > 0)
    return float(np.log(2) / decay[carrying].min()) if carrying.any() else float("nan")


@partial(jax.jit, static_argnums=0)
def _slopes(system: Differential, p: Named) -> tuple[Array, Array]:
    """The Jacobian, and the slope of the concentration."""
    state = system.start(p) + LITTLE
    inputs = Inputs(jnp.asarray(LATE, state.dtype), jnp.ones((), state.dtype))
    jacobian = jax.jacfwd(lambda y: system.slope(y, p, inputs))(state)
    return jacobian, jax.grad(lambda y: system.concentration(y, p))(state)
