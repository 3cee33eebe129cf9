"""`NanoModel`: what it predicts, what it never reads, how it is stored, what is refused."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from latentpk import NanoModel
from latentpk.errors import ArtifactError, InputError
from latentpk.records.particles import read_particles
from latentpk.storage import read_bundle, write_bundle
from latentpk.workflows.nano.model import KIND, SCHEMA, failure_signs, optimism
from latentpk.workflows.nano.table import TARGETS

NEVER = ("DE24", "DE168", "Demax", "KTRESmax", "KTRES50", "KTRESn", "KTRESrelease")
NEVER += ("PT", "PATC", "QTC", "VTC", "BVT")
NUMBERS = [name + end for name in TARGETS for end in ("", "_LO", "_HI")]


@pytest.fixture(scope="module")
def whole(nano_table, nano_studies):
    """The table with what its studies tell."""
    return nano_table.join(nano_studies.drop("study_id"), on="ID")


@pytest.fixture(scope="module")
def predicted(nano_model, whole):
    return nano_model.predict(whole)


def close(one, other):
    np.testing.assert_allclose(
        one.select(NUMBERS).to_numpy(), other.select(NUMBERS).to_numpy(), rtol=1e-9
    )
    assert one.select("ID", "VERDICT", "REASON").equals(other.select("ID", "VERDICT", "REASON"))


def test_the_columns_are_as_promised_and_finite(predicted, whole):
    assert predicted.columns == ["ID", *NUMBERS, "VERDICT", "REASON"]
    assert predicted["ID"].to_list() == whole["ID"].to_list()
    values = predicted.select(NUMBERS).to_numpy()
    assert np.isfinite(values).all()
    assert (values > 0).all()
    for name in TARGETS:
        assert (predicted[f"{name}_LO"] < predicted[name]).all()
        assert (predicted[name] < predicted[f"{name}_HI"]).all()
    for name in ("DE24", "DE168", "DEmax"):
        assert predicted[f"{name}_HI"].max() <= 100


def test_both_ends_grow_together_on_log10(nano_model, predicted):
    low, middle, high = (np.log10(predicted[f"KTRES50{end}"]) for end in ("_LO", "", "_HI"))
    own = nano_model.joint.uncertainty if nano_model.joint else nano_model.ensemble.uncertainty
    k = nano_model.ensemble.targets.index("KTRES50")
    np.testing.assert_allclose((high - middle) * own.down[k], (middle - low) * own.up[k])
    assert own.down[k] != own.up[k]


@pytest.mark.parametrize("name", NEVER)
def test_what_was_fitted_or_measured_changes_no_prediction(nano_model, whole, predicted, name):
    reversed_ = whole.with_columns(pl.col(name).reverse())
    close(nano_model.predict(reversed_), predicted)
    close(nano_model.predict(whole.drop(name)), predicted)


def test_all_of_it_may_be_missing(nano_model, whole, predicted):
    close(nano_model.predict(whole.drop(NEVER)), predicted)


def test_a_property_does_change_predictions(nano_model, whole, predicted):
    larger = nano_model.predict(whole.with_columns(HD=pl.col("HD") * 3))
    assert larger["DE24"][:48].mean() < 0.9 * predicted["DE24"][:48].mean()  # as it was made


def test_a_row_is_predicted_alike_in_any_company_and_order(nano_model, whole, predicted):
    close(nano_model.predict(whole.reverse()), predicted.reverse())
    close(nano_model.predict(whole[7:8]), predicted[7:8])
    others = whole.with_columns(HD=pl.when(pl.col("ID") == "1007").then("HD").otherwise(9999.0))
    close(nano_model.predict(others)[7:8], predicted[7:8])


def test_the_same_seed_gives_the_same_bits(nano_model, nano_table, nano_studies, nano_settings):
    again = NanoModel.fit(nano_table, studies=nano_studies, settings=nano_settings)
    assert again.card == nano_model.card
    assert again.predict(nano_table).equals(nano_model.predict(nano_table))


def test_the_order_of_rows_in_the_studies_changes_nothing(
    nano_model, nano_table, nano_studies, nano_settings
):
    again = NanoModel.fit(nano_table, studies=nano_studies.reverse(), settings=nano_settings)
    assert again.predict(nano_table).equals(nano_model.predict(nano_table))


class TestVerdict:
    def test_a_particle_like_those_seen_is_ok(self, predicted):
        assert predicted["VERDICT"][:48].value_counts(sort=True)["VERDICT"][0] == "ok"
        assert set(predicted["VERDICT"]) <= {"ok", "caution"}
        assert (predicted["VERDICT"][48:] == "caution").all()
        assert predicted["REASON"][48].startswith("HD is missing")

    def test_a_far_particle_is_refused_with_wider_intervals(self, nano_model, whole, predicted):
        far = nano_model.predict(whole.with_columns(HD=pl.lit(9999.0), Dose=pl.lit(9e4)))
        assert (far["VERDICT"] == "refuse").all()
        assert far["REASON"].str.contains("HD 1e.04 is outside").all()
        for name in TARGETS:
            wide, usual = (np.log10(one[f"{name}_HI"] / one[name])[:48] for one in (far, predicted))
            if name.startswith("KTRES"):  # %ID ends at 100
                assert (wide > usual).mean() > 0.95
        assert np.isfinite(far.select(NUMBERS).to_numpy()).all()

    def test_what_the_model_was_trained_with_and_the_table_lacks_is_named(self, nano_model, whole):
        found = nano_model.predict(whole.drop("MAT", "ZP_signed").with_columns(Shape=pl.lit("")))
        said = "ZP_SIGNED is not known; SHAPE is not known; MAT is not known"
        assert found["REASON"].str.ends_with(said).all()
        alone = found.filter(pl.col("REASON") == said)
        assert len(alone) > 20
        assert (alone["VERDICT"] == "ok").all()  # not to know is no doubt of its own
        particles = read_particles(whole.drop("MAT"))
        assert nano_model.unknown(particles) == {"MAT": 52}

    def test_a_model_that_never_had_it_does_not_miss_it(self, nano_table, whole, nano_settings):
        model = NanoModel.fit(nano_table, settings=nano_settings)
        one, other = model.predict(nano_table), model.predict(whole)
        close(one, other)  # nor does it read it
        assert not one["REASON"].str.contains("not known").any()


def test_particles_with_only_a_dose_and_a_weight_are_predicted(nano_model, whole):
    empty = [name for name in whole.columns if name not in ("ID", "Dose", "BW")]
    found = nano_model.predict(whole.head(3).with_columns(pl.lit(None).alias(n) for n in empty))
    assert np.isfinite(found.select(NUMBERS).to_numpy()).all()
    assert (found["VERDICT"] == "caution").all()
    assert "HD is missing; ZETA is missing; CHARGE is missing; TSZ is missing" in found["REASON"][0]


class TestCard:
    def test_it_says_what_the_intervals_hold_for(self, nano_model, nano_table, nano_settings):
        card = nano_model.card
        assert (card["rows"], card["judged"], card["studies"]) == (52, 48, 13)
        assert "unseen studies" in card["calibrated"]
        without = NanoModel.fit(nano_table, settings=nano_settings)
        assert "too narrow for others" in without.card["calibrated"]
        assert any("too narrow" in notice for notice in without.notices)

    def test_it_is_json_with_scores_and_weights_of_every_member(self, nano_model):
        card = json.loads(json.dumps(nano_model.card, allow_nan=False))
        assert set(card["r2"]) == {*card["weights"], "ensemble"}
        for target in TARGETS:
            own = [weights[target] for weights in card["weights"].values()]
            assert sum(own) == pytest.approx(1, abs=0.005)
        assert card["r2"]["random_forest"]["DE24"] > 0.2  # made to depend on size
        assert card["r2"]["random_forest"]["KTRES50"] < 0.2  # made of noise

    def test_a_target_that_never_varies_has_no_r2(self, nano_table, nano_settings, tmp_path):
        flat = nano_table.with_columns(KTRESn=pl.lit(2.0))
        model = NanoModel.fit(flat, settings=nano_settings)
        assert model.card["r2"]["ensemble"]["KTRESn"] is None
        model.save(tmp_path / "model")
        found = NanoModel.load(tmp_path / "model").predict(flat)
        np.testing.assert_allclose(found["KTRESn"], 2.0, rtol=1e-3)


class TestStorage:
    def test_a_model_is_stored_to_the_last_bit(self, nano_model, nano_folder, whole, predicted):
        again = NanoModel.load(nano_folder)
        assert again.predict(whole).equals(predicted)
        seal = again.card["hashes"].pop("model")
        assert len(seal) == 64
        assert again.card == nano_model.card

    @pytest.fixture
    def rewritten(self, nano_folder, tmp_path):
        """The folder written anew after a change of its content, seal and all."""

        def _rewritten(change):
            bundle = read_bundle(nano_folder, kind=KIND, schema=SCHEMA)
            manifest, arrays, parts = bundle.manifest, dict(bundle.arrays), dict(bundle.parts)
            change(manifest, arrays, parts)
            place = tmp_path / "changed"
            write_bundle(
                place, kind=KIND, schema=SCHEMA, manifest=manifest, arrays=arrays, parts=parts
            )
            return place

        return _rewritten

    @pytest.mark.parametrize(
        "change",
        [
            lambda manifest, arrays, parts: arrays.pop("ridge.level"),
            lambda manifest, arrays, parts: manifest.pop("card"),
            lambda manifest, arrays, parts: manifest.update(card=[]),
            lambda manifest, arrays, parts: manifest["card"].pop("notices"),
            lambda manifest, arrays, parts: manifest["card"].update(hashes="none"),
            lambda manifest, arrays, parts: manifest.update(ensemble="none"),
            lambda manifest, arrays, parts: manifest["ensemble"].pop("targets"),
            lambda manifest, arrays, parts: manifest["ensemble"]["targets"].__setitem__(0, "CMAX"),
        ],
    )
    def test_what_is_no_model_is_refused_though_its_seal_holds(self, rewritten, change):
        with pytest.raises(ArtifactError):
            NanoModel.load(rewritten(change))

    def test_a_changed_byte_anywhere_is_refused(self, nano_folder, tmp_path):
        for path in sorted(nano_folder.iterdir()):
            copy = tmp_path / path.name
            shutil.copytree(nano_folder, copy)
            data = bytearray((copy / path.name).read_bytes())
            data[len(data) // 2] ^= 1
            (copy / path.name).write_bytes(bytes(data))
            with pytest.raises(ArtifactError):
                NanoModel.load(copy)

    def test_a_missing_file_an_empty_folder_and_none_are_refused(self, nano_folder, tmp_path):
        copy = tmp_path / "copy"
        shutil.copytree(nano_folder, copy)
        next(copy.glob("arrays-*")).unlink()
        (tmp_path / "empty").mkdir()
        for place in (copy, tmp_path / "empty", tmp_path / "nothing"):
            with pytest.raises(ArtifactError):
                NanoModel.load(place)

    @pytest.mark.long
    def test_a_model_of_patients_is_refused(self, fitted_folder):
        with pytest.raises(ArtifactError, match="profile-vae"):
            NanoModel.load(fitted_folder)


def test_a_fit_needs_rows_targets_and_two_studies(nano_table, nano_studies, nano_settings):
    with pytest.raises(InputError, match="at least 20 particles"):
        NanoModel.fit(nano_table.head(1), settings=nano_settings)
    with pytest.raises(InputError, match="column KTRESMAX"):
        NanoModel.fit(nano_table.drop("KTRESmax"), settings=nano_settings)
    one = nano_studies.with_columns(study_id=pl.lit("a"))
    with pytest.raises(InputError, match="of one group"):
        NanoModel.fit(nano_table, studies=one, settings=nano_settings)


def test_signs_of_failure_are_told():
    targets = ("DE24", "DE168")
    scores = {
        "mean": np.array([0.0, 0.0]),
        "xgboost": np.array([0.3, 0.1]),
        "ensemble": np.array([0.2, 0.095]),
    }
    signs = failure_signs(scores, targets, entropy=0.97)
    assert len(signs) == 2
    assert "nearly uniform (entropy 0.970" in signs[0]
    assert signs[1] == "DE24: the ensemble (R2 0.20) is under its best member (xgboost, 0.30)."
    assert failure_signs(scores, targets[1:], entropy=None) != signs
    told = optimism(np.array([0.5, 0.3]), np.array([0.3, 0.2]), targets)
    assert told == ("DE24: R2 is 0.50 on inner and 0.30 on outer folds.",)
