"""Arrays of every decoder's model are tested in decoders/test_decoder.py; here their names."""

import numpy as np
import pytest

from latentpk.errors import ArtifactError
from latentpk.models.bundle import from_arrays, to_arrays
from latentpk.models.config import CompartmentConfig, EncoderConfig, ModelConfig
from latentpk.models.latent import build

CONFIG = ModelConfig(decoder=CompartmentConfig(structure="1c-iv"), encoder=EncoderConfig(hidden=3))


@pytest.fixture(scope="module")
def arrays():
    return to_arrays(build(CONFIG))


def test_arrays_are_named_by_their_path(arrays):
    assert {name.split(".")[1] for name in arrays} == {"prior", "residual", "encoder"}
    assert arrays[".prior.typical"].shape == (2,)
    assert arrays[".residual.log_b"] == pytest.approx(np.log(0.2))
    assert ".encoder.network.output.layers[2].bias" in arrays


def test_arrays_of_another_model_are_refused_with_every_fault(arrays):
    other = CONFIG.model_copy(update={"decoder": CompartmentConfig(structure="2c-iv")})
    with pytest.raises(ArtifactError) as caught:
        from_arrays(other, arrays)
    message = str(caught.value)
    assert ".prior.typical is float64(2,), not float64(4,)" in message
    assert ".prior.factor is float64(2, 2), not float64(4, 4)" in message
    assert "fit the model again" in message
