"""float64 everywhere by one setting, float32 by an explicit cast."""

import ast
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import latentpk
from latentpk import precision

SOURCE = Path(latentpk.__file__).parent


def test_arrays_are_double_also_in_a_fresh_thread():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(jnp.exp(jnp.linspace(0.0, 1.0, 3))))
    thread.start()
    thread.join()
    assert seen[0].dtype == jnp.exp(jnp.ones(3)).dtype == jnp.float64
    np.testing.assert_allclose(seen[0], np.exp(np.linspace(0.0, 1.0, 3)), rtol=1e-15)


def test_single_casts_float64_leaves_alone():
    tree = {
        "theta": jnp.ones(2),
        "numpy": np.ones(2),
        "half": jnp.ones(2, jnp.float16),
        "count": jnp.arange(2),
        "mask": jnp.array([True]),
        "name": "vancomycin",
        "none": None,
        "rate": 0.5,
    }
    cast = precision.single(tree)
    assert cast["theta"].dtype == cast["numpy"].dtype == jnp.float32
    assert cast["half"].dtype == jnp.float16
    assert cast["count"].dtype == jnp.int64
    assert cast["mask"].dtype == bool
    assert (cast["name"], cast["none"], cast["rate"]) == ("vancomycin", None, 0.5)


def test_double_undoes_single_up_to_rounding():
    tree = (jnp.array([0.1, 1 / 3]), jnp.array([0.5]))
    back = precision.double(precision.single(tree))
    for before, after in zip(tree, back, strict=True):
        assert after.dtype == jnp.float64
        np.testing.assert_allclose(after, before, rtol=2**-24)
    assert back[0][0] != 0.1  # it went through float32


def test_a_step_on_single_leaves_has_no_double_in_it():
    def loss(parameters, batch):
        return jnp.mean((parameters["w"] @ batch - 1.0) ** 2)

    leaves = precision.single(({"w": jnp.ones((2, 3))}, jnp.ones(3)))
    assert "f64" not in str(jax.make_jaxpr(jax.grad(loss))(*leaves))


def imported(module):
    """LatentPK's modules and all packages that importing a module brings in at once."""
    path = SOURCE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names = {module.rpartition(".")[0]} - {"", "latentpk"}  # its room's __init__ runs first
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def is_module(name):
    path = SOURCE.joinpath(*name.split(".")[1:])
    return name.startswith("latentpk.") and (path.with_suffix(".py").exists() or path.is_dir())


def closure(module):
    todo, seen = {module}, set()
    while todo:
        seen |= todo
        todo = {name for each in todo for name in imported(each) if is_module(name)} - seen
    return seen


def modules():
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("module", [name for name in modules() if name != "latentpk"])
def test_who_imports_jax_has_the_setting(module):
    roots = {name.split(".")[0] for name in imported(module)}
    if roots & {"jax", "equinox", "optax", "numpyro", "diffrax"}:
        assert "latentpk.precision" in closure(module), f"{module} must import latentpk.precision"
