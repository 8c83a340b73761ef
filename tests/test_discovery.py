"""Discovery: every method on the spine propose, select, refit; the result; what is refused."""

import numpy as np
import pytest

import equishare as es
from equishare.methods import METHODS
from equishare.methods.brute_force import all_partitions


def means(labels, seed=0, gap=3.0, noise=1.0, samples=100, train=30):
    labels = np.asarray(labels)
    x = gap * labels + noise * np.random.default_rng(seed).normal(size=(samples, labels.size))
    return es.MeanProblem(x[:train], x[train:])


def convolution(size, kernel, seed=0, train=50, val=100):
    rng = np.random.default_rng(seed)
    weight = np.zeros((size - kernel + 1, size))
    for o in range(len(weight)):
        weight[o, o : o + kernel] = 2 * np.arange(kernel) + 1
    x = rng.normal(size=(train + val, size))
    y = x @ weight.T + np.sqrt(0.1) * rng.normal(size=(train + val, len(weight)))
    return es.LinearProblem(x[:train], y[:train], x_val=x[train:], y_val=y[train:]), es.Partition(weight.astype(int))


LABELS = [0, 1, 0, 2, 1, 0]
OPTIONS = {"oracle": {"partition": LABELS}}


@pytest.mark.parametrize("method", ["auto", "bilevel", "merge", "gap", "oracle"])
def test_methods_find_well_separated_means(method):
    found = es.discover([means(LABELS, seed) for seed in range(20)], method, **OPTIONS.get(method, {}))
    distance = np.mean([es.partition_distance(d.partition, LABELS) for d in found])
    assert distance <= (0.5 if method == "merge" else 0.1)
    found = found[0]
    assert found.method == method
    assert found.theta.shape == (6,)


@pytest.mark.parametrize("method", ["auto", "bilevel"])
@pytest.mark.parametrize(("size", "kernel", "train"), [(3, 2, 50), (5, 3, 50), (10, 3, 50), (10, 3, 20)])
def test_convolutions_are_found(method, size, kernel, train):
    problems = [convolution(size, kernel, seed, train) for seed in range(3)]
    found = es.discover([problem for problem, _ in problems], method)
    assert [d.partition for d in found] == [truth for _, truth in problems]


def test_auto_needs_fewer_training_samples_than_inputs():
    problem, truth = convolution(24, 5, train=20, val=60)
    assert es.discover(problem).partition == truth


@pytest.mark.parametrize("method", list(METHODS))
def test_a_list_gives_what_its_problems_give_alone(method):
    problems = [means(LABELS, seed) for seed in range(3)]
    options = OPTIONS.get(method, {})
    if method == "bilevel":
        options = {"steps": 60}
    together = es.discover(problems, method, seed=1, **options)
    assert [d.partition.shape for d in together] == [(6,)] * 3
    # Restarts of the bilevel search are drawn for the whole batch: only its first problem sees the same ones.
    alone = es.discover(problems[0], method, seed=1, **options)
    assert together[0].partition == alone.partition
    np.testing.assert_allclose(together[0].values, alone.values)


@pytest.mark.parametrize("method", list(METHODS))
def test_the_result_is_a_refit_on_all_samples_and_its_losses_are_those_of_the_data(method):
    rng = np.random.default_rng(5)
    x = 3 * np.asarray(LABELS) + rng.normal(size=(50, 6))
    found = es.discover(es.MeanProblem(x[:20], x[20:]), method, **OPTIONS.get(method, {}))
    labels = found.partition.labels
    pooled = np.array([x[:, labels == g].mean() for g in range(found.partition.num_groups)])
    fitted = np.array([x[:20, labels == g].mean() for g in range(found.partition.num_groups)])
    np.testing.assert_allclose(found.values, pooled)
    np.testing.assert_allclose(found.theta, pooled[labels])
    assert found.validation_loss == pytest.approx(((x[20:] - fitted[labels]) ** 2).mean())
    assert found.no_sharing_loss == pytest.approx(((x[20:] - x[:20].mean(0)) ** 2).mean())
    lengths = {len(column) for column in found.history.values()}
    assert len(lengths) == 1 and {"validation_loss"} < set(found.history)


def test_bias_of_a_linear_map_is_free():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 4)) + 5
    weight = np.array([[1.0, 2, 1, 2], [2, 1, 2, 1]])
    y = x @ weight.T + [7, -3] + 0.1 * rng.normal(size=(200, 2))
    for bias in (True, False):
        found = es.discover(es.LinearProblem(x[:100], y[:100] - (0 if bias else [7, -3]), x_val=x[100:],
                                             y_val=y[100:] - (0 if bias else [7, -3]), bias=bias))  # fmt: skip
        assert found.partition == es.Partition(weight.astype(int))
        if bias:
            np.testing.assert_allclose(found.bias, [7, -3], atol=0.2)
        else:
            assert found.bias is None


@pytest.mark.parametrize(
    "transform",
    [
        lambda x: 1e-6 * x,
        lambda x: 1e6 * x,
        lambda x: x + 1e8,
        lambda x: -x,
        lambda x: x.astype(np.float32),
    ],
    ids=["smaller", "larger", "moved", "mirrored", "float32"],
)
@pytest.mark.parametrize("method", ["auto", "bilevel", "merge", "gap"])
def test_the_answer_does_not_depend_on_units(method, transform):
    x = 3 * np.asarray(LABELS) + np.random.default_rng(7).normal(size=(60, 6))
    plain, changed = (es.discover(es.MeanProblem(d[:20], d[20:]), method) for d in (x, transform(x)))
    assert plain.partition == changed.partition


@pytest.mark.parametrize("noise", ["uneven", "heavy tails", "skewed", "common"])
def test_auto_does_not_assume_the_noise(noise):
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 4, 60)
    draw = {
        "uneven": lambda: np.exp(rng.normal(size=60)) * rng.normal(size=(100, 60)),
        "heavy tails": lambda: rng.standard_t(3, size=(100, 60)),
        "skewed": lambda: rng.exponential(size=(100, 60)),
        "common": lambda: 3 * rng.normal(size=(100, 1)) + rng.normal(size=(100, 60)),
    }[noise]
    x = 3 * labels + draw()
    assert es.discover(es.MeanProblem(x[:30], x[30:])).partition == es.Partition(labels)


def test_data_without_noise_are_solved_exactly():
    x = np.random.default_rng(9).normal(size=(60, 5))
    weight = (np.arange(5) - np.arange(5)[:, None]) % 5
    problem = es.LinearProblem(x[:30], x[:30] @ weight.T, x_val=x[30:], y_val=x[30:] @ weight.T)
    for method in ("auto", "merge", "bilevel", "gap"):
        assert es.discover(problem, method).partition == es.Partition(weight)


@pytest.mark.parametrize("sharing", [1, 10, 100])
def test_auto_scales_to_many_entries(sharing):
    labels = np.concatenate([np.arange(sharing), np.random.default_rng(10).integers(0, sharing, 2000 - sharing)])
    found = es.discover(means(labels))
    assert es.partition_distance(found.partition, labels) == 0


def test_merge_goes_beyond_its_first_cap_when_needed():
    labels = np.arange(90) % 80
    found = es.discover(means(labels, gap=30.0), "merge")
    assert found.partition.num_groups > 64


def test_all_partitions_are_counted_by_bell_numbers():
    assert [len(all_partitions(k)) for k in range(1, 8)] == [1, 2, 5, 15, 52, 203, 877]
    assert len({es.Partition(p) for p in all_partitions(6)}) == 203


@pytest.mark.parametrize("problem", [means([0, 1, 0, 1]), convolution(3, 2)[0]], ids=["means", "linear"])
def test_brute_force_has_the_least_validation_loss(problem):
    best = es.discover(problem, "brute_force").validation_loss
    for partition in all_partitions(problem.num_entries):
        one = es.discover(problem, "oracle", partition=partition.reshape(problem.shape))
        assert best <= one.validation_loss * (1 + 1e-12)


def test_progress_ends_at_the_total():
    for method in ("auto", "bilevel", "merge", "brute_force"):
        seen = []
        es.discover(
            [means([0, 0, 1])] * 2,
            method,
            progress=lambda done, total, seen=seen: seen.append((done, total)),
        )
        assert seen[-1][0] == seen[-1][1] and seen == sorted(seen)


@pytest.mark.parametrize("problem", [means(LABELS), convolution(3, 2)[0]], ids=["means", "linear"])
def test_a_discovery_survives_a_round_trip(problem, tmp_path):
    found = es.discover(problem, "auto")
    found.save(tmp_path / "d.npz")
    again = es.Discovery.load(tmp_path / "d.npz")
    assert again.partition == found.partition
    for name in ("values", "theta"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    assert (again.bias is None) == (found.bias is None)
    assert (again.method, again.seed, again.validation_loss, again.no_sharing_loss) == (
        found.method, found.seed, found.validation_loss, found.no_sharing_loss,
    )  # fmt: skip
    assert set(again.history) == set(found.history)


def test_files_that_are_not_discoveries_are_refused(tmp_path):
    found = es.discover(means(LABELS))
    with pytest.raises(ValueError, match="must end in .npz"):
        found.save(tmp_path / "d.pkl")
    with pytest.raises(OSError):
        found.save(tmp_path / "missing" / "d.npz")
    found.save(tmp_path / "d.npz")
    whole = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.savez(tmp_path / "pickled.npz", about=np.array([{}], dtype=object))
    flipped = bytearray(whole)
    flipped[200] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(flipped)
    for name in ("cut", "text", "other", "pickled", "flipped"):
        with pytest.raises(ValueError, match="is not a saved Discovery"):
            es.Discovery.load(tmp_path / f"{name}.npz")
    with pytest.raises(OSError):
        es.Discovery.load(tmp_path / "nothing.npz")
    names = ("cut", "d", "flipped", "other", "pickled", "text")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{name}.npz" for name in names]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: es.discover(p, "magic"), ValueError, "method must be one of auto, .*got 'magic'"),
        (lambda p: es.discover(p, "gap", cuts=3), TypeError, "method 'gap' has no option cuts; it takes cut"),
        (lambda p: es.discover(p, "auto", restarts=3), TypeError, "has no option restarts; it takes no options"),
        (lambda p: es.discover(p, "oracle"), TypeError, "needs the option partition"),
        (lambda p: es.discover(p, "oracle", partition=[0, 1]), ValueError, r"problem's shape \(6,\), got \(2,\)"),
        (lambda p: es.discover([p, p], "oracle", partition=[es.Partition(LABELS)]), ValueError, "2 problems, got 1"),
        (lambda p: es.discover(p, "gap", cut=0), ValueError, "cut must be a positive number"),
        (lambda p: es.discover(p, seed=-1), ValueError, "seed must be an integer from 0 to .*got -1"),
        (lambda p: es.discover([]), ValueError, "must not be an empty list"),
        (lambda p: es.discover([p, means([0, 1])]), ValueError, "must have the same shape"),
        (lambda p: es.discover(3), TypeError, "a FactorProblem, a CovarianceProblem, a ModelProblem"),
        (lambda p: es.discover(p, "bilevel", restarts=0), ValueError, "restarts must be a positive integer, got 0"),
        (lambda p: es.discover(p, "bilevel", num_groups=-2), ValueError, "num_groups must be a positive integer"),
        (lambda p: es.discover(p, "bilevel", num_groups=7), ValueError, "at most the number of entries 6, got 7"),
        (lambda p: es.discover(p, "bilevel", lr=float("nan")), ValueError, "lr must be a finite number"),
        (lambda p: es.discover(p, "bilevel", lower="best"), ValueError, "lower must be one of normalised"),
        (lambda p: es.discover(p, "bilevel", optimizer="sgd"), ValueError, "optimizer must be one of adam, rmsprop"),
        (lambda p: es.discover(means([0] * 11), "brute_force"), ValueError, "takes at most 10 entries, got 11"),
    ],
)  # fmt: skip
def test_bad_calls_are_explained(call, error, message):
    with pytest.raises(error, match=message):
        call(means(LABELS))


@pytest.mark.parametrize("method", ["auto", "closure"])
@pytest.mark.parametrize("unit", [1e-100, 1e-25, 1e25, 1e100])
@pytest.mark.parametrize("side", ["x", "y"])
def test_units_of_a_map_do_not_matter(method, unit, side):
    rng = np.random.default_rng(0)
    labels = (np.arange(6) - np.arange(6)[:, None]) % 6
    x = rng.standard_normal((200, 6))
    y = x @ (0.4 * labels.T) + rng.standard_normal((200, 6))
    x, y = (x * unit, y) if side == "x" else (x, y * unit)
    found = es.discover(es.LinearProblem(x[:100], y[:100], x_val=x[100:], y_val=y[100:]), method)
    assert found.partition == es.Partition(labels)


@pytest.mark.parametrize("method", ["auto", "bilevel", "gap", "merge"])
@pytest.mark.parametrize("unit", [1e-150, 1e-60, 1e-20, 1e30, 1e80, 1e150])
def test_units_of_the_data_do_not_matter(method, unit):
    samples = np.random.default_rng(0).normal([0, 0, 0, 10, 10, 10], 1.0, (100, 6)) * unit
    found = es.discover(es.MeanProblem(samples[:50], samples[50:]), method)
    assert found.partition == es.Partition([0, 0, 0, 1, 1, 1])
