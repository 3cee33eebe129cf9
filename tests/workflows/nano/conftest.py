"""A model with a latent one beside its ensemble, made without training it."""

from dataclasses import replace

import numpy as np
import pytest

# The package is imported inside the fixture: this file is read before the hook that checks types.


@pytest.fixture(scope="session")
def model_with_latent(nano_model):
    """More than half of its delivery comes from the PBPK model; never change it."""
    from latentpk.models.joint import Joint
    from latentpk.models.multiview import NetworkConfig, network_size
    from latentpk.models.tumor import TumorConfig, TumorModel

    learner = nano_model.ensemble.learners[0]
    views = learner.networks[0].config.views
    network = NetworkConfig(views=views, targets=6, width=3)
    rng = np.random.default_rng(2)
    latent = TumorModel(
        TumorConfig(network=network, learners=(learner.descriptors,), assay="tissue"),
        0.4 * rng.standard_normal((1, network_size(network.key))),
        np.log([[0.3, 12.0, 2.0, 0.1, 0.3, 0.05]]),
        0.5 * np.eye(6)[None],
        np.zeros(1),
    )
    joint = Joint(latent, np.full(3, 0.6), np.full(3, 0.1), nano_model.ensemble.uncertainty)
    return replace(nano_model, joint=joint)
