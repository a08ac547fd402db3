"""Images: padding of convolutions and pools, kernels turned round, flattening, resizing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twofold.port.causes.hypothesis import Alternative, Clues, SiteKind, shown
from twofold.port.causes.sites import Site


def _padding(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own, kernel = site.settings["padding"], site.settings["kernel"]
    if isinstance(own, str) or not isinstance(kernel, tuple):
        return
    yield Alternative({"padding": "SAME"}, shown(own), "SAME, more of it at the end")
    for value in (0, 1, kernel[0] // 2, 2, 3):
        if (value,) * len(kernel) != own:
            yield Alternative({"padding": value}, shown(own), shown(value))


def _pad(site: Site, _clues: Clues) -> Iterator[Alternative]:
    """Another padding before a convolution or pool: the pairs are those of each axis."""
    own, mode = site.settings["pad"], site.settings["mode"]
    if not isinstance(own, tuple):
        return
    pairs = [own[i : i + 2] for i in range(0, len(own), 2)]
    used = {pair for pair in pairs if any(pair)}
    if len(used) == 1:
        before, after = next(iter(used))
        for a, b in ((before - 1, after), (before + 1, after), (before, after - 1)):
            if min(a, b) >= 0:
                new = tuple(v for pair in pairs for v in ((a, b) if any(pair) else pair))
                told = [_pad_told(*pair) for pair in ((before, after), (a, b))]
                yield Alternative({"pad": new}, told[0], told[1])
    for other in ("constant", "reflect", "replicate", "circular"):
        if other != mode:
            yield Alternative({"mode": other}, str(mode), other, "the mode of the padding")


def _pad_told(before: int, after: int) -> str:
    how = "explicit" if before == after else "uneven, as SAME pads"
    return f"{before} before and {after} behind ({how})"


def _stride(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = site.settings["stride"]
    for value in (1, 2):
        if isinstance(own, tuple) and (value,) * len(own) != own:
            yield Alternative({"stride": value}, shown(own), shown(value))


def _dilation(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own, padding = site.settings["dilation"], site.settings["padding"]
    if not isinstance(own, tuple) or not isinstance(padding, tuple):
        return
    for value in (1, 2, 3):
        if (value,) * len(own) != own:
            moved = tuple(p * value // d for p, d in zip(padding, own, strict=True))
            yield Alternative({"dilation": value, "padding": moved}, shown(own), shown(value))
            yield Alternative({"dilation": value}, shown(own), shown(value))


def _flipped(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"flipped": True}, "as it is stored", "turned round along every axis")


def _order(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"order": "last"}, "channels first", "channels last")


def _counts(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = bool(site.settings["counts padding"])
    told = {True: "counted", False: "left out"}
    yield Alternative({"counts padding": not own}, told[own], told[not own])


def _pool(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own, other = ("max", "average") if site.kind == "max pool" else ("average", "max")
    yield Alternative({"pool": other}, own, other)


def _pool_padding(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = site.settings["padding"]
    for value in (0, 1):
        if isinstance(own, tuple) and (value,) * len(own) != own:
            yield Alternative({"padding": value}, shown(own), shown(value))


def _corners(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = bool(site.settings["corners"])
    told = {True: "at the corners", False: "at half pixels"}
    if site.settings["mode"] not in ("nearest", "nearest-exact", "area"):
        yield Alternative({"corners": not own}, told[own], told[not own])


def _antialias(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.settings["mode"] in ("bilinear", "bicubic") and not site.settings["corners"]:
        own = bool(site.settings["antialias"])
        told = {True: "on", False: "off"}
        yield Alternative({"antialias": not own}, told[own], told[not own])


def _mode(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = str(site.settings["mode"])
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        if mode != own:
            yield Alternative({"mode": mode}, own, mode)


_CONVOLUTION: Final = ("convolution",)
KINDS: Final = (
    SiteKind(
        "padding of a convolution",
        "the padding of the convolution",
        _CONVOLUTION,
        _padding,
        "conv-same-stride",
    ),
    SiteKind("padding", "the padding", ("pad",), _pad, "conv-same-stride"),
    SiteKind("stride of a convolution", "the stride of the convolution", _CONVOLUTION, _stride),
    SiteKind("dilation", "the dilation of the convolution", _CONVOLUTION, _dilation),
    SiteKind(
        "flipped kernel",
        "the kernel of the convolution",
        _CONVOLUTION,
        _flipped,
        "convolve-flips",
    ),
    SiteKind(
        "order of flattening",
        "the order in which feature maps are flattened",
        ("flatten",),
        _order,
        "flatten-after-conv",
    ),
    SiteKind("rim of an average pool", "the padding in the mean", ("average pool",), _counts),
    SiteKind("kind of pool", "the pool", ("average pool", "max pool"), _pool),
    SiteKind(
        "padding of a pool", "the padding of the pool", ("average pool", "max pool"), _pool_padding
    ),
    SiteKind("corners of a resize", "where pixels are aligned", ("resize",), _corners),
    SiteKind("antialias", "antialiasing", ("resize",), _antialias, "resize-antialias"),
    SiteKind("mode of a resize", "the interpolation", ("resize",), _mode, "resize-nearest"),
)
