"""How sure a partition is: resamples are what they say, probabilities hold, and everything is kept and shown."""

from __future__ import annotations

import copy
import io
import json

import numpy as np
import pytest
from rich.console import Console
from scipy.special import expit

import equishare as es
from equishare import cli
from equishare.methods import METHODS
from equishare.report import print_discovery, write_files
from equishare.result import calibration
from equishare.result.confidence import Confidence


def linear(rng, outputs=2, inputs=3, samples=200, noise=(0.5, 2.0), bias=True):
    x = rng.standard_normal((samples, inputs)) @ (np.eye(inputs) + 0.4) + 1.0
    weight = np.resize([1.0, 0.0, -1.0], (outputs, inputs))
    y = x @ weight.T + 3.0 + np.resize(noise, outputs) * rng.standard_normal((samples, outputs))
    cut = samples // 3
    return es.LinearProblem(x[:cut], y[:cut], x_val=x[cut:], y_val=y[cut:], bias=bias)


def means(rng, levels=(0, 0, 0, 0, 2, 2, 2, 2), samples=60):
    data = np.array(levels) + rng.standard_normal((samples, len(levels)))
    return es.MeanProblem(data[: samples // 2], data[samples // 2 :])


class TestResamples:
    @pytest.mark.parametrize("bias", [True, False])
    def test_estimates_have_the_mean_and_the_covariance_that_is_claimed(self, bias):
        rng = np.random.default_rng(0)
        problem = linear(rng, bias=bias)
        estimate = problem.estimate()
        draws = 4000
        others = [problem.resampled(rng) for _ in range(draws)]
        for get in (
            lambda p: p.estimate().values,
            lambda p: p.train.least_squares(),
            lambda p: p.val.least_squares(),
        ):
            weights = np.array([get(one) for one in others])
            error = weights.std(0) / np.sqrt(draws)
            assert (np.abs(weights.mean(0) - get(problem)) < 5 * error).all()
        weights = np.array([one.estimate().values for one in others])
        for o, row in enumerate(np.moveaxis(weights, 1, 0)):
            precision = estimate.scale[o][:, None] * estimate.curvature * estimate.scale[o]
            whitened = np.linalg.cholesky(precision).T @ np.cov(row.T) @ np.linalg.cholesky(precision)
            np.testing.assert_allclose(whitened, np.eye(3), atol=0.12)
        between = np.corrcoef(weights[:, 0].T, weights[:, 1].T)[:3, 3:]
        assert np.abs(between).max() < 0.08
        train, val = (np.array([m(one).least_squares()[1, 0] for one in others]) for m in SPLITS)
        assert abs(np.corrcoef(train, val)[0, 1]) < 0.08

    def test_many_entries_get_less_noise(self):
        rng = np.random.default_rng(6)
        problem = means(rng, np.zeros(360))
        added = [problem.resampled(rng).estimate().values - problem.estimate().values for _ in range(20)]
        assert np.mean(np.square(added) / problem.estimate().variance) == pytest.approx(np.sqrt(90 / 360), rel=0.05)

    @pytest.mark.parametrize("make", [linear, means])
    def test_residuals_inputs_and_claims_stay(self, make):
        rng = np.random.default_rng(1)
        problem = make(rng)
        other = problem.resampled(rng)
        for split in SPLITS:
            before, after = split(problem), split(other)
            np.testing.assert_allclose(residuals(after), residuals(before))
            np.testing.assert_array_equal(after.sxx, before.sxx)
            assert not np.array_equal(after.sxy, before.sxy)
        for name in ("variance", "scale", "curvature", "freedom"):
            np.testing.assert_array_equal(getattr(other.estimate(), name), getattr(problem.estimate(), name))
        values = other.estimate().values.reshape(problem.weight_shape)
        np.testing.assert_allclose(other.pooled.least_squares(), values)
        assert (other.shape, other.origin, other.has_bias) == (problem.shape, problem.origin, problem.has_bias)

    @pytest.mark.parametrize("make", [linear, means])
    def test_the_problem_stays(self, make):
        problem = make(np.random.default_rng(2))
        before = copy.deepcopy(problem)
        problem.resampled(np.random.default_rng(0))
        for split in (*SPLITS, lambda p: p.pooled, lambda p: p.estimate()):
            for name, value in vars(split(problem)).items():
                np.testing.assert_array_equal(value, getattr(split(before), name))

    def test_a_split_that_leaves_weights_open(self):
        rng = np.random.default_rng(3)
        x = rng.standard_normal((40, 6))
        y = x.sum(1, keepdims=True) + rng.standard_normal((40, 2))
        problem = es.LinearProblem(x[:3], y[:3], x_val=x[3:], y_val=y[3:])
        found = es.discover(problem, resamples=3)
        assert np.isfinite(found.confidence.ties).all()

    def test_too_few_samples(self):
        rng = np.random.default_rng(4)
        x, y = rng.standard_normal((6, 9)), rng.standard_normal((6, 2))
        with pytest.raises(ValueError, match="6 samples for 10 parameters"):
            es.discover(es.LinearProblem(x[:3], y[:3], x_val=x[3:], y_val=y[3:]), "merge", resamples=2)


SPLITS = (lambda p: p.train, lambda p: p.val)


def residuals(moments):
    return moments.syy - (moments.least_squares() * moments.sxy).sum(1)


class TestDiscover:
    def test_none_without_resamples(self):
        assert es.discover(means(np.random.default_rng(0)), resamples=0).confidence is None

    @pytest.mark.parametrize(
        "kind", ["map", "logistic", "many samples", "several outputs", "one input", "many weights"]
    )
    def test_the_default_resamples_weights_of_one_output(self, kind):
        rng = np.random.default_rng(0)
        weight = np.repeat([0.0, 1.0], 51 if kind == "many weights" else 3)
        x = rng.standard_normal((6_000 if kind == "many samples" else 250, len(weight)))
        eta = x @ weight
        if kind in ("logistic", "many samples"):
            found = es.discover(es.GeneralizedLinearProblem(x, rng.random(len(x)) < expit(eta), family="binomial"))
        else:
            y = eta[:, None] + rng.standard_normal((len(x), 2 if kind == "several outputs" else 1))
            found = es.discover(y, x) if kind == "one input" else es.discover(x, y)
        assert (found.confidence is not None) == (kind in ("map", "logistic", "one input"))
        if kind == "map":
            assert f"{found.confidence.sure_ties()[0]} are at least 95 % probable" in found._repr_html_()

    @pytest.mark.parametrize("method", [m for m in METHODS if m != "oracle"])
    def test_every_method(self, method):
        found = es.discover(means(np.random.default_rng(1)), method, resamples=4)
        assert found.confidence.labels.shape == (4, 8)
        assert found.confidence.partition is found.partition
        plain = es.discover(means(np.random.default_rng(1)), method)
        assert plain.partition == found.partition

    def test_a_seed_reproduces_and_another_differs(self):
        problem = means(np.random.default_rng(2), np.arange(12) / 4)
        first, again, other = (es.discover(problem, seed=s, resamples=6).confidence.labels for s in (5, 5, 6))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_a_list(self):
        rng = np.random.default_rng(3)
        problems = [means(rng), means(rng)]
        steps = []
        found = es.discover(problems, resamples=5, progress=lambda *step: steps.append(step))
        assert [d.confidence.labels.shape for d in found] == [(5, 8)] * 2
        assert steps[-1] == (12, 12)
        assert steps == sorted(steps)
        np.testing.assert_array_equal(
            found[0].confidence.labels, es.discover(problems[0], resamples=5).confidence.labels
        )

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            (-1, ValueError, "resamples must not be negative, got -1"),
            (2.0, TypeError, "resamples must be an integer, got 2.0"),
            (True, TypeError, "resamples must be an integer, got True"),
            ("3", TypeError, "resamples must be an integer, got '3'"),
        ],
    )
    def test_bad_numbers(self, given, error, message):
        with pytest.raises(error, match=message):
            es.discover(means(np.random.default_rng(0)), resamples=given)

    def test_where_there_is_none(self):
        problem = means(np.random.default_rng(0))
        with pytest.raises(ValueError, match="resamples must be 0 for method 'oracle'"):
            es.discover(problem, "oracle", partition=np.zeros(8, int), resamples=2)


class TestConfidence:
    @pytest.fixture
    def one(self):
        """Four resamples of a 2 × 3 map with a group of three, a pair, and an entry by itself."""
        labels = np.array([[0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 2], [0, 1, 1, 2, 2, 2], [0, 0, 0, 0, 1, 2]])
        return Confidence(es.Partition([[0, 0, 0], [1, 1, 2]]), labels, np.array([3.0, 5.0, 3.0]))

    def test_frequencies(self, one):
        expected = (one.labels[:, :, None] == one.labels[:, None]).mean(0)
        np.testing.assert_array_equal(one.frequencies, expected)
        assert one.num_resamples == 4

    def test_all_agree_with_the_table_of_ties(self, one):
        ties = one.ties
        np.testing.assert_array_equal(ties, ties.T)
        flat = [(o, i) for o in range(2) for i in range(3)]
        for a, k in enumerate(flat):
            assert [one.tie(k, other) for other in flat] == pytest.approx(list(ties[a]))
        triple = [ties[0, 1], ties[0, 2], ties[1, 2]]
        pair = ties[3, 4]
        np.testing.assert_allclose(one.groups, [np.mean(triple), pair, np.nan])
        expected = [[np.mean(triple[:2]), np.mean(triple[::2]), np.mean(triple[1:])], [pair, pair, np.nan]]
        np.testing.assert_allclose(one.entries, expected)
        for level in (0.01, pair, np.median(triple), 1.0):
            assert one.sure_ties(level) == (int(np.sum(np.array([*triple, pair]) >= level)), 4)

    def test_more_pairs_than_are_compared_at_a_time(self):
        """Groups of 900, 123 and 1 entries on 40 resamples: 32 million comparisons, twice those of a block."""
        rng = np.random.default_rng(0)
        labels = rng.permutation(np.repeat([0, 1, 2], [900, 123, 1]))
        found = np.where(rng.random((40, 1024)) < rng.random(1024) / 4, 3 + rng.integers(0, 5, (40, 1024)), labels)
        one = Confidence(es.Partition(labels), found, np.array([3.0, 5.0, 3.0]))
        counts = sum((row[:, None] == row for row in found), np.zeros((1024, 1024), int))
        np.testing.assert_array_equal(one.frequencies, counts / 40)
        ties, same = one.ties, labels[:, None] == labels
        np.testing.assert_array_equal(ties, ties.T)
        for a, b in rng.integers(0, 1024, (200, 2)):
            assert one.tie(a, b) == ties[a, b]
        inside = np.where(same & ~np.eye(1024, dtype=bool), ties, np.nan)
        alone = labels == 2
        np.testing.assert_allclose(one.entries[~alone], np.nanmean(inside[~alone], axis=1))
        assert np.isnan(one.entries[alone]).all()
        # Groups are numbered by first appearance.
        first = [labels[one.partition.labels == group][0] for group in range(3)]
        expected = [np.nanmean(inside[labels == group]) if group < 2 else np.nan for group in first]
        np.testing.assert_allclose(one.groups, expected)
        for level in (0.5, 0.9, float(np.nanmedian(inside))):
            assert one.sure_ties(level) == (np.sum(inside >= level) // 2, 900 * 899 // 2 + 123 * 122 // 2)

    def test_more_often_is_more_probable(self):
        counts = np.arange(21)
        odds = calibration.log_odds(counts, 20)[:, None]
        linear, models = calibration.CLOSED_FORM, calibration.TRAINED
        tied = calibration.probability(calibration.evidence(odds[:, 0], odds[-1], 5, 10, 2, 5.0), linear.tied)
        others = [calibration.probability(odds, curve) for curve in (linear.apart, models.tied, models.apart)]
        for chances in (tied, *others):
            assert (np.diff(chances) > 0).all()
            assert 0 < chances[0] < chances[-1] < 1

    def test_a_tie_is_no_surer_than_its_group_and_less_sure_in_a_large_one(self):
        def chance(x, x_group, size):
            features = calibration.evidence(np.array([x]), x_group, size, 10, 2, 5.0)
            return calibration.probability(features, calibration.CLOSED_FORM.tied).item()

        assert chance(3, 1, 5) == chance(1, 3, 5) == chance(1, 1, 5) < chance(3, 3, 5)
        assert chance(3, 3, 8) < chance(3, 3, 5) < chance(3, 3, 2)

    def test_a_single_group_is_never_sure(self):
        for resamples in (20, 200):
            alone = Confidence(es.Partition(np.zeros(6)), np.zeros((resamples, 6), int), np.zeros(1))
            assert alone.sure_ties() == (0, 15)

    @pytest.mark.parametrize("curves", [calibration.CLOSED_FORM, calibration.TRAINED])
    def test_more_resamples_that_agree_prove_no_more(self, curves):
        def tie(resamples):
            labels = np.tile([0, 0, 0, 1, 1, 1], (resamples, 1))
            gaps = None if curves.over_chance else np.array([5.0, 5.0])
            return Confidence(es.Partition(labels[0]), labels, gaps, curves).tie(0, 1)

        fitted = tie(curves.num_resamples)
        assert tie(curves.num_resamples // 2) < fitted
        assert tie(1000) == pytest.approx(fitted, abs=0.02)

    def test_a_tie_is_surer_where_values_lie_far_apart(self):
        far = calibration.evidence(np.array(3.0), 3.0, 5, 10, 2, np.array([0.0, 5.0, 30.0, 100.0, 1e9]))
        chances = calibration.probability(far, calibration.CLOSED_FORM.tied)
        assert (np.diff(chances[:4]) > 0).all() and chances[3] == chances[4]

    def test_gaps(self):
        problem = means(np.random.default_rng(0), (0, 0, 2, 2, 2, 9))
        found = es.discover(problem, resamples=2)
        low, middle, high = found.values
        variance = problem.estimate().variance.ravel()
        errors = np.sqrt([variance[:2].mean(), variance[2:5].mean(), variance[5]])
        expected = np.array([middle - low, middle - low, high - middle]) / errors
        np.testing.assert_allclose(found.confidence.gaps, expected)
        alone = es.discover(es.MeanProblem(*np.random.default_rng(0).normal(size=(2, 50, 4))), resamples=2)
        assert alone.confidence.gaps.tolist() == [0.0]

    def test_mean_counts(self, one):
        pairs = [(0, 1), (0, 2), (1, 2)]
        counts = 4 * one.frequencies
        np.testing.assert_allclose(one.mean_counts, [np.mean([counts[pair] for pair in pairs]), counts[3, 4], 4])

    def test_over_chance(self, one):
        models = Confidence(one.partition, one.labels, curves=calibration.TRAINED)
        a, b = np.triu_indices(6, 1)
        mean = one.frequencies[a, b].mean() * 4
        shift = np.log((mean + 0.5) / (4 - mean + 0.5))
        np.testing.assert_allclose(models.evidence_apart, one.evidence_apart - shift)
        expected = calibration.probability(one.evidence_apart[3] - shift, calibration.TRAINED.tied)
        assert models.tie((1, 0), (1, 1)) == pytest.approx(expected)
        # Where every resample ties everything, no tie says more than another.
        all_tied = Confidence(es.Partition(np.zeros(6)), np.zeros((4, 6), int), curves=calibration.TRAINED)
        assert all_tied.evidence_apart[4] == 0
        assert Confidence(es.Partition([0]), np.zeros((4, 1), int), curves=calibration.TRAINED).ties == 1

    def test_index_from_the_end(self, one):
        assert one.tie((-1, -2), (1, 0)) == one.tie((1, 1), (1, 0))
        assert one.tie((0, 0), (0, 0)) == 1.0

    @pytest.mark.parametrize(
        ("index", "error", "message"),
        [
            (0, IndexError, r"k must index an entry of a parameter of shape \(2, 3\), got 0"),
            ((0, 3), IndexError, "k must index"),
            ((-3, 0), IndexError, "k must index"),
            ((0, 1.0), TypeError, "k must be an integer or a tuple of integers"),
            ((0, True), TypeError, "k must be an integer or a tuple of integers"),
        ],
    )
    def test_bad_index(self, one, index, error, message):
        with pytest.raises(error, match=message):
            one.tie(index, (0, 0))

    @pytest.mark.parametrize("level", [0.0, 1.5])
    def test_bad_level(self, one, level):
        with pytest.raises(ValueError, match=r"level must lie in \(0, 1\]"):
            one.sure_ties(level)

    def test_labels_that_do_not_fit(self, one):
        for labels in (one.labels[:, :5], one.labels[:0], one.labels[0]):
            with pytest.raises(ValueError, match=r"labels must have shape \(resamples, 6\)"):
                Confidence(one.partition, labels)
        with pytest.raises(ValueError, match=r"gaps must have shape \(3,\), got \(2,\)"):
            Confidence(one.partition, one.labels, np.zeros(2))

    def test_many_entries(self):
        large = Confidence(es.Partition(np.zeros(4200)), np.zeros((3, 4200), int))
        with pytest.raises(ValueError, match="up to 4096 entries, not 4200"):
            _ = large.ties
        with pytest.raises(ValueError, match="up to 4096 entries, not 4200"):
            _ = large.frequencies
        assert large.groups[0] == pytest.approx(large.tie(0, 4199))
        assert large.sure_ties(0.01) == (4200 * 4199 // 2,) * 2


class TestKept:
    @pytest.fixture
    def found(self):
        return es.discover(means(np.random.default_rng(5), (0, 0, 0, 9, 9, 30)), resamples=5)

    def test_round_trip(self, found, tmp_path):
        found.save(tmp_path / "d.npz")
        loaded = es.Discovery.load(tmp_path / "d.npz")
        np.testing.assert_array_equal(loaded.confidence.labels, found.confidence.labels)
        assert loaded.confidence.partition == found.partition
        np.testing.assert_array_equal(loaded.confidence.ties, found.confidence.ties)

    def test_files_from_before(self, found, tmp_path):
        found.save(tmp_path / "d.npz")
        with np.load(tmp_path / "d.npz") as file:
            np.savez(
                tmp_path / "old.npz", **{name: file[name] for name in file.files if not name.startswith("resamples.")}
            )
        old = es.Discovery.load(tmp_path / "old.npz")
        assert old.partition == found.partition
        assert old.confidence is None

    def test_resamples_of_another_shape(self, found, tmp_path):
        found.save(tmp_path / "d.npz")
        with np.load(tmp_path / "d.npz") as file:
            np.savez(tmp_path / "bad.npz", **{**file, "resamples.mean": file["resamples.mean"][:, :4]})
        with pytest.raises(ValueError, match="not a saved Discovery"):
            es.Discovery.load(tmp_path / "bad.npz")

    def test_table(self, found):
        console = Console(file=io.StringIO(), width=80)
        print_discovery(found.view(), {}, console)
        text = console.file.getvalue()
        sure, ties = found.confidence.sure_ties()
        assert ties == 4
        assert f"Of 4 ties, {sure} is at least 95 % probable (5 resamples)." in " ".join(text.split())
        rows = [line.split() for line in text.splitlines() if "±" in line][1:]
        assert [row[5] for row in rows] == [*(f"{s:.2f}" for s in found.confidence.groups[:2]), "–"]

    def test_json(self, found, tmp_path):
        write_files(found.view(), tmp_path)
        document = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))["confidence"]
        assert document["resamples"] == 5
        assert (document["ties_at_95"], document["ties"]) == found.confidence.sure_ties()
        assert document["groups"] == [*found.confidence.groups[:2], None]
        assert document["entries"] == [*found.confidence.entries[:5], None]

    @pytest.mark.parametrize(
        ("arguments", "shown"), [((), "20 resamples"), (("--resamples", 3), "3 resamples"), (("--resamples", 0), None)]
    )
    def test_command_line(self, tmp_path, capsys, arguments, shown):
        data = np.random.default_rng(0).normal(size=(100, 6)) + [0, 0, 5, 5, 9, 9]
        np.save(tmp_path / "means.npy", data)
        with pytest.raises(SystemExit) as exit:
            cli.main(["discover", str(tmp_path / "means.npy"), "--means", *map(str, arguments)])
        assert not exit.value.code
        out = capsys.readouterr().out
        assert ("probability" in out) == (shown is not None)
        assert shown is None or f"({shown})" in out
