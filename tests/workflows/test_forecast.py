import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from latentpk import read_nonmem
from latentpk.compilation import count_programs
from latentpk.workflows.forecast import groups

VALUES = ["PRED", "PRED_MEDIAN", "IPRED", "LO", "HI", "PI_LO", "PI_HI"]
OWNED = ["PARETO_K", "ESS", "METHOD", "VERDICT", "REASON"]


def level(subject=None, *, after=None, before=None):
    """Rows that are levels, of one subject, in a part of its time."""
    rows = pl.col("EVID") == 0
    rows &= pl.lit(True) if subject is None else pl.col("ID") == subject
    rows &= pl.lit(True) if after is None else pl.col("TIME") > after
    return rows & (pl.lit(True) if before is None else pl.col("TIME") < before)


def change(frame, rows, **values):
    return frame.with_columns(
        pl.when(rows).then(value).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


@pytest.fixture(scope="module")
def asked(patients):
    """The patients with a time to predict at 30 h (EVID 2) and one at 40 h (MDV 1)."""
    extra = patients.group_by("ID", maintain_order=True).first().select("ID", "WT")
    times = [extra.with_columns(TIME=pl.lit(t), EVID=e) for t, e in ((30.0, 2), (40.0, 0))]
    rows = pl.concat(times).with_columns(MDV=1, CMT=1, AMT=0.0, RATE=0.0, DV=7.0)
    rows = rows.cast({name: patients.schema[name] for name in ("EVID", "MDV", "CMT")})
    whole = pl.concat([patients, rows.select(patients.columns)])
    return whole.sort("ID", "TIME", maintain_order=True)


@pytest.fixture(scope="module")
def table(fitted, asked):
    return fitted.forecast(read_nonmem(asked, **fitted.reading(), purpose="forecast"))


def test_rows_and_order_are_the_files(asked, table):
    rows = asked.filter(pl.col("EVID") != 1)
    assert table.columns == ["ID", "TIME", "CMT", "DVID", "DV", *VALUES, *OWNED]
    assert table["ID"].to_list() == [str(i) for i in rows["ID"]]
    assert table["TIME"].to_list() == rows["TIME"].to_list()
    assert table["DV"].to_list() == rows["DV"].to_list()
    values = table.select(VALUES).to_numpy()
    assert np.isfinite(values).all()
    assert (values >= 0).all()


def test_records_of_other_lengths_share_programs(asked, table, forecast):
    first = pl.col("TIME") == pl.col("TIME").filter(level()).first().over("ID")
    shorter = asked.filter(~(level() & first & (pl.col("ID") % 2 == 0)))
    assert len(shorter) < len(asked)
    with count_programs() as programs:
        found = forecast(shorter)
    assert len(found) == len(table) - (len(asked) - len(shorter))
    assert programs.built == 0


def test_prediction_rows_are_never_conditioned_on(asked, table, forecast):
    junk = change(asked, (pl.col("MDV") == 1) & (pl.col("EVID") != 1), DV=pl.lit(1e5))
    again = forecast(junk)
    assert again.drop("DV").equals(table.drop("DV"))
    assert (again["DV"] == 1e5).sum() == 12
    words = junk.cast({"DV": pl.String})
    words = change(words, (pl.col("MDV") == 1) & (pl.col("EVID") != 1), DV=pl.lit("<LLOQ"))
    again = forecast(words)
    assert again.drop("DV").equals(table.drop("DV"))
    assert again["DV"].to_list().count("<LLOQ") == 12


def test_levels_are_conditioned_on(asked, table, forecast):
    moved = forecast(change(asked, level(2, before=12), DV=pl.col("DV") * 1.2))
    mine = table["ID"] == "2"
    assert (moved.filter(mine)["IPRED"] != table.filter(mine)["IPRED"]).all()
    assert moved.filter(~mine).equals(table.filter(~mine))
    assert moved["PRED"].equals(table["PRED"])


def test_subjects_know_nothing_of_each_other(asked, table, forecast):
    parts = asked.partition_by("ID", maintain_order=True)
    turned = forecast(pl.concat(parts[::-1]))
    expected = pl.concat(table.partition_by("ID", maintain_order=True)[::-1])
    assert turned.equals(expected)


class TestConditionUntil:
    def test_later_levels_are_only_answered(self, asked, forecast):
        limited = forecast(asked, condition_until=12.0)
        told = forecast(change(asked, level(after=12), MDV=1))
        assert limited.select(VALUES + OWNED).equals(told.select(VALUES + OWNED))
        assert len(limited) == 36

    def test_a_level_at_the_limit_counts(self, asked, forecast):
        at = asked.filter(level(1)).sort("TIME")["TIME"][1]
        counted = forecast(asked, condition_until=at)
        less = forecast(asked, condition_until=at - 0.01)
        mine = pl.col("ID") == "1"
        assert not counted.filter(mine)["IPRED"].equals(less.filter(mine)["IPRED"])

    def test_later_covariates_are_not_seen(self, asked, forecast):
        grown = change(asked, pl.col("TIME") > 12, WT=pl.col("WT") * 2)
        limited = forecast(grown, condition_until=12.0)
        assert limited.equals(forecast(asked, condition_until=12.0))


def test_without_levels_the_prior_answers(asked, table, forecast):
    alone = forecast(change(asked, level(3), MDV=1))
    mine = pl.col("ID") == "3"
    prior, told = alone.filter(mine), table.filter(mine)
    # either is a median of 1024 draws with an SD of logs of about 0.5: 2 % of error each
    np.testing.assert_allclose(prior["IPRED"], prior["PRED_MEDIAN"], rtol=0.08)
    assert prior["PRED"].equals(told["PRED"])
    assert prior["PRED_MEDIAN"].equals(told["PRED_MEDIAN"])
    assert ((prior["HI"] / prior["LO"]) > (told["HI"] / told["LO"])).all()
    assert set(prior["VERDICT"]) == {"ok"}
    assert alone.filter(~mine).equals(table.filter(~mine))


def test_a_single_level_is_enough(asked, table, forecast):
    none = forecast(change(asked, level(4), MDV=1)).filter(pl.col("ID") == "4")
    one = forecast(change(asked, level(4, after=12), MDV=1)).filter(pl.col("ID") == "4")
    one = one.filter(pl.col("TIME") < 12)
    none, every = (t.filter((pl.col("ID") == "4") & (pl.col("TIME") < 12)) for t in (none, table))
    width = [np.log(t["HI"] / t["LO"]).to_numpy() for t in (none, one, every)]
    assert (width[0] > width[1]).all()
    assert (width[1] > 0.9 * width[2]).all()


def test_units_of_dv_are_the_answers(asked, table, forecast):
    other = asked.with_columns(DV=pl.col("DV") * 1000)
    units = "TIME=h,AMT=mg,DV=ng/mL,WT=kg"
    scaled = forecast(other, units=units)
    np.testing.assert_allclose(
        scaled.select(VALUES).to_numpy(), 1000 * table.select(VALUES).to_numpy(), rtol=1e-4
    )
    assert scaled["DV"].to_list() == other.filter(pl.col("EVID") != 1)["DV"].to_list()


def test_another_dvid_is_neither_read_nor_answered(asked, table, forecast):
    mine = asked.with_columns(DVID=pl.lit(1))
    other = change(mine.filter(level()), level(), DVID=2, DV=pl.col("DV") * 50)
    both = pl.concat([mine, other]).sort("ID", "TIME", maintain_order=True)
    answered = forecast(both, dvid=1)
    assert answered["DVID"].to_list() == [1] * len(table)
    assert answered.select(VALUES).equals(table.select(VALUES))


def test_a_level_below_its_limit_pulls_down(asked, forecast):
    """M3: the last level is only known to be low, against not being known at all."""
    last = level(5, after=30)
    limit = pl.lit(0.25) * pl.col("DV")
    wide = asked.with_columns(CENS=pl.lit(0), LLOQ=pl.lit(None, pl.Float64))
    below = change(wide, last, CENS=1, LLOQ=limit)
    unknown = change(wide, last, MDV=1)
    mine = (pl.col("ID") == "5") & (pl.col("TIME") > 30)
    low, free = forecast(below).filter(mine), forecast(unknown).filter(mine)
    assert (low["IPRED"] < free["IPRED"]).all()
    assert np.isfinite(low.select(VALUES).to_numpy()).all()


@pytest.fixture(scope="module")
def grown(asked):
    return change(asked, pl.col("TIME") >= 24, WT=pl.col("WT") * 1.5)


@pytest.fixture(scope="module")
def by_rule(fitted, grown):
    reading = fitted.reading() | {"purpose": "forecast"}
    return {
        rule: fitted.forecast(read_nonmem(grown, **(reading | {"interpolation": rule})))
        for rule in ("locf", "nocb", "linear")
    }


class TestTimeVaryingCovariates:
    @pytest.mark.long
    def test_they_change_what_comes_after(self, table, by_rule):
        early = pl.col("TIME") < 12
        np.testing.assert_allclose(
            by_rule["locf"].filter(early)["PRED"], table.filter(early)["PRED"], rtol=1e-9
        )
        late = pl.col("TIME") > 24
        ratio = by_rule["locf"].filter(late)["PRED"] / table.filter(late)["PRED"]
        assert ((ratio - 1).abs() > 1e-3).all()
        assert ratio.mean() < 1  # heavier patients clear more, from a larger volume

    def test_the_rule_matters(self, by_rule):
        late = pl.col("TIME") > 24
        tables = [by_rule[rule].filter(late)["PRED"].to_numpy() for rule in by_rule]
        assert not np.allclose(tables[0], tables[1], rtol=1e-3)
        assert not np.allclose(tables[0], tables[2], rtol=1e-3)
        for t in by_rule.values():
            assert np.isfinite(t.select(VALUES).to_numpy()).all()


def dose(subject, time, **columns):
    row = {"ID": subject, "TIME": time, "EVID": 1, "MDV": 1, "AMT": 300.0, "RATE": 300.0}
    return row | columns


def measured(subject, time, value):
    return {"ID": subject, "TIME": time, "EVID": 0, "MDV": 0, "AMT": 0.0, "DV": value}


def records(*rows):
    base = {"CMT": 1, "RATE": 0.0, "DV": None, "WT": 70.0, "ADDL": 0, "II": 0.0, "SS": 0}
    return pl.DataFrame([base | row for row in rows], infer_schema_length=None)


STEADY = (dose(9, 0.0, SS=1, II=12.0), measured(9, 6.0, 6.0))  # in both: the same programs


@pytest.fixture(scope="module")
def short(fitted):
    frame = records(
        dose(1, 0.0, ADDL=14, II=12.0),
        measured(1, 176.0, 5.0),
        dose(2, 168.0, SS=1, II=12.0),
        measured(2, 176.0, 5.0),
        dose(3, 0.0),
        dose(3, 24.0, EVID=4),
        measured(3, 30.0, 5.0),
        dose(4, 0.0, AMT=900.0),
        {"ID": 4, "TIME": 5.0, "EVID": 3, "MDV": 1, "AMT": 0.0},
        dose(4, 24.0),
        measured(4, 30.0, 5.0),
        dose(5, 0.0),
        dose(5, 24.0, EVID=4, TIME=0.0),
        measured(5, 6.0, 5.0),
        *STEADY,
    )
    return fitted.forecast(read_nonmem(frame, **fitted.reading(), purpose="forecast"))


@pytest.fixture(scope="module")
def written_out(fitted):
    fifteen = np.arange(15) * 12.0
    frame = records(
        *(dose(1, t) for t in fifteen),
        measured(1, 176.0, 5.0),
        *(dose(2, t) for t in fifteen),
        measured(2, 176.0, 5.0),
        dose(3, 24.0),
        measured(3, 30.0, 5.0),
        dose(4, 24.0),
        measured(4, 30.0, 5.0),
        dose(5, 0.0),
        measured(5, 6.0, 5.0),
        *STEADY,
    )
    return fitted.forecast(read_nonmem(frame, **fitted.reading(), purpose="forecast"))


class TestDoseRecords:
    """Short forms of dosing against the same doses written out, through the whole path."""

    @pytest.mark.parametrize(
        ("subject", "what"),
        [("1", "ADDL"), ("2", "SS"), ("3", "EVID 4"), ("4", "EVID 3"), ("5", "EVID 4, TIME anew")],
    )
    def test_they_are_the_doses_written_out(self, short, written_out, subject, what):
        mine = pl.col("ID") == subject
        one, other = short.filter(mine), written_out.filter(mine)
        # fifteen doses are steady state but for exp(-18)
        np.testing.assert_allclose(one["PRED"], other["PRED"], rtol=1e-6)
        # the encoder may begin elsewhere: the same posterior to Monte Carlo error
        np.testing.assert_allclose(
            one.select(VALUES).to_numpy(), other.select(VALUES).to_numpy(), rtol=0.04
        )
        assert np.isfinite(one.select(VALUES).to_numpy()).all()


@pytest.fixture(scope="module")
def tables(fitted):
    bolus = {"RATE": 0.0, "ROUTE": "iv"}
    frame = records(
        dose(1, 0.0, **bolus), measured(1, 12.0, 2.5), dose(1, 12.0, **bolus),
        measured(1, 20.0, 4.0),
        dose(2, 0.0, **bolus), dose(2, 12.0, **bolus), measured(2, 12.0, 2.5),
        measured(2, 20.0, 4.0),
    )  # fmt: skip
    cohorts = {
        ties: read_nonmem(frame, **fitted.reading(), purpose="forecast", ties=ties)
        for ties in ("file", "pre", "post")
    }
    return {ties: (cohort, fitted.forecast(cohort)) for ties, cohort in cohorts.items()}


class TestTies:
    """A bolus and a level at one time: trough or peak."""

    def at_dose(self, tables, ties, subject):
        rows = (pl.col("ID") == subject) & (pl.col("TIME") == 12)
        return tables[ties][1].filter(rows)["PRED"].item()

    @pytest.mark.long
    def test_the_file_decides_by_record_order(self, tables):
        assert self.at_dose(tables, "file", "1") == self.at_dose(tables, "pre", "1")
        assert self.at_dose(tables, "file", "2") == self.at_dose(tables, "post", "2")

    def test_a_peak_is_a_bolus_above_a_trough(self, tables, fitted):
        volume = float(np.exp(fitted.model.prior.location(jnp.array([70.0]))[1]))
        for subject in ("1", "2"):
            rise = self.at_dose(tables, "post", subject) - self.at_dose(tables, "pre", subject)
            assert rise == pytest.approx(300 / volume, rel=1e-9)

    def test_the_choice_is_told(self, tables):
        told = {ties: " ".join(cohort.notices) for ties, (cohort, _) in tables.items()}
        assert all("Equal times:" in text for text in told.values())
        assert len(set(told.values())) == 3


def test_long_subjects_are_apart(ward):
    cohort = read_nonmem(ward.head(14))
    many = pl.concat([ward.head(14), records(*(dose(99, float(t)) for t in range(65)),
                                             measured(99, 70.0, 3.0)).select(ward.columns)],
                     how="vertical_relaxed")  # fmt: skip
    mixed = read_nonmem(many, covariates=["WT"])
    assert groups(cohort.subjects) == [[0, 1]]
    assert groups(mixed.subjects) == [[0, 1], [2]]


def test_a_file_of_doses_alone_has_no_rows_to_answer(forecast, patients):
    empty = forecast(patients.filter(pl.col("EVID") == 1))
    assert empty.columns == ["ID", "TIME", "CMT", "DVID", "DV", *VALUES, *OWNED]
    assert len(empty) == 0
