"""Which layer wins, what is refused, what is masked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import Settings, find_home, parse_env_file

NAME = "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".rtmlops").mkdir()
    return tmp_path


def servers(folder: Path, environ: dict[str, str], **flags: str) -> tuple[str, str]:
    settings, sources = Settings.load_with_sources(
        environ=environ, start=folder, **flags
    )
    source = sources.get("kafka_bootstrap_servers", "default")
    return settings.kafka_bootstrap_servers, Path(source).name


def test_flag_environment_dotenv_stack_default_in_that_order(folder: Path) -> None:
    assert servers(folder, {}) == ("127.0.0.1:9092", "default")
    (folder / ".rtmlops" / "env").write_text(f"{NAME}=stack:1\n")
    assert servers(folder, {}) == ("stack:1", "env")
    (folder / ".env").write_text(f"export {NAME}='dotenv:1'\n")
    assert servers(folder, {}) == ("dotenv:1", ".env")
    assert servers(folder, {NAME: "env:1"}) == ("env:1", "environment")
    flag = servers(folder, {NAME: "env:1"}, kafka_bootstrap_servers="flag:1")
    assert flag == ("flag:1", "flag")


def test_a_usual_name_is_an_alias_within_its_own_layer_only(folder: Path) -> None:
    alias = {"KAFKA_BOOTSTRAP_SERVERS": "alias:1"}
    assert servers(folder, alias) == ("alias:1", "environment")
    assert servers(folder, {**alias, NAME: "own:1"})[0] == "own:1"
    (folder / ".env").write_text(f"{NAME}=dotenv:1\n")
    assert servers(folder, alias)[0] == "alias:1"


def test_an_alias_of_each_usual_name_is_read(folder: Path) -> None:
    settings = Settings.load(
        environ={
            "DATABASE_URL": "postgresql://a/b",
            "MLFLOW_TRACKING_URI": "http://m:5000",
            "CLICKHOUSE_URL": "http://c:8123",
        },
        start=folder,
    )
    assert settings.database_url.get_secret_value() == "postgresql://a/b"
    assert settings.mlflow_tracking_uri == "http://m:5000"
    assert settings.clickhouse_url is not None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("RTMLOPS_DATABSE_URL", "did you mean RTMLOPS_DATABASE_URL?"),
        ("RTMLOPS_ZZZZZZ", "unset it"),
    ],
)
def test_an_unknown_name_is_refused_with_where_it_stands(
    name: str, hint: str, folder: Path
) -> None:
    (folder / ".env").write_text(f"{name}=1\n")
    with pytest.raises(UsageError, match=name) as raised:
        Settings.load(environ={}, start=folder)
    assert raised.value.remedy == hint
    assert ".env" in raised.value.message


def test_an_impossible_value_is_refused_by_name_and_layer(folder: Path) -> None:
    with pytest.raises(UsageError, match="RTMLOPS_METRICS_PORT .from environment"):
        Settings.load(environ={"RTMLOPS_METRICS_PORT": "-1"}, start=folder)


def test_extra_settings_of_the_client_pass_through(folder: Path) -> None:
    environ = {"RTMLOPS_KAFKA_EXTRA__client.rack": "r1"}
    settings = Settings.load(environ=environ, start=folder)
    assert settings.kafka_extra == {"client.rack": "r1"}


def test_extra_settings_of_all_layers_come_together(folder: Path) -> None:
    (folder / ".env").write_text(
        "RTMLOPS_KAFKA_EXTRA__client.rack=r1\nRTMLOPS_KAFKA_EXTRA__linger.ms=5\n"
    )
    environ = {"RTMLOPS_KAFKA_EXTRA__linger.ms": "9"}
    settings = Settings.load(environ=environ, start=folder)
    assert settings.kafka_extra == {"client.rack": "r1", "linger.ms": "9"}


def test_no_env_file_is_read_where_it_is_set_to_nothing(folder: Path) -> None:
    (folder / ".env").write_text("RTMLOPS_METRICS_PORT=1\n")
    environ = {"RTMLOPS_ENV_FILE": ""}
    assert Settings.load(environ=environ, start=folder).metrics_port == 0


def test_an_env_file_that_is_named_must_be_there(folder: Path) -> None:
    with pytest.raises(UsageError, match="RTMLOPS_ENV_FILE names"):
        Settings.load(environ={"RTMLOPS_ENV_FILE": str(folder / "none")}, start=folder)


def test_an_env_file_that_is_no_text_is_wrong_use(folder: Path) -> None:
    (folder / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot read"):
        Settings.load(environ={}, start=folder)


def test_comments_quotes_and_blank_lines_of_an_env_file(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# A=1\n\nB = \"two words\"\nexport C='3'\nD=a=b\nnonsense\n")
    assert parse_env_file(file) == {"B": "two words", "C": "3", "D": "a=b"}
    assert parse_env_file(tmp_path / "none") == {}


def test_the_stack_is_found_from_below_and_where_it_is_said_to_be(folder: Path) -> None:
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    assert find_home(below, {}) == folder / ".rtmlops"
    assert find_home(below, {"RTMLOPS_HOME": "/elsewhere"}) == Path("/elsewhere")


SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@db:5432/x",
        f"postgresql://db/x?user=me&password={SECRET}",
        f"host=db password={SECRET}",
        f"postgresql://me:{SECRET}@[::1",
    ],
)
def test_no_form_of_a_url_shows_its_password(url: str) -> None:
    assert SECRET not in str(Settings(database_url=url).masked())
    assert SECRET not in repr(Settings(database_url=url))


@given(
    # Begun so that it is none of the words that are shown by right.
    password=st.text(
        st.characters(codec="ascii", categories=["L", "N"]), min_size=9
    ).map("q7Z{}".format)
)
def test_no_secret_is_shown_whatever_it_is(password: str) -> None:
    settings = Settings(
        database_url=f"postgresql://me:{password}@db/x",
        mlflow_tracking_uri=f"https://me:{password}@mlflow",
        kafka_sasl_password=password,
        api_token=password,
        kafka_extra={"sasl.jaas.config": password, "client.rack": "r1"},
    )
    shown = settings.masked()
    assert password not in str(shown)
    assert shown["kafka_extra"]["client.rack"] == "r1"
    assert shown["database_url"] == "postgresql://me:********@db/x"


def test_security_is_gathered_in_terms_of_no_client() -> None:
    security = Settings(
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="me",
        kafka_sasl_password=SECRET,
    ).kafka_security
    assert security.protocol == "SASL_SSL" and security.sasl_username == "me"
    assert SECRET not in repr(security)
