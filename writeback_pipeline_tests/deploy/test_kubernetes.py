"""The manifests for Kubernetes, rendered by kubectl and held against Kubernetes' own schemas; no cluster is needed.

What is not shown here: that a cluster's admission rules take them, that its network enforces the policies.
"""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
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
from writeback_pipeline_tests.deploy.settings_read import is_read

FOLDER = PROJECT / "deploy" / "k8s"
VERSIONS = ("1.30", kubernetes_validate.latest_version())
KUBECTL = Path(sys.executable).with_name("kubectl")

Manifest = dict[str, Any]
Manifests = dict[str, dict[str, Manifest]]


@pytest.fixture(scope="module")
def rendered() -> list[Manifest]:
    shown = subprocess.run([KUBECTL, "kustomize", FOLDER], check=True, stdout=subprocess.PIPE, text=True)
    return list(yaml.safe_load_all(shown.stdout))


@pytest.fixture(scope="module")
def secrets() -> list[Manifest]:
    return list(yaml.safe_load_all((FOLDER / "secrets.example.yaml").read_text()))


@pytest.fixture(scope="module")
def by_kind(rendered: list[Manifest]) -> Manifests:
    found: Manifests = defaultdict(dict)
    for manifest in rendered:
        found[manifest["kind"]][manifest["metadata"]["name"]] = manifest
    return found


@pytest.fixture(scope="module")
def run_job() -> Manifest:
    """The job that the configured launcher makes of a run."""
    launcher: K8sRunLauncher = ConfigurableClassData(
        "dagster_k8s", "K8sRunLauncher", yaml.safe_dump(_launcher_configuration())
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


def _launcher_configuration() -> dict[str, Any]:
    """What dagster.yaml says; a test is in no cluster, so without a look for its address there."""
    configuration: dict[str, Any] = yaml.safe_load((FOLDER / "dagster.yaml").read_text())["run_launcher"]["config"]
    return configuration | {"load_incluster_config": False, "kubeconfig_file": str(_kubeconfig())}


def _kubeconfig() -> Path:
    return Path(__file__).with_name("kubeconfig.yaml")


def _pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for manifest in manifests:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield f"{manifest['kind']} {manifest['metadata']['name']}", spec["template"]


def test_kubernetes_takes_every_manifest(rendered: list[Manifest], secrets: list[Manifest], run_job: Manifest) -> None:
    for manifest in (*rendered, *secrets, run_job):
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_dagster_takes_the_instance_configuration_and_counts_on_nothing_that_a_pod_forgets() -> None:
    config, _ = dagster_instance_config(str(FOLDER))
    assert config["run_monitoring"]["enabled"]
    assert config["run_retries"]["enabled"]
    assert config["storage"]["custom"]["config"] == {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}


def test_but_for_the_launcher_dagster_is_configured_as_with_celery() -> None:
    ours, celery = (
        yaml.safe_load((PROJECT / "deploy" / name / "dagster.yaml").read_text()) for name in ("k8s", "celery")
    )
    assert {k: v for k, v in ours.items() if k != "run_launcher"} == {
        k: v for k, v in celery.items() if k != "run_launcher"
    }


def test_the_workspace_is_the_one_of_the_compose_file() -> None:
    assert (FOLDER / "workspace.yaml").read_text() == (PROJECT / "deploy" / "workspace.yaml").read_text()


def test_no_pod_has_a_right_on_its_node_and_each_says_what_it_needs(
    rendered: list[Manifest], run_job: Manifest
) -> None:
    pods = dict(_pods([*rendered, run_job]))
    assert len(pods) == 6
    for name, template in pods.items():
        pod = template["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {"/tmp", "/var/lib/writebacks"} <= {mount["mountPath"] for mount in container["volumeMounts"]}, name
        assert container["resources"]["limits"]["memory"], name
        talks = pod.get("serviceAccountName") == "dagster"
        assert pod.get("automountServiceAccountToken", True) is talks, (
            "only what starts and ends runs talks to Kubernetes"
        )


def test_everything_that_is_named_is_there(by_kind: Manifests, secrets: list[Manifest], run_job: Manifest) -> None:
    there = {secret["metadata"]["name"] for secret in secrets}
    configuration = _launcher_configuration()
    manifests = [manifest for kind in by_kind.values() for manifest in kind.values()]
    for name, template in _pods([*manifests, run_job]):
        for source in template["spec"]["containers"][0].get("envFrom", []):
            assert source["secretRef"]["name"] in there, name
    assert configuration["instance_config_map"] in by_kind["ConfigMap"]
    assert configuration["service_account_name"] in by_kind["ServiceAccount"]
    assert configuration["job_namespace"] == by_kind["ServiceAccount"]["run"]["metadata"]["namespace"]
    for name, service in by_kind["Service"].items():
        pod = by_kind["Deployment"][name]["spec"]["template"]
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ports = {port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        assert {port["port"] for port in service["spec"]["ports"]} == ports
    for policy in by_kind["NetworkPolicy"].values():
        labels = policy["spec"]["podSelector"].get("matchLabels", {})
        assert not labels or labels["app.kubernetes.io/name"] in by_kind["Deployment"]


def test_every_variable_is_one_that_the_product_or_its_configuration_of_dagster_reads(secrets: list[Manifest]) -> None:
    names = {name for secret in secrets for name in secret["stringData"]}
    assert len(names) > 8
    assert [name for name in sorted(names) if not is_read(name)] == []


def test_a_run_uses_the_image_of_the_code_that_it_is_a_run_of(by_kind: Manifests) -> None:
    (container,) = by_kind["Deployment"]["code"]["spec"]["template"]["spec"]["containers"]
    (told,) = (each["value"] for each in container["env"] if each["name"] == "DAGSTER_CURRENT_IMAGE")
    assert told == container["image"]
    assert not told.endswith(":latest")


def test_what_dagster_may_do_is_what_its_launcher_does(by_kind: Manifests) -> None:
    rules = {
        resource: set(rule["verbs"]) for rule in by_kind["Role"]["dagster"]["rules"] for resource in rule["resources"]
    }
    assert {"create", "get", "list", "delete"} <= rules["jobs"]
    assert not any("*" in verbs for verbs in rules.values())
    assert "secrets" not in rules
