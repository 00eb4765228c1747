"""How a fleet's parts are sent and counted, by a cluster of the test's own making."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

import ocblob
from ocblob import config
from ocblob.cells import KeyRange, Scope
from ocblob.databases.addresses import server_address
from ocblob.errors import BackendError, DatabaseLockedError, FleetError, UsageError
from ocblob.fleet import Fleet, FleetReport, run
from ocblob.fleet.cluster import check_workers
from ocblob.fleet.parts import Part
from ocblob.fleet.task import Job, PartError, _told
from ocblob.offload import OffloadReport
from ocblob.store.places import LocalTier
from samples import BODY

JOB = Job("1", "postgresql://h/d", "postgresql://u:s3cret@h/d", "t", "s3://b", "0" * 32, "probe/x", {}, 8192, None)


@dataclass
class Future:
    """What became of a part."""

    status: str
    value: Any
    unanswered: int = 0
    """So often whoever held the report had died."""

    def done(self) -> bool:
        """It is."""
        return True

    def result(self, timeout: float) -> Any:
        """A report."""
        assert timeout == run.LOOK_S
        if self.unanswered:
            self.unanswered -= 1
            raise TimeoutError
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value

    def exception(self, timeout: float) -> Any:
        """Why there is none."""
        assert timeout == run.LOOK_S
        return self.value

    def __hash__(self) -> int:
        return id(self)


@dataclass
class Cluster:
    """Answers each part with the next of these; remembers what it was asked."""

    answers: Iterator[Future]
    threads: dict[str, int] = field(default_factory=lambda: {"tcp://a": 2, "tcp://b": 2})
    keys: list[str] = field(default_factory=list)
    cancelled: int = 0

    def submit(self, _task: Callable[..., Any], *_arguments: Any, key: str, pure: bool, retries: int) -> Future:
        """A part."""
        assert (False, 2) == (pure, retries)
        self.keys.append(key)
        return next(self.answers)

    def nthreads(self) -> dict[str, int]:
        """The workers."""
        return self.threads

    def cancel(self, futures: list[Future], *, force: bool) -> None:
        """What is not needed any more."""
        assert force
        self.cancelled += len(futures)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "wait_for_one", lambda _futures, timeout_s: timeout_s)


def parts(count: int, cells: int = 2) -> list[Part]:
    """Parts of one table."""
    return [Part(BODY, Scope(keys=KeyRange(number, number + 1)), cells, 100) for number in range(count)]


def moved(cells: int = 2, **more: Any) -> Future:
    """A part that is done."""
    return Future("finished", OffloadReport(cells=cells, cells_swapped=cells, payloads=cells, elapsed_s=0.5, **more))


def failed(words: str = "no route") -> Future:
    """A part that is not."""
    return Future("error", PartError(words))


def fly(answers: list[Future], *, keep: Callable[[], None] = lambda: None) -> tuple[FleetReport, Cluster, list[int]]:
    """A pass of as many parts."""
    cluster, report, seen = Cluster(iter(answers)), FleetReport(), list[int]()
    send(cluster, report, len(answers), seen.append, keep)
    return report, cluster, seen


def send(
    cluster: Cluster,
    report: FleetReport,
    count: int,
    progress: Callable[[int], None] = lambda _: None,
    keep: Callable[[], None] = lambda: None,
) -> None:
    """So many parts."""
    with run._Flight(cluster, JOB, report, progress, keep) as flight:
        for part in parts(count):
            flight.submit(part)
        flight.finish()


def test_reports_are_summed_up() -> None:
    """The sum is what one pass would have counted; what nobody found any more is told apart."""
    first = moved(refs=3, inline={"broken": 1}, longest_transaction_s=0.1, blobs_new=2, stored_size_new=50)
    second = moved(1, inline={"broken": 2, "small": 1}, longest_transaction_s=0.3, failed=1, problems=["row 7"])

    report, cluster, seen = fly([first, second])

    assert (3, 3, 3, 1) == (report.cells, report.cells_swapped, report.payloads, report.cells_gone)
    assert ({"broken": 3, "small": 1}, 3) == (report.inline, report.refs)
    assert (2, 50, 0.3, 1.0) == (
        report.blobs_new,
        report.stored_size_new,
        report.longest_transaction_s,
        report.worker_s,
    )
    assert (2, 2, 0, ["row 7"]) == (report.workers, report.parts, report.parts_failed, report.problems)
    assert not report.complete
    assert [100, 100] == seen
    assert 2 == len(set(cluster.keys))
    assert all(key.startswith("ocblob-offload-doc-") for key in cluster.keys)


def test_every_number_is_summed_up() -> None:
    """A field that a report gains later is not forgotten here."""
    known = {"problems", "elapsed_s", "inline", "longest_transaction_s"}
    numbers: dict[str, Any] = {field.name: 1 for field in fields(OffloadReport) if field.name not in known}
    done = Future("finished", OffloadReport(**numbers))

    report, _, _ = fly([done, Future("finished", OffloadReport(**numbers))])

    assert dict.fromkeys(numbers, 2) == {name: getattr(report, name) for name in numbers}


def test_a_failed_part_fails_no_other() -> None:
    """It is told in words, counted, and the pass is not complete."""
    report, cluster, seen = fly([moved(), failed(), moved()])

    assert (3, 1, 4, False) == (report.parts, report.parts_failed, report.payloads, report.complete)
    assert ["doc:body after 1 up to 2, 2 cells: no route"] == report.problems
    assert 1 == report.troubles()
    assert ([100] * 3, 0) == (seen, cluster.cancelled)


def test_when_all_fail_it_gives_up() -> None:
    """What is wrong with the first parts is wrong with all: no thousand of them is sent."""
    sent = [failed() for _ in range(1000)]
    cluster, report = Cluster(iter(sent)), FleetReport()

    with pytest.raises(FleetError, match=r"the first parts all failed: .*no route"):
        send(cluster, report, 1000)

    assert run.HOPELESS_PARTS == report.parts_failed
    assert run.HOPELESS_PARTS + 8 >= len(cluster.keys)


def test_when_there_are_few_and_all_fail() -> None:
    """That is no pass with something left over, it is none."""
    with pytest.raises(FleetError, match=r"no part could be done: .*no route"):
        fly([failed(), failed()])


def test_few_parts_are_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two for each thread: a scheduler never holds a pass of a million parts; Ctrl-C cancels those."""
    monkeypatch.setattr(run, "wait_for_one", raising(KeyboardInterrupt()))
    cluster = Cluster(iter([Future("pending", None) for _ in range(100)]))

    with pytest.raises(KeyboardInterrupt):
        send(cluster, FleetReport(), 100)

    assert (8, 8) == (len(cluster.keys), cluster.cancelled)


def raising(error: BaseException) -> Callable[..., None]:
    """What comes while a part is waited for."""

    def wait(_futures: list[Future], *, timeout_s: float) -> None:
        assert timeout_s == run.LOOK_S
        raise error

    return wait


def test_a_part_that_was_dropped_ends_the_pass() -> None:
    """A scheduler that was started again knows nothing of it."""
    with pytest.raises(FleetError, match="has dropped a part"):
        fly([Future("cancelled", CancelledError())])


def test_the_answer_of_a_dead_worker_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker does that part again, and asks the database for the token, which must be kept there meanwhile."""
    looks: list[int] = []
    monkeypatch.setattr(run, "LOOK_S", 0)

    report, _, seen = fly([replace(moved(), unanswered=5)], keep=lambda: looks.append(1))

    assert (1, True, [100]) == (report.parts, report.complete, seen)
    assert len(looks) > 1 + 5  # before each try, and once more


def test_an_answer_that_comes_slowly() -> None:
    """A scheduler that always takes longer than one look is given more time: to ask anew for ever would be a hang."""
    asked: list[float] = []

    class Slow(Future):
        """Given by whoever waits for 4 s."""

        def result(self, timeout: float) -> Any:
            asked.append(timeout)
            if timeout < 4 * run.LOOK_S:
                raise TimeoutError
            return self.value

    report, _, _ = fly([Slow("finished", OffloadReport()) for _ in range(2)])

    assert (2, True) == (report.parts, report.complete)
    assert [1, 2, 4] == sorted({timeout / run.LOOK_S for timeout in asked})


def test_an_error_without_words() -> None:
    """Its kind is told."""
    report, _, _ = fly([moved(), Future("error", MemoryError())])

    assert report.problems[0].endswith("MemoryError")


def test_a_part_that_fails_the_second_time() -> None:
    """It was done, its worker died with the answer, and nobody could do it again: it is a failed part like another."""

    class Redone(Future):
        """Known to have failed only once it is asked for."""

        def result(self, timeout: float) -> Any:
            self.status = "error"
            return super().result(timeout)

    report, _, _ = fly([moved(), Redone("finished", PartError("no route"))])

    assert (2, 1) == (report.parts, report.parts_failed)


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("closed")], ids=str)
def test_a_scheduler_that_goes_with_an_answer(error: Exception) -> None:
    """That is no failed part."""
    with pytest.raises(FleetError, match="does not answer any more"):
        fly([moved(), Future("finished", error)])


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("closed")], ids=str)
def test_a_scheduler_that_is_gone(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Dask raises then is an error of ours, in words."""
    monkeypatch.setattr(run, "wait_for_one", raising(error))

    with pytest.raises(FleetError, match="does not answer any more"):
        fly([moved()])


def test_a_cluster_without_workers_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last worker is gone and none comes, the pass ends."""
    monkeypatch.setattr(run, "LOOK_S", 0)
    monkeypatch.setattr(run, "ALONE_S", -1)
    cluster = Cluster(iter([moved()]), threads={})

    with pytest.raises(FleetError, match="no workers any more"):
        run._Flight(cluster, JOB, FleetReport(), lambda _: None, lambda: None)


def test_a_database_that_starts_again_is_waited_for() -> None:
    """The client's token cannot be held for a moment: that ends nothing."""

    def locked() -> None:
        raise DatabaseLockedError("starting")

    report, _, _ = fly([moved()], keep=locked)

    assert report.complete


def test_a_job_shows_no_password() -> None:
    """Dask logs and shows what a task was called with."""
    assert "s3cret" in JOB.url
    assert "s3cret" not in repr(JOB)


def test_a_store_with_a_password_in_its_url_is_refused(tmp_path: Path) -> None:
    """Each part would be shown with it."""
    store = config.StorePlace("sftp://u:s3cret@h/blobs", "--store", LocalTier(tmp_path), {})

    with pytest.raises(UsageError, match="sftp://u@h/blobs: a URL must not hold a password"):
        Fleet("tcp://h:1", server_address("postgresql://u@h/d"), store)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([PackageNotFoundError("ocblob")], "tcp://a has no ocblob"),
        ([TimeoutError()], "tcp://a does not answer: TimeoutError"),
        (["0.0"], "tcp://a has ocblob 0.0, and this is"),
        ([ocblob.__version__, MemoryError()], "tcp://a MemoryError"),
        ([ocblob.__version__, "another database"], "tcp://a another database"),
    ],
    ids=str,
)
def test_a_worker_that_cannot_take_part_is_named(answers: list[object], words: str) -> None:
    """With the reason, whatever kind of error says it."""

    class Asked:
        """A cluster of one worker."""

        def run(self, _what: Callable[..., Any], _argument: object, *, on_error: str) -> dict[str, object]:
            """Its answer."""
            assert on_error == "return"
            return {"tcp://a": answers.pop(0)}

    with pytest.raises(FleetError, match=f"cannot take part: {words}"):
        check_workers(Asked(), JOB)


def test_errors_travel_as_words() -> None:
    """An error of ours, and a library that is not there, arrive where neither is known."""
    with pytest.raises(PartError, match=r"no answer \(hint: wait\)"), _told():
        raise BackendError("no answer", hint="wait")
    with pytest.raises(PartError, match="module psycopg is not installed"), _told():
        raise ModuleNotFoundError(name="psycopg")


@pytest.mark.parametrize(
    ("told", "own", "expected"),
    [
        ("postgresql://u@h/d", "postgres://u:pw@h/d", "postgresql+psycopg://u:pw@h/d"),
        ("postgresql://u@h/d", "postgresql+psycopg://u:pw@h/d", "postgresql+psycopg://u:pw@h/d"),
        ("postgresql://u@h/d", "postgresql://u:pw@h/other", "postgresql+psycopg://u@h/d"),
        ("postgresql://u@h/d", "postgresql://v:pw@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u:sent@h/d", "", "postgresql+psycopg://u:sent@h/d"),
        ("postgresql://u:sent@h/d", "postgresql://u@h/d", "postgresql+psycopg://u:sent@h/d"),
        ("postgresql://u@h/d", "/home/me/app.db", "postgresql+psycopg://u@h/d"),
    ],
)
def test_where_a_worker_finds_the_password(told: str, own: str, expected: str, tmp_path: Path) -> None:
    """In its own OCBLOB_DB, if that names the same database of the same user."""
    assert expected == config.workers_address(told, {"OCBLOB_DB": own, "XDG_CONFIG_HOME": str(tmp_path)}).url


def test_a_worker_looks_where_clients_of_mysql_do(tmp_path: Path) -> None:
    """The driver itself looks nowhere."""
    environment = {"MYSQL_PWD": "p/w", "XDG_CONFIG_HOME": str(tmp_path)}

    assert "mysql+pymysql://u:p%2Fw@h/d" == config.workers_address("mysql://u@h/d", environment).url


def test_options_are_passed_without_secrets() -> None:
    """A key that stands in the client's configuration is not for the scheduler."""
    options = {"s3": {"endpoint_url": "http://h", "secret_access_key": "x"}, "gs": {"token": "y", "project": "p"}}

    assert {"s3": {"endpoint_url": "http://h"}, "gs": {"project": "p"}} == config.without_secrets(options)


def test_a_worker_answers_while_it_looks() -> None:
    """The look is in a thread of its own: the worker's loop goes on, and what is wrong comes as words."""
    from ocblob.fleet.task import greet

    assert "was begun by 1" in asyncio.run(greet(JOB))
