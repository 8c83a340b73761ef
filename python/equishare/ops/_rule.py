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
from torch._C import _is_tracing as is_tracing
from torch.autograd import forward_ad
from torch.autograd.function import Function
from torch.nn import Parameter

from equishare._native import core, serves

LIBRARY = torch.library.Library("equishare", "DEF")
KERNEL_DTYPES = (torch.float32, torch.float64)
# Of kernels that also store halves, and compute with them in float32.
STORAGE_DTYPES = (*KERNEL_DTYPES, torch.bfloat16, torch.float16)
_is_wrapped = _functorch.is_functorch_wrapped_tensor


# Since torch 2.7; before, an exported program holds our operators.
_is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", lambda: False)


def is_lazy(tensor: Tensor) -> bool:
    """Whether memory does not hold what is read: the negative of it (a view), or no memory at all (zeros)."""
    return tensor.is_neg() or tensor._is_zerotensor()


def has_kernel(tensor: Tensor, dtypes: tuple[torch.dtype, ...] = KERNEL_DTYPES) -> bool:
    """Whether the compiled kernels serve this tensor here; if not, the plain composition does.

    What ``torch.jit.trace`` and ``torch.export`` record is plain too: it runs where equishare is not, and has
    derivatives.
    """
    if tensor.dtype not in dtypes or not serves(tensor):
        return False
    if torch.compiler.is_compiling():
        if _is_exporting():
            return False
        # A compiled torch.func transform differentiates what it traces, and a Function inside is lost on it.
        return not in_transform()
    if forward_ad._current_level >= 0 or is_tracing():
        return False
    if _functorch.peek_interpreter_stack() is None:
        return True
    stack = _functorch.get_interpreter_stack()
    return all(level.key() != _functorch.TransformType.Jvp for level in stack)


def is_direct(a: Any, b: Any, dtypes: tuple[torch.dtype, ...] = KERNEL_DTYPES) -> bool:
    """Whether two arguments are ordinary tensors of one dtype that the kernels serve as they are.

    What :func:`has_kernel` and :func:`is_eager` ask, and what the checks of dtype and device would, in the
    order that answers soonest: this is on the way of every small call.
    """
    kind_a, kind_b = type(a), type(b)
    return (
        core is not None
        and not torch.compiler.is_compiling()
        and (kind_a is Tensor or kind_a is Parameter)
        and (kind_b is Tensor or kind_b is Parameter)
        and a.is_cpu
        and b.is_cpu
        and a.dtype is b.dtype
        and a.dtype in dtypes
        and _functorch.peek_interpreter_stack() is None
        and not _len_torch_dispatch_stack()
        and forward_ad._current_level < 0
        and not _is_wrapped(a)
        and not _is_wrapped(b)
        and not is_lazy(a)
        and not is_lazy(b)
        and not is_tracing()
    )


def in_transform() -> bool:
    """Whether a ``torch.func`` transform is under way; call it outside of compilation."""
    return _functorch.peek_interpreter_stack() is not None


# What torch.compiler.assume_constant_result sets; calling that would load the compiler, which takes longer to import
# than torch. The compiler enters the transforms as it traces, and guards on them.
in_transform._dynamo_marked_constant = True  # type: ignore[attr-defined]


def is_eager(inputs: tuple[Any, ...]) -> bool:
    """Whether the inputs are ordinary tensors that nothing traces, batches or compiles."""
    if torch.compiler.is_compiling() or _len_torch_dispatch_stack() or is_tracing():
        return False
    if _functorch.peek_interpreter_stack() is not None:
        return False
    for x in inputs:
        kind = type(x)
        if kind is Tensor or kind is Parameter:
            if _is_wrapped(x) or is_lazy(x) or _functorch.is_legacy_batchedtensor(x):
                return False  # kept in a wrapper by a transform that has ended, or left to the dispatcher
        elif isinstance(x, Tensor):
            return False  # a subclass
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
        save: ``save(ctx, inputs, results)`` keeps what ``backward`` needs.
        backward: ``backward(ctx, *cotangents)``, one gradient or None per input; a cotangent is None where
            nothing depends on the result.
        outputs: of several results, how many are for the caller; the rest is for ``backward`` alone.
    """

    def __init__(
        self,
        schema: str,
        kernel: Callable[..., Any],
        fake: Callable[..., Any],
        save: Callable[..., None] | None = None,
        backward: Callable[..., Any] | None = None,
        outputs: int | None = None,
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
        self._outputs: Any = 0 if outputs == 1 else slice(outputs)
        if save is not None and backward is not None:
            chosen = None if outputs is None else self._outputs
            # Function.apply first asks in Python what is_eager has answered, a microsecond a call.
            self._eager = _eager_function(kernel, save, backward, chosen)
            direct: Any = super(Function, self._eager)
            self._apply_eager = direct.apply
            self._traced = _traced_function(overload, save, backward, outputs)

    def raw(self, *inputs: Any) -> Any:
        """All results, without a derivative."""
        return self.kernel(*inputs) if is_eager(inputs) else self.overload(*inputs)

    def within_backward(self, *inputs: Any) -> Any:
        """The results for the caller, with their derivative where one is being recorded."""
        return self(*inputs) if torch.is_grad_enabled() else self._for_caller(self.raw(*inputs))

    def __call__(self, *inputs: Any) -> Any:
        """The results for the caller, with their derivative where one can be asked for."""
        if is_eager(inputs):
            return self.direct(*inputs)
        if torch.compiler.is_compiling() and not _records_gradient(inputs):
            return self._for_caller(self.overload(*inputs))
        return self._for_caller(self._traced.apply(*inputs))

    def direct(self, *inputs: Any) -> Any:
        """The same for ordinary tensors that nothing traces, batches or compiles."""
        if _records_gradient(inputs):
            return self._apply_eager(*inputs)
        return self._for_caller(self.kernel(*inputs))

    def _for_caller(self, results: Any) -> Any:
        return results[self._outputs] if type(results) is tuple else results


def _records_gradient(inputs: tuple[Any, ...]) -> bool:
    # Not for tensors wrapped by a transform: those tell of its innermost level alone.
    if torch.is_grad_enabled():
        for x in inputs:
            if isinstance(x, Tensor) and x.requires_grad:
                return True
    return False


def _eager_function(
    kernel: Callable[..., Any], save: Callable[..., None], derive: Callable[..., Any], chosen: Any
) -> type[Function]:
    class Eager(Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            results = kernel(*inputs)
            save(ctx, inputs, results)
            ctx.set_materialize_grads(False)
            return results if chosen is None else results[chosen]

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            return derive(ctx, *cotangents)

    return Eager


def _traced_function(
    overload: Callable[..., Any], save: Callable[..., None], derive: Callable[..., Any], outputs: int | None
) -> Any:
    class Traced(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*inputs: Any) -> Any:
            return overload(*inputs)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            save(ctx, inputs, output)
            if outputs is not None:
                ctx.mark_non_differentiable(*output[outputs:])

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            return derive(ctx, *cotangents[:outputs])

    return Traced
