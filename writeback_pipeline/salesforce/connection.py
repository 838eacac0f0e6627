"""Which organisation to talk to and as whom, read from the environment and checked before anything is sent.

Configuration only: values and their errors. Logging in with them is `login`'s work.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from writeback_pipeline.domain.trouble import Trouble

URL = "SALESFORCE_URL"
CLIENT_ID = "SALESFORCE_CLIENT_ID"
CLIENT_SECRET = "SALESFORCE_CLIENT_SECRET"  # noqa: S105 - a name
USERNAME = "SALESFORCE_USERNAME"
PRIVATE_KEY_FILE = "SALESFORCE_PRIVATE_KEY_FILE"

_DEFAULT_PORTS = {"https": 443, "http": 80}
_SHARED_LOGIN_HOSTS = ("login.salesforce.com", "test.salesforce.com")


class ConfigurationError(Trouble):
    """The variables that name the organisation are incomplete, contradictory or wrong; the message says what to set."""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth client credentials: the app's secret."""

    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class JwtBearer:
    """OAuth JWT bearer: the user to act as, and the RSA key whose certificate the app holds."""

    username: str
    private_key: RSAPrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class SalesforceConnection:
    """An organisation and how to log in to it. `url` is scheme and host only; its repr shows no secret."""

    url: str
    client_id: str
    auth: ClientCredentials | JwtBearer

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _base_url(self.url))

    @property
    def netloc(self) -> str:
        """Host, with the port where it is not the scheme's own."""
        return urlsplit(self.url).netloc

    @property
    def scheme(self) -> str:
        """`https`, or `http` for an organisation on this machine."""
        return urlsplit(self.url).scheme

    @property
    def is_loopback(self) -> bool:
        """Whether the organisation runs on this machine."""
        return _is_loopback(urlsplit(self.url).hostname or "")


def from_environment(env: Mapping[str, str]) -> SalesforceConnection | None:
    """The connection that the variables describe; None when none of them is set (the embedded organisation is used).

    Raises ConfigurationError for anything else that is not one complete set.
    """
    names = (URL, CLIENT_ID, CLIENT_SECRET, USERNAME, PRIVATE_KEY_FILE)
    given = {name: env[name].strip() for name in names if env.get(name, "").strip()}
    if not given:
        return None
    _check_set(set(given))
    auth: ClientCredentials | JwtBearer
    if CLIENT_SECRET in given:
        auth = ClientCredentials(given[CLIENT_SECRET])
    else:
        auth = JwtBearer(given[USERNAME], _private_key(Path(given[PRIVATE_KEY_FILE])))
    return SalesforceConnection(given[URL], given[CLIENT_ID], auth)


def _check_set(given: set[str]) -> None:
    by_key = given & {USERNAME, PRIVATE_KEY_FILE}
    if CLIENT_SECRET in given and by_key:
        raise ConfigurationError(
            f"{CLIENT_SECRET} and {' and '.join(sorted(by_key))} contradict each other: unset {CLIENT_SECRET} to "
            "log in with a signed JWT, or the others to log in with client credentials"
        )
    missing = [name for name in (URL, CLIENT_ID) if name not in given]
    if by_key:
        missing += [name for name in (USERNAME, PRIVATE_KEY_FILE) if name not in given]
    elif CLIENT_SECRET not in given:
        missing.append(f"{CLIENT_SECRET} (or {USERNAME} and {PRIVATE_KEY_FILE})")
    if missing:
        raise ConfigurationError(
            f"{', '.join(missing)} missing beside {', '.join(sorted(given))}: set what is missing, "
            "or unset all of them to use the embedded organisation"
        )


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"{URL} is not a URL: use https://your-domain.my.salesforce.com") from None
    host = (parts.hostname or "").lower()
    if parts.scheme not in _DEFAULT_PORTS or not host or not text.isascii():
        raise ConfigurationError(f"{URL} is not a web address: use https://your-domain.my.salesforce.com")
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(f"{URL} must be scheme and host only, without user, path or query")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(f"{URL} would send secrets unencrypted to {host}: use https://{host}")
    if host in _SHARED_LOGIN_HOSTS or host.endswith(".lightning.force.com"):
        raise ConfigurationError(
            f"{URL} names {host}, which does not answer the API: use the My Domain address that Setup shows, "
            "https://your-domain.my.salesforce.com"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _private_key(path: Path) -> RSAPrivateKey:
    remedy = f"{PRIVATE_KEY_FILE} must name an unencrypted RSA private key in PEM form"
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}); {remedy}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{path} holds no key that can be used; {remedy}") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(f"{path} holds a key of another kind; {remedy}")
    return key
