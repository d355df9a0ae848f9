"""The door: the ``optimizer`` command. It wires the layers and prints; nothing else does either.

Exit codes: 0 done, 1 something broke that should not have, 2 the person can mend it, 3 stopped and can be resumed.
"""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

import click

from optimizer import __version__
from optimizer.cli.groups import SuggestingGroup
from optimizer.cli.streams import OutputLost, fill_gaps, say
from optimizer.errors import OptimizerError, UserError, printable

EXIT_BROKEN = 1
EXIT_MENDABLE = 2


@click.group(cls=SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="optimizer")
def cli() -> None:
    """Search models overnight: one study file in, the best submissions out."""


def main() -> NoReturn:
    """The console script."""
    fill_gaps()
    # Whatever the person's own mask allows, nobody else writes into a run; every process of it inherits this.
    os.umask(os.umask(0o077) | 0o022)
    try:
        cli(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        code = 0
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        say(text.getvalue().rstrip(), err=True)
        code = EXIT_MENDABLE
    except click.exceptions.Exit as error:
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("stopped; the same command goes on", err=True)
        code = 3
    except OptimizerError as error:
        # A message quotes files and their names: nothing in them shall reach the terminal as a command to it.
        say("\n".join(map(printable, f"error: {error}".split("\n"))), err=True)
        code = EXIT_MENDABLE if isinstance(error, UserError) else EXIT_BROKEN
    except OutputLost as lost:
        # A reader that has left (`| head`) has seen enough; a full disk behind `>` is another matter.
        code = 0 if isinstance(lost.__cause__, BrokenPipeError) else EXIT_BROKEN
        if code:
            say(f"error: standard output cannot be written: {lost}", err=True)
    else:
        code = 0
    sys.exit(code)


# Each module adds its commands to `cli`.
import optimizer.cli.families  # noqa: E402
import optimizer.cli.limits  # noqa: E402
import optimizer.cli.machine  # noqa: E402
import optimizer.cli.page  # noqa: E402
import optimizer.cli.run  # noqa: E402
import optimizer.cli.views  # noqa: E402, F401
