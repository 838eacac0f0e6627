"""`writebacks console`: the pages, served until Ctrl-C; and the hash of a password for those who may open them."""

import os
import sys
from datetime import UTC, datetime, timedelta

import click

from writeback_pipeline.bindings import open_activity, open_channels, open_organisation, open_store
from writeback_pipeline.commands.operator import operator
from writeback_pipeline.commands.output import InputError
from writeback_pipeline.delivery.pinning import check_pinned
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Held
from writeback_pipeline.environment import Environment, read_environment
from writeback_pipeline.store.store import Store

HOST = "127.0.0.1"
PORT = 3001
PATIENCE = timedelta(seconds=10)
"""How long a page waits for the database before it says that it is busy."""

LOOK_SECONDS = 8.0
"""How long a person at a page waits for Salesforce."""


@click.group(invoke_without_command=True)
@click.option(
    "--host", default=HOST, show_default=True, help="The address to listen on; others than loopback need accounts."
)
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any free.")
@click.pass_context
def console(context: click.Context, host: str, port: int) -> None:
    """Serve the pages, Writeback Settings and the others, until Ctrl-C."""
    if context.invoked_subcommand is None:
        _serve(host, port)


@console.command("hash-password")
def hash_password_() -> None:
    """Ask for a password, or read it from standard input, and print what WRITEBACK_CONSOLE_USERS keeps of it."""
    from writeback_pipeline.console.passwords import hash_password

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        click.echo(hash_password(password))
    except ValueError as error:
        raise InputError(str(error)) from None


def _serve(host: str, port: int) -> None:
    from writeback_pipeline.cli import troubles
    from writeback_pipeline.commands.dagster_webserver import DagsterWebserver
    from writeback_pipeline.commands.lookout import keep_looking
    from writeback_pipeline.console.access import AccessError, read_access
    from writeback_pipeline.console.app import create_app
    from writeback_pipeline.console.ports import Links, Ports
    from writeback_pipeline.console.server import address_of, listen, serve

    try:
        access = read_access(os.environ, host, operator())
        listener = listen(host, port)
    except AccessError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"{host} port {port} cannot be used ({error.strerror}): choose others, or port 0") from None
    environment, channels = read_environment(os.environ), open_channels(os.environ)
    store = open_store(environment, wait=PATIENCE)
    links = Links(
        *(os.environ.get(name, "").rstrip("/") or None for name in ("SALESFORCE_URL", "WRITEBACK_DAGSTER_URL"))
    )
    ports = Ports(
        ledger=store,
        clock=lambda: datetime.now(UTC),
        troubles=troubles(),
        activity=lambda: open_activity(environment),
        runs=DagsterWebserver(links.dagster),
        links=links,
        look=lambda person: look(environment, store, person),
    )
    app = create_app(ports, access)
    stop_looking = keep_looking(store, channels, troubles=troubles())
    try:
        serve(app, listener, lambda: click.echo(f"Console   {address_of(host, listener)}"))
    finally:
        stop_looking()


def look(environment: Environment, store: Store, person: PersonRef) -> Held:
    """What the ledger's organisation holds under a person's id now; not waited for very long."""
    with open_organisation(environment, os.environ, read_seconds=LOOK_SECONDS) as organisation:
        check_pinned(store.pinned_organisation(), organisation.organisation_id)
        return organisation.look([person])[person.salesforce_id]
