"""Whether two models differ, against values by hand."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from latentpk.evaluate.compare import corrected_t, holm


def student3(t):
    """Two-sided p of Student's t with 3 degrees of freedom, its closed form."""
    x = t / np.sqrt(3)
    return 1 - 2 / np.pi * (x / (1 + x**2) + np.arctan(x))


def test_the_corrected_t_of_four_folds_by_hand():
    difference = np.array([0.1, 0.2, 0.3, 0.4])
    # mean 1/4, variance 1/60, so t = (1/4) / sqrt((1/4 + 1/4) / 60) = sqrt(7.5)
    assert corrected_t(difference, test_share=0.25) == pytest.approx(student3(np.sqrt(7.5)))
    assert corrected_t(difference, test_share=0.25) == pytest.approx(0.0714216, abs=1e-6)


def test_it_is_more_cautious_than_the_plain_t():
    from scipy.stats import ttest_1samp

    difference = np.random.default_rng(0).normal(0.3, 1, 25)
    plain = ttest_1samp(difference, 0).pvalue
    assert corrected_t(difference, test_share=0.0) == pytest.approx(plain)
    assert corrected_t(difference, test_share=0.25) > plain


def test_a_sign_changes_nothing():
    difference = np.array([0.3, -0.1, 0.2, 0.5, 0.1])
    one, other = (corrected_t(sign * difference, test_share=0.25) for sign in (1, -1))
    assert one == pytest.approx(other)


@pytest.mark.parametrize(
    ("difference", "p"), [([0.0, 0.0], 1.0), ([0.2, 0.2], 0.0), ([0.2], 1.0), ([0.0], 1.0)]
)
def test_folds_that_do_not_vary_and_a_fold_alone(difference, p):
    assert corrected_t(np.array(difference), test_share=0.25) == p


def test_chance_alone_is_rarely_significant():
    """Differences that share training rows: a common part and each fold's own."""
    rng = np.random.default_rng(1)
    p = []
    for _ in range(400):
        shared = np.sqrt(0.2) * rng.normal()  # correlation 0.2, as test over all rows is 1/5
        p.append(corrected_t(shared + np.sqrt(0.8) * rng.normal(size=25), test_share=0.25))
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.08


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({}) == {}
    assert holm({"a": 0.7, "b": 0.6}) == {"a": 1.0, "b": 1.0}


@given(p=st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1, max_size=9))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(p):
    found = holm(p)
    for name, value in p.items():
        assert value <= found[name] <= min(len(p) * value, 1.0) + 1e-12
    order = sorted(p, key=p.get)
    assert [found[name] for name in order] == sorted(found.values())
