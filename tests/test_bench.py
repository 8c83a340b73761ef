"""The benchmark: agreement of its rows, how it measures, what it shows and writes. No test looks at the clock."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
import torch
import typer
from matplotlib.image import imread
from rich.console import Console

from equishare import cli
from equishare.cli import lab
from equishare.lab import bench
from equishare.lab.bench import result, show
from equishare.lab.bench.case import Case, Contenders, Requirement, Work, at_least, at_most
from equishare.lab.bench.result import Results, Row
from equishare.lab.bench.run import copy_of, disagreement
from equishare.lab.bench.timing import Effort, Sample, interleaved

CASES = {case.name: case for case in bench.all_cases()}
ONCE = Effort(block=0.0, fewest=1, most=1, budget=0.0)
TINY = "soft_gather step 16x16"


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "140")

    def run(*arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit:
            cli.main(["bench", *(str(argument) for argument in arguments)])
        captured = capsys.readouterr()
        return exit.value.code or 0, captured.out, captured.err

    return run


def fixed(ours: torch.Tensor, eager: torch.Tensor, **options) -> Case:
    """A case whose contenders return what is given."""

    def make(generator, sizes, dtype):
        return Contenders(lambda: (ours,), lambda: (eager,))

    return Case("fixed", "fixed", {}, make, lambda sizes, itemsize: Work(64, 64), **options)


def measured(case: Case = CASES[TINY], **milliseconds: float) -> Row:
    """A row with times that are given."""
    samples = {name: Sample((t / 1e3, t / 1e3, 2 * t / 1e3), 5) for name, t in milliseconds.items()}
    return Row(case, samples)


class TestRows:
    @pytest.mark.parametrize("name", CASES)
    def test_contenders_agree(self, name):
        row = bench.measure(CASES[name].reduced(24), compile=False, effort=ONCE)
        assert row.error == ""
        assert row.held or list(row.samples) == ["ours", "eager", "copy"]

    def test_names_differ(self):
        assert len(CASES) == len(bench.all_cases())

    @pytest.mark.parametrize("name", CASES)
    def test_bounds_name_quantities(self, name):
        held = (1, 4) if "at rest" in name else None
        row = Row(CASES[name], {} if held else measured(ours=1, eager=1, compile=1, copy=1).samples, held)
        assert all(bound.met(row.quantities) is not None for bound in CASES[name].required)

    def test_work_is_that_of_the_sizes(self):
        work = CASES["soft_gather step 4096x4096"].moved
        assert (work.read, work.write) == (4 * (2 * 4096**2 + 4 * 4096), 4 * (4096**2 + 2 * 4096))

    def test_same_seed_same_inputs(self):
        def entries(seed):
            case = CASES[TINY]
            return case.make(torch.Generator().manual_seed(seed), case.sizes, case.dtype).ours()[0]

        assert torch.equal(entries(3), entries(3))
        assert not torch.equal(entries(3), entries(4))

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            (TINY, [TINY]),
            ("SOFT*step*4096", ["soft_gather step 4096x4096", "soft_step 4096x4096, reused buffers"]),
            ("penalties*lean", ["penalties step 256x256, lean", "penalties step 2048x2048, lean"]),
        ],
    )
    def test_selection(self, pattern, names):
        assert [case.name for case in bench.select(pattern)] == names

    def test_selection_of_nothing_lists_the_rows(self):
        with pytest.raises(ValueError, match="no row matches 'sort'; rows: soft_gather step 16x16; "):
            bench.select("sort")


class TestAgreement:
    @pytest.mark.parametrize(
        ("ours", "message"),
        [
            (torch.tensor([1.0, 2.5]), "result 0 differs by 0.5, allowed is 0.0002 of 2"),
            (torch.tensor([1.0, float("nan")]), "result 0 differs by nan"),
            (torch.tensor([1.0]), r"result 0 has shape \(1,\) and \(2,\)"),
            (torch.tensor([1.0, 2.0]).double(), "result 0 has dtype"),
        ],
    )
    def test_disagreement_is_not_timed(self, ours, message):
        row = bench.measure(fixed(ours, torch.tensor([1.0, 2.0])))
        assert row.samples == {}
        assert row.error.startswith("ours and eager disagree: ")
        assert re.search(message, row.error)

    def test_empty_results_agree(self):
        assert disagreement((torch.empty(0),), (torch.empty(0),), 0.0) == ""

    def test_missing_gradient(self):
        assert disagreement((torch.ones(1),), (torch.ones(1), torch.ones(1)), 1.0) == "1 results and 2"

    def test_command_shows_the_rest_and_ends_with_1(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "140")
        wrong = replace(fixed(torch.zeros(1), torch.ones(1)), name="wrong row")
        results = bench.run([wrong, CASES[TINY]], compile=False, quick=True)
        with pytest.raises(typer.Exit) as exit:
            lab.show_bench(results, None)
        assert exit.value.exit_code == 1
        out, err = capsys.readouterr()
        assert err.startswith("equishare: error: wrong row: ours and eager disagree: ")
        assert err.count("\n") == 1
        assert TINY in out


class TestTiming:
    def test_in_turns(self):
        now, order = [0.0], []

        def taking(name, seconds):
            def call():
                order.append(name)
                now[0] += seconds

            return call

        contenders = {"a": taking("a", 0.25), "b": taking("b", 1.0)}
        found = interleaved(contenders, Effort(block=1.0, fewest=2, most=9, budget=4.0), clock=lambda: now[0])
        assert {name: sample.calls for name, sample in found.items()} == {"a": 4, "b": 1}
        assert "".join(order) == "aaa" + "b" + 3 * "aaaab"  # warm-up; then repetitions until the budget is spent
        assert found["a"].seconds == (0.25,) * 3
        assert found["b"].median == 1.0

    def test_quartiles(self):
        assert Sample((1.0, 2.0, 3.0, 4.0, 5.0), 1).quartiles == (2.0, 4.0)
        assert Sample((1.0,), 1).quartiles == (1.0, 1.0)

    def test_copy_moves_the_bytes(self):
        assert copy_of(0)() == ()
        assert copy_of(1 << 10)() == ()

    def test_threads_are_as_before(self):
        before = torch.get_num_threads()
        results = bench.run([CASES[TINY]], threads=before + 1, compile=False, quick=True)
        assert results.machine["threads"] == before + 1
        assert torch.get_num_threads() == before


class TestCompile:
    def test_takes_part(self, monkeypatch):
        monkeypatch.setattr(torch, "compile", lambda function, **options: function)
        assert list(bench.measure(CASES[TINY], effort=ONCE).samples) == ["ours", "eager", "compile", "copy"]

    def test_its_failure_is_a_note(self, monkeypatch):
        def broken(function, **options):
            raise RuntimeError("\nno C++ compiler\nand more")

        monkeypatch.setattr(torch, "compile", broken)
        row = bench.measure(CASES["soft_gather step 256x256"].reduced(8), effort=ONCE)
        assert row.note == "torch.compile: RuntimeError: no C++ compiler"
        assert [met for bound, met in row.judged if bound.quantity == "compile"] == [None]


class TestResult:
    def test_quantities_are_ratios_of_medians(self):
        row = measured(ours=2, eager=6, compile=5, copy=0.5)
        assert row.quantities == pytest.approx({"eager": 3, "compile": 2.5, "floor": 4, "overhead": -4000})

    @pytest.mark.parametrize(
        ("bound", "met"),
        [
            (at_least("eager", 3), True),
            (at_least("eager", 3.1), False),
            (at_most("floor", 4), True),
            (at_most("floor", 3.9), False),
            (at_least("compile", 1), None),
        ],
    )
    def test_bounds(self, bound, met):
        row = measured(replace(CASES[TINY], required=(bound,)), ours=2, eager=6, copy=0.5)
        assert row.judged == [(bound, met)]

    def test_bounds_of_another_instruction_set_are_not_judged(self, monkeypatch):
        required = at_least("eager", 3, "v3"), at_least("eager", 4, "v4")
        row = measured(replace(CASES[TINY], required=required), ours=2, eager=6, copy=0.5)
        for name, expected in (("v3", [True, None]), ("v4", [None, False]), ("baseline", [None, None])):
            monkeypatch.setattr(result, "instruction_set", lambda name=name: name)
            assert [met for _, met in row.judged] == expected

    @pytest.mark.parametrize(("copy", "met"), [(0.5, True), (0.1, False)])
    def test_one_bound_or_another(self, copy, met):
        row = measured(ours=0.6, eager=1.5, copy=copy)
        bound = at_least("eager", 4, unless=at_most("floor", 1.3))
        assert bound.met(row.quantities) is met
        assert str(bound) == "eager ≥ 4 or floor ≤ 1.3"

    def test_speed_rows_that_are_bounded_are_so_with_avx2(self):
        for case in CASES.values():
            on = {bound.on for bound in case.required if bound.quantity == "eager"}
            assert "v4" not in on or "v3" in on, case.name

    def test_bound_in_words(self):
        assert str(Requirement("floor", 2.0, False)) == "floor ≤ 2"

    def test_table(self, monkeypatch):
        for module in (result, show):
            monkeypatch.setattr(module, "instruction_set", lambda: "v4")
        rows = (
            measured(ours=0.0512, eager=1.5, compile=0.7, copy=0.01),
            Row(CASES["shared_linear at rest, 256 groups, dense"], held=(2**24, 2**26)),
            Row(CASES["hard_scatter 16.7M, 16 groups"], error="ours and index_add_ disagree: 1 results and 2"),
        )
        console = Console(width=140, file=io.StringIO(), record=True)
        bench.print_results(Results(rows, _MACHINE, 0, True), console)
        lines = console.export_text().splitlines()
        assert lines[0].strip() == "some processor, 2 threads, v4, torch 2.13 (quick: times mean little)"
        (line,) = (line.split() for line in lines if TINY in line)
        assert line[3:] == "0.0512 1.5 0.7 0.01 29.3 13.7 5.12 eager ≥ 0.95: met".split()
        assert any(line.strip() == "v3: eager ≥ 0.97" for line in lines)
        (line,) = (line for line in lines if "at rest" in line)
        assert "16 MiB 64 MiB" in line
        assert "memory ≤ 0.26: met" in line
        assert any("disagree: 1 results and 2" in line for line in lines)


class TestCommand:
    def test_files(self, run, tmp_path):
        folder = tmp_path / "new" / "out"
        code, out, err = run("--rows", TINY, "--quick", "--no-compile", "--threads", 1, "--out", folder)
        assert (code, err) == (0, "")
        assert TINY in out
        assert sorted(path.name for path in folder.iterdir()) == ["bench.json", "bench.png"]
        assert imread(folder / "bench.png").shape[2] == 4
        document = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
        assert document["quick"] is True
        assert {"processor", "threads", "torch", "instruction_set"} <= document["machine"].keys()
        (row,) = document["rows"]
        assert (row["name"], row["sizes"], row["dtype"]) == (TINY, {"rows": 16, "groups": 16}, "float32")
        assert row["quantities"].keys() == {"eager", "floor", "overhead"}
        for name in ("ours", "eager", "copy"):
            assert len(row["contenders"][name]["seconds"]) == 3
        assert [(b["instruction_set"], b["limit"]) for b in row["required"]] == [("v4", 0.95), ("v3", 0.97)]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--rows", "sort"], "no row matches 'sort'"),
            (["--threads", "0"], "--threads"),
            (["--seed", "-1"], "--seed"),
            (["--out", "file"], "--out file: file is not a folder"),
        ],
    )
    def test_errors(self, run, tmp_path, monkeypatch, arguments, message):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").touch()
        code, out, err = run(*arguments, *([] if "--rows" in arguments else ["--rows", TINY]), "--quick")
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1

    @pytest.mark.parametrize(("blocked", "left"), [("bench.json", []), ("bench.png", ["bench.json"])])
    def test_a_failed_write_leaves_no_part(self, tmp_path, blocked, left):
        (tmp_path / blocked).mkdir()
        with pytest.raises(OSError, match=blocked):
            bench.write_results(Results((measured(ours=1, eager=1, copy=1),), _MACHINE, 0, True), tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*left, blocked])

    def test_help(self, run):
        code, out, _ = run("--help")
        assert code == 0
        assert "torch.compile" in out


_MACHINE = {"processor": "some processor", "threads": 2, "instruction_set": "v4", "torch": "2.13"}
