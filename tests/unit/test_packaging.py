"""The systemd units: sound, tight, and of the same paths as the example gate.yaml."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from config.page import link_socket_of
from tests.support.host_namespace import PrivateHost

CHECKOUT = Path(__file__).parents[2]
UNITS = CHECKOUT / "packaging" / "systemd"
EXAMPLE = yaml.safe_load((CHECKOUT / "config" / "example.yaml").read_text(encoding="utf-8"))
NGINX_DOCS = (CHECKOUT / "docs" / "how-to" / "nginx.md").read_text(encoding="utf-8")
EXPOSURE_AT_MOST = "20"  # tenths; systemd calls what is below 2.0 OK, and a unit without any of it is at 9.6


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[method-assign,assignment]
    parsed.read(UNITS / name)
    return parsed


def analyze(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """systemd-analyze on copies whose program and users are there on any host."""
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("no systemd-analyze: apt install systemd; the units are not looked at by systemd itself")
    for source in UNITS.iterdir():
        text = source.read_text(encoding="utf-8").replace("/opt/gitlab-runner-gate/bin/gate page", "/bin/true")
        text = text.replace("=gitlab-gate", "=daemon").replace("=gate-approvers", "=root").replace("=www-data", "=root")
        (tmp_path / source.name).write_text(text, encoding="utf-8")
    files = [str(tmp_path / word) if word in names() else word for word in words]
    return subprocess.run([program, *files], capture_output=True, text=True, check=False, timeout=60)


def names() -> list[str]:
    return sorted(path.name for path in UNITS.iterdir())


def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    done = analyze(tmp_path, "verify", *names())
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_page_s_unit_is_tight(tmp_path: Path) -> None:
    done = analyze(tmp_path, "security", "--offline=true", f"--threshold={EXPOSURE_AT_MOST}", "gate-page.service")
    assert done.returncode == 0, done.stdout


def test_the_units_have_the_paths_and_names_of_the_example() -> None:
    service, socket = unit("gate-page.service")["Service"], unit("gate-page.socket")["Socket"]
    assert service["User"] == EXAMPLE["page"]["user"]
    assert service["ReadWritePaths"] == EXAMPLE["state_dir"]
    listens = re.findall(r"^ListenStream=(.*)$", (UNITS / "gate-page.socket").read_text(encoding="utf-8"), re.MULTILINE)
    assert listens == [EXAMPLE["page"]["socket"], link_socket_of(EXAMPLE["page"])]
    assert socket["SocketMode"] == "0660"
    assert socket["SocketGroup"] == EXAMPLE["approvers_group"]
    runner = (CHECKOUT / "runner-config.example.toml").read_text(encoding="utf-8")
    assert service["ExecStart"].removesuffix("/gate page") in runner


def test_the_proxy_s_socket_is_the_one_that_the_docs_name() -> None:
    socket = unit("gate-page-proxy.socket")["Socket"]
    assert f"proxy_socket: {socket['ListenStream']}" in NGINX_DOCS
    assert f"proxy_group: {socket['SocketGroup']}" in NGINX_DOCS
    assert all(unit(name)["Socket"]["Service"] == "gate-page.service" for name in names() if name.endswith(".socket"))


@pytest.mark.slow
def test_sysusers_and_tmpfiles_make_what_gate_init_makes() -> None:
    for program in ("systemd-sysusers", "systemd-tmpfiles"):
        if not shutil.which(program):
            pytest.skip(f"no {program}: apt install systemd; sysusers.d and tmpfiles.d are not tried")
    with PrivateHost() as packaged, PrivateHost() as by_hand:
        for program in ("sysusers", "tmpfiles"):
            create = ["--create"] if program == "tmpfiles" else []
            file = CHECKOUT / "packaging" / f"{program}.d" / "gitlab-runner-gate.conf"
            made = packaged.run([f"systemd-{program}", *create, str(file)])
            assert made.returncode == 0, made.stderr
        assert by_hand.gate("init", "--site", "a", "--approvers", "alice").returncode == 0
        of_people = {
            f"{EXAMPLE['state_dir']}/drop/alice",
            f"{EXAMPLE['state_dir']}/audit.key",
            "/etc/gitlab-runner-gate/gate.yaml",
        }
        places = ("/etc/gitlab-runner-gate", EXAMPLE["state_dir"], "/home/gitlab-job")
        init_made = {path: place for path, place in by_hand.tree(*places).items() if path not in of_people}
        assert packaged.tree(*places) == init_made
        assert users(packaged) == users(by_hand)
        again = packaged.gate("init", "--site", "a", "--approvers", "alice", "--json")
        made_then = [each["name"] for each in json.loads(again.stdout)["resources"] if each["state"] == "made"]
        assert made_then == [
            "alice in group gate-approvers",
            f"directory {EXAMPLE['state_dir']}/drop/alice (alice 0700)",
        ]


def users(host: PrivateHost) -> dict[str, list[str]]:
    """The gate's own users: comment, home, shell."""
    lines = [line.split(":") for line in host.text("/etc/passwd").splitlines()]
    return {line[0]: line[4:] for line in lines if line[0].startswith("gitlab-")}
