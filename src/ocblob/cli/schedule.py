"""`ocblob schedule`: let the system run `ocblob maintain` by itself."""

import os
import shlex
from pathlib import Path
from typing import Any

import click

from ocblob import config
from ocblob.cli.options import AgeType, dry_run_option, print_json, standard_options
from ocblob.cli.plugin import own_command
from ocblob.plugins.options import check_same_store
from ocblob.scheduling import KINDS, Every, Kind, Machine, ScheduleReport, install, remove, show
from ocblob.scheduling.job import job_name, lost_limits, lost_passwords, lost_secrets, maintain_job

_kind_option = click.option(
    "--kind", type=click.Choice(list(KINDS)), help="This scheduler.  [default: the one that the machine has]"
)


@click.group()
def command() -> None:
    """Let the system run `ocblob maintain` by itself: systemd, launchd, the Windows Task Scheduler or cron."""


@command.command("install")
@click.option(
    "--every", "every_s", type=AgeType(), default="1d", show_default=True, metavar="AGE",
    help="The time between two passes; cron takes such as divide an hour or a day.",
)  # fmt: skip
@_kind_option
@dry_run_option
@standard_options
def install_command(
    db: str | None,
    store_place: config.StorePlace,
    *,
    every_s: float,
    kind: Kind | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Install the pass over this database, in place of one that is there.

    What it does there is what the configuration says at that time (`ocblob config show`). Passwords are never kept:
    those of S3 come by boto3's own rules, those of a database's server from
    config.toml or where its driver looks.
    """
    del verbose
    # What cannot be meant, or would fail each night, is told now.
    wished = config.settings()
    database = config.plugin_database(db)
    check_same_store(database, store_place, optional=False)
    job = maintain_job(database, store_place, Every.of(every_s), command=own_command())
    report = install(_machine(dry_run=dry_run), job, kind)
    if wished.offload and config.is_hosts_own(config.database_address(database)) and not config.plugin_installed():
        report.notes.append("it moves no attachment out until OpenCode has the plugin: `ocblob plugin install`")
    report.notes += [f"{name} is not kept; it belongs into the config file" for name in lost_limits()]
    report.notes += [
        f"{name} is not kept; write the password into ~/.pgpass, ~/.my.cnf or `databases` of the config file"
        for name in lost_passwords(database, *filter(None, [wished.mirror_place]))
    ]
    report.notes += [f"{name} is not kept; boto3 reads ~/.aws/credentials" for name in lost_secrets(store_place)]
    if as_json:
        print_json(report)
    elif not quiet:
        click.echo(f"{'would schedule' if dry_run else 'scheduled'}  {report.name} every {job.every}")
        _print_done(report, dry_run=dry_run)
        for note in report.notes:
            click.echo(f"  {note}")


@command.command("remove")
@_kind_option
@dry_run_option
@standard_options
def remove_command(
    db: str | None,
    store_place: config.StorePlace,
    *,
    kind: Kind | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Take away what `install` has put there for this database, and nothing else."""
    del store_place, verbose
    report = remove(_machine(dry_run=dry_run), job_name(config.plugin_database(db)), kind)
    if as_json:
        print_json(report)
    elif not quiet:
        done = "would remove" if dry_run else "removed"
        click.echo(f"{done}  {report.name}" if report.kinds else f"nothing is scheduled as {report.name}")
        _print_done(report, dry_run=dry_run)


@command.command("show")
@_kind_option
@standard_options
def show_command(
    db: str | None,
    store_place: config.StorePlace,
    *,
    kind: Kind | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Show every pass that is scheduled, for whatever database, as the system has it."""
    del db, store_place, quiet, verbose
    jobs = show(_machine(dry_run=False), kind)
    if as_json:
        print_json({"jobs": jobs})
        return
    if not jobs:
        click.echo("nothing is scheduled")
    for job in jobs:
        click.echo(f"{job.name}  {job.kind}, {job.place}{f'; next run {job.next_run}' if job.next_run else ''}")
        _print_text(job.text)


def _machine(*, dry_run: bool) -> Machine:
    return Machine(Path.home(), dict(os.environ), dry_run=dry_run)


def _print_done(report: ScheduleReport, *, dry_run: bool) -> None:
    for written in report.written:
        click.echo(f"  {'would write' if dry_run else 'wrote'} {written.place}")
        _print_text(written.text)
    for place in report.removed:
        click.echo(f"  {'would take' if dry_run else 'took'} away {place}")
    for words in report.commands:
        click.echo(f"  {'would run' if dry_run else 'ran'} {shlex.join(words)}")


def _print_text(text: Any) -> None:
    for line in str(text).splitlines():
        click.echo(f"    {line}")
