"""`ocblob unarchive`."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ocblob import config
from ocblob.cli.main import EXIT_DONE, EXIT_ERROR, EXIT_INCOMPLETE, EXIT_LOCKED, complain
from ocblob.cli.options import (
    byte_bar,
    dry_run_option,
    print_json,
    print_problems,
    print_table,
    sayer,
    session_option,
    standard_options,
)
from ocblob.cli.retention_options import day, shortened
from ocblob.errors import UsageError
from ocblob.sessions.sources import Header
from ocblob.sessions.unarchive_plan import Fate, SessionPlan, chosen
from ocblob.unarchiving import UnarchivePass, found_in, unarchive_pass
from ocblob.units import format_size

_LISTED = ("session", "title", "created", "last used", "rows", "size", "parent")
_PLANNED = ("session", "title", "rows", "size", "would")
_NUMBERS = {"rows", "size"}
_WORDS = (
    (Fate.INSERT, "put back"),
    (Fate.COMPLETE, "completed"),
    (Fate.REPLACE, "replaced"),
    (Fate.THERE, "there already"),
    (Fate.REFUSED, "not back"),
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--list", "listed", is_flag=True, help="Show the sessions of the archive; no database is needed.")
@session_option
@click.option("--replace", is_flag=True, help="Sessions that are there and differ give way to the archived ones.")
@click.option(
    "--force", is_flag=True, help="Also cells of 100 MB and more while another process has the database open."
)
@click.option(
    "--salvage",
    is_flag=True,
    help="Of a damaged archive the sessions that are whole; a copy of them takes room beside it.",
)
@dry_run_option
@standard_options
@click.pass_context
def command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    file: Path,
    listed: bool,
    sessions: tuple[str, ...],
    replace: bool,
    force: bool,
    salvage: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Put sessions of an archive back into the database, byte for byte.

    With --session only this one, and those of its children that the archive holds. What is there and equal stays;
    a session that is there and differs is left as it is, unless --replace. The archive stays as it is.
    """
    if listed:
        if replace or force or dry_run:
            raise UsageError("--list only shows what is in the archive; --replace, --force and --dry-run are of no use")
        with found_in(file, salvaging=salvage) as found:
            wanted = set(chosen(found.headers, sessions))
            _list([header for header in found.headers if header[0].id in wanted], as_json=as_json)
        print_problems(found.salvaged.problems, found.salvaged.lost, verbose=verbose)
        ctx.exit(EXIT_INCOMPLETE if found.salvaged.lost else EXIT_DONE)
    place = config.database_place(db)
    with ExitStack() as bars:
        done = unarchive_pass(
            place,
            store_place,
            file,
            sessions=sessions,
            replace=replace,
            force=force,
            salvaging=salvage,
            dry_run=dry_run,
            say=sayer(quiet=quiet),
            progress=lambda total: bars.enter_context(byte_bar("unarchive", total, quiet=quiet or as_json)),
        )
    report = done.report
    if as_json:
        print_json(_told(done), dry_run=dry_run)
    elif not quiet:
        _print(place, done, dry_run=dry_run)
    if not done.complete:
        print_problems(report.problems, max(len(report.problems), report.failed), verbose=verbose)
        print_problems(done.salvaged.problems, done.salvaged.lost, verbose=verbose)
        print_problems(done.blobs.problems, sum(done.blobs.unresolved.values()), verbose=verbose)
    if report.locked:
        complain(report.locked, "run it again; what is back stays, and the rest goes in")
        ctx.exit(EXIT_LOCKED)
    if report.failed and len(done.plans) == 1:
        complain("the session is not back" if not dry_run else "the session would not be back")
        ctx.exit(EXIT_ERROR)
    if not done.complete:
        ctx.exit(EXIT_INCOMPLETE)


def _list(headers: list[Header], *, as_json: bool) -> None:
    if as_json:
        print_json({"sessions": [asdict(session) | asdict(totals) for session, totals in headers]})
        return
    rows = (
        (
            session.id,
            shortened(session.title),
            day(session.created_ms),
            day(session.used_ms),
            f"{totals.rows:,}",
            format_size(totals.size),
            session.parent,
        )
        for session, totals in headers
    )
    print_table(_LISTED, rows, numbers=_NUMBERS)


def _print(place: config.Place, done: UnarchivePass, *, dry_run: bool) -> None:
    report = done.report
    click.echo(f"{'would unarchive' if dry_run else 'unarchive'}  {done.archive} -> {place.shown}")
    if dry_run:
        print_table(_PLANNED, map(_planned, done.plans), numbers=_NUMBERS)
    for fate, words in _WORDS:
        if count := report.count(fate):
            click.echo(f"  {words:<13} {count:,} session{'s' * (count != 1)}")
    if done.salvaged.lost:
        click.echo(f"  {'damaged':<13} {done.salvaged.lost:,} piece{'s' * (done.salvaged.lost != 1)} of the archive")
    click.echo(f"  {'rows':<13} {report.rows:,}, {format_size(report.size)}")
    if done.blobs.put:
        click.echo(
            f"  {'blobs':<13} {done.blobs.put:,} for refs, {done.blobs.new:,} of them new in the store,"
            f" {format_size(done.blobs.size)}"
        )
    for reason, count in sorted(done.blobs.unresolved.items()):
        click.echo(f"  {reason:<13} {count:,} blob{'s' * (count != 1)} that refs name")
    if not dry_run:
        if report.rows:
            click.echo(f"  {'verified':<13} every row was read back and is as it was archived")
        longest = report.longest_transaction_s * 1000
        click.echo(f"  {'time':<13} {report.elapsed_s:.2f} s, longest write transaction {longest:.0f} ms")


def _planned(plan: SessionPlan) -> tuple[str, ...]:
    would = f"{plan.fate}: {plan.why}" if plan.why else str(plan.fate)
    return plan.session, shortened(plan.title), f"{plan.rows:,}", format_size(plan.size), would


def _told(done: UnarchivePass) -> dict[str, Any]:
    """What --json prints."""
    report = done.report
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
        for plan in done.plans
    ]
    return {
        "archive": done.archive,
        "sessions": sessions,
        **{str(fate).replace(" ", "_"): report.count(fate) for fate in Fate},
        "rows": report.rows,
        "size": report.size,
        "blobs": asdict(done.blobs),
        "store": done.store,
        "store_created": done.store_created,
        "damaged": done.salvaged.lost,
        "failed": report.failed,
        "locked": report.locked,
        "problems": [*report.problems, *done.salvaged.problems],
        "complete": done.complete,
        "longest_transaction_s": report.longest_transaction_s,
        "elapsed_s": report.elapsed_s,
    }
