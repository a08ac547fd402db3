"""The benchmark of the judge of ports: its pair is one function, and its size is GPT-2's."""

from __future__ import annotations

import torch

from comparisons.port_speed import Size, TorchGPT, line_of, measure


def test_the_original_has_as_many_parameters_as_gpt2_small() -> None:
    with torch.device("meta"):
        model = TorchGPT(Size())
    # The sizes of GPT-2 small with its head tied to the token table, as published: 124 million.
    block = 2 * 2 * 768 + 768 * 2304 + 2304 + 768 * 768 + 768 + 2 * 768 * 3072 + 3072 + 768
    wanted = (50_257 + 1_024) * 768 + 12 * block + 2 * 768
    assert wanted == 124_439_808
    assert sum(each.numel() for each in model.parameters()) == wanted


def test_a_small_pair_is_called_the_same() -> None:
    told: list[str] = []
    measured = measure(
        Size(8, heads=2, layers=1, vocabulary=11, positions=6, tokens=4), told.append
    )
    assert measured["passed"]
    said = {line.partition("s  ")[2] for line in told}
    assert {"forward, training: same", "gradients: same"} <= said
    assert measured["parameters"] == (11 + 6) * 8 + 16 + (32 + 8 * 24 + 24 + 72 + 256 + 256 + 40)
    assert measured["peak_bytes"] >= measured["before_bytes"] > 0


def test_the_line_says_how_much_memory_it_took() -> None:
    measured = {"parameters": 10**6, "seconds": 4.4, "peak_bytes": 2**25}
    assert (
        line_of(measured)
        == "1 million parameters: 4 s, peak 0.0 GiB, 4.2 times the parameters in float64"
    )
