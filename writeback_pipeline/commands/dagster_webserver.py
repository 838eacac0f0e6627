"""Runs started and looked at through Dagster's webserver, over its GraphQL: the console imports no dagster.

Whatever the webserver answers, or does not, becomes a run or one sentence with the remedy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from writeback_pipeline.bridges_toml import key_prefix
from writeback_pipeline.console.ports import Launch, Run, RunsUnavailable

LOCATION = "writeback_pipeline"
REPOSITORY = "__repository__"
"""What Dagster calls the definitions of a code location."""

CONNECT_SECONDS = 3.0
LOOK_SECONDS = 5.0
LAUNCH_SECONDS = 30.0

_LAUNCH = """
mutation Launch($executionParams: ExecutionParams!) {
  launchRun(executionParams: $executionParams) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
  }
}
"""

_TAGGED = """
query Tagged($filter: RunsFilter!, $limit: Int!) {
  runsOrError(filter: $filter, limit: $limit) {
    __typename
    ... on Runs { results { runId status tags { key value } } }
    ... on Error { message }
  }
}
"""

_UNKNOWN = ("PipelineNotFoundError", "InvalidSubsetError", "RepositoryNotFoundError")


@dataclass(frozen=True, slots=True)
class DagsterWebserver:
    """The webserver at that address, which has no slash at its end; None when nobody said where it is. `bridge` is the
    one whose runs these are, where it has several."""

    url: str | None
    bridge: str = ""

    def launch(self, launch: Launch) -> str:
        """Start a run of our code location; its id. RunsUnavailable says whether it may have started all the same."""
        selector = {
            "repositoryLocationName": self._location,
            "repositoryName": REPOSITORY,
            "jobName": launch.job,
            "assetSelection": [{"path": [*self._prefix, name]} for name in launch.assets],
        }
        tags = {"dagster/partition": launch.partition, **launch.tags}
        metadata = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        params = {"selector": selector, "runConfigData": {}, "executionMetadata": metadata}
        answer = self._ask(_LAUNCH, {"executionParams": params}, LAUNCH_SECONDS, "launchRun")
        if answer["__typename"] in _UNKNOWN:
            raise RunsUnavailable(
                f"Dagster at {self.url} does not know the job {launch.job} of the code location {self._location}. "
                "Look at Deployment in its UI: reload the location, or correct what keeps it from loading."
            )
        if answer["__typename"] != "LaunchRunSuccess":
            raise RunsUnavailable(f"Dagster did not start the run: {_message(answer)}")
        return str(answer["run"]["runId"])

    def tagged(self, tag: str, value: str, limit: int) -> list[Run]:
        """The last runs with that tag, newest first."""
        only = {"filter": {"tags": [{"key": tag, "value": value}]}, "limit": limit}
        answer = self._ask(_TAGGED, only, LOOK_SECONDS, "runsOrError")
        if answer["__typename"] != "Runs":
            raise RunsUnavailable(f"Dagster does not tell its runs: {_message(answer)}")
        return [
            Run(run["runId"], run["status"].lower(), {each["key"]: each["value"] for each in run["tags"]})
            for run in answer["results"]
        ]

    @property
    def _location(self) -> str:
        return self.bridge or LOCATION

    @property
    def _prefix(self) -> list[str]:
        return [key_prefix(self.bridge)] if self.bridge else []

    def _ask(self, query: str, variables: Mapping[str, Any], seconds: float, name: str) -> dict[str, Any]:
        if self.url is None:
            raise RunsUnavailable("The console was not told where Dagster is: set WRITEBACK_DAGSTER_URL.")
        try:
            response = requests.post(
                f"{self.url}/graphql",
                json={"query": query, "variables": variables},
                timeout=(CONNECT_SECONDS, seconds),
                allow_redirects=False,
            )
            answer = response.json()["data"][name]
            assert isinstance(answer, dict)
            assert "__typename" in answer
        except requests.ConnectTimeout as error:
            raise self._away() from error
        except requests.Timeout as error:
            raise RunsUnavailable(
                f"Dagster at {self.url} did not answer within {seconds:g} seconds. What it was asked for may have "
                "happened: look at its runs before you ask again."
            ) from error
        except requests.JSONDecodeError as error:
            raise self._stranger() from error
        except requests.RequestException as error:
            raise self._away() from error
        except (KeyError, TypeError, AssertionError) as error:
            raise self._stranger() from error
        return answer

    def _away(self) -> RunsUnavailable:
        return RunsUnavailable(
            f"Dagster cannot be reached at {self.url}. Start its webserver (make dev does), or correct "
            "WRITEBACK_DAGSTER_URL."
        )

    def _stranger(self) -> RunsUnavailable:
        return RunsUnavailable(
            f"What answers at {self.url} is no Dagster webserver, or one of another version: correct "
            "WRITEBACK_DAGSTER_URL."
        )


def _message(answer: Mapping[str, Any]) -> str:
    """The first line of what Dagster says; the rest is a stack trace."""
    return (str(answer.get("message") or answer["__typename"]).strip().splitlines() or [""])[0][:300]
