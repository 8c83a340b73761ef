"""Means by the hundred thousand: the partition, in memory that does not grow with candidates or groups."""

import tracemalloc

import numpy as np
import pytest

import equishare as es
from equishare.search import segmentation
from equishare.search.segmentation import probable_segmentations


def samples(values, count, seed):
    """(n, K) float32 samples of noise of variance 1 about values in standard errors of their means."""
    rng = np.random.default_rng(seed)
    return (values / np.sqrt(count) + rng.standard_normal((count, len(values)))).astype(np.float32)


def limit(values, levels):
    """So many entries lie nearer to another value than to their own, with known values."""
    rng = np.random.default_rng(99)
    nearest = np.abs((values + rng.standard_normal(len(values)))[:, None] - levels[None]).argmin(1)
    return int((levels[nearest] != values).sum())


@pytest.mark.parametrize("seed", [0, 1])
def test_many_groups_are_told_apart_as_if_their_values_were_known(seed):
    rng = np.random.default_rng(seed)
    levels = 6.5 * np.arange(200)
    values = levels[rng.integers(len(levels), size=20_000)]
    found = es.discover(es.MeanProblem(samples(values, 20, seed)))
    distance = es.partition_distance(found.partition, np.searchsorted(levels, values))
    assert found.partition.num_groups == len(levels)
    assert distance <= 1.5 * limit(values, levels) + 10
    assert found.spread == 0


def test_means_that_all_differ_stay_apart():
    values = 7.0 * np.random.default_rng(0).permutation(20_000)
    found = es.discover(es.MeanProblem(samples(values, 20, 0)))
    assert es.partition_distance(found.partition, np.arange(20_000)) <= 40


def test_a_large_group_of_zeros_hides_no_small_ones():
    rng = np.random.default_rng(3)
    values = np.where(rng.random(30_000) < 0.95, 0.0, 9.0 * rng.integers(1, 9, size=30_000))
    found = es.discover(es.MeanProblem(samples(values, 20, 3)))
    assert found.partition.num_groups == 9
    assert es.partition_distance(found.partition, (values / 9).astype(int)) <= 10


def test_many_more_groups_than_the_path_of_merges_takes():
    values = 7.0 * np.arange(1500)
    found = es.discover(es.MeanProblem(samples(values, 40, 5)), resamples=0)
    assert es.partition_distance(found.partition, np.arange(1500)) <= 10


def test_memory_is_a_few_times_the_data():
    values = 6.5 * np.random.default_rng(0).integers(500, size=20_000)
    problem = es.MeanProblem(samples(values, 20, 0))
    tracemalloc.start()
    es.discover(problem)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    data = 20 * values.size * 4
    assert peak < 16 * data


def test_windows_give_the_segmentation_of_one_pass(monkeypatch):
    rng = np.random.default_rng(7)
    value = 5.0 * rng.integers(60, size=2500) + rng.standard_normal(2500)
    whole = [labels.tolist() for labels in probable_segmentations(value, np.ones(2500), 90.0)]
    monkeypatch.setattr(segmentation, "_MOST_BINS", 512)
    monkeypatch.setattr(segmentation, "_WINDOWS", 2)
    found = [labels.tolist() for labels in probable_segmentations(value, np.ones(2500), 90.0)]
    assert len(found) == len(whole)
    for one, other in zip(found, whole, strict=True):
        assert es.partition_distance(np.array(one), np.array(other)) <= 5


def test_a_symmetry_that_would_not_fit_into_memory_says_so():
    labels = np.arange(200_000) % 1000
    with pytest.raises(MemoryError, match="its generators would take"):
        es.symmetry_group(labels)


def test_ties_within_blocks_of_many_means():
    values = 8.0 * np.random.default_rng(1).integers(20, size=20_000)
    within = np.arange(20_000) % 2
    found = es.discover(es.MeanProblem(samples(values, 20, 1), within=within))
    truth = es.Partition((values / 8).astype(int) * 2 + within)
    assert es.partition_distance(found.partition, truth) <= 10
