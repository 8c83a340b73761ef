"""``equishare discover``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from equishare.interrupts import loading

with loading():
    import typer

from equishare.cli.output import check_folder, console, print_paths, require_one_of
from equishare.files import made_folder
from equishare.naming import printable
from equishare.progress import progress_bar

# Written out, so that help and usage errors need not load torch; tests hold it to the registry.
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

_FAMILIES = ("gaussian", "binomial", "poisson")


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
            help="Columns of the inputs: names (with a comma: in double quotes), patterns such as 'temp_*' and ranges "
            "such as temp_n:temp_w, with commas between them. Else columns x0, x1, …, or all that are no outputs.",
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
            help="Resamples that tell how sure ties are; else 20 for auto on 100 means, or 40 weights of one output.",
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
    require_one_of(_METHODS, "method", method)
    if family is not None:
        require_one_of(_FAMILIES, "family", family)
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
        check_folder(out, [*FILES, "discovery.npz"])
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
        print_discovery(found.view(), {} if group is None else {None: group}, console())
    print_paths(paths)
