"""`writebacks org`: the embedded organisation of this home: served over HTTP, made anew, or looked into."""

import os
from collections.abc import Sequence
from dataclasses import asdict

import click

from writeback_pipeline.commands.embedded import embedded_organisation
from writeback_pipeline.commands.org_faults import faults_group
from writeback_pipeline.commands.output import InputError, format_option, print_json, say
from writeback_pipeline.commands.person_page import page_text
from writeback_pipeline.domain.people import InvalidSalesforceId, normalise_id, object_type_of
from writeback_pipeline.environment import read_environment
from writeback_pipeline.store.location import open_database

PORT = 8000


@click.group()
def org() -> None:
    """Serve, reset and look into the embedded organisation; make it misbehave."""


org.add_command(faults_group)


@org.command()
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="For http; 0: any free.")
@click.option("--tls-port", type=click.IntRange(0, 65535), help="For https, with a certificate made for loopback.")
@click.option(
    "--with-package/--without-package",
    default=None,
    help="Deploy salesforce_package and assign its permission set, or take both away; as it was, if neither is given.",
)
def serve(port: int, tls_port: int | None, with_package: bool | None) -> None:
    """Serve the organisation on the loopback interface until Ctrl-C."""
    from writeback_pipeline.local_org import package, server, tokens  # a web server: only where one is wanted
    from writeback_pipeline.local_org.state import open_org

    environment = read_environment(os.environ)
    organisation = open_org(environment.local_org, with_sample=True)
    with organisation.connection() as connection:
        client = tokens.create_jwt_client(connection, environment.home / "jwt")
        if with_package is not None:
            (package.install if with_package else package.uninstall)(connection)
    organisation.close()
    say(f"Embedded organisation of {environment.local_org}")
    say(f"  client credentials   client id {tokens.LOCAL_CLIENT}, client secret {tokens.PASSWORD}")
    say(f"  JWT bearer           client id {client.client_id}, user name {client.username}")
    say(f"                       private key {client.private_key_path}, new at every start")
    try:
        server.serve_forever(
            environment.local_org, port, tls_port, lambda address: say(f"  listening            {address}")
        )
    except OSError as error:
        raise InputError(f"the port cannot be used ({error.strerror}): choose others, or 0 for any free one") from None


@org.command()
def reset() -> None:
    """Make the organisation anew: everybody as in the beginning, nothing written to them.

    End `org serve` and running jobs first.
    """
    from writeback_pipeline.local_org import state

    environment, database = read_environment(os.environ), embedded_organisation(make=True)
    organisation = state.reset(database)
    with organisation.connection() as connection:
        counts = {
            name: connection.execute(f"SELECT count(*) FROM {name} WHERE IsDeleted = 0").fetchone()[0]
            for name in ("Contact", "Lead")
        }
    organisation.close()
    say(f"{database} is a new organisation with {counts['Contact']:,} Contacts, {counts['Lead']:,} Leads")
    if environment.has_database:
        ledger = open_database(environment.database).shown
        say(
            f"{ledger} was left as it is: what it calls written is not written again. To begin anew with it too, "
            "move it away."
        )


@org.command()
@click.argument("salesforce_id", metavar="ID")
@click.argument("assignments", metavar="FIELD=VALUE...", nargs=-1, required=True)
def edit(salesforce_id: str, assignments: Sequence[str]) -> None:
    """Change a record as a Salesforce user does on its page, such as HasOptedOutOfEmail=true.

    true and false are a box ticked or not, an empty value empties the field; everything is changed, or nothing.
    """
    from writeback_pipeline.local_org import admin
    from writeback_pipeline.local_org.errors import ApiError
    from writeback_pipeline.local_org.state import open_org

    values: dict[str, object] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise click.UsageError(f"{assignment!r} is no assignment: write FIELD=VALUE")
        values[name] = {"true": True, "false": False, "": None}.get(value.lower(), value)
    organisation = open_org(embedded_organisation())
    try:
        with organisation.connection() as connection:
            admin.edit(admin.session(connection), _full_id(salesforce_id), values)
    except ApiError as error:
        raise InputError(f"{error.code}: {error.message}") from None
    finally:
        organisation.close()
    say(f"{salesforce_id}: {', '.join(assignments)}")


def _full_id(salesforce_id: str) -> str:
    try:
        return normalise_id(salesforce_id)
    except InvalidSalesforceId as error:
        raise InputError(str(error)) from None


@org.command()
@click.argument("salesforce_id", metavar="ID")
@format_option("table", "json")
def show(salesforce_id: str, format_: str) -> None:
    """Show a Contact or Lead as a Salesforce user sees it: Email Opt Out, Notes, Activity History."""
    from writeback_pipeline.local_org.record_view import view
    from writeback_pipeline.local_org.state import open_org

    full_id = _full_id(salesforce_id)
    object_type = object_type_of(full_id)
    if object_type is None:
        raise InputError(f"{full_id} is not the id of a Contact (003...) or Lead (00Q...)")
    organisation = open_org(embedded_organisation())
    with organisation.connection() as connection:
        page = view(connection, object_type.value, full_id)
    organisation.close()
    if page is None:
        raise InputError(f"the organisation has no {object_type} {full_id}: it never had it, or it was purged")
    if format_ == "json":
        print_json(asdict(page))
    else:
        say(page_text(page))
