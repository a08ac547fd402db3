"""The whole training step as one graph: forward, backward and optimizer, on flat buffers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Any, Generic, Protocol, TypeVar, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from twofold.engines.build_time import BuildTime
from twofold_torch.accumulation import MicroBatch, cut
from twofold_torch.feed import Steps
from twofold_torch.flat_state import FlatState, flat_order, flatten, pieces_of, update_rule
from twofold_torch.layers import Masks
from twofold_torch.program import Execution, Program
from twofold_torch.rates import Rates


class Compiler(Protocol):
    """What turns a function of a state into one graph for each shape of its other arguments."""

    @property
    def graphs(self) -> int:
        """How many graphs it has made so far."""

    def build_time(self) -> BuildTime:
        """Seconds of tracing and of compiling so far."""

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function of its own state as one graph for each shape, made when first called.

        `function` takes that `FlatState` first, what is returned does not.
        """


class Several(Protocol):
    """Some whole steps on a state."""

    def __call__(
        self,
        state: FlatState,
        inputs: Tensor,
        targets: Tensor,
        rows: Tensor,
        keys: Tensor | None,
        rates: Tensor,
    ) -> Tensor:
        """As many steps as `rows` (steps, batch) says; the losses (steps,)."""


AnyCompiler = TypeVar("AnyCompiler", bound=Compiler)


@final
class WholeStep(Generic[AnyCompiler]):
    """A program's functions, each one graph; the compiler is chosen by the state it works on.

    `several` takes some steps, not compiled yet.
    """

    def __init__(self, program: Program, compiler: Callable[[FlatState], AnyCompiler]) -> None:
        self._program = program
        self._parameters = flat_order(program.optimizer)
        names = {parameter: name for name, parameter in program.model.named_parameters()}
        self._names = [names[parameter] for parameter in self._parameters]
        self._buffer_names = [name for name, _ in program.model.named_buffers()]
        state = flatten(program.optimizer, list(program.model.buffers()))
        self.compiler = compiler(state)
        self.rates = Rates(program, state.step.device)
        compiled = self.compiler.compile
        model, tensors_of = program.model, self._tensors_of
        gradient, clip = self._gradient, self._clipped
        update = update_rule(program.optimizer)

        def forward(state: FlatState, inputs: Tensor, keys: Tensor | None) -> Tensor:
            logits: Tensor = functional_call(model, tensors_of(state), (inputs, keys))
            return logits

        def loss_and_gradient(
            state: FlatState, inputs: Tensor, targets: Tensor, keys: Tensor | None
        ) -> tuple[Tensor, Tensor, Tensor]:
            masks = None if keys is None else model.masks(keys, inputs.shape[0])
            loss, flat_gradient, _, logits = gradient(state, inputs, targets, masks)
            return loss, flat_gradient, torch.cat(logits)

        def several(
            state: FlatState,
            inputs: Tensor,
            targets: Tensor,
            rows: Tensor,
            keys: Tensor | None,
            rates: Tensor,
        ) -> Tensor:
            """As many steps as `rows` (steps, batch) says; the losses (steps,)."""
            masks = () if keys is None else model.masks(keys, rows.shape[1])  # of all steps
            losses = []
            for index in range(rows.shape[0]):
                own = tuple(mask[index] for mask in masks) or None
                batch = rows[index]
                loss, flat_gradient, buffers, _ = gradient(
                    state, inputs[batch], targets[batch], own
                )
                update(state, clip(flat_gradient), rates[index])
                for buffer, moved in zip(state.buffers, buffers, strict=True):
                    buffer.copy_(moved)
                losses.append(loss)
            return torch.stack(losses)

        self._forward = compiled(forward)
        self._loss_and_gradient = compiled(loss_and_gradient)
        self.several: Several = several
        self._several = compiled(several)

    def execution(self) -> Execution:
        """The functions for a session, one call a step."""
        return Execution(
            self._logits,
            self._backward,
            self._train_step,
            self._run,
            lambda: self.compiler.graphs,
            self.compiler.build_time,
        )

    def _parameters_of(self, state: FlatState) -> dict[str, Tensor]:
        pieces = pieces_of(state.parameters, self._parameters)
        return dict(zip(self._names, pieces, strict=True))

    def _buffers_of(self, state: FlatState) -> dict[str, Tensor]:
        """Copies, which batch norm moves in place of the state's own."""
        copies = [buffer.clone() for buffer in state.buffers]
        return dict(zip(self._buffer_names, copies, strict=True))

    def _tensors_of(self, state: FlatState) -> dict[str, Tensor]:
        return {**self._parameters_of(state), **self._buffers_of(state)}

    def _gradient(
        self, state: FlatState, inputs: Tensor, targets: Tensor, masks: Masks | None
    ) -> tuple[Tensor, Tensor, list[Tensor], tuple[Tensor, ...]]:
        """Loss (), gradient (elements,) of the flat parameters, moved buffers, and the logits.

        The logits are (rows, out_features) of each micro-batch. The graph holds one micro-batch
        after the other, and may compute them in any order; no model with buffers has several.
        """
        parts = [
            self._gradient_of(state, part)
            for part in cut(
                inputs, targets, masks, self._program.micro_batches, self._program.row_weights
            )
        ]
        losses, gradients, buffers, logits = zip(*parts, strict=True)
        return reduce(operator.add, losses), reduce(operator.add, gradients), buffers[-1], logits

    def _gradient_of(
        self, state: FlatState, part: MicroBatch
    ) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
        """A part's share of loss () and gradient (elements,), moved buffers, and its logits."""
        program = self._program

        def loss_of(parameters: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
            buffers = self._buffers_of(state)
            arguments = (part.inputs, None, part.masks)
            logits = functional_call(program.model, {**parameters, **buffers}, arguments)
            loss = part.weighted(program.loss(logits, part.targets))
            return loss, [loss, logits, *buffers.values()]

        # Dynamo traces `torch.func.grad` alone; all others are spared loading Dynamo, as it does.
        by_dynamo = torch.compiler.is_dynamo_compiling()
        grad = partial(torch.func.grad, has_aux=True) if by_dynamo else differentiated
        gradients, (loss, logits, *buffers) = grad(loss_of)(self._parameters_of(state))
        flat = torch.cat([gradients[name].reshape(-1) for name in self._names])
        return loss, flat, buffers, logits

    def _logits(self, inputs: Tensor, keys: Tensor | None) -> Tensor:
        """Logits; in training mode from the graph of loss and gradient, which spares one more."""
        with torch.no_grad():
            logits: Tensor
            if self._program.model.training:
                *_, logits = self._loss_and_gradient(
                    inputs, self._program.any_targets(inputs), keys
                )
            else:
                logits = self._forward(inputs, keys)
        return logits

    def _backward(self, inputs: Tensor, targets: Tensor, keys: Tensor | None) -> Tensor:
        with torch.no_grad():
            loss: Tensor
            loss, gradient, _ = self._loss_and_gradient(inputs, targets, keys)
        pieces = pieces_of(gradient, self._parameters)
        for parameter, piece in zip(self._parameters, pieces, strict=True):
            parameter.grad = piece
        return loss

    def _clipped(self, gradient: Tensor) -> Tensor:
        """The gradient (elements,), as `torch.nn.utils.clip_grad_norm_` would leave it.

        That function takes parameters, not gradients: its two parts are called here (PyTorch 2.13,
        `torch/nn/utils/clip_grad.py`).
        """
        program = self._program
        if program.clip_norm is None:
            return gradient
        pieces = list(pieces_of(gradient, self._parameters))
        norm = nn.utils.get_total_norm(pieces, norm_type=2.0, foreach=False)
        return gradient * torch.clamp(program.clip_norm / (norm + 1e-6), max=1.0)

    def _train_step(self, inputs: Tensor, targets: Tensor, keys: Tensor | None) -> Tensor:
        """A step of `several` that takes all rows of a batch, in their order."""
        rows = torch.arange(len(inputs), device=inputs.device)
        with torch.no_grad():
            return self._one_step(inputs, targets, rows, keys)[0]

    def _one_step(
        self, inputs: Tensor, targets: Tensor, rows: Tensor, keys: Tensor | None
    ) -> Tensor:
        own = None if keys is None else keys[None]
        losses: Tensor = self._several(inputs, targets, rows[None], own, self.rates.of(1))
        return losses.clone()  # a CUDA graph overwrites what it gave

    def _run(self, inputs: Tensor, targets: Tensor, steps: Steps) -> Tensor:
        """Steps on batches of the training rows, one call each; their losses (steps,)."""
        with torch.no_grad():
            return torch.cat(
                [
                    self._one_step(inputs, targets, rows, keys)
                    for rows, keys in zip(steps.rows, steps.keys, strict=True)
                ]
            )


def differentiated(
    function: Callable[[dict[str, Tensor]], tuple[Tensor, list[Tensor]]],
) -> Callable[[dict[str, Tensor]], tuple[dict[str, Tensor], list[Tensor]]]:
    """As `torch.func.grad` with `has_aux=True`, by `torch.autograd.grad`."""

    def gradients(
        parameters: dict[str, Tensor],
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        leaves = {name: each.detach().requires_grad_() for name, each in parameters.items()}
        with torch.enable_grad():
            result, others = function(leaves)
        found = torch.autograd.grad(result, [*leaves.values()], materialize_grads=True)
        return dict(zip(leaves, found, strict=True)), [each.detach() for each in others]

    return gradients
