"""`Torch`: a PyTorch module as a side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Final, final

import numpy as np
import torch
from torch import nn

from twofold.errors import BadInput, SideFailed, TwofoldError
from twofold.port.calling import arguments, parameter_names, told
from twofold.port.side import Answer, Array, Call, Module, Side, Stepper, Tensor
from twofold.port.trees import leaves, mapped
from twofold.port.weights.use import Use
from twofold.port.where.operations import LOSS
from twofold.port.where.tables import Tables, is_narrow
from twofold_torch.port.describe import is_compiled, modules_of, plain_name, tensors_of
from twofold_torch.port.functions import Functions
from twofold_torch.port.live import DTYPES, lent, tensors_from
from twofold_torch.port.operations import Operations
from twofold_torch.port.places import Places
from twofold_torch.port.sites import Sites, changed_loss
from twofold_torch.port.steps import TorchStepper
from twofold_torch.port.tables import Collected, Exchanged
from twofold_torch.port.uses import uses_of
from twofold_torch.port.wide import Watch

WATCHED: Final = frozenset({"modules", "operations", "sites"})


@final
class Torch(Side):
    """Any `nn.Module`, as it is used.

    `call(module, batch)` returns what the model computes; without it the module is called with
    what its forward takes of the batch. `loss(outputs, batch)` is a scalar. `optimizer(parameters)`
    makes an optimizer, or an optimizer and its scheduler; `clip(parameters)` runs before each step.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        call: Callable[..., Any] | None = None,
        loss: Callable[[Any, Any], Any] | None = None,
        optimizer: Any = None,
        clip: Callable[[Any], Any] | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise BadInput(f"Torch: {type(module).__name__} given; allowed is an nn.Module")
        self.module = module
        self._call = call
        self._loss = loss
        self.optimizer = optimizer
        self.clip = clip
        self._compiled = is_compiled(module)
        self._modes: list[Any] = []
        self._below: list[Any] = []
        self._end = ExitStack()

    @property
    def label(self) -> str:
        """ "PyTorch" and the name of the class."""
        inner = getattr(self.module, "_orig_mod", self.module)
        return f"PyTorch {type(inner).__name__}{' (compiled)' if self._compiled else ''}"

    @property
    def has_loss(self) -> bool:
        """Whether a loss was given."""
        return self._loss is not None

    @property
    def has_optimizer(self) -> bool:
        """Whether an optimizer was given."""
        return self.optimizer is not None

    def tensors(self) -> tuple[Tensor, ...]:
        """Every parameter and buffer of the module."""
        return tensors_of(self.module)

    def modules(self) -> tuple[Module, ...]:
        """Every module of the module."""
        return modules_of(self.module)

    def part(self, path: str) -> Torch:
        """The side of one submodule. Raises BadInput."""
        try:
            return Torch(self.module.get_submodule(path))
        except AttributeError:
            known = ", ".join(name for name, _ in self.module.named_modules() if name)
            raise BadInput(f"part: {path!r} given; the module has {known}") from None

    def answer(self, call: Call) -> Answer:
        """Run the module once. Raises SideFailed."""
        if self._compiled and call.mode == "training":
            self._require_no_dropout()
        # Inside, all are of the precision that is asked.
        narrow = {t.name for t in self.tensors() if "tables" in call.want and is_narrow(t.value)}
        with self.session(call) as (batch, watch):
            needed = WATCHED & call.want or call.forced or call.changes
            places = Places(self.module, call) if needed else None
            trace = Operations(places, batch) if places and "operations" in call.want else None
            self._modes += [] if trace is None else [trace]
            sites = self.watch_sites(call, places)
            graph = "gradients" in call.want
            tables = self._collected(call, batch, narrow)
            with places or nullcontext(), torch.set_grad_enabled(graph):
                outputs = self.outputs(batch, call)
                flat = dict(leaves(outputs, torch.is_tensor))
                if places is not None:
                    places.running.append(LOSS)
                loss = self.loss(outputs, flat, batch, call) if self._asked(call) else None
            with self.below():
                gradients, unreached = self._gradients(loss) if graph else ({}, ())
            return Answer(
                outputs={path: _numbers(value) for path, value in flat.items()},
                loss=None if loss is None else _numbers(loss),
                gradients=gradients,
                buffers=self._buffers() if "buffers" in call.want else {},
                modules={} if places is None else places.found,
                module_inputs={} if places is None else places.inputs,
                masks=tuple(watch.masks) if watch else (),
                casts=watch.casts if watch else (),
                unreached=unreached,
                draws=tuple(dict.fromkeys(watch.drawn)) if watch else (),
                notes=_changed(batch, call.batch),
                sites=() if sites is None else tuple(sites.found),
                operations=() if trace is None else tuple(trace.recorder.operations),
                tables=() if tables is None else tables.found,
            )

    def _require_no_dropout(self) -> None:
        """A compiled module draws its masks where nobody can exchange them."""
        for name, item in self.module.named_modules():
            if "Dropout" in type(item).__name__ and getattr(item, "p", False):
                raise SideFailed(
                    f"{self.label}: {plain_name(name)}: the masks of a compiled dropout cannot be "
                    "exchanged; give the module itself to judge training, or set p = 0"
                )

    @contextmanager
    def session(self, call: Call) -> Iterator[tuple[Any, Watch | None]]:
        """The module filled and lent, with the batch as tensors; errors told as SideFailed."""
        wide = call.wide and call.precision == "float64"
        # Under a mode Dynamo compiles nothing, and skips what it met then for ever after: so either
        # the module runs compiled and is not watched, or nothing inside is compiled.
        watch = None if self._compiled else Watch(wide=wide, masks=call.masks)
        stance = nullcontext() if self._compiled else torch.compiler.set_stance("force_eager")
        dtype = DTYPES[call.precision]
        try:
            training = call.mode == "training"
            with lent(self.module, call.tensors, call.precision, training), stance, self._end:
                batch = mapped(call.batch, lambda _, item: tensors_from(item, dtype))
                self._below = [] if watch is None else [watch]
                if call.replacements:
                    self._below.append(Exchanged(call.replacements))
                self._modes = list(self._below)
                yield batch, watch
        except TwofoldError:
            raise
        except Exception as error:
            raise SideFailed(f"{self.label}: {_explained(error)}") from error

    def watch_sites(self, call: Call, places: Places | None = None) -> Sites | None:
        """Number the operations that can run another way, and run those so that the call names."""
        if "sites" not in call.want and not call.changes:
            return None
        sites = Sites(places, call.changes)
        self._modes.append(sites)
        self._end.enter_context(Functions(sites))
        return sites

    def _watched(self) -> AbstractContextManager[Any]:
        """Every mode that watches or changes what runs inside; the last one sees it first."""
        return _entered(self._modes)

    def below(self) -> AbstractContextManager[Any]:
        """The modes that see the backward pass too."""
        return _entered(self._below)

    def _collected(self, call: Call, batch: Any, narrow: set[str]) -> Tables | None:
        """The tables that a run finds, if they are wanted."""
        if "tables" not in call.want:
            return None
        collected = Collected(self.module, narrow, call, batch)
        self._modes.append(collected)
        return collected.tables

    def outputs(self, batch: Any, call: Call) -> Any:
        """What the model computes from a batch of tensors."""
        training = call.mode == "training"
        with self._watched():
            if self._call is not None:
                named = parameter_names(self._call)
                extra = {"training": training} if "training" in named else {}
                return self._call(self.module, batch, **extra)
            inner = getattr(self.module, "_orig_mod", self.module)
            positional, named_arguments = arguments(
                batch, call.inputs, inner.forward, self.has_loss
            )
            return self.module(*positional, **named_arguments)

    def loss(
        self, outputs: Any, flat: Mapping[str, torch.Tensor], batch: Any, call: Call
    ) -> torch.Tensor:
        """The person's loss, or the outputs' product with a fixed projection. Raises BadInput."""
        with self._watched():
            if self._loss is not None:
                value = self._loss(outputs, batch)
                if not isinstance(value, torch.Tensor) or value.numel() != 1:
                    given = tuple(value.shape) if torch.is_tensor(value) else type(value).__name__
                    raise BadInput(f"{self.label}: loss: {given} returned; allowed is a scalar")
                return changed_loss(value.reshape(()), call.changes)
            total = torch.zeros((), dtype=DTYPES[call.precision])
            for path, weights in (call.projection or {}).items():
                output = flat[path]
                if output.is_floating_point():
                    factor = torch.from_numpy(np.array(weights)).to(output.dtype)
                    total = total + (output * factor).sum()
            return total

    def _asked(self, call: Call) -> bool:
        return bool({"loss", "gradients"} & call.want)

    def _gradients(self, loss: torch.Tensor | None) -> tuple[dict[str, Array], tuple[str, ...]]:
        named = [(plain_name(n), p) for n, p in self.module.named_parameters() if p.requires_grad]
        if loss is None or not named:
            return {}, ()
        if not loss.requires_grad:
            raise BadInput(
                f"{self.label}: no parameter reaches the loss with a gradient; torch.no_grad, "
                ".detach() or .item() inside the model may be why"
            )
        found = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
        pairs = [(name, value) for (name, _), value in zip(named, found, strict=True)]
        return (
            {name: _numbers(value) for name, value in pairs if value is not None},
            tuple(name for name, value in pairs if value is None),
        )

    def _buffers(self) -> dict[str, Array]:
        return {plain_name(name): _numbers(value) for name, value in self.module.named_buffers()}

    def first_use(self, call: Call) -> tuple[Use, ...]:
        """How the program first uses each parameter and buffer, in the order of the program."""
        with self.session(call) as (batch, _), torch.compiler.set_stance("force_eager"):
            self._modes = []
            named = [
                *self.module.named_parameters(remove_duplicate=False),
                *self.module.named_buffers(remove_duplicate=False),
            ]
            tensors = {plain_name(name): value for name, value in named}
            return uses_of(lambda: self.outputs(batch, call), tensors)

    def stepper(self) -> Stepper:
        """A fresh optimizer of the module. Raises BadInput."""
        if self.optimizer is None:
            raise BadInput(f"{self.label}: no optimizer given")
        return TorchStepper(self)


@contextmanager
def _entered(modes: list[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        yield


def _numbers(value: Any) -> Array:
    """A tensor or number as NumPy, floats in float64; a copy only where the type changes."""
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    plain = value.detach()
    return np.asarray((plain.double() if plain.is_floating_point() else plain).numpy())


def _changed(batch: Any, given: Any) -> tuple[str, ...]:
    """Sentences on inputs that the model wrote into."""
    before = dict(leaves(given, lambda item: isinstance(item, np.ndarray)))
    after = dict(leaves(batch, torch.is_tensor))
    return tuple(
        f"the model changes its input {path or 'batch'} in place; each run gets a copy"
        for path, value in after.items()
        if not np.array_equal(
            _numbers(value), np.asarray(before[path], _numbers(value).dtype), equal_nan=True
        )
    )


def _explained(error: Exception) -> str:
    """An error of the person's code, with a word on float64 where a kernel has none."""
    text = told(error)
    if "not implemented for 'Double'" in text or "expected scalar type Float" in text:
        return f"{text}; this operation has no float64, and without it there is no verdict"
    return text
