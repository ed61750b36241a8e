from __future__ import annotations

import os
from pathlib import Path

import pytest

from ltgc_cli import toml_file
from ltgc_cli.errors import InputError


def test_a_mark_at_the_beginning_is_no_part_of_the_text(tmp_path):
    (tmp_path / "a.toml").write_bytes(b'\xef\xbb\xbfllm = "a"\r\n')
    assert toml_file.read(tmp_path / "a.toml") == {"llm": "a"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"n = ", "a.toml: no TOML that can be read: Invalid value (at end of document); write one"),
        (b"x = " + b"[" * 100_000, "a.toml: no TOML that can be read: brackets within brackets, too deep; write one"),
        (b"x = 1\ny = " + b"9" * 5000, "a.toml:2: a number of thousands of digits; write one"),
        (b"x = 1\ny = '\xff'", "a.toml:2: not UTF-8; save it as UTF-8; write one"),
        (
            b"a = 1\na = 2\n",
            "a.toml: no TOML that can be read: Cannot overwrite a value (at line 2, column 6); write one",
        ),
        (
            b"n = 1\n" + b'a.\'b c\' . "\\"".' * 20_000 + b"x = 1",
            "a.toml:2: a name of fifty parts with dots between them; write one",
        ),
        (b"a = \x00", "a.toml: no TOML that can be read: Invalid value (at line 1, column 5); write one"),
        (b"#" * 10_000_000, "a.toml: too long for settings; at most 4,000,000 bytes are read; write one"),
    ],
)
def test_what_is_no_toml_is_said_in_one_line_with_the_file(tmp_path, data, said):
    (tmp_path / "a.toml").write_bytes(data)
    with pytest.raises(InputError) as error:
        toml_file.read(tmp_path / "a.toml", "write one")
    assert str(error.value) == f"{tmp_path}/{said}"


def test_a_pipe_and_a_folder_are_named_and_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match="pipe.toml: no regular file$"):
        toml_file.read(tmp_path / "pipe.toml")
    with pytest.raises(InputError, match="folder.toml: Is a directory$"):
        toml_file.read(tmp_path / "folder.toml")


def test_what_a_shell_hands_over_is_read_once(tmp_path):
    ends = os.pipe()
    os.write(ends[1], b"a = 1")
    os.close(ends[1])
    assert toml_file.read(Path(f"/dev/fd/{ends[0]}")) == {"a": 1}
    os.close(ends[0])
