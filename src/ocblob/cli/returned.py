"""What commands are told of sessions that shall come back into a database, and how they tell of them."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NoReturn, TypeVar, cast

import click

from ocblob import config
from ocblob.cli.main import EXIT_DONE, EXIT_ERROR, EXIT_INCOMPLETE, EXIT_LOCKED, complain
from ocblob.cli.options import (
    byte_bar,
    dry_run_option,
    print_problems,
    print_table,
    sayer,
    session_option,
    standard_options,
)
from ocblob.cli.retention_options import shortened
from ocblob.sessions.restocking import Restocked
from ocblob.sessions.unarchive import UnarchiveReport
from ocblob.sessions.unarchive_plan import Fate, SessionPlan
from ocblob.units import format_size

_Function = TypeVar("_Function", bound=Callable[..., Any])
_PLANNED = ("session", "title", "rows", "size", "would")
_WORDS = (
    (Fate.INSERT, "put back"),
    (Fate.COMPLETE, "completed"),
    (Fate.REPLACE, "replaced"),
    (Fate.THERE, "there already"),
    (Fate.REFUSED, "not back"),
)


@dataclass(frozen=True, slots=True)
class Coming:
    """What shall come back, and how: the options that all of these commands have."""

    db: str | None
    store_place: config.StorePlace
    sessions: tuple[str, ...]
    replace: bool
    force: bool
    dry_run: bool
    as_json: bool
    quiet: bool
    verbose: bool

    @property
    def place(self) -> config.Place:
        """The database. Raises `UsageError` if none is known."""
        return config.database_place(self.db)

    @property
    def say(self) -> Callable[[str], None]:
        """Words on the way."""
        return sayer(quiet=self.quiet)

    @contextmanager
    def bar(self, label: str) -> Iterator[Callable[[int], Callable[[int], None]]]:
        """For a number of bytes, what is told of them as they are done."""
        with ExitStack() as bars:
            quiet = self.quiet or self.as_json
            yield lambda total: bars.enter_context(byte_bar(label, total, quiet=quiet))

    def print_problems(self, report: UnarchiveReport, blobs: Restocked) -> None:
        """What did not come back, and why."""
        print_problems(report.problems, max(len(report.problems), report.failed), verbose=self.verbose)
        print_problems(blobs.problems, sum(blobs.unresolved.values()), verbose=self.verbose)


def coming_options(*, replace: str, force: str) -> Callable[[_Function], _Function]:
    """--session, --replace, --force, --dry-run and the standard ones as one argument, `coming`; with these helps."""

    def decorator(function: _Function) -> _Function:
        @functools.wraps(function)
        def collected(
            *arguments: Any,
            db: str | None,
            store_place: config.StorePlace,
            sessions: tuple[str, ...],
            replace: bool,
            force: bool,
            dry_run: bool,
            as_json: bool,
            quiet: bool,
            verbose: bool,
            **more: Any,
        ) -> Any:
            coming = Coming(db, store_place, sessions, replace, force, dry_run, as_json, quiet, verbose)
            return function(*arguments, coming=coming, **more)

        decorated: Any = dry_run_option(standard_options(collected))
        decorated = click.option("--force", is_flag=True, help=force)(decorated)
        decorated = click.option("--replace", is_flag=True, help=replace)(decorated)
        return cast("_Function", session_option(decorated))

    return decorator


def print_planned(plans: Sequence[SessionPlan]) -> None:
    """A table of what would become of each session."""
    print_table(_PLANNED, map(_planned, plans), numbers={"rows", "size"})


def print_fates(report: UnarchiveReport) -> None:
    """How many sessions had which fate."""
    for fate, words in _WORDS:
        if count := report.count(fate):
            click.echo(f"  {words:<13} {count:,} session{'s' * (count != 1)}")


def print_unresolved(blobs: Restocked) -> None:
    """Blobs that refs name and nobody has, by reason."""
    for reason, count in sorted(blobs.unresolved.items()):
        click.echo(f"  {reason:<13} {count:,} blob{'s' * (count != 1)} that refs name")


def print_effort(report: UnarchiveReport, *, noun: str) -> None:
    """That all was read back, and the time it took; `noun` is what the rows came from."""
    if report.rows:
        click.echo(f"  {'verified':<13} every row was read back and is as the {noun} has it")
    longest = report.longest_transaction_s * 1000
    click.echo(f"  {'time':<13} {report.elapsed_s:.2f} s, longest write transaction {longest:.0f} ms")


def told(plans: Sequence[SessionPlan], report: UnarchiveReport, blobs: Restocked) -> dict[str, Any]:
    """What --json prints of it."""
    sessions = [
        {
            "session": plan.session,
            "title": plan.title,
            "fate": report.fates.get(plan.session),
            "planned": plan.fate,
            "why": plan.why,
            "rows": plan.rows,
            "size": plan.size,
        }
        for plan in plans
    ]
    return {
        "sessions": sessions,
        **{str(fate).replace(" ", "_"): report.count(fate) for fate in Fate},
        "rows": report.rows,
        "size": report.size,
        "blobs": asdict(blobs),
        "failed": report.failed,
        "locked": report.locked,
        "problems": report.problems,
        "longest_transaction_s": report.longest_transaction_s,
        "elapsed_s": report.elapsed_s,
    }


def end(
    ctx: click.Context, plans: Sequence[SessionPlan], report: UnarchiveReport, *, complete: bool, dry_run: bool
) -> NoReturn:
    """Exit by what became of the sessions."""
    if report.locked:
        complain(report.locked, "run it again; what is back stays, and the rest goes in")
        ctx.exit(EXIT_LOCKED)
    if report.failed and len(plans) == 1:
        complain("the session is not back" if not dry_run else "the session would not be back")
        ctx.exit(EXIT_ERROR)
    ctx.exit(EXIT_DONE if complete else EXIT_INCOMPLETE)


def _planned(plan: SessionPlan) -> tuple[str, ...]:
    would = f"{plan.fate}: {plan.why}" if plan.why else str(plan.fate)
    return plan.session, shortened(plan.title), f"{plan.rows:,}", format_size(plan.size), would
