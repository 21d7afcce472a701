"""The file that tells who serves a folder on a port."""

from __future__ import annotations

import os
from pathlib import Path

from imageward_server.processes.roster import Roster, WorkerLine, read_rosters

LINE = WorkerLine(worker=1, pid=17, stage="serving", deaths=2)


def test_what_was_written_is_read_while_its_writer_lives(tmp_path: Path) -> None:
    """A file that nobody has locked is left over, and is not told."""
    roster = Roster(tmp_path, 50051)
    roster.write([LINE, LINE])
    roster.write([LINE])
    (told,) = read_rosters(tmp_path)
    assert told == {
        "supervisor_pid": os.getpid(),
        "port": 50051,
        "workers": [{"worker": 1, "pid": 17, "stage": "serving", "deaths": 2}],
    }
    roster.close()
    assert read_rosters(tmp_path) == []


def test_a_second_waits_for_the_first_to_end(tmp_path: Path) -> None:
    """It learns whose the file is, writes nothing, and is behind until it may."""
    first, second = Roster(tmp_path, 1), Roster(tmp_path, 1)
    first.write([LINE])
    assert second.holder_pid() == os.getpid()
    second.write([])
    assert second.is_behind
    assert read_rosters(tmp_path)[0]["workers"] != []
    first.close()
    second.write([])
    assert not second.is_behind
    assert read_rosters(tmp_path)[0]["workers"] == []
    second.close()


def test_nobody_holds_a_file_that_was_left_over(tmp_path: Path) -> None:
    """A process id that was written by somebody who is gone may be anybody's by now."""
    gone = Roster(tmp_path, 1)
    gone.write([LINE])
    gone.close()
    roster = Roster(tmp_path, 1)
    assert roster.holder_pid() is None
    roster.close()
