"""A general model that has learned nothing, and small studies."""

import numpy as np
import pytest

# The package is imported inside the fixtures: this file is read before the hook that checks types.


@pytest.fixture(scope="session")
def untrained():
    """A small general model: two compartments, and a network that says nothing yet."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from latentpk.inference.hierarchy import Floors
    from latentpk.models.latent import build
    from latentpk.workflows.general.model import General
    from latentpk.workflows.general.pretrain import PretrainSettings, general_config

    config = general_config(PretrainSettings(free=1, width=4, hidden=8))
    model = build(config, jax.random.key(2))
    out = model.decoder.field.network.out
    network = eqx.tree_at(
        lambda linear: linear.weight,
        out,
        0.1 * jax.random.normal(jax.random.key(3), out.weight.shape),
    )
    model = eqx.tree_at(
        lambda m: (m.decoder.field.network.out, m.prior.factor),
        model,
        (network, jnp.zeros_like(model.prior.factor)),
    )
    size = model.effects
    floors = Floors(np.zeros(size), np.eye(size), 0.1 * np.eye(size))
    return General(model, config, floors, {"training": {"studies": 0}})
