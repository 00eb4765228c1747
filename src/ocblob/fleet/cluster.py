"""A Dask cluster: reached, and its workers looked at before anything is asked of them."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import ocblob
from ocblob.errors import FleetError, UsageError
from ocblob.fleet.task import Job, greet

CONNECT_S: Final = 10
WORKERS_S: Final = 30
"""A cluster that was just started gets its first worker within this time."""
NAMED_MAX: Final = 3


@contextlib.contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """A client of a scheduler: `tcp://host:port`, or the path of a scheduler file.

    Raises `UsageError` without the extra or for what is neither, `FleetError` if nobody answers, or no worker is there.
    """
    try:
        import dask  # noqa: PLC0415 - 0.3 s that only a fleet is worth

        # Its tracebacks are no words for people; what they need to know comes as an error.
        dask.config.set({"logging": {"distributed": "critical"}})
        from distributed import Client  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UsageError(f"--dask: {error.name} is not installed", hint="pip install 'ocblob[dask]'") from error
    address = scheduler if "://" in scheduler else _address_in(scheduler)
    # Before there is a client: one that has failed to begin is waited for at its end, 20 s.
    _check_address(scheduler, address)
    try:
        client: Any = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except RuntimeError as error:  # Dask's configuration wants encryption, say
        raise UsageError(f"--dask {scheduler}: {error}") from error
    except (OSError, AssertionError) as error:
        raise FleetError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    try:
        try:
            client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError as error:
            raise FleetError(f"the cluster at {scheduler} has no workers", hint=f"dask worker {scheduler}") from error
        with client.as_current():
            yield client
    finally:
        client.close()


def wait_for_one(futures: Sequence[Any], *, timeout_s: float) -> None:
    """Until one of them is done, whatever became of it. Raises `TimeoutError`."""
    from distributed import wait  # noqa: PLC0415 - as above

    wait(futures, timeout=timeout_s, return_when="FIRST_COMPLETED")  # type: ignore[no-untyped-call]


def check_workers(client: Any, job: Job) -> None:
    """Raise `FleetError` unless every worker could do a part: with this ocblob, this database and this store."""
    # Something of Python's own: a worker without ocblob would not even understand what is asked.
    found = client.run(version, "ocblob", on_error="return")
    _refuse({worker: _without_version(answer) for worker, answer in found.items() if isinstance(answer, Exception)})
    _refuse(
        {
            worker: f"has ocblob {answer}, and this is {ocblob.__version__}"
            for worker, answer in found.items()
            if answer != ocblob.__version__
        }
    )
    answers = client.run(greet, job, on_error="return")
    _refuse({worker: _in_words(answer) for worker, answer in answers.items() if answer})


def _without_version(answer: Exception) -> str:
    return "has no ocblob" if isinstance(answer, ModuleNotFoundError) else f"does not answer: {_in_words(answer)}"


def _in_words(answer: object) -> str:
    """Of some errors there is only the kind."""
    return str(answer) or type(answer).__name__


def _refuse(troubles: dict[str, str]) -> None:
    if troubles:
        told = "; ".join(f"{worker} {words}" for worker, words in sorted(troubles.items())[:NAMED_MAX])
        more = f"; and {len(troubles) - NAMED_MAX} more" if len(troubles) > NAMED_MAX else ""
        raise FleetError(
            f"workers that cannot take part: {told}{more}",
            hint="workers need ocblob of this version with its extras, and a way to database and store",
        )


def _address_in(scheduler: str) -> str:
    path = Path(scheduler)
    if not path.is_file():
        raise UsageError(
            f"--dask {scheduler}: neither the address of a scheduler nor a scheduler file",
            hint="tcp://host:port, or the path of the file that `dask scheduler --scheduler-file` writes",
        )
    try:
        return str(json.loads(path.read_bytes())["address"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(f"--dask {scheduler}: not a file that a scheduler has written") from error


def _check_address(scheduler: str, address: str) -> None:
    from distributed.comm.addressing import get_address_host_port  # noqa: PLC0415 - as above
    from distributed.security import Security  # noqa: PLC0415

    if address.startswith("inproc://"):
        return
    try:
        get_address_host_port(address)
    except ValueError as error:
        raise UsageError(f"--dask {scheduler}: {error}", hint="tcp://host:port") from error
    security: Any = Security  # it has no types
    if address.startswith("tls://") and security().get_connection_args("client")["ssl_context"] is None:
        raise UsageError(
            f"--dask {scheduler}: Dask knows no certificates here",
            hint="its configuration names them: distributed.comm.tls.ca-file, .client.cert and .client.key",
        )
