"""Credentials, identities and the commands that make them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner, Result

from imageward_server.access import Access, Credential, Identity, Role, Rules, hash_secret
from imageward_server.access.credential import is_secret_hash, new_secret
from imageward_server.access.dev_certificates import CA_DAYS, LEAF_DAYS
from imageward_server.access.identity import ROLES, read_uris, uri_of
from imageward_server.access.roles import TABLE
from imageward_server.cli import app
from imageward_server.config import load


def _run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize("role", ROLES)
def test_a_certificate_s_name_is_read_as_it_is_written(role: Role) -> None:
    """Among others that are not ours."""
    identity = Identity("feed-7_a", role)
    assert read_uris(["spiffe://cluster/feed", uri_of(identity)]) == identity


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["imageward://frontend"],
        ["imageward://frontend/"],
        ["imageward://frontend/Feed"],
        ["imageward://frontend/feed/more"],
        ["imageward://developer/feed"],
        ["imageward://king/feed"],
        ["imageward:frontend/feed"],
        ["https://frontend/feed"],
        ["imageward://frontend/feed\n"],
        ["imageward://frontend/feed", "imageward://operator/feed"],
        ["imageward://frontend/feed", "imageward:x"],
    ],
)
def test_a_name_of_another_form_is_nobody_s(uris: list[str]) -> None:
    """Nor are two: which of them calls cannot be told."""
    assert read_uris(uris) is None


def test_a_secret_is_known_by_its_hash() -> None:
    """The right one alone, and never an empty one."""
    secret = new_secret()
    credential = Credential(role=Role.FRONTEND, secret_hash=hash_secret(secret))
    assert is_secret_hash(credential.secret_hash)
    assert secret not in credential.secret_hash
    assert credential.has_secret(secret)
    assert not credential.has_secret(secret[:-1])
    assert not credential.has_secret("\udc80")
    assert not Credential(role=Role.FRONTEND).has_secret("")


def test_a_method_without_a_row_is_refused() -> None:
    """To every role, the one of development included."""
    access = Access(Rules({}))
    for role in Role:
        with pytest.raises(Exception, match="may not make this call"):
            access.admit("/imageward.v1.MatchService/New", Identity("feed", role))


def test_no_method_of_ours_is_for_every_role() -> None:
    """Each is refused to somebody."""
    ours = {method: row for method, row in TABLE.items() if method.startswith("/imageward.")}
    assert [method for method, row in ours.items() if row >= set(ROLES)] == []


def test_who_has_signed_in_stays_while_the_credential_does() -> None:
    """It ends with its removal, another role, or its name among the revoked."""
    ana = Identity("ana", Role.REVIEWER)
    reviewer, partner = Credential(role=Role.REVIEWER), Credential(role=Role.PARTNER)
    access = Access(Rules({"ana": reviewer}))
    assert access.has(ana)
    for rules in (
        Rules({}),
        Rules({"ana": partner}),
        Rules({"ana": reviewer}, revoked=frozenset({"ana"})),
    ):
        access.replace(rules)
        assert not access.has(ana)


@pytest.mark.parametrize("role", ROLES)
def test_the_command_makes_a_token_and_its_table(tmp_path: Path, role: Role) -> None:
    """The token goes to stderr, and what the file takes to stdout."""
    made = _run("credentials", "new", "feed-1", "--role", role)
    assert made.exit_code == 0
    name, _, secret = made.stderr.split()[-1].partition(".")
    assert secret not in made.stdout
    file = tmp_path / "server.toml"
    file.write_text(made.stdout)
    credentials = load({}, file).config.credentials
    assert Access(Rules(credentials)).sign_in(name, secret) == Identity("feed-1", role)
    assert list(tomllib.loads(made.stdout)) == ["credentials"]


@pytest.mark.parametrize(
    "words", [("Feed", "--role", "frontend"), ("feed", "--role", "developer"), ("feed",)]
)
def test_the_command_makes_no_other(words: tuple[str, ...]) -> None:
    """Exit code 2."""
    assert _run("credentials", "new", *words).exit_code == 2


def test_development_certificates_are_renewed_by_one_authority(tmp_path: Path) -> None:
    """Files for their owner alone; the authority stays, the others are new each time."""
    folder = tmp_path / "certs"
    first = _run("certs", "dev", str(folder))
    assert first.exit_code == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(before) == sorted(
        f"{name}.{kind}" for name in ("ca", "server", *ROLES) for kind in ("pem", "key")
    )
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert _run("certs", "dev", str(folder)).exit_code == 0
    same = {name for name, held in before.items() if (folder / name).read_bytes() == held}
    assert same == {"ca.pem", "ca.key"}


def test_what_development_certificates_say(tmp_path: Path) -> None:
    """A server's is for loopback, a client's for its role, and each ends soon."""
    _run("certs", "dev", str(tmp_path))
    ca, server, operator = (
        x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes())
        for name in ("ca", "server", "operator")
    )
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    names = operator.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert read_uris(uris) == Identity("dev-operator", Role.OPERATOR)
    for leaf in (server, operator):
        leaf.verify_directly_issued_by(ca)
        assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == LEAF_DAYS
    assert (ca.not_valid_after_utc - ca.not_valid_before_utc).days == CA_DAYS


def test_certificates_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    """Exit code 1, and no traceback."""
    (tmp_path / "certs").write_text("a file")
    made = _run("certs", "dev", str(tmp_path / "certs"))
    assert made.exit_code == 1
    assert "certificates cannot be made" in made.stderr
