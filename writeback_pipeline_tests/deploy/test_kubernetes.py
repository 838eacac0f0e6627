"""The chart, rendered by Helm's own library and held against Kubernetes' own schemas; no cluster is needed.

What is not shown here: that a cluster's admission rules take it, that its network enforces the policies.
"""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes_validate
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._serdes import ConfigurableClassData
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import construct_dagster_k8s_job
from kubernetes.client import ApiClient

from writeback_pipeline.commands.dagster_home import PROJECT
from writeback_pipeline_tests.deploy.helm import CHART, NAMESPACE, RELEASE
from writeback_pipeline_tests.deploy.settings_read import is_read

PRODUCTION = CHART.with_name("production.yaml")
VERSIONS = ("1.30", kubernetes_validate.latest_version())

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """What Helm makes of the chart."""

    manifests: list[Manifest]

    def of(self, kind: str) -> dict[str, Manifest]:
        """By name without the release's."""
        found = [manifest for manifest in self.manifests if manifest["kind"] == kind]
        return {manifest["metadata"]["name"].removeprefix(f"{RELEASE}-"): manifest for manifest in found}

    def told(self, file: str) -> Manifest:
        """A file of the instance's folder."""
        read: Manifest = yaml.safe_load(self.of("ConfigMap")["instance"]["data"][file])
        return read

    @cached_property
    def run_job(self) -> Manifest:
        """The job that the configured launcher makes of a run; a test has no address in a cluster."""
        kubeconfig = Path(__file__).with_name("kubeconfig.yaml")
        configuration = self.launcher | {"load_incluster_config": False, "kubeconfig_file": str(kubeconfig)}
        launcher: K8sRunLauncher = ConfigurableClassData(
            "dagster_k8s", "K8sRunLauncher", yaml.safe_dump(configuration)
        ).rehydrate(as_type=K8sRunLauncher)
        run = dg.DagsterRun(job_name="deliver_opt_outs", run_id="0b5a4a3c-5fd4-4d35-9d33-1f0a4c7c6a10")
        context = launcher.get_container_context_for_run(run)
        made = construct_dagster_k8s_job(
            job_config=context.get_k8s_job_config("writebacks:1", launcher),
            args=["dagster", "api", "execute_run"],
            job_name="dagster-run-1",
            component="run_worker",
            user_defined_k8s_config=context.run_k8s_config,
        )
        job: Manifest = ApiClient().sanitize_for_serialization(made)
        return {"apiVersion": "batch/v1", "kind": "Job", **job}

    @property
    def launcher(self) -> Manifest:
        configuration: Manifest = self.told("dagster.yaml")["run_launcher"]["config"]
        return configuration

    def pods(self) -> Iterator[tuple[str, Manifest]]:
        """Each pod's template, those of runs too."""
        for manifest in (*self.manifests, self.run_job):
            spec = manifest.get("spec", {})
            spec = spec.get("jobTemplate", {}).get("spec", spec)
            if "template" in spec:
                yield f"{manifest['kind']} {manifest['metadata']['name']}", spec["template"]


def helm(values: Path | None) -> subprocess.CompletedProcess[str]:
    """Helm on the chart with these values."""
    command = [sys.executable, "-m", "writeback_pipeline_tests.deploy.helm", *([str(values)] if values else [])]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module", params=[None, PRODUCTION], ids=["defaults", "production"])
def rendered(request: pytest.FixtureRequest) -> Rendered:
    shown = helm(request.param)
    assert shown.returncode == 0, shown.stderr
    return Rendered(list(yaml.safe_load_all(shown.stdout)))


@pytest.fixture(scope="module")
def secrets() -> list[Manifest]:
    return list(yaml.safe_load_all(CHART.with_name("secrets.example.yaml").read_text()))


def test_kubernetes_takes_every_manifest(rendered: Rendered, secrets: list[Manifest]) -> None:
    for manifest in (*rendered.manifests, *secrets, rendered.run_job):
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_dagster_takes_the_instance_configuration_and_counts_on_nothing_that_a_pod_forgets(
    rendered: Rendered, tmp_path: Path
) -> None:
    (tmp_path / "dagster.yaml").write_text(rendered.of("ConfigMap")["instance"]["data"]["dagster.yaml"])
    config, _ = dagster_instance_config(str(tmp_path))
    assert config["run_monitoring"]["enabled"]
    assert config["run_retries"]["enabled"]
    assert config["storage"]["custom"]["config"] == {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}


def test_but_for_launcher_and_places_dagster_is_configured_as_with_celery(rendered: Rendered) -> None:
    ours, celery = rendered.told("dagster.yaml"), _read("celery/dagster.yaml")
    for configuration in (ours, celery):
        del configuration["run_launcher"]
        del configuration["concurrency"]["runs"]
    assert ours == celery


def test_dagster_is_told_where_the_code_is_as_in_the_compose_file(rendered: Rendered) -> None:
    ours, theirs = rendered.told("workspace.yaml"), _read("workspace.yaml")
    assert ours["load_from"][0]["grpc_server"].pop("host") == rendered.of("Service")["code"]["metadata"]["name"]
    del theirs["load_from"][0]["grpc_server"]["host"]
    assert ours == theirs


def _read(name: str) -> Manifest:
    configuration: Manifest = yaml.safe_load((PROJECT / "deploy" / name).read_text())
    return configuration


def test_no_pod_has_a_right_on_its_node_and_each_says_what_it_needs(rendered: Rendered) -> None:
    pods = dict(rendered.pods())
    assert len(pods) == 6
    for name, template in pods.items():
        pod = template["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] == 10001, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {"/tmp", "/var/lib/writebacks"} <= {mount["mountPath"] for mount in container["volumeMounts"]}, name
        assert container["resources"]["limits"]["memory"], name
        talks = pod.get("serviceAccountName") == f"{RELEASE}-dagster"
        assert pod.get("automountServiceAccountToken", True) is talks, (
            "only what starts and ends runs talks to Kubernetes"
        )


def test_everything_that_is_named_is_there(rendered: Rendered, secrets: list[Manifest]) -> None:
    there = {secret["metadata"]["name"] for secret in secrets}
    maps, accounts = (
        {each["metadata"]["name"] for each in rendered.of(kind).values()} for kind in ("ConfigMap", "ServiceAccount")
    )
    for name, template in rendered.pods():
        (container,) = template["spec"]["containers"]
        for source in container.get("envFrom", []):
            if "secretRef" in source:
                assert source["secretRef"]["name"] in there, name
            else:
                assert source["configMapRef"]["name"] in maps, name
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys(), name
        assert all(volume["configMap"]["name"] in maps for volume in volumes.values() if "configMap" in volume), name
        assert template["spec"].get("serviceAccountName", f"{RELEASE}-run") in accounts, name
    assert rendered.launcher["job_namespace"] == NAMESPACE
    (subject,) = rendered.of("RoleBinding")["dagster"]["subjects"]
    assert (subject["name"] in accounts, subject["namespace"]) == (True, NAMESPACE)
    for name, service in rendered.of("Service").items():
        pod = rendered.of("Deployment")[name]["spec"]["template"]
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ports = {port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        assert {port["port"] for port in service["spec"]["ports"]} == ports


def test_every_policy_is_about_pods_that_are_there_and_none_lets_everybody_in(rendered: Rendered) -> None:
    pods = [template["metadata"].get("labels", {}) for name, template in rendered.pods() if not name.startswith("Job")]
    policies = rendered.of("NetworkPolicy")
    assert len(policies) == 4
    for name, policy in policies.items():
        chosen = [labels for labels in pods if policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()]
        assert len(chosen) == (5 if name == "nobody-else" else 1), name
        for rule in policy["spec"].get("ingress", []):
            assert rule["ports"], name
            assert rule["from"], name
            for who in rule["from"]:
                if "podSelector" in who:
                    assert any(who["podSelector"]["matchLabels"].items() <= labels.items() for labels in pods), name
                else:
                    assert who["namespaceSelector"]["matchExpressions"][0]["values"], name


def test_every_variable_is_one_that_the_product_or_its_configuration_of_dagster_reads(secrets: list[Manifest]) -> None:
    names = {name for secret in secrets for name in secret["stringData"]}
    names |= yaml.safe_load(PRODUCTION.read_text())["environment"].keys()
    assert len(names) > 12
    assert [name for name in sorted(names) if not is_read(name)] == []


def test_a_run_uses_the_image_of_the_code_that_it_is_a_run_of(rendered: Rendered) -> None:
    (container,) = rendered.of("Deployment")["code"]["spec"]["template"]["spec"]["containers"]
    (told,) = (each["value"] for each in container["env"] if each["name"] == "DAGSTER_CURRENT_IMAGE")
    assert told == container["image"]
    assert (
        rendered.told("workspace.yaml")["load_from"][0]["grpc_server"]["port"] == container["ports"][0]["containerPort"]
    )


def test_a_run_has_the_volumes_the_variables_and_the_nodes_of_the_values() -> None:
    production = Rendered(list(yaml.safe_load_all(helm(PRODUCTION).stdout)))
    values = yaml.safe_load(PRODUCTION.read_text())
    pods = dict(production.pods())
    for name in ("Job dagster-run-1", f"Deployment {RELEASE}-code"):
        pod = pods[name]["spec"]
        (container,) = pod["containers"]
        mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert {mount["mountPath"] for mount in values["volumeMounts"]} <= set(mounted)
        assert {volume["name"] for volume in values["volumes"]} <= {volume["name"] for volume in pod["volumes"]}
        assert {"configMapRef": {"name": f"{RELEASE}-environment"}} in container["envFrom"]
        assert pod["nodeSelector"] == values["nodeSelector"]
        assert pod["tolerations"] == values["tolerations"]
    assert production.of("ConfigMap")["environment"]["data"] == values["environment"]


def test_what_dagster_may_do_is_what_its_launcher_does(rendered: Rendered) -> None:
    rules = {
        resource: set(rule["verbs"])
        for rule in rendered.of("Role")["dagster"]["rules"]
        for resource in rule["resources"]
    }
    assert {"create", "get", "list", "delete"} <= rules["jobs"]
    assert not any("*" in verbs for verbs in rules.values())
    assert "secrets" not in rules


def test_the_chart_is_of_the_version_of_the_code() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["version"] == chart["appVersion"] == version


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("image: {tag: latest}", "/image/tag"),
        ("image: {repositry: example.org/writebacks}", "repositry"),
        ("webserver: {replicas: none}", "/webserver/replicas"),
        ("runs: {resources: {limits: {memory: null}}}", "memory"),
        ("environment: {SALESFORCE_CLIENT_SECRET: hunter2}", "SALESFORCE_CLIENT_SECRET"),
        ("environment: {WRITEBACK_DATABASE: postgresql://u:p@db/w}", "WRITEBACK_DATABASE"),
        ("workers: 2", "workers"),
        ("runs: {atOnce: 3, backfillsAtOnce: 3}", "runs.backfillsAtOnce"),
        ("network: {ingressNamespaces: ingress-nginx}", "/network/ingressNamespaces"),
    ],
)
def test_wrong_values_are_refused_by_name(wrong: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(wrong)
    refused = helm(tmp_path / "values.yaml")
    assert refused.returncode == 1
    assert named in refused.stderr
    assert "hunter2" not in refused.stderr
    assert not refused.stdout
