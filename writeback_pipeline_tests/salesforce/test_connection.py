import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from writeback_pipeline.salesforce.connection import (
    ClientCredentials,
    ConfigurationError,
    JwtBearer,
    SalesforceConnection,
    from_environment,
)

URL = "https://acme.my.salesforce.com"
SECRET = "s3cr3t-value"
BY_SECRET = {"SALESFORCE_URL": URL, "SALESFORCE_CLIENT_ID": "app", "SALESFORCE_CLIENT_SECRET": SECRET}


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "app.pem"
    path.write_bytes(pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    return path


def test_nothing_configured_means_no_connection() -> None:
    assert from_environment({"PATH": "/bin", "SALESFORCE_URL": "", "SALESFORCE_CLIENT_SECRET": "  "}) is None


def test_client_credentials_are_read_and_trimmed() -> None:
    connection = from_environment({**BY_SECRET, "SALESFORCE_CLIENT_SECRET": f"{SECRET}\n"})
    assert connection == SalesforceConnection(URL, "app", ClientCredentials(SECRET))


def test_a_key_file_makes_it_a_jwt_login(key_file: Path) -> None:
    connection = from_environment(
        {
            "SALESFORCE_URL": URL + "/",
            "SALESFORCE_CLIENT_ID": "app",
            "SALESFORCE_USERNAME": "ann@acme.example",
            "SALESFORCE_PRIVATE_KEY_FILE": str(key_file),
        }
    )
    assert connection is not None
    assert connection.url == URL
    assert isinstance(connection.auth, JwtBearer)
    assert connection.auth.username == "ann@acme.example"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (["URL"], ["CLIENT_ID", "CLIENT_SECRET (or SALESFORCE_USERNAME and SALESFORCE_PRIVATE_KEY_FILE)"]),
        (["URL", "CLIENT_ID"], ["CLIENT_SECRET"]),
        (["CLIENT_ID", "CLIENT_SECRET"], ["URL"]),
        (["URL", "CLIENT_SECRET"], ["CLIENT_ID"]),
        (["URL", "CLIENT_ID", "USERNAME"], ["PRIVATE_KEY_FILE"]),
        (["URL", "CLIENT_ID", "PRIVATE_KEY_FILE"], ["USERNAME"]),
        (["PRIVATE_KEY_FILE"], ["URL", "CLIENT_ID", "USERNAME"]),
    ],
)
def test_an_incomplete_set_names_what_is_missing(given: list[str], missing: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        from_environment({f"SALESFORCE_{name}": SECRET for name in given})
    before, _, after = str(refused.value).partition(" missing beside ")
    assert all(f"SALESFORCE_{name}" in before for name in missing)
    assert all(f"SALESFORCE_{name}" in after for name in given)
    assert SECRET not in str(refused.value)


def test_a_secret_beside_a_key_is_a_contradiction() -> None:
    with pytest.raises(ConfigurationError, match=r"SECRET and SALESFORCE_USERNAME contradict .* unset"):
        from_environment({**BY_SECRET, "SALESFORCE_USERNAME": "ann@acme.example"})


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://acme.my.salesforce.com", "unencrypted"),
        ("http://127.0.0.1.evil.example", "unencrypted"),
        ("acme.my.salesforce.com", "not a web address"),
        ("ftp://acme.my.salesforce.com", "not a web address"),
        ("https://acme.my.salesforce.com:port", "not a URL"),
        ("https://ann:pw@acme.my.salesforce.com", "scheme and host only"),
        ("https://acme.my.salesforce.com/services/data", "scheme and host only"),
        ("https://acme.my.salesforce.com?x=1", "scheme and host only"),
        ("https://login.salesforce.com", "My Domain"),
        ("https://acme.lightning.force.com", "My Domain"),
    ],
)
def test_an_address_that_would_not_do_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refused:
        from_environment({**BY_SECRET, "SALESFORCE_URL": url})
    assert "SALESFORCE_URL" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "netloc"),
    [
        ("http://localhost:8080", "localhost:8080"),
        ("http://127.0.0.1:80/", "127.0.0.1"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("https://Acme.my.salesforce.com:443", "acme.my.salesforce.com"),
    ],
)
def test_plain_http_is_for_this_machine_only(url: str, netloc: str) -> None:
    assert SalesforceConnection(url, "app", ClientCredentials("x")).netloc == netloc


@pytest.mark.parametrize("content", [None, b"not a key", b""])
def test_a_key_file_must_hold_a_key(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "app.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=re.escape(str(path))):
        from_environment(jwt_variables(path))


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ec.pem"
    path.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ConfigurationError, match="another kind"):
        from_environment(jwt_variables(path))


def test_the_repr_shows_no_secret(key_file: Path) -> None:
    by_secret, by_key = from_environment(BY_SECRET), from_environment(jwt_variables(key_file))
    assert SECRET not in repr(by_secret)
    assert "key" not in repr(by_key).lower().replace("jwtbearer", "")


def jwt_variables(path: Path) -> dict[str, str]:
    return {
        "SALESFORCE_URL": URL,
        "SALESFORCE_CLIENT_ID": "app",
        "SALESFORCE_USERNAME": "ann@acme.example",
        "SALESFORCE_PRIVATE_KEY_FILE": str(path),
    }
