import numpy as np
import pytest

from latentpk import read_nonmem
from latentpk.inference.polish import PolishSettings
from latentpk.kinetics.systems import parse_system
from latentpk.models.latent import build
from latentpk.workflows.ground import make_ground
from latentpk.workflows.simulate import simulate


@pytest.fixture(scope="module")
def infused():
    return read_nonmem(simulate("vancomycin-goti-2018", 20, seed=1))


def test_a_followed_decoder_is_trained_and_polished_on_fewer_courses(infused):
    ground = make_ground(infused, "combined2", 0)
    configs = [ground.config(name, "iv", "linear") for name in ("kernel", "neural_ode")]
    samples = [ground.effort(config).samples for config in configs]
    assert samples[1] < samples[0] == ground.training.samples
    polish = [PolishSettings.of(build(config), seed=3) for config in configs]
    assert polish[0] == PolishSettings(seed=3)
    courses = [p.rounds * p.epochs * p.draws for p in polish]
    assert courses[1] < 0.2 * courses[0]


@pytest.mark.long
def test_where_a_ready_made_mechanism_begins_is_searched_for(ward):
    ground = make_ground(read_nonmem(ward), "combined2", 0)
    records = ground.records("iv")
    found = ground.beginning(parse_system("1c-mm-iv"), records)
    assert list(found) == ["vmax", "km", "v1"]
    assert all(0 < value < np.inf for value in found.values())
    assert found == ground.beginning(parse_system("1c-mm-iv"), records)
