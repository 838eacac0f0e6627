"""`writebacks console`: the pages, served until Ctrl-C; and the hash of a password for those who may open them."""

import os
import sys

import click

from writeback_pipeline.bridges import CHOSEN, read_bridges
from writeback_pipeline.commands.operator import operator
from writeback_pipeline.commands.output import InputError

HOST = "127.0.0.1"
PORT = 3001


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
    from writeback_pipeline.commands.console_ports import pipeline, pipeline_of
    from writeback_pipeline.commands.lookout import keep_looking
    from writeback_pipeline.console.access import AccessError, read_access
    from writeback_pipeline.console.app import create_app, create_app_of
    from writeback_pipeline.console.server import address_of, listen, serve

    try:
        access = read_access(os.environ, host, operator())
        listener = listen(host, port)
    except AccessError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"{host} port {port} cannot be used ({error.strerror}): choose others, or port 0") from None
    several = [] if os.environ.get(CHOSEN) else [bridge.name for bridge in read_bridges(os.environ)]
    served = {name: pipeline_of(name) for name in several} or {"": pipeline(os.environ)}
    ports = {name: each.ports for name, each in served.items()}
    app = create_app_of(ports, access) if several else create_app(ports[""], access)
    watched = [each.watched for each in served.values() if each.watched is not None]
    ends = [keep_looking(*each, troubles=troubles()) for each in watched]
    try:
        serve(app, listener, lambda: click.echo(f"Console   {address_of(host, listener)}"))
    finally:
        for end in ends:
            end()
