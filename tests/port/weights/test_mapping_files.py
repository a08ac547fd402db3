"""Mappings as TOML, states as files, and what is said when something is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import mapped_recurrent
import numpy as np
import pytest
import torch
from mapping_checks import found
from safetensors.numpy import load_file, save_file
from torch import nn as tnn

from twofold.errors import BadInput, DataError
from twofold.port.side import Tensor
from twofold.port.weights import Program, find, states, toml
from twofold.port.weights.use import Use
from twofold.port.weights.weights import Inventory

ORIGINAL = Inventory(
    "original",
    {"a.weight": (6, 4), "a.bias": (6,), "b.weight": (2, 6)},
    {"c.weight": "b.weight"},
    {"a": "torch.nn.Linear"},
)
PORT = Inventory("port", {"q.kernel": (4, 3), "k.kernel": (4, 3), "q.bias": (6,), "o": (6, 2)})
GOOD = """
format = "twofold.port.weights/1"

[weights.a]
"weight[0:3]" = { port = "q.kernel", axes = "out in -> in out" }
"weight[3:6]" = { port = "k.kernel", axes = "out in -> in out" }
bias = "q.bias"

[weights.b]
weight = { port = "o", axes = "out in -> in out" }
"""


def test_a_file_by_hand_is_read():
    weights = toml.parse(GOOD, ORIGINAL, PORT)
    state = {name: np.random.default_rng(0).normal(size=s) for name, s in ORIGINAL.shapes.items()}
    there = weights.convert(state)
    np.testing.assert_array_equal(there["k.kernel"], state["a.weight"][3:].T)
    assert [(link.kind, link.how) for link in weights.links] == [
        ("packed", "given"),
        ("one", "given"),
        ("one", "given"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"weight[0:3]"', '"wait[0:3]"', "a.wait[0:3]: the original has no tensor a.wait; "),
        ("q.bias", "q.bais", "a.bias: the port has no tensor q.bais; did you mean q.bias?"),
        ("out in -> in out", "out in -> in", "a.weight[0:3]: axes 'out in -> in': out stands on"),
        ("out in -> in out", "a b -> a b", "a.weight[0:3] (3, 4) and q.kernel (4, 3) do not fit"),
        ("[0:3]", "[0:4]", "a.weight[0:4] (4, 4) and q.kernel (4, 3) do not fit"),
        ("[3:6]", "[5:8]", "a.weight[5:8] is outside of the tensor's shape (6, 4)"),
        ("[3:6]", "[2:5]", "a.weight[0:3] and a.weight[2:5] overlap"),
        ('"q.bias"', "3", 'a.bias: allowed is "tensor" or { port = '),
        ('"q.bias"', '{ port = "q.bias", axis = 0 }', "a.bias: axis: unknown; allowed are port"),
        ('"q.bias"', '{ port = "q.bias", merged = 1 }', "a.bias: merged is true or false"),
        ('bias = "q.bias"', "", "a.bias of the original has no entry; give it one, or add it to"),
        ("[weights.b]", "[left_over]\nport = ['o']\n[weights.b]", "left_over.port: o has an entry"),
        ("[weights.b]", "[left_over]\nport = 'o'\n[weights.b]", "left_over.port: allowed is a li"),
        ("/1", "/2", "format 'twofold.port.weights/2'; allowed is 'twofold.port.weights/1'"),
        ("[weights.a]", "[weight.a]", "weight: unknown; allowed are format, left_over, original"),
        ("[weights.b]", "[weights", "not valid TOML"),
    ],
)
def test_a_wrong_file_names_the_entry(old, new, message, tmp_path):
    assert old in GOOD
    path = tmp_path / "weights.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(BadInput, match=re.escape(message)) as error:
        toml.load(path, ORIGINAL, PORT)
    assert str(error.value).startswith(str(path))


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        toml.load(tmp_path / "no.toml", ORIGINAL, PORT)


@pytest.mark.parametrize("make", [mapped_recurrent.gru_to_nnx, mapped_recurrent.lstm_cell])
def test_what_is_found_is_saved_and_loaded(make, tmp_path):
    weights, _ = found(make(), "own names")
    path = toml.save(weights, tmp_path / "weights.toml")
    again = toml.load(path, weights.original, weights.port)
    assert again.left_over == weights.left_over
    assert [(m.original, m.port, m.merged) for m in again.moves] == [
        (m.original, m.port, m.merged) for m in weights.moves
    ]
    assert all(link.how == "given" for link in again.links)


def test_the_text_says_how_each_was_found():
    text = toml.dump(found(mapped_recurrent.gru_to_nnx(), "own names")[0])
    assert '[weights."cells"]' not in text  # bare keys stay bare
    assert "[weights.cells]  # torch.nn.GRU" in text
    line = next(line for line in text.splitlines() if line.startswith('"bias_hh_l0[0:8]"'))
    assert line == (
        '"bias_hh_l0[0:8]" = { port = "first.cell.dense_i.bias[0:8]", merged = true }'
        "  # first use; (8,)"
    )
    assert '    "cells.bias_hh_l0[8:12]",' in text


# States


def linear_weights():
    return toml.parse(
        'format = "twofold.port.weights/1"\n[weights.l]\n'
        'weight = { port = "k", axes = "o i -> i o" }\nbias = "b"\n',
        Inventory("the original", {"l.weight": (3, 2), "l.bias": (3,)}, {"t.weight": "l.weight"}),
        Inventory("the port", {"k": (2, 3), "b": (3,)}),
    )


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_a_plain_state_dict_is_taken(prefix):
    module = tnn.ModuleDict({"l": tnn.Linear(2, 3)})
    state = {prefix + name: value for name, value in module.state_dict().items()}
    there = linear_weights().convert(state)
    np.testing.assert_array_equal(there["k"], module["l"].weight.detach().numpy().T)


def test_bfloat16_is_carried_bit_for_bit(tmp_path):
    state = {
        "l.weight": torch.randn(3, 2).to(torch.bfloat16),
        "l.bias": torch.tensor([1e-40, -0.0, 3e38]).to(torch.bfloat16),
    }
    there = linear_weights().convert(state)
    assert there["k"].dtype.name == "bfloat16"
    bits = state["l.weight"].view(torch.int16).numpy()
    np.testing.assert_array_equal(there["k"].view(np.int16), bits.T)
    states.save(there, tmp_path / "port.safetensors")
    again = states.load(tmp_path / "port.safetensors")
    assert {name: a.tobytes() for name, a in again.items()} == {
        name: a.tobytes() for name, a in there.items()
    }


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"l.weight": np.zeros((3, 2))}, "l.bias: not in the state given; allowed is a state with"),
        (
            {"l.weigth": np.zeros((3, 2))},
            "l.weigth: the model has no such tensor; did you mean l.w",
        ),
        (
            {"l.weight": np.zeros((2, 3))},
            "l.weight: shape (2, 3) in the state, (3, 2) in the model",
        ),
        ({"l.weight": "x"}, "l.weight: a str given; allowed are arrays and tensors"),
        (
            {"l.weight": np.zeros((3, 2)), "t.weight": np.ones((3, 2)), "l.bias": np.zeros(3)},
            "t.weight and l.weight: tied in the model, but their values differ",
        ),
    ],
)
def test_a_wrong_state_names_the_tensor(state, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        linear_weights().convert(state)


def test_other_shapes_name_the_side():
    with pytest.raises(BadInput, match=re.escape("k: shape (3, 2) given; the port has (2, 3)")):
        linear_weights().to_original({"k": np.zeros((3, 2))})


def test_a_file_that_is_no_safetensors_file(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(tnn.Linear(2, 3).state_dict(), path)
    with pytest.raises(DataError, match=re.escape("by safetensors.torch.save_file(model")):
        states.load(path)
    with pytest.raises(DataError, match="cannot be read"):
        states.load(tmp_path / "no.safetensors")


# Finding


def program(shapes, uses=()):
    tensors = [Tensor(name, np.zeros(shape), "parameter") for name, shape in shapes.items()]
    return Program.of(tensors, [Use(name) for name in uses])


def test_two_candidates_that_are_equally_good_are_said():
    weights = find(program({"x": (3,), "y": (3,)}), program({"u": (3,), "w": (3,)}))
    [first, second] = weights.moves
    assert {str(first.port), str(second.port)} == {"u", "w"}
    assert weights.doubts == (
        f"x and y: either could be {first.port}; nothing tells them apart; "
        "name them in the mapping",
    )
    assert "# To look at: x and y: either could be" in toml.dump(weights)


def test_the_order_of_use_tells_them_apart():
    a = program({"x": (3,), "y": (3,)}, ["y", "x"])
    weights = find(a, program({"u": (3,), "w": (3,)}, ["u", "w"]))
    assert [(str(m.original), str(m.port)) for m in weights.moves] == [("x", "w"), ("y", "u")]
    assert weights.doubts == ()


def test_a_weight_without_a_partner_is_left_over():
    weights = find(program({"x": (3,), "y": (5,)}), program({"u": (3,), "w": (4,)}))
    assert weights.left_over == (("y",), ("w",))
    with pytest.raises(BadInput, match="x: not in the state given"):
        weights.convert({})


def test_shapes_that_cannot_be_name_both():
    weights = find(program({"fc.w": (3, 5)}), program({"fc.w": (5, 4)}))
    assert weights.left_over == (("fc.w",), ("fc.w",))
    assert weights.doubts == (
        "fc.w (3, 5) and fc.w (5, 4) have the same path, but such shapes cannot hold the same "
        "numbers",
    )


def test_what_a_person_says_comes_first():
    a, b = program({"x": (3,), "y": (3,)}), program({"x": (3,), "w": (3,)})
    said = toml.moves_of(
        {"y": "x"}, Inventory.of(a.tensors.values()), Inventory.of(b.tensors.values())
    )
    weights = find(a, b, said)
    pairs = {str(m.original): (str(m.port), m.how) for m in weights.moves}
    assert pairs["y"] == ("x", "given")
    assert pairs["x"][0] == "w"


# Commands


MINE = """
import numpy as np
import torch
from flax import nnx
from twofold import port

class Port(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.b, self.a = nnx.Linear(4, 2, rngs=rngs), nnx.Linear(3, 4, rngs=rngs)

    def __call__(self, x):
        return self.b(nnx.relu(self.a(x)))

def pair():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    return port.Pair(port.Torch(module), port.Nnx(Port()), batches=[(x,)])
"""


def twofold(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "twofold.cli.main", "port", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=240,
    )


def test_map_on_the_command_line(tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(MINE))
    mapped = twofold("map", "mine.py", "-o", "weights.toml", folder=tmp_path)
    assert mapped.returncode == 0, mapped.stderr
    text = (tmp_path / "weights.toml").read_text()
    assert 'weight = { port = "a.kernel", axes = "out in -> in out" }' in text


@pytest.mark.slow
def test_convert_there_and_back_on_the_command_line(tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(MINE))
    module = tnn.Sequential(tnn.Linear(3, 4), tnn.ReLU(), tnn.Linear(4, 2))
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    save_file(state, tmp_path / "mine.safetensors")
    there = twofold("convert", "mine.py", "mine.safetensors", "-o", "jax.st", folder=tmp_path)
    assert there.returncode == 0, there.stderr
    np.testing.assert_array_equal(load_file(tmp_path / "jax.st")["a.kernel"], state["0.weight"].T)
    back = twofold("convert", "mine.py", "jax.st", "-o", "b.st", "--back", folder=tmp_path)
    assert back.returncode == 0, back.stderr
    again = load_file(tmp_path / "b.st")
    assert {name: a.tobytes() for name, a in again.items()} == {
        name: np.ascontiguousarray(a).tobytes() for name, a in state.items()
    }
    wrong = twofold("convert", "mine.py", "jax.st", "-o", "c.st", folder=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: a.bias: the model has no such tensor")
    assert not (tmp_path / "c.st").exists()
