"""Saved discoveries: every field of a file is checked, in one place, and the message names it."""

import json
import os
import signal
import sys
import zipfile

import numpy as np
import pytest

import equishare as es

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
Y = X @ np.array([[1.0, 1, 3], [3, 1, 1]]).T + 0.1 * RNG.normal(size=(80, 2))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A discovery of a map with resamples on the disk, and what its file holds."""
    path = tmp_path_factory.mktemp("saved") / "d.npz"
    es.discover(X, Y, resamples=4).save(path)
    with np.load(path) as file:
        return path, dict(file)


def changed(arrays, field, value):
    """The arrays with one changed: an array by its name, a field of the document by a path with dots."""
    if field in arrays and field != "about":
        return {**arrays, field: np.asarray(value(arrays[field]) if callable(value) else value)}
    document = json.loads(str(arrays["about"]))
    *parents, last = field.split(".")
    target = document
    for one in parents:
        target = target[int(one) if one.isdigit() else one]
    if value is KeyError:
        del target[last]
    else:
        target[last] = value
    return {**arrays, "about": np.array(json.dumps(document))}


def with_nan(array):
    array = array.astype(float)
    array.flat[0] = np.nan
    return array


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("values.weight", with_nan, "values.weight must be finite, got .*nan"),
        ("values.weight", lambda a: a * np.inf, "values.weight must be finite, got .*inf"),
        ("values.weight", lambda a: a.astype(str), "values.weight must be real numbers, got dtype <U"),
        ("values.weight", lambda a: a + 0j, "values.weight must be real numbers, got dtype complex128"),
        ("values.weight", lambda a: a[:1], r"values.weight must be of shape \(2,\), got shape \(1,\)"),
        ("values.weight", lambda a: a[:, None], r"values.weight must be of shape \(2,\), got shape \(2, 1\)"),
        ("bias", lambda a: a[:1], r"bias must be of shape \(2,\), got shape \(1,\)"),
        ("bias", lambda a: np.tile(a, 2), r"bias must be of shape \(2,\), got shape \(4,\)"),
        ("bias", with_nan, "bias must be finite, got .*nan"),
        ("bias", ["a", "b"], "bias must be real numbers, got dtype <U1"),
        ("bias", 1.0, r"bias must be of shape \(2,\), got shape \(\)"),
        ("labels.weight", lambda a: a.astype(float), "labels.weight must be integers, got dtype float64"),
        ("labels.weight", lambda a: a.ravel(), r"labels.weight must be of shape \(2, 3\), got shape \(6,\)"),
        ("resamples.weight", lambda a: a.astype(float), "resamples.weight must be integers, got dtype float64"),
        ("resamples.weight", lambda a: a[:, :4], r"resamples.weight must be of shape \(…, 6\), got shape \(4, 4\)"),
        ("resamples.weight", lambda a: a[:0], "resamples.weight must be at least one resample, got 0"),
        ("resamples.weight", lambda a: a - 1, "resamples.weight must be groups from 0 to 5, got"),
        ("resamples.weight", lambda a: a + 2**40, "resamples.weight must be groups from 0 to 5, got"),
        ("gaps.weight", with_nan, "gaps.weight must be numbers of at least 0, got"),
        ("gaps.weight", lambda a: a[:1], r"gaps.weight must be of shape \(2,\), got shape \(1,\)"),
        ("history.evidence", lambda a: a.astype(str), "history.evidence must be real numbers, got dtype <U"),
        ("history.evidence", lambda a: a[None], r"history.evidence must be of shape \(…,\)"),
        ("belief.spread", ["wide"], "belief.spread must be real numbers, got dtype <U4"),
        ("belief.spread_interval", [1.0], r"belief.spread_interval must be of shape \(2,\), got shape \(1,\)"),
        ("belief.posterior_mean", lambda a: a + 0j, "belief.posterior_mean must be real numbers, got dtype complex"),
        ("belief.posterior_mean", lambda a: a[:1], r"belief.posterior_mean must be an array of 6 numbers, got shape"),
        ("belief.guess", 0, r"belief.guess must be of shape \(2, 3\), got shape \(\)"),
        ("belief.guess", lambda a: a.ravel(), r"belief.guess must be of shape \(2, 3\), got shape \(6,\)"),
        ("quality.unshared", 1.0, r"quality.unshared must be an array of 6 numbers, got shape \(\)"),
        ("quality.unshared_errors", lambda a: a[:1], r"unshared_errors must be an array of 6 numbers, got shape"),
        ("quality.value_errors", lambda a: a[:1], r"quality.value_errors must be of shape \(2,\), got shape \(1,\)"),
        ("quality.dependence", -2.0, "quality.dependence must be a probability, or NaN .* got -2.0"),
        ("quality.r_squared", [1.0, 2.0], r"quality.r_squared must be of shape \(\), got shape \(2,\)"),
        ("method", 5, "method must be the name of a method, .* got 5"),
        ("method", "", "method must be the name of a method, .* got ''"),
        ("method", "a\x1b[31mred", "method must be the name of a method, .* got 'a.x1b"),
        ("method", "a" * 300, "method must be the name of a method, .* got 'aaa"),
        ("method", ["auto"], r"method must be the name of a method, .* got \['auto'\]"),
        ("method", KeyError, "method is missing, which must be the name of a method"),
        ("seed", -1, "seed must be an integer of at least 0, got -1"),
        ("seed", 1.5, "seed must be an integer of at least 0, got 1.5"),
        ("seed", True, "seed must be an integer of at least 0, got True"),
        ("validation_loss", float("nan"), "validation_loss must be a number, got nan"),
        ("validation_loss", "small", "validation_loss must be a number, got 'small'"),
        ("no_sharing_loss", None, "no_sharing_loss must be a number, or NaN .* got None"),
        ("complete", 1, "complete must be true or false, got 1"),
        ("slots", [], r"slots must be a list of parameters, got \[\]"),
        ("slots.0.names", ["weight", "weight"], r"slots\[0\].names must be names, each once"),
        ("slots.0.shapes", [[2, -3]], r"slots\[0\].shapes must be a list of shapes, got \[\[2, -3\]\]"),
        ("slots.0.shapes", [[3, 3]], r"slots\[0\].num_entries must be 9 as shapes and axes say, got 6"),
        ("slots.0.axes", [4], r"slots\[0\].axes must be axes of the shape \[2, 3\], got 4"),
        ("slots.0.labels", [["a"], []], r"slots\[0\].labels must be a name for each entry .* got \[1, 0\]"),
        ("slots.0.noun", 3, r"slots\[0\].noun must be text, got 3"),
        ("about.num_train", -4, "about.num_train must be an integer of at least 0, or null, got -4"),
        ("about.facts", [["map"]], r"about.facts must be pairs of texts, got \[\['map'\]\]"),
        ("about", "a map", "about must be an object, got 'a map'"),
        ("origin.versions", {"torch": 2}, "origin.versions must be versions as texts"),
        ("notes", "few", "notes must be a list of sentences, got 'few'"),
        ("format", "equishare.Discovery/9", "format must be equishare.Discovery/2, .* got 'equishare.Discovery/9'"),
        ("dtypes", {"w": "float99"}, "dtypes must be names of dtypes of torch"),
    ],
)
def test_fields(saved, tmp_path, field, value, message):
    path = tmp_path / "changed.npz"
    np.savez(path, **changed(saved[1], field, value))
    with pytest.raises(ValueError, match=message) as caught:
        es.Discovery.load(path)
    assert "changed.npz' is not a saved Discovery, or it is damaged" in str(caught.value)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("labels.weight", "labels must be those of weight, and lacks weight"),
        ("values.weight", "values must be those of weight, and lacks weight"),
        ("belief.spread", "belief.spread must be there, got 'nothing'"),
        ("about", "it has no entry about"),
    ],
)
def test_arrays_that_are_missing(saved, tmp_path, lost, message):
    np.savez(tmp_path / "d.npz", **{name: one for name, one in saved[1].items() if name != lost})
    with pytest.raises(ValueError, match=message):
        es.Discovery.load(tmp_path / "d.npz")


def test_arrays_that_are_too_many(saved, tmp_path):
    for name, message in (
        ("values.other", "values must be those of weight, and holds 'other' too"),
        ("resamples.other", "resamples.other must be of a parameter of the discovery"),
        ("quality.colour", "quality.colour must be one of "),
        ("state.w", "state must be those of nothing, and holds 'w' too"),
    ):
        np.savez(tmp_path / "d.npz", **saved[1], **{name: np.zeros(2)})
        with pytest.raises(ValueError, match=message):
            es.Discovery.load(tmp_path / "d.npz")


def test_an_array_that_is_there_twice(saved, tmp_path):
    path = tmp_path / "twice.npz"
    path.write_bytes(saved[0].read_bytes())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("values.weight.npy", archive.read("values.weight.npy"))
    with pytest.raises(ValueError, match="two arrays are named 'values.weight'"):
        es.Discovery.load(path)


def test_flipped_bits_are_told_or_change_nothing(saved, tmp_path):
    whole, path = saved[0].read_bytes(), tmp_path / "flipped.npz"
    rng = np.random.default_rng(0)
    right = es.Discovery.load(saved[0])
    refused = 0
    for position in rng.choice(8 * len(whole), 400, replace=False).tolist():
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        try:
            found = es.Discovery.load(path)
        except ValueError as error:
            assert "flipped.npz' is not a saved Discovery, or it is damaged" in str(error)  # noqa: PT017
            refused += 1
            continue
        # Dates and rights of the entries of an archive have no checksum, and nobody reads them.
        assert found.partition == right.partition and (found.method, found.seed) == (right.method, right.seed)
        np.testing.assert_array_equal(found.values, right.values)
        np.testing.assert_array_equal(found.confidence.ties, right.confidence.ties)
        assert found.about == right.about and found.origin == right.origin
        assert (found.validation_loss, found.spread) == (right.validation_loss, right.spread)
    assert refused > 250  # so the loop did try what is checked; how many is a matter of the file's length


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of processes on this system")
@pytest.mark.parametrize("what", ["save", "report"])
def test_a_full_disk_names_the_file(saved, tmp_path, what):
    import resource

    found = es.Discovery.load(saved[0])
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # no file may grow beyond: writes fail
    name = {"save": "d.npz", "report": "d.html"}[what]
    try:
        with pytest.raises(OSError, match=name):
            getattr(found, what)(tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("what", "name"), [("save", "d.npz"), ("report", "d.html")])
def test_a_folder_where_a_file_should_be_written(saved, tmp_path, what, name):
    (tmp_path / name).mkdir()
    with pytest.raises(IsADirectoryError, match=rf"is a folder, and a file of this name is to be written: '.*{name}'"):
        getattr(es.Discovery.load(saved[0]), what)(tmp_path / name)
    with pytest.raises(IsADirectoryError, match=r"d\.npz"):
        (tmp_path / "d.npz").mkdir(exist_ok=True)
        es.Discovery.load(tmp_path / "d.npz")
