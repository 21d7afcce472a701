"""The folder of the keys: opened by its master key alone, and by another after a rotation."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_index.policy import Policy
from imageward_server import key_file
from imageward_server.audit.keys import load_keys
from imageward_server.cli import app
from imageward_server.config import Config
from imageward_server.errors import KeysUnusable
from imageward_server.key_file import InvalidKey
from imageward_server.keys.vault import Vault, find_vault
from imageward_server.store import EntrySource, NewEntry, Store
from imageward_server.store.engine import store_url
from imageward_server.store.ledger import read_rows
from imageward_server.store.schema import head as head_table

OLD, NEW = b"o" * 32, b"n" * 32
STORE_ID = "0123456789abcdef"


def last_deeds(store: Store, count: int) -> list[tuple[str, str, str]]:
    """Return what the audit says was done last, by whom and why."""
    with store.reading() as connection:
        rows = [sealed.row for sealed in read_rows(connection)]
    return [(row.action, row.role, row.reason) for row in rows[-count:]]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """Return the keys of a store."""
    made = Vault(tmp_path / "keys", OLD)
    made.make(STORE_ID)
    return made


def first_key(vault: Vault) -> bytes | None:
    """Return the key of the first entry, made if it has none."""
    keys = vault.entry_keys(STORE_ID)
    if not keys.has(1):
        keys.make([1])
    (key,) = keys.keys_of([1])
    keys.close()
    return key


def test_only_its_master_key_and_its_store_open_it(vault: Vault, tmp_path: Path) -> None:
    """Another key, another store and an empty folder are refused, each with what to do."""
    vault.check(STORE_ID)
    with pytest.raises(KeysUnusable, match="does not open"):
        Vault(tmp_path / "keys", NEW).check(STORE_ID)
    with pytest.raises(KeysUnusable, match="of another store"):
        vault.check("another")
    with pytest.raises(KeysUnusable, match=r"store\.key is missing"):
        Vault(tmp_path / "elsewhere", OLD).check(STORE_ID)
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "keys" / "entry.keys").unlink()
    with pytest.raises(KeysUnusable, match=r"entry\.keys is missing"):
        vault.check(STORE_ID)
    (tmp_path / "keys" / "store.key").write_text("{")
    with pytest.raises(KeysUnusable, match="damaged"):
        vault.check(STORE_ID)


def test_a_rotation_changes_the_master_key_and_no_other(vault: Vault, tmp_path: Path) -> None:
    """Entries and segments have the keys that they had, and the old master opens nothing."""
    entry, segment = first_key(vault), vault.segment_keys(STORE_ID, "segments").make("one")
    vault.rotate(NEW)
    rotated = Vault(tmp_path / "keys", NEW)
    assert first_key(rotated) == entry
    assert rotated.segment_keys(STORE_ID, "segments").find("one") == segment
    with pytest.raises(KeysUnusable, match="does not open"):
        vault.check(STORE_ID)
    vault.rotate(NEW)
    with pytest.raises(KeysUnusable, match="does not open"):
        vault.rotate(b"x" * 32)
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == [
        "entry.keys",
        "segments",
        "store.key",
    ]


def test_a_restored_store_takes_the_keys_over(vault: Vault) -> None:
    """Its name is another: it is refused until the keys are its own, and then the first one is."""
    entry = first_key(vault)
    vault.adopt("restored", 1)
    with pytest.raises(KeysUnusable, match="keys adopt"):
        vault.check(STORE_ID)
    keys = vault.entry_keys("restored")
    assert keys.keys_of([1]) == [entry]
    keys.close()


def test_a_segment_s_key_goes_with_it(vault: Vault) -> None:
    """What is not kept is found no more, and its name may come again with another key."""
    keys = vault.segment_keys(STORE_ID, "segments")
    one, two = keys.make("one"), keys.make("two")
    assert one != two
    keys.keep(["two"])
    assert (keys.find("one"), keys.find("two")) == (None, two)
    assert keys.make("one") != one


def test_the_command_rotates(vault: Vault, tmp_path: Path) -> None:
    """`keys rotate` takes two files; the new one opens the store afterwards, the old does not."""
    entry = first_key(vault)
    store = Store(store_url(tmp_path, ""), keys=load_keys(None, tmp_path))
    store.open()
    store.close()
    files = {name: tmp_path / name for name in ("old", "new")}
    files["old"].write_text(key_file.write_key(OLD))
    files["old"].chmod(0o600)
    runner = CliRunner()
    assert runner.invoke(app, ["keys", "new", str(files["new"])]).exit_code == 0
    told = ["keys", "rotate", str(files["new"]), "--data-dir", str(tmp_path)]
    done = runner.invoke(app, [*told, "--store-key-file", str(files["old"]), "--reason", "due"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert last_deeds(store, 1) == [("rotate store key", "operator", "due")]
    new = key_file.load_key(files["new"], "", "")
    assert first_key(Vault(tmp_path / "keys", new)) == entry
    done = runner.invoke(app, [*told[:3], "--data-dir", str(tmp_path / "none")])
    assert (done.exit_code, "no key is named" in done.stderr) == (2, True)


def test_a_configuration_names_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a file or the environment, for a store in the data folder; by neither there are none."""
    assert find_vault(Config(data_dir=tmp_path)) is None
    monkeypatch.setenv("IMAGEWARD_STORE_KEY", key_file.write_key(OLD))
    found = find_vault(Config(data_dir=tmp_path))
    assert found is not None
    found.make(STORE_ID)
    assert (tmp_path / "keys" / "store.key").exists()
    elsewhere = find_vault(Config(data_dir=tmp_path, key_dir=tmp_path / "apart"))
    assert elsewhere is not None
    assert not elsewhere.exists
    with pytest.raises(InvalidKey, match="store_url"):
        find_vault(Config(data_dir=tmp_path, store_url="postgresql://host/name"))
    monkeypatch.setenv("IMAGEWARD_STORE_KEY", "short")
    with pytest.raises(InvalidKey, match="holds no key"):
        find_vault(Config(data_dir=tmp_path))


def test_a_store_in_clear_is_encrypted_and_handed_over_by_command(tmp_path: Path) -> None:
    """Its segments in clear go; a store of another name gets the keys by `keys adopt`."""
    key = tmp_path / "master.key"
    key_file.make_key_file(key)
    data_dir = tmp_path / "data"
    (data_dir / "segments").mkdir(parents=True)
    (data_dir / "segments" / "manifest").write_text("in clear")
    store = Store(store_url(data_dir, ""), keys=load_keys(None, data_dir))
    store.open()
    store.create_bank("known", Policy())
    new = NewEntry(Fingerprint(PdqHash(b"h" * 32, 80)), EntrySource.HASH)
    (entry_id,) = store.add_entries("known", "request", [new]).entry_ids
    store.close()
    named = ["--data-dir", str(data_dir), "--store-key-file", str(key)]
    done = CliRunner().invoke(app, ["keys", "encrypt-store", *named])
    assert (done.exit_code, "1 entries" in done.stderr) == (0, True)
    assert list((data_dir / "segments").iterdir()) == []
    vault = find_vault(Config(data_dir=data_dir, store_key_file=key))
    store = Store(store_url(data_dir, ""), vault=vault, keys=load_keys(None, data_dir))
    store.open()
    assert store.get_fingerprint(entry_id) == new.fingerprint
    with store.changing() as head:
        head.connection.execute(head_table.update().values(store_id="restored"))
    store.close()
    with pytest.raises(KeysUnusable, match="keys adopt"):
        store.open()
    assert CliRunner().invoke(app, ["keys", "adopt", *named]).exit_code == 0
    store.open()
    assert store.get_fingerprint(entry_id) == new.fingerprint
    assert {"encrypt store", "adopt store key"} == {deed for deed, _, _ in last_deeds(store, 2)}
    store.close()
