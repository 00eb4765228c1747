"""`ocblob maintain`: one whole pass by the configuration."""

import contextlib
from collections.abc import Callable
from typing import Any

import click

from ocblob import config
from ocblob.cli.main import EXIT_DONE, EXIT_ERROR, EXIT_INCOMPLETE, EXIT_LOCKED, EXIT_SIZE_WARNING, complain
from ocblob.cli.options import (
    asker,
    create_option,
    dry_run_option,
    previews_option,
    print_json,
    print_problems,
    progress_bar,
    sayer,
    standard_options,
)
from ocblob.cli.retention_options import Retention, eviction_words, missed_words, retention_options
from ocblob.maintaining import MaintainReport, Orders, Step, StepName, maintain, state_of
from ocblob.units import format_size


def maintain_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a pass can be told, once or in a loop."""
    for option in reversed(
        (
            retention_options,
            create_option,
            previews_option,
            click.option("--no-plugin", is_flag=True, help="Offload although OpenCode has no plugin to resolve refs."),
            click.option("--scheduled", is_flag=True, help="Nobody looks on: few words, a warning of size once a day."),
            click.option(
                "--check", "check_size", is_flag=True, help="Exit with 4 if the database is over a warning threshold."
            ),
            click.option("--yes", is_flag=True, help="Do not ask, whoever owns the database."),
            dry_run_option,
            standard_options,
        )
    ):
        function = option(function)
    return function


@click.command()
@maintain_options
@click.pass_context
def command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    retention: Retention,
    create: bool,
    previews: bool | None,
    no_plugin: bool,
    scheduled: bool,
    check_size: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Offload, mirror, retain, evict, prune, vacuum and warn: one pass by the configuration.

    What is not configured is left out: sessions go only by a limit (`maxSizeMB`, `maxAgeDays`, `maxSessions`), into an
    archive or the mirror first. What goes wrong in one step is told, and the others go on where that is safe. A second
    pass over the same database does not begin (exit 11).
    """
    silent = quiet or scheduled
    with contextlib.ExitStack() as stack:
        orders = Orders(
            config.database_place(db),
            store_place,
            retention.settings,
            state_of(),
            # A list in a configuration names sessions that may be gone by tonight.
            keep=() if scheduled else retention.keep,
            allow_unresolved=retention.allow_unresolved,
            vacuum=retention.vacuum or retention.settings.vacuum,
            previews=previews,
            create=create,
            need_plugin=not no_plugin,
            scheduled=scheduled,
            dry_run=dry_run,
            say=sayer(quiet=silent),
            ask=asker(yes=yes),
            hear=lambda tree, where: click.echo(eviction_words(tree, where), err=True),
            progress=stack.enter_context(progress_bar("offload", quiet=silent or as_json)),
        )
        report = maintain(orders)
    if as_json:
        print_json(report)
    elif not quiet:
        click.echo(summary(report, dry_run=dry_run))
    _print_steps(report, silent=silent, verbose=verbose)
    if report.warning:
        click.echo(f"Warning: {report.warning}", err=True)
    ctx.exit(exit_code_of(report, check_size=check_size))


def exit_code_of(report: MaintainReport, *, check_size: bool) -> int:
    """Of several, in this order."""
    if report.failed:
        return EXIT_ERROR
    if report.busy:
        return EXIT_LOCKED
    if not report.complete:
        return EXIT_INCOMPLETE
    return EXIT_SIZE_WARNING if check_size and report.too_large else EXIT_DONE


def summary(report: MaintainReport, *, dry_run: bool) -> str:
    """One line: what each step did, the database as it is now, and the time."""
    would = "would have " if dry_run else ""
    parts = [words for step in report.steps if step.done is not None and (words := _WORDS[step.name](step.done))]
    done = f"{would}{', '.join(parts)}" if parts else "nothing to do" if report.complete else "nothing was done"
    return f"maintain: {done}; database {format_size(report.after.total)}; {report.elapsed_s:.1f} s"


def _offloaded(done: Any) -> str:
    report = done.report
    return f"offloaded {report.payloads:,} payloads ({format_size(report.payload_chars)})" if report.payloads else ""


def _mirrored(done: Any) -> str:
    if done.report is None:
        count = done.plan.sessions
        return f"looked at {count:,} session{'s' * (count != 1)} for the mirror" if count else ""
    count = done.report.mirrored
    return f"mirrored {count:,} session{'s' * (count != 1)} to {done.target}" if count else ""


def _evicted_sessions(done: Any) -> str:
    totals = done.plan.leaving if done.report is None else done.report.evicted
    if not totals.trees:
        return ""
    where = () if done.report is None else filter(None, (done.report.archive, done.report.mirror))
    into = f" into {words}" if (words := " and ".join(where)) else ""
    return f"evicted {totals.trees:,} session{'s' * (totals.trees != 1)} ({format_size(totals.size)}){into}"


def _evicted_blobs(done: Any) -> str:
    report = done.report
    return f"evicted {report.evicted:,} local blobs ({format_size(report.evicted_size)})" if report.evicted else ""


def _pruned(done: Any) -> str:
    shown = done.report or done.plan
    parts = []
    if shown.deleted:
        parts.append(f"pruned {shown.deleted:,} blobs ({format_size(shown.deleted_size)})")
    if shown.condemned:
        parts.append(f"set {shown.condemned:,} blobs aside ({format_size(shown.condemned_size)})")
    return ", ".join(parts)


def _vacuumed(done: Any) -> str:
    if done.method == "none":
        return ""
    gave = f"freed {format_size(done.freed)}" if done.freed >= 0 else f"took {format_size(-done.freed)} for now"
    return f"vacuum ({done.method}) {gave}"


_WORDS: dict[StepName, Callable[[Any], str]] = {
    "offload": _offloaded,
    "mirror": _mirrored,
    "retain": _evicted_sessions,
    "evict": _evicted_blobs,
    "prune": _pruned,
    "vacuum": _vacuumed,
}


def _print_steps(report: MaintainReport, *, silent: bool, verbose: bool) -> None:
    """What went wrong, and what was left out for a reason that somebody who looks on should know."""
    for step in report.steps:
        if step.error is not None:
            complain(f"{step.name}: {step.error}", step.error.hint)
        elif step.skipped and (verbose or not step.complete or (step.name == "offload" and not silent)):
            click.echo(f"  {step.name} skipped: {step.skipped}", err=True)
        elif step.done is not None:
            _print_problems(step, silent=silent, verbose=verbose)


def _print_problems(step: Step, *, silent: bool, verbose: bool) -> None:
    done = step.done
    if step.name == "retain":
        for words in missed_words(done.plan):
            click.echo(f"warning: {words}", err=True)
    if step.name == "vacuum":
        if done.note and not (done.put_off and silent):
            click.echo(f"  vacuum: {done.note}", err=True)
        return
    problems = getattr(done.report, "problems", [])
    print_problems([f"{step.name}: {problem}" for problem in problems], len(problems), verbose=verbose)
    if step.locked:
        did = "what was mirrored stays" if step.name == "mirror" else "what went is gone, and is where it was to be"
        complain(f"{step.name}: {step.locked}", f"{did}; the next pass goes on")
    if step.name == "offload" and done.report.changed:
        changed = f"{done.report.changed:,} cells changed while they were read; the next pass takes them"
        click.echo(f"  offload: {changed}", err=True)
    if step.name == "evict":
        if done.prune_skipped:
            click.echo(f"warning: {done.prune_skipped}", err=True)
        if not done.report.complete:
            kept = f"{done.report.last_copies:,} blobs ({format_size(done.report.last_copies_size)})"
            click.echo(f"  evict: {kept} over the limits stay: no other place holds them", err=True)
