"""The command line: ``equishare discover``, ``equishare reproduce``, ``equishare bench``."""

from __future__ import annotations

import atexit
import io
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from equishare.interrupts import INTERRUPTED, loading

with loading():
    import typer
    from rich.console import Console

from equishare.files import made_folder
from equishare.naming import printable
from equishare.progress import progress_bar

if TYPE_CHECKING:
    from equishare.lab.bench.result import Results

__all__ = ["app", "main"]

# typer gives its error for bad options a public name in one kind only; the base is all of them.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

# Written out, so that help and usage errors need not load torch; tests hold them to the registries.
_METHODS = (
    "auto",
    "bilevel",
    "brute_force",
    "closure",
    "gap",
    "merge",
    "msr",
    "no_sharing",
    "sinkhorn",
    "slope",
    "weight_sharing",
)
_EXPERIMENTS = (
    "gaussian",
    "sum",
    "models",
    "correlation",
    "denoising",
    "rings",
    "photographs",
    "symmetry",
    "invention",
    "covariance",
    "bound",
    "calibration",
    "model-calibration",
    "factors",
    "glm",
    "everyday",
    "peers",
)

_FAMILIES = ("gaussian", "binomial", "poisson")

# Columns of what is no terminal.
_UNWRAPPED = 100_000
# As shells tell that a program was ended by SIGPIPE: nobody reads on, as after "| head".
_BROKEN_PIPE = 141

app = typer.Typer(
    name="equishare",
    help="Discover the symmetries hidden in data by learning which parameters are shared.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 results disagree, 2 bad input (one line on stderr), 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an arrow the terminal lacks must not end the work
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        command = printable(shlex.join(["equishare", *given]))
        code = app(args=given, prog_name="equishare", standalone_mode=False, obj=command)
        sys.stdout.flush()
    except BrokenPipeError:
        code = _BROKEN_PIPE
    except SystemExit as ending:  # rich and typer make one of a broken pipe
        code = _BROKEN_PIPE if isinstance(ending.__context__, BrokenPipeError) else ending.code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except _UsageError as error:
        sys.exit(_complain(error.format_message()))  # type: ignore[attr-defined]
    except ConnectionError as error:
        sys.exit(_complain(str(error), once=False))
    except OSError as error:
        named = error.filename is not None and error.strerror is not None
        sys.exit(_complain(f"{error.filename}: {error.strerror}" if named else str(error)))
    except (ValueError, TypeError, ImportError) as error:
        sys.exit(_complain(str(error)))
    except MemoryError as error:
        sys.exit(_complain(str(error) or "there is not enough memory: give fewer rows or columns"))
    if code == _BROKEN_PIPE:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
    if code == INTERRUPTED:
        print("equishare: interrupted", file=sys.stderr)
    atexit.register(_ignore_interrupts)
    sys.exit(code)


def _ignore_interrupts() -> None:
    """All is said and done: Ctrl-C while Python and torch end must not print a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@app.callback(invoke_without_command=True)
def about(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show version, instruction set and threads.")] = False,
) -> None:
    """Discover the symmetries hidden in data by learning which parameters are shared."""
    if show_version:
        print(_version())
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def discover(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(
            help="A table (.csv, .tsv, also with .gz, .xlsx, .parquet), arrays x and y (.npz), samples (.npy), or a "
            "folder of Parquet files. What is large is read in blocks of rows.",
            metavar="DATA",
            show_default=False,
        ),
    ],
    inputs: Annotated[
        str | None,
        typer.Option(
            help="Columns of the inputs: names, patterns such as 'temp_*' and ranges such as temp_n:temp_w, with "
            "commas between them. Else columns x0, x1, …, or all that are no outputs.",
            show_default=False,
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(help="Columns of the outputs. Else y0, y1, …, or all that are no inputs.", show_default=False),
    ] = None,
    ignore: Annotated[str | None, typer.Option(help="Columns to leave out.", show_default=False)] = None,
    sheet: Annotated[
        str | None, typer.Option(help="Sheet of an .xlsx file; else its first.", show_default=False)
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(
            help="The column to explain by all others (or by --inputs): columns of text are factors whose levels may "
            "have one effect.",
            show_default=False,
        ),
    ] = None,
    factors: Annotated[
        str | None,
        typer.Option(help="Of --outcome: columns of numbers that are categories, such as codes.", show_default=False),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            help=f"Of --outcome: {', '.join(_FAMILIES)}. Else binomial for two values, gaussian for more.",
            autocompletion=lambda: list(_FAMILIES),
            show_default=False,
        ),
    ] = None,
    means: Annotated[
        bool, typer.Option("--means", help="Ask which means are equal, of all columns or of --inputs.")
    ] = False,
    covariance: Annotated[
        bool,
        typer.Option("--covariance", help="Ask which covariances are equal, of all columns or of --inputs."),
    ] = False,
    no_bias: Annotated[
        bool, typer.Option("--no-bias", help="Of a map y = W x: fit no b, where inputs add up to a constant.")
    ] = False,
    method: Annotated[
        str, typer.Option(help=f"One of {', '.join(_METHODS)}.", autocompletion=lambda: list(_METHODS))
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the split and of the method.")] = 0,
    train_fraction: Annotated[float, typer.Option(help="Share of the samples used to fit; the rest validates.")] = 0.5,
    restarts: Annotated[
        int | None, typer.Option(help="Random starts, for --method bilevel.", show_default=False)
    ] = None,
    resamples: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Resamples that tell how sure ties are; else 20 for auto on up to 100 means, 0 for all else.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write report.html, labels.npy, labels.json, discovery.npz, pattern.png and history.png here.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what labels.json holds, and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the names of files written.")] = False,
    dask: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler whose workers share the work.", show_default=False),
    ] = None,
) -> None:
    """Find which parameters are shared in DATA, and the symmetry that this is."""
    _require_one_of(_METHODS, "method", method)
    if family is not None:
        _require_one_of(_FAMILIES, "family", family)
    if outcome is not None:
        others = {
            "--outputs": outputs is not None,
            "--means": means,
            "--covariance": covariance,
            "--train-fraction": train_fraction != 0.5,
        }
        given = [option for option, is_given in others.items() if is_given]
        if given:
            raise ValueError(
                f"outcome must stand alone, got {' and '.join(given)} too: leave it out (--outputs asks for a map, "
                "--means for means, --covariance for covariances; half of the samples validates an outcome)"
            )
    asked = [option for option, is_given in (("means", means), ("covariance", covariance)) if is_given]
    if no_bias and (asked or outcome is not None):
        raise ValueError(f"no-bias belongs to a map, got {' and '.join(asked) or 'outcome'} too: leave it out")
    for option, own in (("family", family), ("factors", factors)):
        if own is not None and outcome is None:
            raise ValueError(f"{option} belongs to an outcome: --outcome COLUMN")
    if out is not None:
        with loading():
            from equishare.report import FILES, require_matplotlib

            require_matplotlib()
        _check_folder(out, [*FILES, "discovery.npz"])
    data.stat()  # raises where there is no such file, before torch is loaded

    with loading():
        from equishare.cluster import joined
        from equishare.datafiles import is_streamed, read_data, split_problem, stream_problem
        from equishare.discover import discover as find
        from equishare.extras import installing
        from equishare.outcomes import outcome_problem
        from equishare.ranks import launched
        from equishare.report import document, print_discovery, write_files

    problem: Any
    options: dict[str, Any] = {} if restarts is None else {"restarts": restarts}
    columns: dict[str, Any] = {"inputs": inputs, "ignore": ignore, "sheet": sheet}
    asked_of: dict[str, Any] = {"outputs": outputs, "means": means, "covariance": covariance}
    with launched() as is_first, joined(dask, installing("dask")):
        if outcome is not None:
            problem, notes = outcome_problem(data, outcome, family=family, seed=seed, factors=factors, **columns)
        elif is_streamed(data, covariance):
            split: dict[str, Any] = {"train_fraction": train_fraction, "seed": seed, "bias": not no_bias}
            with progress_bar("read", is_first) as progress:
                problem, notes = stream_problem(data, **columns, **asked_of, **split, progress=progress)
        else:
            read = read_data(data, **columns, **asked_of)
            problem, notes = split_problem(read, train_fraction, seed, bias=not no_bias), read.notes
            del read  # the problem has taken of the samples what it needs
        with progress_bar(f"discover ({method})", is_first) as progress:
            found = find(problem, method, seed=seed, progress=progress, resamples=resamples, **options)
    if not is_first:
        return
    if found.origin is not None:
        found = replace(found, origin=replace(found.origin, call=context.obj, data=printable(str(data))))
    try:
        group = found.symmetry() if found.is_bare else None
    except (ImportError, MemoryError):
        group = None
    paths = []
    if out is not None:  # first, as printing ends where nobody reads
        saved = made_folder(out) / "discovery.npz"
        found.save(saved)
        paths = [saved, *write_files(found.view(), out, group)]
    if as_json:
        print(document(found.view(), group))
        return
    if not quiet:
        for note in notes:
            print(printable(note))
        print_discovery(found.view(), {} if group is None else {None: group}, _console())
    _print_paths(paths)


@app.command()
def reproduce(
    experiment: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(_EXPERIMENTS[:-1])} or {_EXPERIMENTS[-1]}.",
            metavar="EXPERIMENT",
            autocompletion=lambda: list(_EXPERIMENTS),
            show_default=False,
        ),
    ],
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Trials a cell; else each cell's own number.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write JSON, CSV and figures here.", show_default=False)] = None,
    dask: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler whose workers share the trials.", show_default=False),
    ] = None,
) -> None:
    """Run the experiments of the paper, its numbers beside ours."""
    _require_one_of(_EXPERIMENTS, "experiment", experiment)

    with loading():
        from equishare.cluster import joined
        from equishare.extras import installing
        from equishare.lab.studies import EXPERIMENTS
        from equishare.lab.studies.write import print_tables, write_experiment
        from equishare.ranks import launched
        from equishare.report import require_matplotlib

    if out is not None:
        require_matplotlib()
        _check_folder(out)
    with (
        launched() as is_first,
        joined(dask, installing("dask")),
        progress_bar(f"reproduce {experiment}", is_first) as progress,
    ):
        result = EXPERIMENTS[experiment](trials=trials, seed=seed, progress=progress)
    if not is_first:
        return
    print_tables(result, _console())
    if out is not None:
        _print_paths(write_experiment(result, out))


@app.command()
def bench(
    rows: Annotated[
        str | None,
        typer.Option(help="Only rows whose name contains this; * and ? are wildcards.", show_default=False),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of torch and of the kernels.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the inputs.")] = 0,
    compile: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Time torch.compile as well; it compiles first.")
    ] = True,
    quick: Annotated[bool, typer.Option("--quick", help="See that all runs and agrees; times mean little.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write bench.json and bench.png here.", show_default=False)] = None,
) -> None:
    """Time the operations against eager PyTorch, torch.compile and a copy of the same bytes.

    Ends with exit code 1 if results disagree; a bound that is missed is for the table to say.
    """
    with loading():
        from equishare.lab.bench import run, select
        from equishare.report import require_matplotlib

    cases = select(rows)
    if out is not None:
        require_matplotlib()
        _check_folder(out)
    with progress_bar("bench") as progress:
        results = run(cases, threads=threads, seed=seed, compile=compile, quick=quick, progress=progress)
    show_bench(results, out)


def show_bench(results: Results, out: Path | None) -> None:
    """Print the results, write them, and complain about rows that disagree.

    Raises:
        typer.Exit: with code 1, if there are any.
    """
    from equishare.lab.bench import print_results, write_results

    print_results(results, _console())
    if out is not None:
        _print_paths(write_results(results, out))
    for error in results.errors:
        _complain(error)
    if results.errors:
        raise typer.Exit(1)


def _require_one_of(accepted: Sequence[str], name: str, given: str) -> None:
    if given not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(accepted)}; got {given!r}")


def _version() -> str:
    with loading():
        import torch

        from equishare._native import cuda_status, instruction_set

    return (
        f"equishare {version('equishare')}\n"
        f"instruction set: {instruction_set()}\n"
        f"threads: {torch.get_num_threads()}\n"
        f"CUDA kernels: {cuda_status()}"
    )


def _complain(message: str, once: bool = True) -> int:
    # Under torchrun all ranks come upon the same error, and the first tells it.
    if not once or "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK") == "0":
        print(f"equishare: error: {printable(' '.join(message.split()))}", file=sys.stderr)
    return 2


def _console() -> Console:
    """The terminal; where there is none, lines are as long as they are."""
    return Console() if sys.stdout.isatty() else Console(width=_UNWRAPPED)


def _check_folder(folder: Path, files: Sequence[str] = ()) -> None:
    """Raise OSError now rather than after the work if files cannot go there."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise NotADirectoryError(f"--out {folder}: {existing} is not a folder")
    try:  # Rights do not tell all: file systems may be read-only, or full.
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise PermissionError(f"--out {folder}: {existing} cannot be written ({error.strerror})") from None
    taken = next((folder / name for name in files if (folder / name).is_dir()), None)
    if taken is not None:
        raise IsADirectoryError(f"--out {folder}: {taken} is a folder, and a file of this name is to be written")


def _print_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        print(f"wrote {printable(str(path))}")
