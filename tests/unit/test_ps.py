"""Parsing of the output of ps."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.host.ps import PsFailure, false_pid_column, list_processes, parse_table
from palan.host.ps_table import full_table


TABLE = """UID          PID    PPID CMD
root           7       1 sleep 600
app           12       7 sh -c  echo
root          13       1 other
"""


def test_a_table():
    titles, processes = parse_table(TABLE, {7, 12})
    assert titles == ["UID", "PID", "PPID", "CMD"]
    assert processes == [["root", "7", "1", "sleep 600"], ["app", "12", "7", "sh -c echo"]]


def test_threads_belong_to_the_process_above_them():
    text = "PID SPID CMD\n7 - sleep\n- 7 -\n8 - other\n- 8 -\n"
    assert parse_table(text, {7})[1] == [["7", "-", "sleep"], ["-", "7", "-"]]


def test_an_empty_last_column():
    assert parse_table("PID CMD\n7\n", {7})[1] == [["7", ""]]


@pytest.mark.parametrize(
    ("text", "why"),
    [("CMD\nsleep\n", "Couldn't find PID field"), ("", "Couldn't find"), ("PID\nx\n", "'x'")],
)
def test_malformed_tables_are_refused(text, why):
    with pytest.raises(PsFailure, match=why):
        parse_table(text, {7})


@given(st.text(), st.sets(st.integers(0, 99)))
def test_any_text_is_parsed_or_refused(text, pids):
    try:
        titles, processes = parse_table(text, pids)
    except PsFailure:
        return
    assert all(len(fields) == len(titles) for fields in processes)


def test_other_columns_titled_pid():
    assert false_pid_column(" -o comm=PID") == "comm=PID"
    assert not false_pid_column(" -o pid=PID,args")
    assert not false_pid_column(" -ef")


def test_the_table_without_ps_equals_that_of_ps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    child = subprocess.Popen(["sleep", "100"])
    try:
        pids = {os.getpid(), child.pid}
        titles, real = list_processes(["-ef"], pids)
        monkeypatch.setattr("palan.host.ps.find_programs", lambda _names: {})
        assert list_processes(["-ef"], pids | {1 << 23})[0] == titles
        ours = list_processes(["-ef"], pids)[1]
        # All columns except those that change all the time, or may be rounded differently.
        same = [n for n, title in enumerate(titles) if title not in ("C", "STIME", "TIME", "CMD")]
        assert [[line[n] for n in same] for line in ours] == [
            [line[n] for n in same] for line in real
        ]
        commands = [{line[1]: line[-1] for line in lines} for lines in (ours, real)]
        assert commands[0] == commands[1]
        assert commands[0][str(child.pid)] == "sleep 100"
        assert full_table({2}) == [] or full_table({2})[0][-1].startswith("[")
        with pytest.raises(FileNotFoundError, match="procps"):
            list_processes(["aux"], pids)
    finally:
        child.kill()
        child.wait()


def test_the_installed_ps():
    own = {os.getpid()}
    titles, processes = list_processes(["-o", "pid,args"], own)
    assert titles[0] == "PID"
    assert [fields[0] for fields in processes] == [str(os.getpid())]
    assert sys.executable.rpartition("/")[2] in processes[0][1] or "pytest" in processes[0][1]
    # With the option f, which excludes q.
    assert list_processes(["axf", "-o", "pid"], own)[1] == [[str(os.getpid())]]
    with pytest.raises(PsFailure, match="unknown gnu long option"):
        list_processes(["--bogus"], own)
