"""The PyTorch side: float64 inside, everything as it was afterwards, casts and draws told."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from twofold.errors import BadInput, SideFailed
from twofold.port import Torch
from twofold.port.side import Call, Mask, MasksDoNotFit

X = np.random.default_rng(0).normal(size=(3, 4))
EVERYTHING = frozenset({"outputs", "loss", "gradients", "buffers", "modules", "masks"})


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.bn = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.seen = None

    def forward(self, x):
        self.seen = x
        return {"y": self.drop(self.bn(self.fc(x)))}


def call(**changes):
    return replace(Call({}, (X,), want=EVERYTHING, projection={"y": np.ones((3, 4))}), **changes)


def everything_of(module):
    values = module.state_dict(keep_vars=True)
    state = {name: (value, value.clone()) for name, value in values.items()}
    modes = {name: item.training for name, item in module.named_modules()}
    gradients = {name: p.grad for name, p in module.named_parameters()}
    return state, modes, gradients, torch.get_rng_state(), torch.get_default_dtype()


def require_untouched(module, before):
    state, modes, gradients, generator, dtype = before
    now = module.state_dict(keep_vars=True)
    for name, (same_object, value) in state.items():
        assert now[name] is same_object
        assert now[name].dtype == value.dtype
        assert torch.equal(now[name], value)
    assert {name: item.training for name, item in module.named_modules()} == modes
    assert all(p.grad is gradients[name] for name, p in module.named_parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.get_default_dtype() == dtype
    assert module.seen is None


@pytest.fixture
def model():
    torch.manual_seed(0)
    module = Model().eval()
    module.bn.train()
    module.fc.weight.grad = torch.ones(4, 4)
    return module


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("mode", ["evaluation", "training"])
def test_the_module_is_afterwards_as_it_was(model, mode, precision):
    before = everything_of(model)
    state = random.getstate()
    Torch(model).answer(call(mode=mode, precision=precision, masks=None))
    require_untouched(model, before)
    assert random.getstate() == state


def test_the_module_is_as_it_was_after_an_error(model):
    before = everything_of(model)

    def broken(module, batch):
        module(batch[0])
        module.fc.weight.data.zero_()
        module.bn.running_mean.zero_()
        raise ValueError("out of luck")

    with pytest.raises(SideFailed, match=r"test_torch_side.py:\d+: ValueError: out of luck"):
        Torch(model, call=broken).answer(call(mode="training"))
    require_untouched(model, before)


def test_answers_are_those_of_a_double_copy(model):
    answer = Torch(model).answer(call(mode="evaluation"))
    other = Model().double().eval()
    other.load_state_dict(model.state_dict())
    y = other(torch.from_numpy(X))["y"]
    y.sum().backward()
    assert np.allclose(answer.outputs["y"], y.detach().numpy(), rtol=1e-14, atol=0)
    assert np.allclose(answer.gradients["fc.weight"], other.fc.weight.grad.numpy(), rtol=1e-13)
    assert np.array_equal(answer.modules["bn"], answer.outputs["y"])
    assert answer.loss == pytest.approx(float(y.detach().sum()), rel=1e-14)


def test_given_tensors_take_the_place_of_the_modules_own(model):
    weight = np.random.default_rng(1).normal(size=(4, 4))
    answer = Torch(model).answer(call(tensors={"fc.weight": weight}))
    expected = X @ weight.T + model.fc.bias.detach().double().numpy()
    assert np.allclose(answer.modules["fc"], expected, rtol=1e-14)


class Casts(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((4,), 1.1))

    def forward(self, x):
        kept = x.dtype
        h = x.float() * self.scale
        table = torch.arange(0, 4, dtype=torch.float32) / 3
        weights = F.softmax(h + table, dim=-1, dtype=torch.float32)
        return (weights.to(torch.bfloat16) * h).to(kept)


def test_casts_inside_are_kept_wide_and_told_with_their_lines():
    module = Casts()
    answer = Torch(module).answer(Call({}, (X,)))
    h = X * module.scale.detach().double().numpy()
    e = np.exp(h + np.arange(4) / 3)
    expected = e / e.sum(-1, keepdims=True) * h
    assert np.allclose(answer.outputs[""], expected, rtol=1e-14, atol=0)
    first = Casts.forward.__code__.co_firstlineno
    found = {(int(c.where.rpartition(":")[2]) - first, c.target) for c in answer.casts}
    assert found == {(2, "float32"), (3, "float32"), (4, "float32"), (5, "bfloat16")}
    narrow = Torch(module).answer(Call({}, (X,), wide=False))
    assert np.abs(narrow.outputs[""] - expected).max() > 1e-4


def test_gradients_pass_through_what_was_kept_wide():
    module = Casts()
    want = frozenset({"gradients"})
    ones = {"": np.ones((3, 4))}
    scale = module.scale.detach().double().numpy()

    def total(value):
        h = X * value
        e = np.exp(h + np.arange(4) / 3)
        return (e / e.sum(-1, keepdims=True) * h).sum()

    answer = Torch(module).answer(Call({}, (X,), want=want, projection=ones))
    for i in range(4):
        step = np.eye(4)[i] * 1e-6
        slope = (total(scale + step) - total(scale - step)) / 2e-6
        assert answer.gradients["scale"][i] == pytest.approx(slope, rel=1e-7)


def test_masks_are_drawn_given_and_refused(model):
    side = Torch(model)
    drawn = side.answer(call(mode="training", masks=None))
    (mask,) = drawn.masks
    assert mask.keep == 0.5
    assert 0 < mask.kept.sum() < mask.kept.size
    again = side.answer(call(mode="training", masks=drawn.masks))
    assert np.array_equal(again.outputs["y"], drawn.outputs["y"])
    every = side.answer(call(mode="training", masks=()))
    assert np.allclose(every.outputs["y"], 2 * every.modules["bn"])
    with pytest.raises(MasksDoNotFit, match="no mask of shape"):
        side.answer(call(mode="training", masks=(Mask(np.ones((2, 2), bool), 0.5),)))


def test_forced_outputs_replace_those_of_a_module(model):
    given = np.random.default_rng(3).normal(size=(3, 4))
    answer = Torch(model).answer(call(forced={"fc": given}))
    plain = Torch(model).answer(call())
    assert not np.array_equal(answer.outputs["y"], plain.outputs["y"])
    bn = model.bn
    expected = (given - bn.running_mean.double().numpy()) / np.sqrt(1 + bn.eps)
    assert np.allclose(answer.outputs["y"], expected)


def test_an_input_changed_in_place_is_told_and_does_no_harm():
    class InPlace(nn.Module):
        def forward(self, x):
            return x.add_(1.0)

    batch = (X.copy(),)
    answer = Torch(InPlace()).answer(Call({}, batch))
    assert "changes its input 0 in place" in answer.notes[0]
    assert np.array_equal(batch[0], X)


def test_other_draws_are_told():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.randn(4)

    answer = Torch(Noisy()).answer(Call({}, (X,)))
    assert answer.draws[0].startswith("randn at ")
    assert "test_torch_side.py" in answer.draws[0]


def test_a_module_on_another_device_is_refused():
    with pytest.raises(BadInput, match=r"weight: on meta; .*\.cpu\(\)"):
        Torch(nn.Linear(2, 2, device="meta")).tensors()


def test_a_compiled_module_runs_compiled():
    count = []

    def backend(graph, _inputs):
        count.append(graph)
        return graph.forward

    inner = nn.Linear(4, 2)
    compiled = torch.compile(inner, backend=backend)
    side = Torch(compiled)
    assert [t.name for t in side.tensors()] == ["weight", "bias"]
    side.first_use(Call({}, (X,)))
    assert not count
    answer = side.answer(Call({}, (X,)))
    assert count
    assert np.allclose(answer.outputs[""], Torch(inner).answer(Call({}, (X,))).outputs[""])


def test_tied_parameters_and_kinds_are_described():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3)
            self.b = nn.Linear(3, 3)
            self.b.weight = self.a.weight
            self.b.bias.requires_grad_(False)

    found = {t.name: t for t in Torch(Tied()).tensors()}
    assert found["b.weight"].tied_to == "a.weight"
    assert found["a.weight"].owner == "torch.nn.Linear"
    assert found["a.weight"].attributes["in_features"] == 3
    assert not found["b.bias"].trainable


class Filled(nn.Module):
    def forward(self, x):
        return torch.empty_like(x).fill_(2.0) * x + x.new_empty(x.shape).zero_()


def test_memory_that_nothing_was_written_to_yet_has_no_numbers():
    asked = call(want=frozenset({"outputs", "operations"}), projection=None)
    operations = Torch(Filled()).answer(asked).operations
    found = {operation.name: len(operation.prints) for operation in operations}
    assert found == {"empty_like": 0, "fill_": 1, "mul": 1, "new_empty": 0, "zero_": 1, "add": 1}
