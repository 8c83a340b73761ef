"""One operation: its kernel, its registration with torch and its derivative.

A kernel is registered with ``torch.library`` so that compilers and tracers see it, and differentiated
outside by two autograd Functions over the same rule: a plain one around the kernel itself in eager mode
(least overhead), and one with ``setup_context`` around the registered operator under ``torch.func``
transforms, tracers and compilers. Forward-mode derivatives take the plain PyTorch composition instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch, _len_torch_dispatch_stack
from torch.autograd import forward_ad
from torch.autograd.function import Function

from equishare._native import has_device_kernels

LIBRARY = torch.library.Library("equishare", "DEF")
KERNEL_DTYPES = (torch.float32, torch.float64)
_PLAIN_TYPES = (Tensor, torch.nn.Parameter)


def has_kernel(tensor: Tensor) -> bool:
    """Whether the compiled kernels serve this tensor here; if not, the plain composition does."""
    if tensor.dtype not in KERNEL_DTYPES or not has_device_kernels(tensor):
        return False
    if torch.compiler.is_compiling():
        # A compiled torch.func transform differentiates what it traces, and a Function inside is lost on it.
        return not _traced_in_transform()
    if forward_ad._current_level >= 0:
        return False
    if _functorch.peek_interpreter_stack() is None:
        return True
    stack = _functorch.get_interpreter_stack()
    return all(level.key() != _functorch.TransformType.Jvp for level in stack)


def in_transform() -> bool:
    """Whether a ``torch.func`` transform is under way; call it outside of compilation."""
    return _functorch.peek_interpreter_stack() is not None


# The compiler enters the transforms as it traces, and guards on them.
_traced_in_transform = torch.compiler.assume_constant_result(in_transform)


def is_eager(inputs: tuple[Any, ...]) -> bool:
    """Whether the inputs are ordinary tensors that nothing traces, batches or compiles."""
    if torch.compiler.is_compiling():
        return False
    if _len_torch_dispatch_stack() or _functorch.peek_interpreter_stack() is not None:
        return False
    for x in inputs:
        if isinstance(x, Tensor) and (type(x) not in _PLAIN_TYPES or _functorch.is_functorch_wrapped_tensor(x)):
            return False  # a subclass, or kept in a wrapper by a transform that has ended
    return True


def _batch_rule(overload: Callable[..., Any]) -> Callable[..., Any]:
    # Every operation takes any number of equal leading dimensions: vmap adds one to each tensor.
    def rule(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> Any:
        moved = [
            x
            if not isinstance(x, Tensor)
            else x.expand(info.batch_size, *x.shape)
            if dim is None
            else x.movedim(dim, 0)
            for x, dim in zip(inputs, in_dims, strict=True)
        ]
        out = overload(*moved)
        return out, (0,) * len(out) if isinstance(out, tuple) else 0

    return rule


class Rule:
    """A registered operation and, with ``save`` and ``backward``, its derivative.

    Args:
        schema: its torch schema; all tensors share their leading dimensions.
        kernel: implementation on CPU and CUDA tensors.
        fake: the same on tensors without data: shapes and dtypes alone.
        save: ``save(ctx, inputs, output)`` keeps what ``backward`` needs.
        backward: ``backward(ctx, *cotangents)``, one gradient or None per input.
    """

    def __init__(
        self,
        schema: str,
        kernel: Callable[..., Any],
        fake: Callable[..., Any],
        save: Callable[..., None] | None = None,
        backward: Callable[..., Any] | None = None,
    ) -> None:
        LIBRARY.define(schema)
        short = schema.split("(")[0]
        name = f"equishare::{short}"
        for key in ("CPU", "CUDA"):
            LIBRARY.impl(name, kernel, key)
        torch.library.register_fake(name, fake, lib=LIBRARY)
        overload = getattr(torch.ops.equishare, short).default
        torch.library.register_vmap(name, _batch_rule(overload), lib=LIBRARY)
        self.kernel = kernel
        self.overload = overload
        if save is not None and backward is not None:
            self._eager, self._traced = _functions(kernel, overload, save, backward)

    def raw(self, *inputs: Any) -> Any:
        """The operation without a derivative."""
        return self.kernel(*inputs) if is_eager(inputs) else self.overload(*inputs)

    def within_backward(self, *inputs: Any) -> Any:
        """The operation with its derivative where one is being recorded."""
        return self(*inputs) if torch.is_grad_enabled() else self.raw(*inputs)

    def __call__(self, *inputs: Any) -> Any:
        """The operation with its derivative, where one can be asked for."""
        eager = is_eager(inputs)
        if (eager or torch.compiler.is_compiling()) and not _records_gradient(inputs):
            return self.kernel(*inputs) if eager else self.overload(*inputs)
        return self._eager.apply(*inputs) if eager else self._traced.apply(*inputs)


def _records_gradient(inputs: tuple[Any, ...]) -> bool:
    # Not for tensors wrapped by a transform: those tell of its innermost level alone.
    return torch.is_grad_enabled() and any([x.requires_grad for x in inputs if isinstance(x, Tensor)])


def _functions(
    kernel: Callable[..., Any],
    overload: Callable[..., Any],
    save: Callable[..., None],
    backward: Callable[..., Any],
) -> tuple[Any, Any]:
    derive = backward

    class Eager(Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            output = kernel(*inputs)
            save(ctx, inputs, output)
            ctx.set_materialize_grads(False)
            return output

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            return derive(ctx, *cotangents)

    class Traced(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*inputs: Any) -> Any:
            return overload(*inputs)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            save(ctx, inputs, output)

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            return derive(ctx, *cotangents)

    return Eager, Traced
