import numpy as np
import pytest

from latentpk import InputError, read_nonmem
from latentpk.inference.initial import Scales
from latentpk.models.config import CompartmentConfig, GridConfig, KernelConfig, NeuralOdeConfig
from latentpk.workflows.setup import covariate_configs, decoder_config, model_config

SCALES = Scales(time=48.0, early=1.0, level=10.0, dose=500.0, least=0.5)


class TestCovariates:
    @pytest.fixture
    def configs(self, ward):
        wide = ward.with_columns(
            SEX=ward["ID"] % 2, RACE=1 + ward["ID"] % 3, LOGP=(ward["ID"] - 5.5) / 2
        )
        return {c.name: c for c in covariate_configs(read_nonmem(wide))}

    def test_positive_ones_enter_by_their_logarithm(self, configs, ward):
        first = np.log(ward.group_by("ID").first()["WT"].to_numpy())
        weight = configs["WT"]
        assert (weight.kind, weight.log) == ("continuous", True)
        assert weight.center == pytest.approx(first.mean())
        assert weight.scale == pytest.approx(first.std())
        assert weight.low <= weight.median <= weight.high

    def test_others_enter_as_they_are(self, configs):
        assert not configs["LOGP"].log
        assert configs["LOGP"].center == pytest.approx(3.5)  # IDs 1 to 24

    def test_codes_are_told_from_numbers(self, configs):
        assert configs["SEX"].kind == "binary"
        assert (configs["SEX"].center, configs["SEX"].scale) == (0.0, 1.0)
        race = configs["RACE"]
        assert (race.kind, race.levels, race.width) == ("categorical", (1.0, 2.0, 3.0), 2)


class TestDecoders:
    def test_a_structure_is_a_compartment_decoder(self):
        config = decoder_config("2c-iv", SCALES, oral=False, both=False)
        assert config == CompartmentConfig(structure="2c-iv")
        with pytest.raises(InputError):
            decoder_config("nine", SCALES, oral=False, both=False)

    def test_a_kernel_absorbs_only_where_something_is_absorbed(self):
        plain = decoder_config("kernel", SCALES, oral=False, both=False)
        assert isinstance(plain, KernelConfig)
        assert (plain.sites, plain.absorption, plain.bioavailability) == (0, 0, False)
        oral = decoder_config("kernel", SCALES, oral=True, both=True)
        assert oral.sites > 1
        assert oral.absorption > 0
        assert oral.bioavailability

    def test_a_learned_field_has_a_depot_and_a_target_where_the_data_have_them(self):
        plain = decoder_config("neural_ode", SCALES, oral=False, both=False, covariates=["WT"])
        assert isinstance(plain, NeuralOdeConfig)
        assert (plain.depot, plain.bioavailability, plain.target) == (False, False, None)
        given = decoder_config("neural_ode", SCALES, oral=True, both=True, covariates=["TARGET"])
        assert isinstance(given, NeuralOdeConfig)
        assert (given.depot, given.bioavailability, given.target) == (True, True, "TARGET")

    def test_a_grid_covers_the_data(self):
        grid = decoder_config("grid", SCALES, oral=False, both=False)
        assert isinstance(grid, GridConfig)
        assert grid.horizon > SCALES.time


def test_the_model_has_the_views_its_covariates_allow(ward):
    configs = covariate_configs(read_nonmem(ward))
    decoder = decoder_config("1c-iv", SCALES, oral=False, both=False)
    config = model_config(configs, decoder, SCALES, prior="multiview", residual="combined2")
    assert config.knowledge == ("allometric_clearance", "allometric_volume")
    assert config.encoder.time_scale == SCALES.time
    assert 0 < config.floor < SCALES.least
