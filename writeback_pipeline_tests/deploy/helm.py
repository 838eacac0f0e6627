"""Helm on the chart, without a cluster: `python -m writeback_pipeline_tests.deploy.helm [VALUES.yaml]` prints what Helm
makes of it, as `helm template` does, and fails with what Helm says. A process of its own: Go's runtime stays in it.
"""

import sys
from pathlib import Path

import click
import helm_python
import yaml

from writeback_pipeline.commands.dagster_home import PROJECT

CHART = PROJECT / "deploy" / "helm" / "writebacks"
RELEASE, NAMESPACE = "writebacks", "crm"
INFORMATION = 1
"""Of what Helm's lint finds: nothing that has to be mended."""


@click.command()
@click.argument("values", type=click.Path(exists=True, path_type=Path), required=False)
def main(values: Path | None) -> None:
    """Validate the values, lint the chart, print the manifests."""
    told = yaml.safe_load(values.read_text()) if values else {}
    try:
        with helm_python.Chart.load(CHART) as chart:
            chart.validate_schema(told)
            rendered = chart.render(told, name=RELEASE, namespace=NAMESPACE)
    except helm_python.HelmError as error:
        sys.exit(str(error))
    found = helm_python.lint(CHART, told, strict=True, namespace=NAMESPACE)
    if wrong := [each for each in found["messages"] if each["severity"] > INFORMATION]:
        sys.exit(str(wrong))
    for template, text in sorted(rendered.items()):
        if template.endswith(".yaml"):
            click.echo(f"---\n# {template}\n{text}")


if __name__ == "__main__":
    main()
