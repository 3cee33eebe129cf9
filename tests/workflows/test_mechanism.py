"""A fit of stated equations: what it is asked for, where it begins, what is stored of it."""

import itertools
import json

import numpy as np
import polars as pl
import pytest

from latentpk import ProfileVAE, UserSystem, read_nonmem, register_system
from latentpk.errors import ArtifactError, InputError
from latentpk.inference.beginning import searchable
from latentpk.kinetics import registry
from latentpk.kinetics.system import Differential
from latentpk.kinetics.systems import parse_system
from latentpk.models.bundle import to_arrays
from latentpk.models.config import MechanisticConfig
from latentpk.workflows.ground import make_ground
from latentpk.workflows.mechanism import check_registered, mechanisms
from latentpk.workflows.selection import Selection, select

TYPICAL = {"cl": 4.0, "v1": 40.0}


def first_order(states, p, inputs):
    return [-p["cl"] / p["v1"] * states["central"]]


@pytest.fixture(scope="module")
def mine():
    return UserSystem("ward", first_order, ("cl", "v1"), ("central",), "central", typical=TYPICAL)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"decoder": "mechanistic"}, "without a structure"),
        ({"decoder": "mechanistic", "structure": "1c-iv"}, "compartment"),
        ({"decoder": "kernel", "structure": "1c-mm-iv"}, "mechanistic"),
        ({"decoder": "mechanistic", "structure": "user:unheard"}, "register_system"),
        ({"structure": "1c-mm-inh-iv"}, "(?s)vmax is missing.*km is missing.*v1 is missing"),
        ({"structure": "1c-mm-iv", "initial": {"vmax": 1, "km": -2, "q": 3}}, "(?s)km.*q2"),
        ({"structure": "1c-iv", "initial": {"cl": 1}}, "only a nonlinear"),
    ],
)
def test_what_cannot_be_is_refused_before_any_fit(settings, said):
    with pytest.raises(InputError, match=said):
        ProfileVAE(**settings)


def test_a_ready_made_mechanism_needs_no_starting_values():
    assert ProfileVAE(structure="1c-mm-iv").settings.initial is None


@pytest.mark.parametrize("oral", [False, True])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("changing", [False, True])
def test_mechanisms_that_are_tried_unasked_can_be_begun_and_have_the_route(oral, both, changing):
    """And those that are tried where a covariate changes with time can be followed."""
    ladders = mechanisms(oral=oral, both=both, changing=changing)
    for name in itertools.chain.from_iterable(itertools.chain.from_iterable(ladders)):
        system = parse_system(name)
        assert searchable(system)
        assert isinstance(system, Differential) or not changing
        assert system.oral == oral
        assert ("fodds" in system.names) == (oral and both)


def test_a_system_is_named_with_its_digest_and_begins_at_its_typical_values(mine):
    settings = ProfileVAE(structure=mine, initial={"V": 30}).settings
    assert settings.structure == str(mine)
    assert settings.initial == {"cl": 4.0, "v1": 30.0}
    assert MechanisticConfig(structure="user:ward").structure == str(mine)


@pytest.mark.parametrize(("name", "route"), [("1c-mm-iv", "iv"), ("1c-mm-oral", "oral")])
def test_a_fit_begins_where_it_is_told_and_the_route_is_the_structures(ward, name, route):
    values = {"vmax": 20.0, "km": 5.0, "v1": 40.0} | ({"ka": 1.0} if route == "oral" else {})
    ground = make_ground(read_nonmem(ward), "combined2", 0, values)
    asked = {"decoder": "mechanistic", "structure": name, "route": "auto", "prior": "linear"}
    chosen = select(Selection(ground), **asked)
    assert (chosen.decoder, chosen.route) == (name, route)
    model, freedom = ground.start(chosen, ground.config(name, route, "linear"))
    np.testing.assert_allclose(np.exp(model.prior.typical), list(values.values()))
    assert freedom.active.all()


def stored(structure):
    decoder = {"name": "mechanistic", "structure": structure}
    return {"config": {"decoder": decoder}, "settings": {"initial": TYPICAL}}


def test_a_stored_model_whose_system_is_not_registered_says_what_to_register(mine):
    check_registered("folder", stored(register_system(mine)))
    check_registered("folder", stored("tmdd"))
    check_registered("folder", {"config": [], "settings": None})
    with pytest.raises(ArtifactError, match=r"'gone'.*parameters are cl, v1"):
        check_registered("folder", stored("user:gone@12345678"))
    with pytest.raises(ArtifactError, match="other equations"):
        check_registered("folder", stored("user:ward@12345678"))


@pytest.mark.long
def test_a_fit_is_that_of_the_closed_form_and_survives_its_folder(ward, mine, tmp_path):
    cohort = read_nonmem(ward, covariates=[])
    settings = {"prior": "linear", "epochs": 20}
    model = ProfileVAE(decoder="mechanistic", structure=mine, **settings).fit(cohort)
    start = {"decoder": "compartment", "structure": "1c-iv"}
    linear = ProfileVAE(**start, **settings).fit(cohort)
    ours, theirs = (np.asarray(one.model.prior.typical) for one in (model, linear))
    np.testing.assert_allclose(ours, theirs, atol=0.1)
    assert not any("NegativeState" in told for told in model.notices)
    folder = tmp_path / "mine.model"
    model.save(folder)
    manifest = json.loads((folder / "manifest.json").read_text())["manifest"]
    assert manifest["config"]["decoder"]["structure"] == str(mine)
    again = ProfileVAE.load(folder)
    for name, array in to_arrays(model.model).items():
        assert np.array_equal(array, to_arrays(again.model)[name])
    found = again.posterior(cohort[0], draws=64).parameters
    assert found.columns == ["cl", "v1"]
    held = dict(registry._KNOWN)
    registry._KNOWN.clear()
    try:
        with pytest.raises(ArtifactError, match="UserSystem\\('ward'"):
            ProfileVAE.load(folder)
    finally:
        registry._KNOWN.update(held)


def test_a_nonlinear_structure_has_no_search(ward):
    from latentpk.inference.initial import measure, place
    from latentpk.models.config import ModelConfig
    from latentpk.models.latent import build
    from latentpk.models.record import stack_records

    records = stack_records(read_nonmem(ward.filter(pl.col("ID") < 4), covariates=[]).subjects)
    model = build(ModelConfig(decoder=MechanisticConfig(structure="1c-mm-iv")))
    with pytest.raises(InputError, match="initial"):
        place(model, records, measure(records), 0)
