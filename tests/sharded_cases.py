"""A rank of two: models sharded by FSDP train like whole ones, and say where they cannot serve."""

import copy
import os
from functools import partial

import pytest
import torch
import torch.distributed as dist
from test_loops import FORMS, build, steps
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import equishare as es
from equishare.sharing import impose


def main():
    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", init_method=os.environ["STORE"], rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    x, y = torch.randn(24, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(24, 2)
    own = slice(12 * rank, 12 * rank + 12)
    for form in FORMS:
        model, whole = build(form), build(form)
        fully_shard(model[0], mesh=mesh)
        fully_shard(model, mesh=mesh)
        trained, expected = steps(model, [(x[own], y[own])]), steps(whole, [(x, y)])
        for name, t in trained.items():
            torch.testing.assert_close(t.full_tensor(), expected[name])
        for call in (es.harden, es.compact, partial(impose, partitions={})):
            with pytest.raises(
                ValueError, match="must have whole weights, but FSDPModule has spread them over process"
            ):
                call(model)
        with pytest.raises(ValueError, match="module must be shared before it is wrapped in FSDPModule"):
            es.share(model, "2.weight")
        with pytest.raises(ValueError, match="as it was before it was wrapped in FSDPModule"):
            es.ModelProblem(model, (x, y), (x, y), torch.nn.functional.mse_loss)
        # What the refusal tells to do.
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        again = copy.deepcopy(build(form))
        again.load_state_dict(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)))
        torch.testing.assert_close(again(x), whole(x))
    for form in FORMS:
        model, whole = torch.nn.parallel.DistributedDataParallel(build(form)), build(form)
        trained, expected = steps(model, [(x[own], y[own])]), steps(whole, [(x, y)])
        for name, t in expected.items():
            torch.testing.assert_close(trained[f"module.{name}"], t)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
