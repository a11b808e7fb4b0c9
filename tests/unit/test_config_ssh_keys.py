"""Which SSH keys are believed to be keys. Those here were made by ssh-keygen, their private halves thrown away."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import ssh_keys
from config.load import policy_from
from tests.support.fake_accounts import FakeHost
from tests.unit.test_config_faults import GOOD, changed, faults_of

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINvAwzeZgiMOoamDj0rCNNpC1Lx1dI9LA0RqBoRlUaxb"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPAA40nkCYgSxJTJo4CgRfk+H9XYSY9gxsLEJskVn8bz"
P256 = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBImHPgHSu3kpWafPD5efFzNS8iMAg5kaAWxNHFc7PMBE"
    "YsWjR2ZGhXcJDr2xM4lzIvQwtcgB8qNL7i3zza/ghiM="
)
P521 = (
    "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAEb3YloMT1ZEK+LzhQWgKEqtRkoBoLCLbb26CfxzXis"
    "CWNVIaIiT8WqtyCYU1Ga+P7yEIB/K8JnTIaeQ2TTv4EKoAG7A9OvaMAk8zCqdhnPHT/539M8mOjeRunEyrNDoZMHvU1Xj4sdwkEB/GkBAYT824xBpDSI"
    "dAQkU+pzTFgdUFeosQ=="
)
RSA_2048 = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDIBCbDeWNLQIaUwdPJjgy2XMTmJY0Yv9eqOXlq6VNAHI5q9EBTleT2YtUMWwjCJ+j9Aw8PYoYdnV3G"
    "WQ7anv3APzOYckiYu7YoojRyw1P9vz47P6WjvaaBAjaEi6X87CwzQ9636RWNvM9p6a8EEPHhVsJLO5Noc/NQ2mGQmrCHvtzLVEuMcM5KgrXrXbBRSe6n"
    "sagn8X8OVY/eQ1mOIo4VRi6tnvVnu2n4eG7ins7lVm80EjT92ZqbiiPRaDpweFxmyFoM7y4pj9cKcWokrQ1W3Jz94NFMeY+DGfKUGT00reaV8Va7rmcX"
    "O5ohxUP/BgsdZ9+0T836bK+bhEOt2qVZ"
)
RSA_1024 = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDnHU6OtdtKv8nBz+wkwLPvsUeTUneHhRsGcKzNZT6rnTj9TfDTd2ba/1pFkkASnqZPZZojj/7iAAgH"
    "xwBQaG13oj/8lh9CFAH6lc/nlttuFI7fMo4Fp8ay7STWqr5a2zbIWA5Rs3WyUw+qRHZmwohmerDc/DqOcZSRlKxhA83Ecw=="
)
AGAIN = "copy the line from the .pub file again"
DAMAGED = f"this ssh-ed25519 key is cut short or damaged: {AGAIN}"


def packed(*fields: bytes) -> str:
    """A line out of the fields of a key, the first of which is its type."""
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return f"{fields[0].decode()} {base64.b64encode(blob).decode()}"


SK_ED25519 = packed(b"sk-ssh-ed25519@openssh.com", b"k" * 32, b"ssh:")
POINT = base64.b64decode(P256.split()[1])[-65:]
SK_P256 = packed(b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", POINT, b"ssh:")
COMPRESSED = bytes([2 + POINT[-1] % 2]) + POINT[1:33]


@pytest.mark.parametrize("line", [KEY, OTHER, P256, P521, RSA_2048, SK_ED25519, SK_P256])
def test_a_key_is_kept_without_its_comment(line: str) -> None:
    for written in (line, f"{line} alice@laptop of 2026", f"  {line.replace(' ', '  ')} "):
        assert ssh_keys.fault(written) is None
        assert ssh_keys.bare(written) == line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (KEY[:-4], DAMAGED),
        (KEY[:-1], f"the base64 of this ssh-ed25519 key does not decode: {AGAIN}"),
        (KEY + "=", f"the base64 of this ssh-ed25519 key does not decode: {AGAIN}"),
        (KEY.replace("Awze", "Aw-e"), f"the base64 of this ssh-ed25519 key does not decode: {AGAIN}"),
        (KEY + "AAAA", DAMAGED),
        ("ssh-ed25519", DAMAGED),
        (P256[:-2] + "N=", f"the base64 of this ecdsa-sha2-nistp256 key does not decode: {AGAIN}"),  # bits after the end
        (packed(b"ssh-ed25519", b"k" * 31), DAMAGED),
        (packed(b"ssh-ed25519", b"k" * 32, b""), DAMAGED),
        (packed(b"ssh-ed25519"), DAMAGED),
        (packed(b"ecdsa-sha2-nistp256", b"nistp384", b"k" * 65), f"this ecdsa-sha2-nistp256 key is cut short or damaged: {AGAIN}"),
        (packed(b"sk-ssh-ed25519@openssh.com", b"k" * 32, b""), f"this sk-ssh-ed25519@openssh.com key is cut short or damaged: {AGAIN}"),
        (packed(b"ecdsa-sha2-nistp256", b"nistp256", b"\4" + b"k" * 64), f"this ecdsa-sha2-nistp256 key is cut short or damaged: {AGAIN}"),
        (packed(b"ecdsa-sha2-nistp256", b"nistp256", COMPRESSED), f"this ecdsa-sha2-nistp256 key is cut short or damaged: {AGAIN}"),
        (packed(b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", COMPRESSED, b"ssh:"), f"this sk-ecdsa-sha2-nistp256@openssh.com key is cut short or damaged: {AGAIN}"),
        (packed(b"ssh-rsa", b"\1\0\1", b"\0" * 2 + b"\xff" * 256), f"this ssh-rsa key is cut short or damaged: {AGAIN}"),
        (packed(b"ssh-rsa", b"\1\0\1", b"\xff" * 256), f"this ssh-rsa key is cut short or damaged: {AGAIN}"),
        (RSA_1024, "an ssh-rsa key of 1024 bits can be forged: make one with ssh-keygen -t ed25519"),
        (f"ssh-rsa {KEY.split()[1]}", f"the line says ssh-rsa, and the key in it 'ssh-ed25519': {AGAIN}"),
        (f"ssh-ed25519 {SK_ED25519.split()[1]}", f"the line says ssh-ed25519, and the key in it 'sk-ssh-ed25519@openssh.com': {AGAIN}"),
        (f'from="10.0.0.1" {KEY} alice', "options such as 'from=\"10.0.0.1\"' are not used here: begin with the type of the key"),
        (f"alice@laptop {KEY}", "options such as 'alice@laptop' are not used here: begin with the type of the key"),
        (packed(b"ssh-ed25519-cert-v01@openssh.com", b"x"), "'ssh-ed25519-cert-v01@openssh.com' is a certificate, and only keys are used here: write the line of the key's own .pub file"),
        ("ssh-dss AAAA", f"'ssh-dss' is no type of key that is used here: write a key of type {', '.join(ssh_keys.TYPES)}"),
        ("SSH-ED25519" + KEY[11:], f"'SSH-ED25519' is no type of key that is used here: write a key of type {', '.join(ssh_keys.TYPES)}"),
        (" ", f"'' is no type of key that is used here: write a key of type {', '.join(ssh_keys.TYPES)}"),
    ],
)  # fmt: skip
def test_what_is_no_key_is_told_in_words(line: str, expected: str) -> None:
    assert ssh_keys.fault(line) == expected


@given(st.integers(0, len(KEY.split()[1]) - 1), st.sampled_from("ABgw+/= "))
def test_a_key_with_one_letter_changed_is_a_fault_or_another_key(at: int, letter: str) -> None:
    kind, text = KEY.split()
    line = f"{kind} {text[:at]}{letter}{text[at + 1 :]}"
    assert line == KEY or ssh_keys.fault(line) or ssh_keys.fingerprint(line) != ssh_keys.fingerprint(KEY)


@given(st.binary(max_size=200), st.sampled_from(list(ssh_keys.TYPES)))
def test_any_bytes_are_survived(blob: bytes, kind: str) -> None:
    assert ssh_keys.fault(f"{kind} {base64.b64encode(blob).decode()}")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("[]", "7:45: 'ssh_keys' is empty: write for instance ssh_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINvAwzeZgiMOoamDj0rCNNpC1Lx1dI9LA0RqBoRlUaxb]"),
        ("[7]", "7:46: '7' means a number to YAML, and text is wanted here: put it in quotes"),
        ("['']", "7:46: '' does not fit: write the one line of the .pub file"),
        ('["ssh-ed25519\\nAAAA"]', "7:46: 'ssh-ed25519\\nAAAA' does not fit: write the one line of the .pub file"),
        (f"['{OTHER}', ssh-ed25519]", f"7:130: {DAMAGED}"),
        (f"['{KEY} bob']", "7:46: the SSH key 'SHA256:cI0BrnMKlZVIH3H9lnK0H3ZjmCyRmXoRdkpSLKp3XX4' is alice's already: one human is one person, remove one"),
    ],
)  # fmt: skip
def test_a_faulty_key_is_told_at_its_place(keys: str, expected: str) -> None:
    text = changed("[alice, 4711]}", f"[alice, 4711], ssh_keys: ['{KEY} a@b']}}")
    text = text.replace("[bob]}", f"[bob], ssh_keys: {keys}}}")
    assert faults_of(text) == [expected]


def test_keys_stand_in_the_policy_once_each() -> None:
    text = GOOD.replace("[bob]}", f"[bob], ssh_keys: ['{KEY} a', '{OTHER}', '{KEY} b']}}")
    found = policy_from(text.encode(), "gate.yaml", runner_uid=0, host=FakeHost())
    assert found["people"]["bob"]["ssh_keys"] == [KEY, OTHER]
