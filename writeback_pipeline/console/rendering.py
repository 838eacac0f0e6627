"""Templates and how they show values. Everything is escaped; no template holds a script or a style."""

from datetime import datetime
from hashlib import sha256
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from writeback_pipeline.console.charts import spoken
from writeback_pipeline.domain.writebacks import local_time, utc_text

PACKAGE = "writeback_pipeline.console"

TOKEN = "csrf"  # noqa: S105 - a field's name

NAVIGATION = (
    ("/", "Overview"),
    ("/writebacks", "Writeback List"),
    ("/settings", "Writeback Settings"),
)
"""Path and name of each page in the menu."""


class Templates:
    """The console's templates; what all of them know is here."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader(PACKAGE),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals |= {"navigation": NAVIGATION, "static": _versions(), "csrf": csrf}
        self._environment.filters |= {"utc": utc, "local": local, "in_zone": local_time, "since": since}

    def render(self, template: str, **context: Any) -> str:
        """The template with that context."""
        return self._environment.get_template(template).render(**context)


def csrf(visit: Any) -> Markup:
    """The field that every form has: it shows that the form came from this console."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(TOKEN, visit.token)


def utc(instant: datetime) -> str:
    """An instant as the ledger's exports write it, to the second."""
    return utc_text(instant.replace(microsecond=0))


def local(instant: datetime, zone: ZoneInfo) -> str:
    """An instant in the bridge's time zone, such as `Mon 23 Nov 2026, 05:20 EST`."""
    return local_time(instant, zone).strftime("%a %d %b %Y, %H:%M %Z")


def since(now: datetime, earlier: datetime) -> str:
    """How long ago that was, such as `12 min ago`."""
    return f"{spoken(max(0, int((now - earlier).total_seconds())))} ago"


def _versions() -> dict[str, str]:
    """Name to address of each static file. The address changes with the file, so that browsers may keep it."""
    folder = files(PACKAGE) / "static"
    return {
        file.name: f"/static/{file.name}?v={sha256(file.read_bytes()).hexdigest()[:12]}" for file in folder.iterdir()
    }
