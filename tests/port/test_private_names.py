"""The private names of frameworks that the judge stands on: a failure here says which is gone."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import torch
from torch import nn
from twofold_jax.port import wide as jax_wide
from twofold_torch.port import wide as torch_wide


def test_every_operation_of_jax_goes_through_primitive_bind():
    """jax._src.core.Primitive.bind, JAX 0.10.2."""
    from jax._src.core import Primitive

    assert list(inspect.signature(Primitive.bind).parameters) == ["self", "args", "params"]
    assert jax.lax.convert_element_type_p.name == "convert_element_type"
    watch = jax_wide.Watch(wide=True)
    watch.expect(())
    with jax.enable_x64(True), watch.on():
        program = jax.make_jaxpr(lambda x: jnp.sin(x.astype(jnp.float32)))(jnp.ones(2))
    assert program.out_avals[0].dtype == jnp.float64
    assert Primitive.bind is not None
    assert watch.casts


def test_what_is_traced_now_is_known():
    """jax._src.core.trace_ctx.trace, JAX 0.10.2."""
    outside = jax_wide.current_trace()
    inside = []
    jax.make_jaxpr(lambda x: inside.append(jax_wide.current_trace()) or x)(1.0)
    assert inside[0] is not outside
    assert jax_wide.current_trace() is outside


def test_linen_asks_for_shapes_of_initializers_in_the_file_that_the_watch_names():
    """flax/core/scope.py, function `param`, Flax 0.12.8."""
    from flax.core.scope import Scope

    assert inspect.getsourcefile(Scope.param).endswith(jax_wide.LINEN_PARAM)


def test_dropout_of_torch_draws_with_bernoulli_below_autograd():
    """aten::bernoulli_ on the CPU, also in attention, PyTorch 2.13."""
    x = torch.ones(2, 5, 8)
    attention = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)
    for run in (
        lambda: nn.Dropout(0.5)(x),
        lambda: attention(x, x, x, need_weights=False),
        lambda: nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
    ):
        watch = torch_wide.Watch(wide=False, masks=None)
        with watch:
            run()
        assert len(watch.masks) == 1
        assert watch.masks[0].keep == 0.5
