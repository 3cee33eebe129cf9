"""Programs compiled beside other work: same results, compiled once, errors where they are due."""

import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.compilation import count_programs
from latentpk.inference import ahead
from latentpk.inference.ahead import Program


@pytest.fixture(params=[1, 2], autouse=True)
def _cores(request, monkeypatch):
    monkeypatch.setattr(ahead, "_cores", lambda: request.param)


def test_a_program_begun_early_gives_what_it_gives_otherwise():
    square, x = Program(lambda x: jnp.sum(x**2)), np.arange(5.0)
    square.ahead(np.zeros(5))
    assert float(square(x)) == 30.0
    assert float(square(np.arange(4.0))) == 14.0  # a shape that nobody announced


def test_what_was_begun_is_not_compiled_again():
    product = Program(lambda x, y: x * jnp.flip(y) + 7)
    product.ahead(np.zeros(6), np.zeros(6))
    product(np.ones(6), np.ones(6))  # waits for it, or compiles where there is one core
    product.ahead(np.ones(6), np.ones(6))
    with count_programs() as programs:
        assert product(np.arange(6.0), np.ones(6)).shape == (6,)
    assert programs.built == 0


def test_an_error_is_raised_where_the_program_is_run():
    def refuses(x):
        raise ValueError("no such course")

    program = Program(refuses)
    program.ahead(np.zeros(2))
    with pytest.raises(ValueError, match="no such course"):
        program(np.zeros(2))
