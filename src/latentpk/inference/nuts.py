"""Batched NUTS: the ladder's last rung, by NumPyro's functional kernel."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from latentpk.models.latent import LatentModel
from latentpk.models.record import Record

CHAINS = 2


def nuts_draws(
    model: LatentModel,
    record: Record,
    begin: Float[Array, "chain effect"],
    key: PRNGKeyArray,
    *,
    warmup: int = 300,
    draws: int = 500,
) -> tuple[Float[Array, "draw effect"], Float[Array, ""]]:
    """Sample one patient's eps by NUTS.

    Init and sampling are one program, so `jax.vmap` over patients is one compiled batch.

    Args:
        model: The model.
        record: One patient's record.
        begin: Where each chain begins, shape (chain, effect).
        key: Random key.
        warmup: Adaptation steps of each chain.
        draws: Kept draws of each chain.

    Returns:
        Draws of all chains, shape (chain * draw, effect), and the largest split R-hat.
    """
    from numpyro.infer.hmc import HMCState, hmc  # a quarter of a second, and few patients need it

    location = model.location(record)

    def potential(eps: Array) -> Array:
        value = 0.5 * jnp.sum(eps**2) - model.log_likelihood(eps, location, record)
        return jnp.where(jnp.isfinite(value), value, 1e10)

    def chain(start: Array, seed: PRNGKeyArray) -> Array:
        init, kernel = hmc(potential, algo="NUTS")
        state = init(start, num_warmup=warmup, max_tree_depth=8, rng_key=seed)
        state = jax.lax.fori_loop(0, warmup, lambda _, s: kernel(s), state)

        def step(state: HMCState, _: None) -> tuple[HMCState, Array]:
            state = kernel(state)
            return state, state.z

        return jax.lax.scan(step, state, None, length=draws)[1]

    kept = jax.vmap(chain)(begin, jax.random.split(key, begin.shape[0]))
    return kept.reshape(-1, begin.shape[1]), _split_rhat(kept)


@eqx.filter_jit
def nuts_batch(
    model: LatentModel, records: Record, begin: Array, key: PRNGKeyArray
) -> tuple[Float[Array, "subject draw effect"], Float[Array, " subject"]]:
    """`nuts_draws` for stacked records; all share a key, so that none depends on another."""
    return jax.vmap(lambda r, b: nuts_draws(model, r, b, key))(records, begin)


def _split_rhat(chains: Float[Array, "chain draw effect"]) -> Float[Array, ""]:
    """Largest split R-hat over effects (Gelman and Rubin, halves as chains)."""
    half = chains.shape[1] // 2
    parts = jnp.concatenate([chains[:, :half], chains[:, half : 2 * half]])
    within = jnp.mean(jnp.var(parts, axis=1, ddof=1), axis=0)
    between = jnp.var(jnp.mean(parts, axis=1), axis=0, ddof=1)
    return jnp.max(jnp.sqrt((half - 1) / half + between / jnp.maximum(within, 1e-300)))
