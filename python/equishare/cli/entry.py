"""The command ``equishare``: its parts, its exit codes and the one line that an error is."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

from equishare.interrupts import INTERRUPTED, loading

with loading():
    import typer

from equishare.cli.discover import discover
from equishare.cli.lab import bench, reproduce
from equishare.cli.output import complain
from equishare.naming import printable

# typer gives its error for bad options a public name in one kind only; the base is all of them.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

# As shells tell that a program was ended by SIGPIPE: nobody reads on, as after "| head".
_BROKEN_PIPE = 141

app = typer.Typer(
    name="equishare",
    help="Discover the symmetries hidden in data by learning which parameters are shared.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (discover, reproduce, bench):
    app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 results disagree, 2 bad input (one line on stderr), 130 interrupted."""
    for closed in ("stdout", "stderr"):  # as by ">&-"
        if getattr(sys, closed) is None:
            setattr(sys, closed, open(os.devnull, "w"))  # noqa: SIM115
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
        sys.exit(complain(error.format_message()))  # type: ignore[attr-defined]
    except ConnectionError as error:
        sys.exit(complain(str(error), once=False))
    except OSError as error:
        named = error.filename is not None and error.strerror is not None
        sys.exit(complain(f"{error.filename}: {error.strerror}" if named else str(error)))
    except (ValueError, TypeError, ImportError) as error:
        sys.exit(complain(str(error)))
    except MemoryError as error:
        sys.exit(complain(str(error) or "there is not enough memory: give fewer rows or columns"))
    if code == _BROKEN_PIPE:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
    if code == INTERRUPTED:
        print("equishare: interrupted", file=sys.stderr, flush=True)
        if arguments is None:
            # Threads of libraries that were being loaded would end Python with an abort. All files are whole by now.
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(INTERRUPTED)
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
