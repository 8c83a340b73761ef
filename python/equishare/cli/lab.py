"""``equishare reproduce`` and ``equishare bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from equishare.interrupts import loading

with loading():
    import typer

from equishare.cli.output import check_folder, complain, console, print_paths, require_one_of
from equishare.progress import progress_bar

if TYPE_CHECKING:
    from equishare.lab.bench.result import Results

# Written out, so that help and usage errors need not load torch; tests hold it to the registry.
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
    "clean",
    "covariance",
    "bound",
    "calibration",
    "model-calibration",
    "level-calibration",
    "factors",
    "glm",
    "everyday",
    "peers",
)


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
    require_one_of(_EXPERIMENTS, "experiment", experiment)

    with loading():
        from equishare.cluster import joined
        from equishare.extras import installing
        from equishare.lab.studies import EXPERIMENTS
        from equishare.lab.studies.write import print_tables, write_experiment
        from equishare.ranks import launched
        from equishare.report import require_matplotlib

    if out is not None:
        require_matplotlib()
        check_folder(out)
    with (
        launched() as is_first,
        joined(dask, installing("dask")),
        progress_bar(f"reproduce {experiment}", is_first) as progress,
    ):
        result = EXPERIMENTS[experiment](trials=trials, seed=seed, progress=progress)
    if not is_first:
        return
    print_tables(result, console())
    if out is not None:
        print_paths(write_experiment(result, out))


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
        check_folder(out)
    with progress_bar("bench") as progress:
        results = run(cases, threads=threads, seed=seed, compile=compile, quick=quick, progress=progress)
    show_bench(results, out)


def show_bench(results: Results, out: Path | None) -> None:
    """Print the results, write them, and complain about rows that disagree.

    Raises:
        typer.Exit: with code 1, if there are any.
    """
    from equishare.lab.bench import print_results, write_results

    print_results(results, console())
    if out is not None:
        print_paths(write_results(results, out))
    for error in results.errors:
        complain(error)
    if results.errors:
        raise typer.Exit(1)
