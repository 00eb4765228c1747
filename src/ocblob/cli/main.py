"""The group of all commands, and what their errors mean to a shell."""

import importlib
import io
import json
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from ocblob import __version__
from ocblob.errors import DatabaseLockedError, OcblobError, StoreLockedError, StoreNotFoundError, UsageError
from ocblob.urls import SCHEME, shown_url
from ocblob.watching import end_on_sigterm

EXIT_DONE: Final = 0
EXIT_ERROR: Final = 1
EXIT_USAGE: Final = 2
EXIT_INCOMPLETE: Final = 3
EXIT_SIZE_WARNING: Final = 4
EXIT_NO_STORE: Final = 10
EXIT_LOCKED: Final = 11
EXIT_INTERRUPTED: Final = 130

EXIT_CODES: Final = """\b
Exit codes: 0 done, 1 error, 2 usage, 3 finished but incomplete,
4 size warning (status --check), 10 no store, 11 locked or busy,
130 interrupted."""

_URL: Final = re.compile(SCHEME.pattern + r"\S+")

COMMANDS: Final = (
    "status",
    "offload",
    "restore",
    "put",
    "cat",
    "ls",
    "extract",
    "check",
    "evict",
    "prune",
    "retain",
    "archive",
    "unarchive",
    "mirror",
    "pull",
    "vacuum",
    "maintain",
    "watch",
    "schedule",
    "store",
    "plugin",
    "config",
)
"""In the order of the help; each is imported when it is asked for."""


class _Commands(click.Group):
    """Imports a command's file only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ocblob.cli.{cmd_name}").command
        return command


@click.group(cls=_Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ocblob")
def group() -> None:
    """Move attachments out of a bloated agent database, into a deduplicated blob store, and back."""


def main() -> NoReturn:
    """Run the command line of this process."""
    _prepare_streams()
    # Who is told to end must not leave a session in pieces either. (Only a main thread can be told.)
    restore = end_on_sigterm() if threading.current_thread() is threading.main_thread() else _nothing
    try:
        code = group.main(prog_name="ocblob", standalone_mode=False)
        sys.stdout.flush()
    except OcblobError as error:
        code = exit_code(error)
        complain(str(error), error.hint)
        _tell_json(type(error).__name__, str(error), error.hint, code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        words = "interrupted; what was done stays, and the next run goes on from there"
        click.echo(words, err=True)
        code = EXIT_INTERRUPTED
        _tell_json("Interrupted", words, "", code)
    except click.ClickException as error:
        # It quotes what was not understood: a URL without its option, say.
        quoted: Any = error
        quoted.message = _URL.sub(lambda found: shown_url(found[0]), error.message)
        error.show()
        code = error.exit_code
        _tell_json("UsageError", error.format_message(), "", code)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be said there.
        _drop_stdout()
        code = EXIT_ERROR
    except OSError as error:
        words = f"{error.filename or 'standard output'}: {error.strerror}"
        complain(words)
        code = EXIT_ERROR
        _tell_json("OSError", words, "", code)
        _drop_stdout()
    except MemoryError:
        words = "out of memory; nothing of the last step was kept"
        complain(words)
        code = EXIT_ERROR
        _tell_json("MemoryError", words, "", code)
    finally:
        restore()
    sys.exit(code if isinstance(code, int) else EXIT_DONE)


def _nothing() -> None:
    pass


def _prepare_streams() -> None:
    """Closed streams become empty ones; a character that a stream cannot show is replaced, never an error."""
    null = Path(os.devnull)
    sys.stdin = sys.stdin or null.open(encoding="utf-8")
    sys.stdout = sys.stdout or null.open("w", encoding="utf-8")
    sys.stderr = sys.stderr or null.open("w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _tell_json(kind: str, message: str, hint: str, code: int) -> None:
    """Who asked for one JSON object gets one, whatever happens."""
    if "--json" in sys.argv:
        try:
            click.echo(json.dumps({"error": {"kind": kind, "message": message, "hint": hint, "exit": code}}))
        except OSError:  # whoever read our output has gone
            _drop_stdout()


def _drop_stdout() -> None:
    """What is still buffered cannot be written: the interpreter must not try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_code(error: OcblobError) -> int:
    """What an error means to a shell."""
    if isinstance(error, UsageError):
        return EXIT_USAGE
    if isinstance(error, StoreNotFoundError):
        return EXIT_NO_STORE
    if isinstance(error, DatabaseLockedError | StoreLockedError):
        return EXIT_LOCKED
    return EXIT_ERROR


def complain(message: str, hint: str = "") -> None:
    """An error in words, with what to do about it."""
    click.echo(f"Error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
