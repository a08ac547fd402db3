"""The words by which an answer has named a cause; written for the mistakes, not for the judge.

Groups are parted by "&": an answer needs one word of each. Words of a group are parted by "|" and
are looked for where words begin. Causes of one family in `ALIKE` may be named by the same words.
"""

from __future__ import annotations

import re
from typing import Final

WORDS: Final = {
    # Weights
    "order of the packed query, key and value": "packed|query|qkv & order|swap|permut|exchang",
    "query and key weights are swapped": "query|key & order|swap|permut|exchang",
    "weights of the two norms are swapped": "swap|permut|exchang & norm|ln",
    "weights of two blocks are swapped": "swap|permut|exchang & block|layer",
    "square weight is not transposed": "transpos & weight|kernel|matrix",
    "square weight is transposed": "transpos & weight|kernel|matrix",
    "order of the gates": "gate & order|swap|permut|exchang",
    "tied weight is stored twice": "tie|tied|tying|untied|shared",
    "tied weight": "tie|tied|tying|untied|shared",
    "spatial axes of the kernel": "transpos|axes|order & kernel|weight|spatial|height",
    "input and output channels of the kernel": "transpos|axes|order|channel & kernel|weight",
    "bias is missing": "bias & missing|without|no bias|left out|left over|partner",
    "positional embedding is not used": "position & unused|not used|not added|missing|without",
    # Constants
    "eps of a norm": "eps",
    "eps of the norms": "eps",
    "momentum is 1 - momentum": "momentum & 1 -|one minus|convention",
    "momentum of the running statistics": "momentum",
    "GELU flavour": "gelu",
    "activation function": "activation function|kind of activation|silu|swish|gelu",
    "slope of leaky ReLU": "slope|leaky",
    "beta of softplus": "softplus",
    "alpha of ELU": "elu",
    "attention scale": "scale|sqrt & attention|score|softmax|head",
    "embedding scale": "scale|factor & embed|token",
    "soft cap of the logits": "cap|soft cap|capped",
    "scale of a residual branch": "scale|factor & residual|branch",
    "forget bias": "forget",
    "activation of the gates": "sigmoid|activation & gate|hard|recurren",
    # Modes
    "dropout in evaluation mode": "dropout & evaluation|deterministic|left on|always",
    "dropout rate": "dropout & rate|probability|keep",
    "dropout is missing": "dropout & missing|without|no dropout|fewer|left out|off",
    "batch statistics in evaluation": "batch|statistic|running & evaluation|use_running_average",
    "running statistics in training": "batch|statistic|running & training|use_running_average",
    "gradient is stopped": "gradient & stop|detach|cut|truncat",
    # Shapes
    "flatten order": "flatten",
    "SAME padding for padding 1": "pad & same|explicit|uneven",
    "padding mode": "pad & mode|reflect",
    "dilation": "dilat",
    "kind of pooling": "pooling|pool & kind|maximum|max|average",
    "count_include_pad": "count|count_include_pad & pad|count_include_pad",
    "reshape of heads": "head & reshape|split|order|axes|transpos",
    "heads are merged in the wrong order": "head & merge|reshape|order|axes|transpos",
    "axis of softmax": "softmax & axis|axes",
    "attention mask": "mask|causal|window & attention|causal|score|softmax",
    "attention mask is missing": "mask|causal & attention|causal|score|softmax",
    "positions are shifted by one": "position & shift|offset|start|one",
    "axis of a norm": "axis|axes & norm|variance",
    "time axis": "axis|axes|time-major|batch_first & time|sequence",
    "direction of time": "revers|backward|direction",
    "index of the last step": "index|step|off by one & last|first",
    "order of the patches": "patch & order|transpos|permut|row|column",
    "reshape for transposition": "reshap & transpos|permut|order",
    "place of the class token": "class token|concat & order|place|last|first",
    "pooling of tokens": "pool|mean & token|patch",
    "order of concatenation": "concat|join & order|swap|permut|revers",
    "place of the norm": "norm & pre-norm|post-norm|place|before|after",
    "residual": "residual|skip",
    "order of activation and addition": "activation|relu & order|before|after & add|residual",
    # Losses
    "sum for mean": "sum|reduction & mean|reduction",
    "mean over other things": "mean|divid & rows|batch|count|other",
    "mean over ignored labels too": "ignore|mask & mean|divid|count",
    "ignore index": "ignore",
    "label smoothing": "smoothing",
    "class weights": "class weight|weights of the classes|weight of a class",
    "normalization by the sum of weights": "weight & normaliz|mean|divid & sum|weights",
    "shift of the labels": "shift|roll & label|target",
    "z-loss": "z-loss|z loss|logsumexp",
    "temperature": "temperature",
    "factor of the squared error": "factor|half|0.5|twice & squar|mse|l2|error",
    "root of the loss": "root|sqrt|rmse & loss|error",
    "broadcast of targets": "broadcast",
    "delta of the Huber loss": "delta|beta & huber|smooth l1|smooth_l1",
    "factor of smooth L1": "factor|divid|beta & smooth l1|smooth_l1|huber",
    "sigmoid is applied twice": "sigmoid & twice|logits|probabilit",
    "weight of positives": "positive|pos_weight",
    "kind of loss": "absolute|l1|kind & squar|l2|mse|loss",
    # Optimizers
    "weight decay": "weight decay|weight_decay",
    "decay mask": "mask|biases|groups & decay",
    "coupled weight decay": "coupled|decoupled|l2|adamw & decay|l2",
    "decoupled weight decay": "coupled|decoupled|l2|adamw & decay|l2",
    "beta1": "beta1|b1|betas",
    "beta2": "beta2|b2|betas",
    "eps": "eps",
    "eps placement": "eps & root|sqrt|inside|outside|placement",
    "nesterov": "nesterov",
    "decay of the squares": "alpha|decay & square|rms",
    "centred": "center|centred",
    "momentum": "momentum",
    "momentum as an average": "ema|average|dampen & momentum|ema",
    "dampening": "dampen",
    "initial accumulator": "accumulator",
    "clip is missing": "clip & missing|without|no clip|not clipped",
    "clip by value for norm": "clip & value",
    "order of the clip": "clip & order|after|before",
    "order of clip and decay": "clip & order|after|before & decay",
    "1e-6 in the norm of the clip": "clip & 1e-6|eps",
    "learning rate": "learning rate|learning_rate|lr",
    # Schedules
    "schedule is off by one": "off by one|one step & schedule|step|warm|rate",
    "start of the warm-up": "warm & start|init|begin",
    "length of the warm-up": "warm & length|steps|long",
    "warm-up is missing": "warm & missing|without|no warm",
    "floor of the schedule": "floor|end value|end_value|eta_min|minimum",
    "length of the schedule": "length|total|decay_steps|t_max & schedule|cosine|decay_steps",
    "schedule per epoch": "epoch|every second step",
    "staircase": "stair",
    "rate of the decay": "gamma|decay rate|decay_rate|rate of the decay",
    "schedule is missing": "schedule|rate & missing|constant|without",
    "shape of the schedule": "linear|cosine|shape & schedule|cosine",
    "decay after the warm-up": "cosine|decay|constant & warm",
    # Data
    "scale of the input": "255|256|scale|factor & input|pixel|picture|image",
    "order of the channels": "channel|bgr & order|revers|swap|permut|flip|bgr",
    "layout of the input": "layout|transpos|axes|swap & input|image|picture",
    "picture is mirrored": "mirror|flip",
    "normalization mean": "mean|offset & input|normaliz|picture",
    "normalization deviation": "std|deviation & input|normaliz|picture",
    "order of normalization": "order|before|after & normaliz",
    "dtype of the input": "dtype|integer|round|uint8",
    "offset of the tokens": "offset|shift & token|vocab",
    "unknown tokens": "vocab|unknown|clip|clamp & token|vocab",
    "side of the padding": "padding|pad|roll & side|left|right|roll",
    "offset of the labels": "offset|shift & label|class",
    "order of time": "revers|flip|order & time|sequence|token",
    "transformation of the input": "logarithm|log1p|log(|transform",
    "order of the columns": "column|feature & order|revers|flip|permut",
    "clipping of the input": "clip|bound|clamp & input|number",
    "offset of the categories": "offset|shift & categor|code",
    "axis of normalization": "axis|axes|row & normaliz|centr",
}

ALIKE: Final = (
    {"order of the packed query, key and value", "query and key weights are swapped"},
    {
        "square weight is not transposed",
        "square weight is transposed",
        "spatial axes of the kernel",
        "input and output channels of the kernel",
        "layout of the input",
    },
    {"tied weight is stored twice", "tied weight"},
    {"eps of a norm", "eps of the norms", "eps", "eps placement", "1e-6 in the norm of the clip"},
    {
        "momentum is 1 - momentum",
        "momentum of the running statistics",
        "momentum",
        "momentum as an average",
    },
    {"GELU flavour", "activation function", "activation of the gates"},
    {"reshape of heads", "heads are merged in the wrong order"},
    {"attention mask", "attention mask is missing"},
    {"residual", "scale of a residual branch"},
    {"mean over other things", "mean over ignored labels too", "ignore index"},
    {"normalization by the sum of weights", "class weights"},
    {"delta of the Huber loss", "factor of smooth L1"},
    {"weight decay", "coupled weight decay", "decoupled weight decay"},
    {"order of the clip", "order of clip and decay"},
    {"direction of time", "order of time", "time axis"},
    {"axis of a norm", "axis of normalization"},
    {"place of the class token", "order of concatenation"},
    {"offset of the labels", "shift of the labels"},
)
"""Families: which member it is shows in the place, or is no great help to whoever mends it."""


def names(cause: str, said: str) -> bool:
    """Whether an answer has named a cause."""
    text = said.lower()
    groups = [group.split("|") for group in WORDS[cause].split("&")]
    return all(any(_begins_a_word(word.strip(), text) for word in group) for group in groups)


def _begins_a_word(stem: str, text: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){re.escape(stem)}", text) is not None
