"""URLs as they are shown and kept, and whether another machine would mean the same by one."""

import pytest

from ocblob.databases.addresses import server_address
from ocblob.errors import UsageError
from ocblob.urls import means_this_machine, shown_url

SECRET = "hush7"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"postgresql://u@h/d?password={SECRET}", "postgresql://u@h/d"),
        (f"mysql://u@h/d?passwd={SECRET}&ssl=1", "mysql://u@h/d?ssl=1"),
        (f"mysql://u@h/d?ssl=1&pass%77ord={SECRET}", "mysql://u@h/d?ssl=1"),
        (f"mssql://h/d?PWD={SECRET}&Encrypt=no", "mssql://h/d?Encrypt=no"),
        (
            f"mssql://?odbc_connect=UID%3Du%3BPWD%3D%7B{SECRET}%3Bx%7D%3BSERVER%3Dh",
            "mssql://?odbc_connect=UID%3Du%3BSERVER%3Dh",
        ),
        ("mysql://u@h:3306/d?ssl=1&x", "mysql://u@h:3306/d?ssl=1&x"),
        ("postgresql://u@[::1]:5432/d", "postgresql://u@[::1]:5432/d"),
        ("postgresql://h:5432", "postgresql://h:5432"),
    ],
)
def test_a_server_is_known_by_its_url_without_a_password(url: str, name: str) -> None:
    """Wherever the password stands: the same URL is the same database to who has it elsewhere."""
    address = server_address(url)
    assert (name, SECRET in url) == (address.name, address.has_password)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql:/u:{SECRET}@h/d",
        f"mysql:u:{SECRET}@h/d",
        f" MariaDB+pymysql:///u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}/d",
        f"postgresql://u:{SECRET}?sslmode=require",
        f"mysql://u:{SECRET}",
    ],
)
def test_a_slip_in_a_url_shows_no_password(url: str) -> None:
    """A slash too few, or a host forgotten: it is no path, and is refused without what may be a secret."""
    with pytest.raises(UsageError) as refused:
        server_address(url)
    assert [False, False] == [SECRET in text for text in (shown_url(url), str(refused.value))]


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("postgresql://db.example.org/d", False),
        ("postgresql://db.example.org/d?sslmode=require", False),
        ("postgresql:///d?host=db.example.org", False),
        ("postgresql:///d?host=a:5432&host=b:5432", False),
        ("mssql://db.example.org/d", False),
        ("postgresql:///d", True),
        ("postgresql://0.0.0.0/d", True),
        ("postgresql://db.example.org/d?host=/run/postgresql", True),
        ("postgresql://db.example.org/d?hostaddr=127.0.0.1", True),
        ("postgresql://db.example.org/d?service=sessions", True),
        ("mysql://db.example.org/d?unix_socket=/run/mysqld/mysqld.sock", True),
        ("mssql://a_dsn", True),
        ("mssql://?odbc_connect=DSN%3Dx", True),
        ("/srv/opencode.db", True),
    ],
)
def test_what_only_one_machine_means_is_told(url: str, here: bool) -> None:  # noqa: FBT001
    """Options win over the host, as they do in the driver; what a file of this machine says is this machine's."""
    assert here == means_this_machine(url)
