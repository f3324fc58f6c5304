"""The command `qfa-search`: every command registered, and errors told in one line.

Exit codes: 0 done, 1 an error that the user can mend, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from qfa_search.commands import (
    cost,
    evaluate,
    export,
    fit,
    import_published,
    latency,
    predict,
    report,
    sample,
    search,
    show,
    spaces,
    train,
)
from qfa_search.commands.terminal import in_words, open_streams, say
from qfa_search.errors import QFAError, is_full_memory


class _Commands(TyperGroup):
    """Runs a command and turns what the user can mend into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None
        except OSError as error:
            # A reader that went away (`| head`) is no error of ours: typer ends quietly.
            if error.errno == errno.EPIPE:
                raise
            say(f"error: {in_words(error)}")
            raise typer.Exit(1) from None
        except (QFAError, ValueError) as error:
            say(f"error: {error}")
            raise typer.Exit(1) from None
        except Exception as error:
            _tell_full_memory(error)


app = typer.Typer(
    name="qfa-search",
    cls=_Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback(invoke_without_command=True)(search.search)
app.command()(train.train)
app.command()(sample.sample)
app.command()(fit.fit)
app.command()(evaluate.evaluate)
app.command()(cost.cost)
app.command()(show.show)
app.command()(export.export)
app.command()(predict.predict)
app.command("import-published")(import_published.import_published)
app.command()(spaces.spaces)
app.command()(report.report)
app.command()(latency.latency)


def main() -> None:
    """Run the command line of this process."""
    open_streams()
    # Pictures go to files. A notebook's backend, which it hands down, need not be installed here.
    os.environ["MPLBACKEND"] = "agg"
    try:
        app()
    except KeyboardInterrupt:  # during the imports before any command runs
        say("interrupted")
        sys.exit(130)
    except Exception as error:  # before that too, while words become arguments
        _tell_full_memory(error)


def _tell_full_memory(error: Exception) -> NoReturn:
    """End with a line if memory is full; any other error goes on its way."""
    if not is_full_memory(error):
        raise error
    say(f"error: there is not enough memory{f' ({error})' if str(error) else ''}")
    sys.exit(1)
