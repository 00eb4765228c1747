"""What the sessions' settings may be, which source wins, and how a mistake is told."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocblob import config
from ocblob.config.keys import FILE_KEYS, KEYS, SESSION_KEYS, Key, as_written, meant
from ocblob.config.said import LIMIT_VARIABLES
from ocblob.errors import UsageError
from ocblob.sessions.limits import RetainLimits

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(0, 2000) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["used", "created", "auto", "never", "~", "/x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)  # fmt: skip
PLUGIN = "file:///x/ocblob.js"


class Home:
    """An environment whose configuration is the test's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {f"XDG_{name}_HOME": str(root / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
        self.toml = root / "config" / "ocblob" / "config.toml"
        self.json = root / "config" / "opencode" / "opencode.json"
        self.jsonc = self.json.with_suffix(".jsonc")
        for file in (self.toml, self.json):
            file.parent.mkdir(parents=True)

    def settings(self, *, strict: bool = True, **variables: str) -> config.Settings:
        """The settings of a command."""
        return config.settings({**self.environment, **variables}, strict=strict)

    def refused(self, **variables: str) -> UsageError:
        """How a command is told that something cannot be meant."""
        with pytest.raises(UsageError) as caught:
            config.settings({**self.environment, **variables})
        return caught.value


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Nothing is configured."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return Home(tmp_path)


def entry(**options: object) -> dict[str, object]:
    """A configuration of OpenCode with our plugin."""
    return {"plugin": ["other", [PLUGIN, {"ingest": True, **options}]]}


# ---- what holds ------------------------------------------------------------------------------------------------


def test_nobody_says_anything(home: Home) -> None:
    """Without a word no limit holds, archives are wanted, and every source is the default."""
    found = home.settings()

    assert config.Settings() == found
    assert not found.limits.given
    assert {"default"} == {found.source(field.name) for field in fields(config.Settings)}


def test_the_defaults_are_those_of_the_keys(home: Home) -> None:
    """A key's default, written down, gives what holds without it."""
    defaults = {key.name: key.default for key in KEYS if key.default is not None}
    home.json.write_text(json.dumps({"session": defaults}))
    found = home.settings()

    assert [getattr(config.Settings(), key.field) for key in KEYS] == [getattr(found, key.field) for key in KEYS]
    assert list(defaults.values()) == [
        as_written(key, getattr(found, key.field)) for key in KEYS if key.default is not None
    ]


def test_every_key_has_its_meaning(home: Home) -> None:
    """Each key of the file becomes the field of the settings, in bytes and seconds."""
    home.toml.write_text(
        'maxSizeMB = 200\nmaxAgeDays = 0.5\nmaxSessions = 100\nby = "used"\nkeepActiveDays = 3\nkeep = ["ses_1"]\n'
        'archive = "kept"\narchiveRefs = true\nmirror = "postgresql://me:secret@host/db"\nvacuum = "never"\n'
        "warnMB = [0.5, 2]\noffload = false\nprune = false\nevictMaxSizeMB = 1.5\nevictMaxAgeDays = 1\n"
    )
    found = home.settings()

    expected: dict[str, Any] = {
        "max_size": 200_000_000,
        "max_age_s": 43_200.0,
        "max_sessions": 100,
        "by": "used",
        "keep_active_s": 3 * 86_400.0,
        "keep": ("ses_1",),
        "archive": home.toml.parent / "kept",
        "archive_refs": True,
        "mirror": "postgresql://me:secret@host/db",
        "vacuum": "never",
        "warn_bytes": (500_000, 2_000_000),
        "offload": False,
        "prune": False,
        "evict_max_size": 1_500_000,
        "evict_max_age_s": 86_400.0,
    }
    assert expected == {name: getattr(found, name) for name in expected}
    assert [f"{home.toml}:{line}" for line in range(1, 16)] == [found.source(name) for name in expected]
    assert RetainLimits(200_000_000, 43_200.0, 100, "used", 3 * 86_400.0, ("ses_1",)) == found.limits
    assert list(expected) == [key.field for key in KEYS]


def test_a_source_wins_over_those_behind_it(home: Home) -> None:
    """Option, environment, config.toml, the plugin's options, `session`, default: in this order."""
    home.json.write_text(
        json.dumps({"session": {"maxSessions": 1, "maxAgeDays": 1, "maxSizeMB": 1, "vacuum": "never"}})
    )
    found = [home.settings()]
    home.json.write_text(json.dumps({**json.loads(home.json.read_text()), **entry(maxSessions=2, vacuum="always")}))
    found.append(home.settings())
    home.toml.write_text("maxSessions = 3\n")
    found.append(home.settings())
    found.append(home.settings(OCBLOB_MAX_SESSIONS="4"))
    found.append(found[-1].with_options(max_sessions=5, vacuum=None))

    assert [1, 2, 3, 4, 5] == [one.max_sessions for one in found]
    assert [f"{home.json}:1", f"{home.json}:1", f"{home.toml}:1", "OCBLOB_MAX_SESSIONS", "--max-sessions"] == [
        one.source("max_sessions") for one in found
    ]
    assert ["never", "always", "always", "always", "always"] == [one.vacuum for one in found]
    assert {1_000_000} == {one.max_size for one in found}


def test_variables_are_written_as_options_are(home: Home) -> None:
    """Sizes and ages with their units; an empty variable says nothing."""
    found = home.settings(OCBLOB_MAX_SIZE="1.5GB", OCBLOB_MAX_AGE="12h", OCBLOB_MAX_SESSIONS="")

    assert (1_500_000_000, 43_200.0, None) == (found.max_size, found.max_age_s, found.max_sessions)
    assert ["OCBLOB_MAX_SIZE", "OCBLOB_MAX_AGE", "default"] == [
        found.source(name) for name in ("max_size", "max_age_s", "max_sessions")
    ]


def test_files_of_opencode_are_merged_as_opencode_does(home: Home) -> None:
    """The last file wins key by key; of the plugin's entries the last one counts, as a whole."""
    home.json.write_text(json.dumps({"session": {"maxSizeMB": 1, "maxSessions": 1}, **entry(maxAgeDays=1, by="used")}))
    home.jsonc.write_text(
        f'{{ // ours\n"session": {{\n"maxSessions": 2, }},\n"plugin": [["{PLUGIN}", {{\n"maxAgeDays": 2}}]]}}'
    )
    found = home.settings()

    assert (1_000_000, 2, 2 * 86_400.0, "created") == (found.max_size, found.max_sessions, found.max_age_s, found.by)
    assert [f"{home.json}:1", f"{home.jsonc}:3", f"{home.jsonc}:5"] == [
        found.source(name) for name in ("max_size", "max_sessions", "max_age_s")
    ]


def test_null_is_as_good_as_nothing(home: Home) -> None:
    """A key that is null leaves the word to the next source; so does a null object."""
    home.json.write_text(json.dumps({"session": {"maxSessions": 7}, **entry(maxSessions=None, maxSizeMB=None)}))
    home.jsonc.write_text('{"session": null}')
    found = home.settings()

    assert (7, None) == (found.max_sessions, found.max_size)


def test_what_others_keep_there_is_no_business_of_ours(home: Home) -> None:
    """Options of the plugin, and keys of a `session` that OpenCode itself may come to have, are passed over."""
    home.json.write_text(json.dumps({"session": {"timeout": 5, "maxsizemb": 1}, **entry(store="/s", by="used")}))

    assert "used" == home.settings().by


def test_another_plugin_has_options_of_its_own(home: Home) -> None:
    """Only our script's entry counts, with options or without."""
    home.json.write_text(json.dumps({"plugin": [["file:///x/other.js", {"maxSessions": 1}], PLUGIN]}))

    assert config.Settings() == home.settings()


def test_whoever_keeps_a_session_keeps_it(home: Home) -> None:
    """Ids of all sources are kept, once each, and every source is named."""
    home.json.write_text(json.dumps({"session": {"keep": ["ses_1", "ses_2"]}, **entry(keep=["ses_3"])}))
    home.toml.write_text('keep = ["ses_2", "ses_4"]')
    found = home.settings().with_options(keep=("ses_5", "ses_1"))

    assert {f"ses_{number}" for number in range(1, 6)} == set(found.keep)
    assert 5 == len(found.keep)
    assert f"{home.toml}:1, {home.json}:1, {home.json}:1, --keep" == found.source("keep")


def test_an_archive_is_beside_the_file_that_names_it(home: Home) -> None:
    """A relative directory begins where the file is, `~` at home, an absolute one stays."""
    found = []
    for text in ('"a/b"', '"~/c"', json.dumps(str(home.root / "d"))):
        home.toml.write_text(f"archive = {text}")
        found.append(home.settings().archive)
    home.toml.unlink()
    home.json.write_text('{"session": {"archive": "e"}}')
    found.append(home.settings().archive)

    assert [home.toml.parent / "a/b", home.root / "c", home.root / "d", home.json.parent / "e"] == found


def test_no_archive_is_said_in_so_many_words(home: Home) -> None:
    """`archive = false` is the only way to have none; a directory nearer by, or an option, brings it back."""
    home.json.write_text('{"session": {"archive": false}}')
    without = home.settings()
    named = without.with_options(archive=home.root)
    home.toml.write_text('archive = "x"')
    nearer = home.settings()

    assert (None, False, f"{home.json}:1") == (
        without.archive,
        without.archive_wanted,
        without.source("archive_wanted"),
    )
    assert (home.root, True, "--archive") == (named.archive, named.archive_wanted, named.source("archive_wanted"))
    assert (True, f"{home.toml}:1") == (nearer.archive_wanted, nearer.source("archive_wanted"))
    assert (False, "--no-archive") == (
        (unwanted := nearer.with_options(archive_wanted=False)).archive_wanted,
        unwanted.source("archive_wanted"),
    )


def test_a_mirror_is_beside_the_file_that_names_it(home: Home) -> None:
    """A path as that of an archive, a variable's from where the command runs; a URL as it is."""
    found = []
    home.toml.write_text('mirror = "a.db"')
    found += [home.settings().mirror, home.settings(OCBLOB_MIRROR="mysql://me:secret@host/db").mirror]
    found += [home.settings(OCBLOB_MIRROR="b.db").mirror, home.settings().with_options(mirror="c.db").mirror]

    assert [str(home.toml.parent / "a.db"), "mysql://me:secret@host/db", str(Path("b.db").absolute()), "c.db"] == found


def test_a_password_stands_in_no_file_of_opencodes(home: Home) -> None:
    """They are read by others and sent around; `config.toml` is ours. The error does not repeat it."""
    url = "postgresql://me:secret@host/db"
    refused = []
    for settings in ({"session": {"mirror": url}}, entry(mirror=url)):
        home.json.write_text(json.dumps(settings))
        refused.append(str(home.refused()))
    home.json.write_text(json.dumps({"session": {"mirror": "postgresql://me@host/db"}}))

    assert [True, True] == ["has a password in it" in words and "secret" not in words for words in refused]
    assert "postgresql://me@host/db" == home.settings().mirror
    assert "secret" not in repr(home.settings(OCBLOB_MIRROR=url))


def test_with_a_mirror_an_archive_is_one_that_somebody_wants(home: Home) -> None:
    """What the mirror holds is not archived by default; whoever names an archive gets it beside the mirror."""
    plain = home.settings()
    mirrored = plain.with_options(mirror="m.db")
    both = mirrored.with_options(archive=home.root)
    home.toml.write_text('archive = "x"\nmirror = "m.db"')
    written = home.settings()

    assert [True, False, True, True] == [found.archives for found in (plain, mirrored, both, written)]


def test_the_archives_lie_beside_the_store(home: Home) -> None:
    """By default both are in the user's data directory."""
    store = config.store_place(None, environment=home.environment)

    assert Path(store.url).parent / "archives" == config.archive_directory(home.environment)


def test_no_warning_is_wanted(home: Home) -> None:
    """An empty list of sizes is one that never warns."""
    home.toml.write_text("warnMB = []")

    assert () == home.settings().warn_bytes


# ---- what cannot be meant --------------------------------------------------------------------------------------

WRONG: list[tuple[str, object, str]] = [
    ("maxSizeMB", "200MB", 'must be a number of megabytes, such as 200, found "200MB"'),
    ("maxSizeMB", True, "must be a number of megabytes, such as 200, found true"),
    ("maxSizeMB", 0, "is 0: a maximum size of 0 bytes"),
    ("maxSizeMB", -5, "is -5: a maximum size of -5000000 bytes"),
    ("maxSizeMB", 0.001, "is 0.001: a maximum size of 1000 bytes"),
    ("maxSizeMB", 1e300, "is 1e+300: a maximum size of"),
    ("maxSizeMB", 10**400, "must be a number of megabytes"),
    ("maxAgeDays", 0, "is 0: a maximum age of 0 s"),
    ("maxAgeDays", 1_000_000, "is 1000000: a maximum age of"),
    ("maxAgeDays", [30], "must be a number of days, such as 30, found [30]"),
    ("maxSessions", 0, "is 0: a maximum of 0 sessions"),
    ("maxSessions", 1.5, "must be a whole number, such as 100, found 1.5"),
    ("maxSessions", "100", 'must be a whole number, such as 100, found "100"'),
    ("by", "size", 'must be "created" or "used", found "size"'),
    ("by", ["used"], 'must be "created" or "used"'),
    ("keepActiveDays", -1, "is -1: to keep what was active within"),
    ("keep", "ses_1", 'must be a list of session ids, found "ses_1"'),
    ("keep", ["ses_1", ""], "must be a list of session ids"),
    ("keep", [" ses_1"], "must be a list of session ids, found [' ses_1']"),
    ("keep", ["{env:KEPT}"], "must be a list of session ids"),
    ("keep", [1], "must be a list of session ids, found [1]"),
    ("archive", True, "must be a directory, or false, found true"),
    ("archive", "", 'must be a directory, or false, found ""'),
    ("archive", "s3://me:secret@bucket/x", 'must be a directory, or false, found "s3://me@bucket/x"'),
    ("archive", "all.json.zst", 'must be a directory, or false, found "all.json.zst"'),
    ("archive", "{env:HOME}/archives", 'must be a directory, or false, found "{env:HOME}/archives"'),
    ("archiveRefs", "yes", 'must be true or false, found "yes"'),
    ("mirror", True, "must be a path or the URL of a database, found true"),
    ("mirror", " ", 'must be a path or the URL of a database, found " "'),
    ("mirror", "{env:MIRROR}", 'must be a path or the URL of a database, found "{env:MIRROR}"'),
    ("mirror", "oracle://me:secret@host/db", 'is "oracle://me@host/db": oracle://me@host/db: no such kind of database'),
    ("vacuum", "sometimes", 'must be "auto", "always", "never", found "sometimes"'),
    ("vacuum", True, 'must be "auto", "always", "never", found true'),
    ("warnMB", 100, "must be a list of growing numbers of megabytes, none of them 0, found 100"),
    ("warnMB", [0, 1], "must be a list of growing numbers of megabytes, none of them 0, found [0, 1]"),
    ("warnMB", [5, 5], "must be a list of growing numbers"),
    ("warnMB", list(range(99, 9, -1)), "..."),
    ("offload", 1, "must be true or false, found 1"),
    ("prune", "no", 'must be true or false, found "no"'),
    ("evictMaxSizeMB", 0, "must be a number of megabytes above 0, found 0"),
    ("evictMaxAgeDays", -1, "must be a number of days above 0, found -1"),
    *((key.name, {"of": 1}, f"must be {key.allowed}, found {{'of': 1}}") for key in KEYS),
]


@pytest.mark.parametrize(("key", "value", "words"), WRONG, ids=lambda value: str(value)[:20])
def test_a_mistake_names_file_line_and_key(home: Home, key: str, value: object, words: str) -> None:
    """In each place the same words tell what was found and what is allowed."""
    if value != 10**400:  # the largest float of JSON is another number
        written = "{of = 1}" if isinstance(value, dict) else json.dumps(value)
        home.toml.write_text(f"# ours\n\n{key} = {written}\n")
        assert f"{home.toml}:3: {key} " in str(home.refused())
        assert words in str(home.refused())
        home.toml.unlink()
    home.json.write_text(json.dumps({"session": {key: value}}, indent=1))
    told = str(home.refused())
    assert f"{home.json}:3: session.{key} " in told
    assert words in told
    home.json.write_text(f'{{"plugin": [\n["{PLUGIN}", {{\n"{key}": {json.dumps(value)}}}]]}}')
    told = str(home.refused())
    assert f"{home.json}:3: the plugin's {key} " in told
    assert words in told


def test_every_key_has_a_mistake() -> None:
    """The list above leaves none out."""
    assert set(SESSION_KEYS) == {key for key, _, _ in WRONG}


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_a_number_is_finite(home: Home, value: str) -> None:
    """TOML can write numbers that no limit is."""
    for key in ("maxSizeMB", "maxAgeDays", "keepActiveDays", "evictMaxSizeMB"):
        home.toml.write_text(f"{key} = {value}")
        assert f"config.toml:1: {key} must be a number of" in str(home.refused())


@pytest.mark.parametrize("key", SESSION_KEYS)
def test_a_date_is_none_of_them(home: Home, key: str) -> None:
    """TOML can write dates, and a table has the form of an object."""
    home.toml.write_text(f"{key} = 2020-01-02")
    assert str(home.refused()).endswith("found 2020-01-02")
    home.toml.write_text(f"\n[{key}]\nof = 1")
    assert str(home.refused()).startswith(f"{home.toml}:2: {key} must be ")


@given(st.sampled_from(KEYS), ANYTHING)
def test_a_value_can_be_meant_or_is_refused(key: Key, value: object) -> None:
    """Whatever stands in a file: a value with a meaning, or an error in words; and written down it means the same."""
    try:
        found, told = meant(key, value), key.name
    except UsageError as error:
        found, told = None, str(error)
    assert key.name == told.split()[0]
    if found is not None and key.name != "archive":
        again = meant(key, as_written(key, found))
        assert again == found or again == pytest.approx(found)


def test_no_limit_is_no_zero(home: Home) -> None:
    """Who means to have no limit is told how."""
    home.json.write_text(json.dumps(entry(maxSizeMB=0)))

    assert "without maxSizeMB there is no such limit; remove it" == home.refused().hint


def test_a_unit_is_not_written(home: Home) -> None:
    """Who writes a size as on the command line is told how."""
    home.toml.write_text('maxSizeMB = "200MB"')

    assert "a number without a unit and without quotation marks" == home.refused().hint


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("OCBLOB_MAX_SIZE", "5XB", "'5XB' is no size"),
        ("OCBLOB_MAX_SIZE", "0", "a maximum size of 0 bytes"),
        ("OCBLOB_MAX_AGE", "30s", "a maximum age of 30 s"),
        ("OCBLOB_MAX_AGE", "soon", "'soon' is no age"),
        ("OCBLOB_MAX_SESSIONS", "many", "'many' is no whole number"),
        ("OCBLOB_MAX_SESSIONS", "-1", "a maximum of -1 sessions"),
    ],
)
def test_a_variable_that_cannot_be_meant_is_named(home: Home, variable: str, value: str, words: str) -> None:
    """A variable is told by its name."""
    error = home.refused(**{variable: value})

    assert str(error).startswith(f"{variable}: {words}")
    assert "" == error.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"session": {"maxSizeMB": 1}', "line 1, column 29: expected ',' or '}'"),
        ('{\n"session": []}', "line 2: session must be an object, found []"),
        ('{"session": {"keep": "{env:KEPT}"}}', ":1: session.keep must be a list of session ids"),
        ('{"plugin": {}}', '"plugin" is no array'),
        (
            '{"session": {"keep": ["a"]},\n"session": {"maxSessions": 1}}',
            "line 2: session stands here for the second time",
        ),
        ('{"session": {"keep": ["a"],\n"keep": []}}', "line 2: keep stands here for the second time"),
        ("[]", "it is no JSON object"),
    ],
)
def test_a_file_of_opencode_that_cannot_be_read_is_named(home: Home, text: str, words: str) -> None:
    """What may hold a word on what to keep must be readable before anything goes."""
    home.json.write_text(text)
    told = str(home.refused())

    assert told.startswith(str(home.json))
    assert words in told


def test_a_session_without_entries_of_plugins_counts(home: Home) -> None:
    """No plugin is needed for it."""
    home.json.write_text('{"session": {"maxSessions": 3}}')

    assert 3 == home.settings().max_sessions


def test_only_who_takes_something_away_is_stopped(home: Home) -> None:
    """Who asks without strictness gets what can be meant, and is told the rest; the store is found all the same."""
    home.toml.write_text("maxSessions = 0\nwarnMB = [7]\n")
    home.json.write_text('{"session": {"maxSizeMB": "1", "maxSessions": 4}}')
    found = home.settings(strict=False)

    assert (None, 4, (7_000_000,)) == (found.max_size, found.max_sessions, found.warn_bytes)
    assert [f"{home.json}:1: session.maxSizeMB must", f"{home.toml}:1: maxSessions is 0"] == [
        str(problem)[: len(start)]
        for problem, start in zip(
            found.problems, (f"{home.json}:1: session.maxSizeMB must", f"{home.toml}:1: maxSessions is 0"), strict=True
        )
    ]
    assert "`ocblob config show` lists all 2" in str(home.refused())
    assert "default" == config.store_place(None, environment=home.environment).source


def test_a_broken_config_file_stops_only_the_strict(home: Home) -> None:
    """A file that is no TOML is a problem among others for who takes nothing away."""
    home.toml.write_text("maxSessions = ")
    home.json.write_text('{"session": {"maxSessions": 4}}')

    assert str(home.toml) in str(home.refused())
    assert (4, 1) == ((found := home.settings(strict=False)).max_sessions, len(found.problems))


# ---- the file's own names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("\nmaxsizemb = 1", ":2: unknown key maxsizemb", "is maxSizeMB meant?"),
        ("max_age_days = 1", ":1: unknown key max_age_days", "is maxAgeDays meant?"),
        ("cachesize = 1", ":1: unknown key cachesize", "is cache_size meant?"),
        ("x = 1", ":1: unknown key x", "known are store, cache_size, previews, databases, maxSizeMB,"),
        (
            "[s3]\nregion = 'x'\nmaxSizeMB = 1",
            ":3: maxSizeMB stands in the table [s3]",
            "write it above the first table",
        ),
        ("[session]\nmaxSizeMB = 1", ":2: maxSizeMB stands in the table [session]", "write it above"),
        ("[retain]\nmax_sessions = 1", ":2: max_sessions stands in the table [retain]", "write it above"),
        ("s3 = { keep = [] }", ":1: keep stands in the table [s3]", "write it above"),
    ],
)
def test_a_key_that_nobody_knows_stops_every_command(home: Home, text: str, told: str, hint: str) -> None:
    """A misspelt limit, or one that slipped below a table, would silently not hold."""
    home.toml.write_text(text)

    with pytest.raises(UsageError) as caught:
        config.store_place(None, environment=home.environment)
    assert f"{home.toml}{told}" == str(caught.value)
    assert caught.value.hint.startswith(hint)
    assert f"{home.toml}{told}" == str(home.refused())


def test_a_secret_is_not_repeated(home: Home) -> None:
    """A mistake in an option that looks like a secret is told without its value."""
    home.toml.write_text('[s3]\nsecret_key = ["hidden"]')

    with pytest.raises(UsageError) as caught:
        config.store_place(None, environment=home.environment)
    assert f"{home.toml}:2: s3.secret_key must be a text or a number, found ..." == str(caught.value)


# ---- the documents ---------------------------------------------------------------------------------------------


def test_the_documented_table_is_the_one_that_holds() -> None:
    """Each key stands in the table with its default, in the order of `config show`, and no other one does."""
    page = (Path(__file__).parents[1] / "docs" / "sessions.md").read_text(encoding="utf-8")
    table = page.partition("| key | type | default | means | where |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.strip().splitlines()[1:]]
    documented = {row[0].strip("`"): (row[2], row[4].strip(" |`")) for row in rows if not row[0].startswith("`[")}
    special = {"archive": "`archives` beside the default store", "mirror": "no mirror"}
    expected = {
        key.name: (special.get(key.name, "no limit" if key.default is None else f"`{json.dumps(key.default)}`"), "all")
        for key in KEYS
    }

    assert ["config.toml"] * len(FILE_KEYS) == [documented[key][1] for key in FILE_KEYS]
    assert [*FILE_KEYS, *expected] == list(documented)
    assert expected == {key: documented[key] for key in expected}


def test_the_documented_examples_can_be_meant(home: Home) -> None:
    """What the page writes as configuration is taken as it is written."""
    page = (Path(__file__).parents[1] / "docs" / "sessions.md").read_text(encoding="utf-8")
    found = []
    for kind, file in (("toml", home.toml), ("json", home.json)):
        file.write_text(page.partition("## Configuration")[2].partition(f"```{kind}\n")[2].partition("```")[0])
        found.append(home.settings())
        file.unlink()

    assert [(200_000_000, 30 * 86_400.0, ("ses_47a1b2c3",))] * 2 == [
        (one.max_size, one.max_age_s, one.keep) for one in found
    ]
    assert home.root / "opencode-archives" == found[0].archive


def test_the_documented_variables_are_those_that_are_read() -> None:
    """Each variable for a limit stands on the page."""
    page = (Path(__file__).parents[1] / "docs" / "sessions.md").read_text(encoding="utf-8")

    assert [] == [name for name in LIMIT_VARIABLES if f"`{name}`" not in page]
