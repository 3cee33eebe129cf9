import numpy as np
import pytest

from latentpk.workflows.trials import (
    Candidate,
    Trial,
    better,
    choose,
    gain_of,
    is_closed,
    is_free,
)


def trial(scores, decoder="1c-iv"):
    return Trial(candidate=Candidate(decoder=decoder, route="iv"), scores=tuple(scores))


class TestChoosing:
    def test_a_richer_model_must_forecast_better_by_more_than_noise(self):
        noise = np.random.default_rng(1).standard_normal(50)
        simple = trial(noise)
        assert not better(trial(noise), simple)
        assert not better(trial(noise + 0.01 * np.roll(noise, 1)), simple)
        assert better(trial(noise + 0.1), simple)
        assert not better(trial(noise - 0.1), simple)

    def test_a_lag_needs_less_proof_than_a_compartment(self):
        noise = np.random.default_rng(1).standard_normal((2, 50))
        gain = noise[1] - noise[1].mean() + noise[1].std(ddof=1) / np.sqrt(50)  # one standard error
        simple = trial(noise[0], "1c-oral")
        assert better(trial(noise[0] + gain, "1c-oral-lag"), simple)
        assert not better(trial(noise[0] + gain, "2c-oral"), simple)
        assert not better(trial(noise[0] + 0.3 * gain - 0.7 * gain.mean(), "1c-oral-lag"), simple)

    def test_a_free_curve_must_gain_more_than_a_structure_would(self):
        noise = np.random.default_rng(1).standard_normal(50)
        simple = trial(noise)
        assert better(trial(noise + 0.09, "2c-iv"), simple)
        for free in ("kernel", "neural_ode", "hybrid-1c-iv"):
            assert not better(trial(noise + 0.09, free), simple)
            assert better(trial(noise + 0.11, free), simple)
        assert better(trial(noise + 0.09, "kernel"), trial(noise, "grid"))

    def test_among_few_subjects_a_second_compartment_is_kept_unless_it_clearly_harms(self):
        noise = np.random.default_rng(2).standard_normal(60)
        one = trial(np.zeros(60), "1c-iv")
        error = noise.std(ddof=1) / np.sqrt(60)
        for gain, kept in ((-0.8, True), (-1.2, False), (0.5, True)):
            two = trial(noise - noise.mean() + gain * error, "2c-iv")
            assert better(two, one, few=True) == kept
            assert not better(two, one)
        three = trial(noise - noise.mean() + 0.5 * error, "3c-iv")
        assert not better(three, trial(np.zeros(60), "2c-iv"), few=True)

    def test_a_third_compartment_needs_three_standard_errors(self):
        spread = np.tile([1.0, -1.0], 200)  # a standard error of 0.05
        two = trial(np.zeros(400), "2c-iv")
        for gain, kept in ((0.12, False), (0.18, True)):
            assert better(trial(spread + gain, "3c-iv"), two) == kept
        assert better(trial(spread + 0.12, "2c-iv"), trial(np.zeros(400), "1c-iv"))

    def test_a_candidate_that_cannot_be_trained_never_wins(self):
        assert not better(trial([-1e9]), trial([-3.0, -4.0]))
        assert better(trial([-3.0, -4.0]), trial([-1e9]))

    def test_the_first_stays_unless_beaten(self):
        one, same, best = trial([0.0, 0.1]), trial([0.0, 0.1], "2c-iv"), trial([1.0, 1.1], "3c-iv")
        assert choose([one, same]) is one
        assert choose([one, same, best]) is best


@pytest.mark.parametrize(
    ("name", "free", "closed"),
    [
        ("2c-iv", False, True),
        ("kernel", True, False),
        ("grid", True, False),
        ("neural_ode", True, False),
        ("hybrid-2c-iv", True, False),
        ("1c-mm-iv", False, False),
    ],
)
def test_a_free_curve_a_closed_form_and_a_mechanism_which_is_neither(name, free, closed):
    assert (is_free(name), is_closed(name)) == (free, closed)


@pytest.mark.parametrize(("richer", "wins"), [("kernel", False), ("2c-mm-cl-iv", True)])
def test_a_free_curve_needs_more_than_a_mechanism_does(richer, wins):
    """Five hundredths of a nat, told well: enough for a mechanism, not for a free curve."""
    held = trial([0.0, 0.1, 0.2], "1c-mm-iv")
    assert better(trial([0.05, 0.15, 0.25001], richer), held) == wins


def test_a_gain_counts_standard_errors_and_knows_its_sign():
    one, other = trial([1.0, 2.0, 3.0]), trial([0.0, 1.5, 1.5])
    error = np.std([1.0, 0.5, 1.5], ddof=1) / np.sqrt(3)
    assert gain_of(one, other) == pytest.approx(1.0 / error)
    assert gain_of(other, one) == pytest.approx(-1.0 / error)
    assert gain_of(trial([-1e9]), other) == -np.inf
