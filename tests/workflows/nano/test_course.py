import numpy as np
import polars as pl
import pytest

from latentpk import NanoModel
from latentpk.errors import InputError
from latentpk.workflows.nano.course import WEIGHED, course

TIMES = np.array([0.0, 1.0, 24.0, 168.0])


@pytest.fixture(scope="module")
def alone(nano_joined, nano_table):
    return course(nano_joined, nano_table.head(3), TIMES)


def test_every_output_is_finite_ordered_and_within_the_dose(alone):
    table, notices = alone
    assert table.height == 3 * TIMES.size
    for name in ("TUMOR", "TUMOR_G", *WEIGHED):
        low, middle, high = (table[f"{name}{end}"].to_numpy() for end in ("_LO", "", "_HI"))
        assert np.isfinite(np.stack([low, middle, high])).all()
        assert ((low <= middle) & (middle <= high) & (low >= 0)).all()
        assert name == "TUMOR_G" or (high <= 100).all()
    assert any("Only the tumor was fitted" in one for one in notices)


def test_nothing_is_there_before_the_dose_spreads(alone):
    start = alone[0].filter(pl.col("TIME") == 0)
    assert (start["TUMOR"] < 1e-6).all()


def test_amounts_by_weight_are_amounts_over_the_tumors_weight(alone, nano_table):
    table = alone[0].filter(pl.col("TIME") == 24)
    np.testing.assert_allclose(
        table["TUMOR_G"], table["TUMOR"].to_numpy() / nano_table["TW"].head(3).to_numpy()
    )


def test_one_early_measurement_moves_and_narrows_the_later_course(nano_joined, nano_table, alone):
    before = alone[0].filter(pl.col("ID") == "1000", pl.col("TIME") == 24).row(0, named=True)
    now = alone[0].filter(pl.col("ID") == "1000", pl.col("TIME") == 1).row(0, named=True)
    early = pl.DataFrame({"ID": ["1000"], "TIME": [1.0], "TUMOR": [4 * now["TUMOR"]]})
    table, _ = course(nano_joined, nano_table.head(3), TIMES, observed=early)
    after = table.filter(pl.col("ID") == "1000", pl.col("TIME") == 24).row(0, named=True)
    assert after["TUMOR"] > 1.2 * before["TUMOR"]
    assert np.log(after["TUMOR_HI"] / after["TUMOR_LO"]) < np.log(
        before["TUMOR_HI"] / before["TUMOR_LO"]
    )
    assert after["MEASUREMENTS"] == 1
    others = table.filter(pl.col("ID") != "1000")
    assert others.equals(alone[0].filter(pl.col("ID") != "1000"))  # nobody else's changed


def test_threads_change_nothing(nano_joined, nano_table, alone):
    assert course(nano_joined, nano_table.head(3), TIMES, threads=2)[0].equals(alone[0])


@pytest.mark.long
def test_other_species_are_said_to_be_extrapolation(nano_joined, nano_table, alone):
    table, notices = course(nano_joined, nano_table.head(1), TIMES, species="human")
    assert any("human" in one and "nothing here was fitted" in one for one in notices)
    mouse = alone[0].filter(pl.col("ID") == "1000")
    assert not np.allclose(table["TUMOR"], mouse["TUMOR"])


@pytest.mark.parametrize("times", [[], [-1.0], [181.0], [np.nan]])
def test_times_outside_the_model_are_refused(nano_joined, nano_table, times):
    with pytest.raises(InputError, match="--times"):
        course(nano_joined, nano_table.head(1), np.array(times))


def test_a_model_without_courses_says_so(nano_model, nano_table):
    with pytest.raises(InputError, match="without measured courses"):
        course(nano_model, nano_table.head(1), TIMES)


class TestJoined:
    @pytest.mark.long
    def test_it_comes_back_to_the_last_bit(self, nano_joined, nano_table, tmp_path):
        nano_joined.save(tmp_path / "model")
        again = NanoModel.load(tmp_path / "model")
        assert again.predict(nano_table).equals(nano_joined.predict(nano_table))
        assert course(again, nano_table.head(1), TIMES)[0].equals(
            course(nano_joined, nano_table.head(1), TIMES)[0]
        )

    def test_the_latent_model_joins_delivery_alone(self, nano_joined, nano_table):
        joint = nano_joined.joint
        assert ((joint.share >= 0) & (joint.share <= 1)).all()
        from latentpk.records.particles import read_particles

        found = nano_joined.prediction(read_particles(nano_table))
        alone = found.members["ensemble"]
        np.testing.assert_array_equal(found.median[:, :4], alone[:, :4])
        mixed = (1 - joint.share) * alone[:, 4:] + joint.share * found.members["latent"][:, 4:]
        np.testing.assert_allclose(found.median[:, 4:], mixed, rtol=1e-12)

    def test_the_card_says_what_was_measured(self, nano_joined):
        said = nano_joined.card["latent"]
        assert said["measured"].startswith(f"{nano_joined.joint.latent.config.assay}, ")
        assert said["courses"] == 50
        assert said["measurements"] == 150
