"""A client's channels: how many, and that they take the calls in turn."""

from __future__ import annotations

from pathlib import Path

import pytest

import imageward_client as iw
from imageward_client import Tls, _pool
from imageward_client._pool import Pool


def test_channels_are_handed_out_in_turn() -> None:
    """Each once, then again from the first."""
    pool = Pool(None, lambda: list("abc"), lambda _: None)
    taken = []
    for _ in range(7):
        with pool.borrowed() as channel:
            taken.append(channel)
    assert "".join(taken) == "abcabca"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tls:
    """Return files that are looked at before every call."""
    monkeypatch.setattr(_pool, "LOOK_S", 0.0)
    (tmp_path / "ca.pem").write_text("1")
    return Tls(ca_file=tmp_path / "ca.pem")


def test_channels_are_replaced_when_the_files_are(files: Tls) -> None:
    """Calls from then on take new ones; the old ones are closed when their calls have ended."""
    made, closed = iter("abc"), list[str]()
    pool = Pool(files, lambda: [next(made)], closed.append)
    assert files.ca_file
    with pool.borrowed() as long, pool.borrowed() as longer:
        files.ca_file.write_text("12")
        with pool.borrowed() as other:
            assert (long, longer, other, closed) == ("a", "a", "b", [])
            assert pool.all() == ["b", "a"]
    assert closed == ["a"]
    files.ca_file.write_text("123")
    with pool.borrowed() as other:
        assert (other, closed) == ("c", ["a", "b"])


def test_channels_stay_while_the_files_cannot_be_used(files: Tls) -> None:
    """Half a rotation is not an outage, and its end is found."""
    made = iter(["a", OSError("the key is not the certificate's"), "b"])

    def make() -> list[str]:
        one = next(made)
        if isinstance(one, OSError):
            raise one
        return [one]

    pool = Pool(files, make, lambda _: None)
    assert files.ca_file
    files.ca_file.write_text("12")
    taken = []
    for _ in range(2):
        with pool.borrowed() as channel:
            taken.append(channel)
    assert taken == ["a", "b"]
    files.ca_file.unlink()
    with pool.borrowed() as channel:
        assert channel == "b"


@pytest.mark.parametrize("kind", [iw.Client, iw.AsyncClient])
@pytest.mark.parametrize("token", ["name", "name.", ".secret", "name.sec ret", "Name.secret\n"])
def test_a_token_of_another_form_is_refused(
    kind: type[iw.Client | iw.AsyncClient], token: str
) -> None:
    """Before it is sent, and without being repeated."""
    with pytest.raises(ValueError, match=r"NAME\.SECRET") as refusal:
        kind("127.0.0.1:1", token=token)
    assert token not in str(refusal.value)


def test_a_certificate_and_its_key_go_together(tmp_path: Path) -> None:
    """One without the other is a mistake."""
    with pytest.raises(ValueError, match="go together"):
        Tls(certificate_file=tmp_path)


@pytest.mark.parametrize("channels", [0, 65])
@pytest.mark.parametrize("kind", [iw.Client, iw.AsyncClient])
def test_a_number_of_channels_out_of_range_is_refused(
    kind: type[iw.Client | iw.AsyncClient], channels: int
) -> None:
    """The message names the bounds and the number."""
    with pytest.raises(ValueError, match=rf"1\.\.64; {channels} was given"):
        kind("127.0.0.1:1", channels=channels)
