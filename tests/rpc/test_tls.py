"""TLS and client certificates over a socket: who is let in, and rotation under load."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imageward_client import (
    AsyncClient,
    Client,
    ImagewardClientError,
    PermissionDenied,
    RetryPolicy,
    Tls,
    Unauthenticated,
    Unavailable,
    Verdict,
)
from imageward_client._pool import LOOK_S
from imageward_client.cli import main
from imageward_server.access import Credential, Identity, Role, hash_secret, new_secret
from imageward_server.access.certificate_files import InvalidCertificate
from imageward_server.access.dev_certificates import issue_client, make_all, open_authority
from imageward_server.access.identity import ROLES
from imageward_server.app import Server
from imageward_server.config import Config
from imageward_server.hasher import InProcessHasher

if TYPE_CHECKING:
    from conftest import Start

TIMEOUT_S = 60.0
# How often the certificates are rotated under load; `make rotations` sets 100.
ROTATIONS = int(os.environ.get("IMAGEWARD_ROTATIONS", "4"))
SECRET = new_secret()
NO_RETRY = RetryPolicy(attempts_max=1)
HASHES = [bytes(32)]


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    """Return a folder of certificates."""
    make_all(tmp_path / "certs")
    return tmp_path / "certs"


Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path, certs: Path) -> Iterator[Serve]:
    """Start servers with TLS in this process."""
    started: list[Server] = []

    def start(**settings: object) -> Server:
        config = Config(
            data_dir=tmp_path / "data",
            listen="127.0.0.1:0",
            tls_certificate=certs / "server.pem",
            tls_key=certs / "server.key",
            connection_age_s=1,
            **settings,  # type: ignore[arg-type]
        )
        started.append(Server(config, InProcessHasher()))
        started[-1].start(lambda *_progress: None)
        return started[-1]

    yield start
    for server in started:
        server.stop()


def _client(server: Server, certs: Path, name: str = "", **others: object) -> Client:
    tls = Tls(
        certs / "ca.pem",
        certs / f"{name}.pem" if name else None,
        certs / f"{name}.key" if name else None,
    )
    target = f"127.0.0.1:{server.port}"
    return Client(target, timeout_s=TIMEOUT_S, tls=tls, retry=NO_RETRY, **others)  # type: ignore[arg-type]


def _tokens() -> dict[str, Credential]:
    return {"feed": Credential(role=Role.FRONTEND, secret_hash=hash_secret(SECRET))}


def test_a_token_by_tls(serve: Serve, certs: Path) -> None:
    """A server without an authority of clients asks for tokens."""
    server = serve(credentials=_tokens())
    with _client(server, certs, token=f"feed.{SECRET}") as client:
        assert client.check_hashes(HASHES).results[0].verdict is Verdict.ALLOW
    with _client(server, certs) as client, pytest.raises(Unauthenticated):
        client.check_hashes(HASHES)


@pytest.mark.parametrize("role", ROLES)
def test_a_certificate_says_who_calls(serve: Serve, certs: Path, role: Role) -> None:
    """Its name in the URI form has the role, without a word in the configuration."""
    server = serve(tls_client_ca=certs / "ca.pem")
    with _client(server, certs, role) as client:
        if role in (Role.FRONTEND, Role.REVIEWER):
            client.check_hashes(HASHES)
        else:
            with pytest.raises(PermissionDenied):
                client.check_hashes(HASHES)
        if role is Role.OPERATOR:
            client.create_bank("bank")


def test_no_connection_without_a_certificate(serve: Serve, certs: Path) -> None:
    """Nor with one of another authority, nor one for servers."""
    server = serve(tls_client_ca=certs / "ca.pem")
    other = certs.parent / "other"
    make_all(other)
    (other / "ca.pem").write_bytes((certs / "ca.pem").read_bytes())
    for client in (
        _client(server, certs),
        _client(server, other, "frontend"),
        _client(server, certs, "server"),
    ):
        with client, pytest.raises((Unavailable, Unauthenticated)):
            client.check_hashes(HASHES)


def test_a_revoked_certificate_is_refused(serve: Serve, certs: Path) -> None:
    """By its name, or by its fingerprint alone, on connections that are open."""
    pem = (certs / "frontend.pem").read_text()
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    server = serve(tls_client_ca=certs / "ca.pem")
    with _client(server, certs, "frontend") as client:
        client.check_hashes(HASHES)
        for revoked in ("dev-frontend", fingerprint):
            server.reload(
                Config(
                    insecure=True,
                    credentials={"other": Credential(role=Role.PARTNER)},
                    revoked=frozenset({revoked}),
                )
            )
            with pytest.raises(Unauthenticated):
                client.check_hashes(HASHES)


def test_a_certificate_is_kept_to_what_its_credential_says(serve: Serve, certs: Path) -> None:
    """A name that the configuration knows has its limits, and may not have another role."""
    kept = Credential(role=Role.FRONTEND, methods=frozenset({"CheckImage"}))
    server = serve(
        tls_client_ca=certs / "ca.pem",
        credentials={"dev-frontend": kept, "dev-reviewer": Credential(role=Role.PARTNER)},
    )
    with _client(server, certs, "frontend") as client, pytest.raises(PermissionDenied):
        client.check_hashes(HASHES)
    with _client(server, certs, "reviewer") as client, pytest.raises(Unauthenticated):
        client.check_hashes(HASHES)


@pytest.mark.parametrize(
    ("version", "is_spoken"),
    [
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_1_2_and_newer(
    serve: Serve, certs: Path, version: ssl.TLSVersion, *, is_spoken: bool
) -> None:
    """Older versions are not spoken, whatever a client would take."""
    server = serve(credentials=_tokens())
    context = ssl.create_default_context(cafile=str(certs / "ca.pem"))
    # Else the client itself would not offer the old one.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S)
    with closing(plain):
        if is_spoken:
            with context.wrap_socket(plain, server_hostname="localhost") as spoken:
                assert spoken.selected_alpn_protocol() == "h2"
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize(
    ("name", "held"),
    [("server.key", b"no key"), ("server.pem", b""), ("ca.pem", b"no certificate")],
)
def test_a_file_that_is_no_pem_ends_the_start(
    serve: Serve, certs: Path, name: str, held: bytes
) -> None:
    """With a message that shows neither a path nor what was in the file."""
    (certs / name).write_bytes(held)
    with pytest.raises(InvalidCertificate, match="no PEM") as refusal:
        serve(tls_client_ca=certs / "ca.pem")
    assert str(certs) not in str(refusal.value)


def test_a_key_of_another_certificate_ends_the_start(serve: Serve, certs: Path) -> None:
    """The two settings are named."""
    (certs / "server.key").write_bytes((certs / "ca.key").read_bytes())
    with pytest.raises(InvalidCertificate, match="tls_key is not that of tls_certificate"):
        serve(credentials=_tokens())


def _certificate_of(server: Server, certs: Path) -> bytes | None:
    """Return the certificate that a new connection is shown."""
    return _certificate_at(server.port, certs)


def _certificate_at(port: int, certs: Path) -> bytes | None:
    context = ssl.create_default_context(cafile=str(certs / "ca.pem"))
    with closing(socket.create_connection(("127.0.0.1", port), TIMEOUT_S)) as plain:
        context.set_alpn_protocols(["h2"])
        with context.wrap_socket(plain, server_hostname="localhost") as shown:
            return shown.getpeercert(binary_form=True)


def test_half_a_rotation_changes_nothing(serve: Serve, certs: Path) -> None:
    """A new certificate beside the old key is not taken; once the key is there, it is."""
    server = serve(credentials=_tokens())
    before = _certificate_of(server, certs)
    old_key = (certs / "server.key").read_bytes()
    make_all(certs)
    new_key = (certs / "server.key").read_bytes()
    (certs / "server.key").write_bytes(old_key)
    assert _certificate_of(server, certs) == before
    (certs / "server.key").write_bytes(new_key)
    after = ssl.PEM_cert_to_DER_cert((certs / "server.pem").read_text())
    assert _certificate_of(server, certs) == after != before


@contextmanager
def _calling(client: Client) -> Iterator[Counter[str]]:
    """Call from threads that share a client meanwhile; count what comes of it."""
    counts: Counter[str] = Counter()
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            try:
                client.check_hashes(HASHES)
                counts["answered"] += 1
            except ImagewardClientError as error:
                counts[f"{type(error).__name__}: {error}"] += 1

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        done.set()
        for thread in threads:
            thread.join()
        client.close()


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_rotations_under_load_lose_no_call(serve: Serve, certs: Path) -> None:
    """Server's and clients' certificates are renewed again and again; no call is even retried."""
    server = serve(tls_client_ca=certs / "ca.pem")
    with _calling(_client(server, certs, "frontend")) as counts:
        shown = {_shown(certs)}
        for _ in range(ROTATIONS):
            make_all(certs)
            _go_on(counts)
            shown.add(_shown(certs))
    print(f"{ROTATIONS} rotations, {counts}")  # noqa: T201 - the figures of the run
    assert set(counts) == {"answered"}
    assert len(shown) == ROTATIONS + 1


def _go_on(counts: Counter[str]) -> None:
    """Return when more calls were answered, for longer than a client looks away from its files."""
    answered, until_s = counts["answered"], time.monotonic() + 1.2 * LOOK_S
    _until(lambda: counts["answered"] > answered + 20 and time.monotonic() > until_s)


def _shown(certs: Path) -> str:
    return (certs / "server.pem").read_text()


def test_a_certificate_of_a_named_identity(serve: Serve, certs: Path) -> None:
    """Any name may be certified; the call is its own."""
    authority = open_authority(certs)
    issue_client(certs, authority, Identity("feed-7", Role.FRONTEND))
    server = serve(tls_client_ca=certs / "ca.pem", revoked=frozenset({"dev-frontend"}))
    with _client(server, certs, "frontend") as client:
        client.check_hashes(HASHES)


def test_the_asyncio_client_swaps_its_channels(serve: Serve, certs: Path) -> None:
    """After its certificate was renewed it calls as whoever the new one names."""
    server = serve(tls_client_ca=certs / "ca.pem", revoked=frozenset({"gone"}))
    tls = Tls(certs / "ca.pem", certs / "frontend.pem", certs / "frontend.key")
    target = f"127.0.0.1:{server.port}"

    async def call() -> None:
        async with AsyncClient(target, timeout_s=TIMEOUT_S, tls=tls, retry=NO_RETRY) as client:
            await client.check_hashes(HASHES)
            issue_client(certs, open_authority(certs), Identity("gone", Role.FRONTEND))
            while await is_answered(client):
                assert time.monotonic() < end_s, "it never calls as the new one"

    async def is_answered(client: AsyncClient) -> bool:
        try:
            await client.check_hashes(HASHES)
        except Unauthenticated:
            return False
        return True

    end_s = time.monotonic() + TIMEOUT_S
    asyncio.run(call())


def test_every_worker_takes_a_new_certificate(certs: Path, start: Start) -> None:
    """Each finds it by itself, at its next connection."""
    flags = ("--tls-certificate", certs / "server.pem", "--tls-key", certs / "server.key")
    others = ("--tls-client-ca", certs / "ca.pem", "--workers", "2", "--log-format", "json")
    running = start(*map(str, (*flags, *others)))
    port = int(running.target.rpartition(":")[2])
    make_all(certs)
    new = ssl.PEM_cert_to_DER_cert((certs / "server.pem").read_text())

    def taken() -> set[object]:
        lines = [json.loads(line) for line in running.said().splitlines() if line[:1] == "{"]
        after_start = [line["worker"] for line in lines if line["event"] == "certificate taken"][2:]
        return set(after_start)

    def both_have_taken() -> bool:
        assert _certificate_at(port, certs) == new
        return taken() == {1, 2}

    _until(both_have_taken)
    assert running.end(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "--insecure"),
        (("--tls-key", "no.key"), "tls_certificate and tls_key go together"),
        (("--tls-certificate", "no.pem", "--tls-key", "no.key"), "nobody could call"),
        (
            ("--tls-certificate", "no.pem", "--tls-key", "no.key", "--tls-client-ca", "no.pem"),
            "a file of TLS cannot be read",
        ),
        (("--insecure", "--listen", "0.0.0.0:1"), "there is no TLS"),
        (("--insecure-anywhere", "--listen", "0.0.0.0:1"), "may do everything"),
    ],
)
def test_a_server_that_nobody_could_trust_does_not_start(
    tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    """Exit code 2, and what to do."""
    command = [sys.executable, "-m", "imageward_server", "serve", *flags]
    ended = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr
    assert not (tmp_path / "data").exists()


Shell = Callable[..., tuple[int, str]]


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str]) -> Shell:
    """Run the command; return its exit code and what it says."""

    def run(*words: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return run


def test_the_command_calls_by_certificate(serve: Serve, certs: Path, shell: Shell) -> None:
    """As an operator it makes a bank, and as a frontend it is told that it may not."""
    server = serve(tls_client_ca=certs / "ca.pem")
    words = ("--server", f"127.0.0.1:{server.port}", "--timeout", "60", "--ca", certs / "ca.pem")
    for name, code, said in (("operator", 0, "operator"), ("frontend", 1, "PERMISSION_DENIED")):
        own = ("--certificate", certs / f"{name}.pem", "--key", certs / f"{name}.key")
        ended = shell(*words, *own, "bank", "create", name)
        assert (ended[0], said in ended[1]) == (code, True), ended
    assert shell(*words, "--certificate", certs / "operator.pem", "bank", "list")[0] == 2


def test_the_command_calls_by_token(
    serve: Serve, certs: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file or from the environment, and never from the command line."""
    secret_hash = hash_secret(SECRET)
    server = serve(credentials={"ops": Credential(role=Role.OPERATOR, secret_hash=secret_hash)})
    words = ("--server", f"127.0.0.1:{server.port}", "--timeout", "60", "--ca", certs / "ca.pem")
    file = certs / "token"
    file.write_text(f"ops.{SECRET}\n")
    assert shell(*words, "--token-file", file, "bank", "list")[0] == 0
    assert "store_revision" in shell(*words, "--token-file", file, "status")[1]
    code, said = shell(*words, "bank", "list")
    assert (code, "--token-file" in said) == (1, True)
    code, said = shell(*words, "status")
    assert (code, "SERVING" in said, "revision" in said) == (0, True, False)
    monkeypatch.setenv("IMAGEWARD_TOKEN", f"ops.{SECRET}")
    assert shell(*words, "bank", "list")[0] == 0
    file.write_text("no token")
    code, said = shell(*words, "--token-file", file, "bank", "list")
    assert (code, "no token" in said) == (2, False)
