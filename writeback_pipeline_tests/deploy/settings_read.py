"""Which variables of the environment somebody reads: the product's code, or the configurations that deploy/ has."""

from functools import cache

from writeback_pipeline.commands.dagster_home import PROJECT

READ_BY_LIBRARIES = frozenset({"DAGSTER_HOME", "DAGSTER_CURRENT_IMAGE", "FORWARDED_ALLOW_IPS", "PYTHONPATH"})


def is_read(name: str) -> bool:
    """Whether anybody does."""
    return name in READ_BY_LIBRARIES or f'"{name}"' in _sources() or f"env: {name}" in _sources()


@cache
def _sources() -> str:
    files = [*(PROJECT / "writeback_pipeline").rglob("*.py"), *(PROJECT / "deploy").glob("*/dagster*.*")]
    return "\n".join(path.read_text() for path in files)
