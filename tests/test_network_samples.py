"""Data of model problems: what is taken, what is refused, and batches that a seed decides."""

import numpy as np
import pytest
import torch
from model_cases import columns, columns_data, loader
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from equishare.problems.network.samples import LoaderSamples, Stream, TensorSamples, as_samples

MODEL = columns(dtype=torch.float32)
X, Y = columns_data(count=20, dtype=torch.float32)


def batches(stream, count):
    return [stream.next_batch() for _ in range(count)]


def same(a, b):
    return all(
        all(torch.equal(s, t) for s, t in zip((*one[0], one[1]), (*other[0], other[1]), strict=True))
        for one, other in zip(a, b, strict=True)
    )


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X, Y),
        (X.double().numpy(), Y.double().numpy()),
        (X.numpy(), Y),
        (read_only(X.numpy()), read_only(Y.numpy())),
        (X.numpy()[::-1][::-1], Y.numpy().astype(">f8")),
        (X.tolist(), Y.tolist()),
        (np.asfortranarray(X.numpy()), Y.numpy()),
    ],
)
def test_tensors_and_arrays_are_taken_in_the_dtype_of_the_model(x, y):
    samples = as_samples((x, y), "train", MODEL)
    (got,), target = samples.first()
    assert got.dtype == target.dtype == torch.float32
    assert torch.allclose(got, X) and torch.allclose(target, Y)
    assert len(samples) == 20


def test_later_changes_of_an_array_do_not_reach_the_samples():
    x = X.numpy().copy()
    samples = as_samples((x, Y), "train", MODEL)
    x[:] = 0
    assert torch.equal(samples.x[0], X)


def test_integers_stay_integers_and_several_inputs_are_arguments():
    tokens, classes = np.arange(20), np.arange(20, dtype=np.int32)
    samples = as_samples(((X, tokens), classes), "train", MODEL)
    (x, second), y = samples.take(torch.tensor([3, 5]))
    assert torch.equal(x, X[[3, 5]])
    assert (second.dtype, y.dtype) == (torch.int64, torch.int32)
    assert [shape for shape, _ in samples.kinds] == [(20, 4, 2), (20,), (20,)]
    assert len(samples.joined(samples)) == 40
    kinds = as_samples([[X, Y], Y], "train", MODEL).kinds
    assert [shape for shape, _ in kinds] == [(20, 4, 2), (20,), (20,)]


def with_nan(x):
    x = x.clone()
    x[1, 0] = torch.nan
    return x


class Once(IterableDataset):
    """Data that can be read once, as from a stream."""

    def __init__(self):
        self.rows = iter(list(zip(X, Y, strict=True)))

    def __iter__(self):
        return self.rows


BAD = {
    "empty": ((X[:0], Y[:0]), ValueError, r"val must hold at least one sample, got x of shape \(0, 4, 2\)"),
    "lengths": ((X, Y[:5]), ValueError, r"x and y of val must hold as many samples as each other, got \[20, 5\]"),
    "nan": ((with_nan(X), Y), ValueError, "x of val must be finite, got 2 NaN or infinite numbers"),
    "inf": ((X, Y + torch.inf), ValueError, "y of val must be finite, got 20 NaN"),
    "dtype": (
        (X.double(), Y),
        TypeError,
        "x of val must have the dtype of the model, torch.float32, got",
    ),
    "complex": ((X.numpy() + 0j, Y), TypeError, "x of val must hold real numbers, got dtype complex64"),
    "complex tensor": ((X.to(torch.complex64), Y), TypeError, "x of val must hold real numbers, got torch.complex64"),
    "strings": ((np.array(["a", "b"]), Y), TypeError, "x of val must hold real numbers, got dtype <U1"),
    "device": ((X.to("meta"), Y), ValueError, "x of val must be on the device of the model, cpu, got meta"),
    "second input": (((X, with_nan(X)), Y), ValueError, r"x\[1\] of val must be finite"),
    "no input": (((), Y), ValueError, "x of val must hold at least one input of the model, got an empty tuple"),
    "a tensor": (X, TypeError, r"val must be a pair \(x, y\) of arrays .* got Tensor"),
    "a triple": ((X, Y, Y), TypeError, r"val must be a pair .* got tuple of 3"),
    "None": (None, TypeError, "val must be a pair .* got NoneType"),
    "a number": ((1.0, 2.0), ValueError, r"x of val must have shape \(samples, ...\), got a single number"),
    "a number as a tensor": ((X, torch.tensor(1.0)), ValueError, r"y of val must have shape \(samples, ...\)"),
    "a data set": (TensorDataset(X, Y), TypeError, "val must be a pair .* got TensorDataset"),
    "empty loader": (
        DataLoader(TensorDataset(X[:0], Y[:0])),
        ValueError,
        "val must hold at least one sample, got a Da",
    ),
    "loader of x": (DataLoader(X), TypeError, r"val must give pairs \(x, y\), got Tensor"),
    "loader dtype": (DataLoader(TensorDataset(X.double(), Y)), TypeError, "x of val must have the dtype of the model"),
    "loader of arrays": (
        DataLoader(TensorDataset(X, Y), collate_fn=lambda rows: (X.numpy(), Y)),
        TypeError,
        "x of val must be a tensor, got ndarray",
    ),
}


@pytest.mark.parametrize(("data", "error", "message"), BAD.values(), ids=BAD)
def test_bad_data_are_refused(data, error, message):
    with pytest.raises(error, match=message):
        as_samples(data, "val", MODEL)


@pytest.mark.parametrize("batch_size", [None, 1, 3, 7, 20, 50])
def test_minibatches_run_through_all_samples_in_the_order_of_the_seed(batch_size):
    samples = TensorSamples((torch.arange(20.0),), torch.arange(20.0))
    size = min(batch_size or 20, 20)
    steps = 20 // size
    epoch = batches(Stream(samples, batch_size, seed=1), steps)
    assert all(len(y) == size and torch.equal(x, y) for (x,), y in epoch)
    seen = torch.cat([y for _, y in epoch])
    assert len(seen.unique()) == steps * size
    assert same(epoch, batches(Stream(samples, batch_size, seed=1), steps))
    if size < 20:
        assert not same(epoch, batches(Stream(samples, batch_size, seed=2), steps))
        two = batches(Stream(samples, batch_size, seed=1), 2 * steps)
        assert not same(two[:steps], two[steps:])


def streams(kind):
    if kind == "tensors":
        return lambda seed, drawn=0: Stream(TensorSamples((X,), Y), 6, seed, drawn)
    options = {
        "shuffled": {},
        "in order": {"shuffle": False},
        "own generator": {"generator": torch.Generator().manual_seed(3)},
        "workers": {"num_workers": 1},
    }[kind]
    samples = as_samples(loader((X, Y), **options), "train", MODEL)
    if kind == "shuffled":
        samples = samples.joined(samples)
    return lambda seed, drawn=0: Stream(samples, None, seed, drawn)


@pytest.mark.parametrize("kind", ["tensors", "shuffled", "in order", "own generator"])
def test_streams_are_reproduced_and_continued(kind):
    stream = streams(kind)
    unbroken = batches(stream(5), 11)
    torch.manual_seed(123)
    assert same(unbroken, batches(stream(5), 11))
    assert not same(unbroken, batches(stream(6), 11))
    for drawn in (1, 3, 4, 8):
        torch.rand(drawn)
        continued = stream(5, drawn)
        assert continued.drawn == drawn
        assert same(unbroken[drawn:], batches(continued, 11 - drawn))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 where threads run
def test_streams_of_worker_processes_are_reproduced():
    stream = streams("workers")
    assert same(batches(stream(5), 4), batches(stream(5), 4))


@pytest.mark.parametrize("kind", ["tensors", "shuffled", "own generator"])
def test_drawing_leaves_all_generators_as_they_were(kind):
    own = torch.Generator().manual_seed(3)
    samples = as_samples(loader((X, Y), generator=own), "train", MODEL)
    stream = Stream(samples, None, 0) if kind == "own generator" else streams(kind)(0)
    before = torch.get_rng_state(), own.get_state()
    batches(stream, 5)
    list(samples)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(own.get_state(), before[1])


def test_what_is_drawn_between_batches_does_not_matter():
    alone = batches(streams("shuffled")(0), 6)
    stream, mixed = streams("shuffled")(0), []
    for _ in range(6):
        torch.rand(3)
        mixed.append(stream.next_batch())
    assert same(alone, mixed)


def test_epochs_for_judging_are_always_the_same():
    samples = as_samples(loader((X, Y)), "val", MODEL)
    assert isinstance(samples, LoaderSamples)
    first = list(samples)
    torch.manual_seed(99)
    assert same(first, list(samples))
    assert same(first[:1], [samples.first()])


def test_loaders_of_several_inputs_and_without_a_length():
    class Endless(IterableDataset):
        def __iter__(self):
            return (((x, x), y) for x, y in zip(X, Y, strict=True))

    samples = as_samples(DataLoader(Endless(), batch_size=6), "train", MODEL)
    sizes = [(len(x), len(y)) for x, y in samples]
    assert sizes == [(2, 6), (2, 6), (2, 6), (2, 2)]


def test_a_loader_that_can_be_read_once_says_so():
    samples = as_samples(DataLoader(Once(), batch_size=5), "train", MODEL)
    stream = Stream(samples, None, 0)
    with pytest.raises(ValueError, match="train must be data that can be read again, got no batch in epoch 2"):
        batches(stream, 5)


def test_a_loader_that_turns_bad_names_what_it_gave():
    x = X.clone()
    x[-1] = torch.nan
    samples = as_samples(loader((x, Y), shuffle=False), "train", MODEL)
    with pytest.raises(ValueError, match="x of train must be finite"):
        batches(Stream(samples, None, 0), 3)


def test_loaders_together_are_mixed():
    sets = [TensorDataset(torch.full((60, 4), float(i)), torch.zeros(60)) for i in range(2)]
    first, second = (as_samples(DataLoader(one, batch_size=2), "train", MODEL) for one in sets)
    epochs = [[float(x[0, 0]) for (x,), _ in first.joined(second).epoch(5)] for _ in range(2)]
    assert len(epochs[0]) == 60 and sum(epochs[0]) == 30
    assert 2 < sum(epochs[0][:15]) < 13
    assert epochs[0] == epochs[1]
