"""What learned decoders were trained on, and how uncertain they are beyond it."""

import numpy as np
import pytest

from latentpk.kinetics.doses import Doses
from latentpk.models.beyond import NEVER, STEADY, TOLERANCE, Beyond, Experience, Scale

SCALE = Scale(0.5, 0.3, 0.1)


def doses(time, amount=100.0, **fields):
    return Doses.of(np.asarray(time, float), amount, **{"depot": 1.0} | fields)


def daily(amount, count=3):
    return doses(24.0 * np.arange(count), amount)


SEEN = Experience.of([daily(100.0), daily(200.0), daily(150.0)], 1.0)
BEYOND = Beyond(SEEN, SCALE)
LATE = np.array([1e4])


def test_what_was_seen_is_kept():
    assert SEEN.amount == (100.0, 200.0)
    assert SEEN.interval == (24.0, 24.0)
    assert (SEEN.length, SEEN.doses, SEEN.central, SEEN.depot) == (48.0, 3, False, True)
    assert Experience.model_validate_json(SEEN.model_dump_json()) == SEEN


def test_one_odd_subject_of_hundreds_widens_no_range():
    usual = [daily(amount) for amount in np.linspace(100.0, 200.0, 300)]
    odd = Experience.of([*usual, doses([0.0, 1.0], 5000.0)], 1.0)
    assert odd.amount[1] < 201.0
    assert odd.interval == (24.0, 24.0)


@pytest.mark.parametrize(
    "given",
    [
        daily(100.0),
        daily(200.0, 2),
        doses([0.0], 130.0),
        doses([0.0, 25.5, 48.0], [205.0, 100.0, 95.0]),  # a clock wanders, an amount is rounded
        doses([], []),
        doses([0.0, 24.0], [0.0, 0.0]),  # padding
    ],
)
def test_nothing_is_beyond_what_was_seen_within_it(given):
    assert not BEYOND.sd(given, np.linspace(0, 1e3, 50)).any()
    assert BEYOND.words(given) == []


@pytest.mark.parametrize(
    ("given", "variance", "words"),
    [
        (daily(400.0), 0.25 * (np.log(2) - TOLERANCE), "A dose of 400 mg is beyond the 100 to"),
        (daily(25.0), 0.25 * (np.log(4) - TOLERANCE), "A dose of 25 mg"),
        (
            doses([0.0, 12.0, 24.0]),
            0.09 * (np.log(2) - TOLERANCE),
            "An interval of 12 h is beyond the 24 h that",
        ),
        (
            daily(100.0, 10),
            0.01 * (np.log(240 / 72) - TOLERANCE),
            "Dosing for 216 h is beyond the 48 h (3 doses)",
        ),
        (doses([0.0], depot=0.0), 0.25 * NEVER, "An intravenous dose is beyond the absorbed ones"),
        (
            doses([0.0], 300.0, steady=1.0, interval=12.0),
            0.25 * (np.log(1.5) - TOLERANCE)
            + 0.09 * (np.log(2) - TOLERANCE)
            + 0.01 * (np.log((12 * STEADY + 24) / 72) - TOLERANCE),
            "A dose repeated until steady state is beyond the 48 h",
        ),
    ],
)
def test_the_variance_grows_with_each_logarithm_of_the_distance(given, variance, words):
    np.testing.assert_allclose(BEYOND.sd(given, LATE), np.sqrt(variance))
    assert words in " ".join(BEYOND.words(given))


def test_two_doses_at_one_time_are_one_and_a_dose_after_a_reset_is_a_first_one():
    halves = doses([0.0, 0.0], [100.0, 300.0])
    np.testing.assert_allclose(BEYOND.sd(halves, LATE), BEYOND.sd(doses([0.0], 400.0), LATE))
    reset = doses([0.0, 500.0], until=[400.0, np.inf])
    assert not BEYOND.sd(reset, LATE).any()
    assert BEYOND.sd(doses([0.0, 500.0]), LATE) > 0


def test_where_only_single_doses_were_seen_any_second_one_is_beyond():
    single = Beyond(Experience.of([doses([0.0])], 1.0), SCALE)
    assert single.seen.interval is None
    for apart in (1.0, 24.0, 1000.0):
        two = doses([0.0, apart])
        np.testing.assert_allclose(single.sd(two, LATE), np.sqrt(0.09 * NEVER))
        assert "A second dose is beyond the single doses" in single.words(two)[0]
    assert not single.sd(doses([3.0]), LATE).any()


def test_nothing_changes_before_the_dose_and_nothing_jumps_at_it():
    given = doses([0.0, 24.0, 36.0])
    time = np.array([0.0, 35.999, 36.0, 36.001, 37.0, 60.0])
    sd = BEYOND.sd(given, time)
    assert not sd[:3].any()
    assert sd[3] < 0.03
    assert (np.diff(sd) >= 0).all()


def test_where_doses_go_that_the_file_leaves_undecided_was_seen():
    undecided = doses([0.0], depot=np.nan)
    seen = Experience.of([undecided], 0.0)
    assert (seen.central, seen.depot) == (True, False)
    assert Beyond(seen, SCALE).words(undecided) == []
    assert "An absorbed dose" in Beyond(seen, SCALE).words(doses([0.0]))[0]


def test_an_infusion_at_steady_state_has_no_amount_to_judge():
    endless = doses([0.0], 0.0, rate=5.0, steady=3.0)
    assert Experience.of([endless], 0.0).amount is None
    assert not BEYOND.sd(endless, LATE).any()


def test_of_doses_at_one_time_each_route_counts():
    """An intravenous dose beside a tablet, whichever the table has first."""
    for depot in ([1.0, 0.0], [0.0, 1.0]):
        both = doses([0.0, 0.0], [60.0, 60.0], depot=np.array(depot))
        assert "An intravenous dose" in BEYOND.words(both)[0]
        assert BEYOND.sd(both, LATE)[0] > 0
        seen = Experience.of([both], 1.0)
        assert (seen.central, seen.depot) == (True, True)


def test_what_is_undecided_goes_where_the_model_sends_it():
    undecided = doses([0.0], depot=np.nan)
    for sent, strange in ((1.0, False), (0.0, True)):
        beyond = BEYOND._replace(undecided=sent)
        assert bool(beyond.words(undecided)) == strange
        assert bool(beyond.sd(undecided, LATE).any()) == strange


def test_a_reset_ends_a_steady_state():
    given = doses(
        [0.0, 100.0], steady=np.array([1.0, 0.0]), interval=24.0, until=np.array([50.0, np.inf])
    )
    again = Experience.of([given], 1.0)
    assert (again.length, again.doses) == (24.0 * STEADY, round(STEADY) + 1)
    before, after, late = BEYOND.sd(given, np.array([49.0, 99.0, 1e4]))
    assert before > 0
    assert after == late == 0
