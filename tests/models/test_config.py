import pytest
from pydantic import ValidationError

from latentpk.models.config import (
    CovariateConfig,
    GridConfig,
    HybridConfig,
    KernelConfig,
    MechanisticConfig,
    ModelConfig,
    NeuralOdeConfig,
)


def test_a_setting_cannot_change():
    with pytest.raises(ValidationError, match="frozen"):
        KernelConfig().modes = 4


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (KernelConfig, {"modes": 0}),
        (KernelConfig, {"sites": 17}),
        (KernelConfig, {"nodes": 3}),
        (GridConfig, {"horizon": float("inf")}),
        (GridConfig, {"horizon": 0.0}),
        (CovariateConfig, {"name": "WT", "scale": 0.0}),
        (CovariateConfig, {"name": "WT", "center": float("nan")}),
        (CovariateConfig, {"name": "WT", "kind": "ordinal"}),
        (ModelConfig, {"decoder": {"name": "spline"}}),
        (MechanisticConfig, {"structure": "2c-iv"}),
        (NeuralOdeConfig, {"hidden": 0}),
        (NeuralOdeConfig, {"bioavailability": True}),
        (NeuralOdeConfig, {"time_scale": 0.0}),
        (HybridConfig, {"structure": "tmdd"}),
        (HybridConfig, {"structure": "1c-iv", "bound": 4.0}),
        (ModelConfig, {"decoder": {"name": "neural_ode", "target": "TARGET"}}),
        (ModelConfig, {"decoder": {"name": "kernel"}, "residual": "combined3"}),
        (ModelConfig, {}),
    ],
)
def test_values_outside_their_range_are_refused(kind, values):
    with pytest.raises(ValidationError):
        kind(**values)


@pytest.mark.parametrize(
    ("covariate", "width"),
    [
        (CovariateConfig(name="WT"), 1),
        (CovariateConfig(name="SEX", kind="binary"), 1),
        (CovariateConfig(name="RACE", kind="categorical", levels=(1, 2, 4, 5)), 3),
        (CovariateConfig(name="SITE", kind="categorical", levels=(7,)), 0),
    ],
)
def test_a_covariate_fills_one_entry_a_categorical_one_per_code_but_the_first(covariate, width):
    assert covariate.width == width


@pytest.mark.parametrize(
    "decoder",
    [
        {"name": "compartment", "structure": "2c-iv"},
        {"name": "mechanistic", "structure": "tmdd"},
        {"name": "kernel", "sites": 3, "absorption": 2},
        {"name": "neural_ode", "depot": True, "bioavailability": True},
        {"name": "hybrid", "structure": "2c-oral-lag"},
        {"name": "grid", "horizon": 12.0},
    ],
)
def test_json_gives_the_same_config_back(decoder):
    config = ModelConfig(decoder=decoder, knowledge=("albumin",), prior="multiview")
    again = ModelConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert again.decoder.name == decoder["name"]
