import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg, iniparser

from glance.config.files import FileIndex, conf_files
from glance.domain.errors import ConfigError

word = st.text("abzAZ_09 $:=[]#;\"'\t\\é", max_size=8)
line = st.one_of(
    st.sampled_from(["[DEFAULT]", "[Store]", "[store]", "", "# note", "a = 1", "a = 2", "  more"]),
    st.builds("{} = {}".format, word, word),
    word,
)


@given(st.lists(line, max_size=12))
def test_reads_as_oslo_config_does(lines: list[str]) -> None:
    """The index must not differ from what counts: same values, same complaints, same line."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "x.conf")
        Path(path).write_text("\n".join(lines), encoding="utf-8")
        sections: dict[str, dict[str, list[str]]] = {}
        parser = cfg.ConfigParser(path, sections)
        normalized: dict[str, dict[str, list[str]]] = {}
        parser._add_normalized(normalized)
        index = FileIndex()
        try:
            parser.parse()
        except iniparser.ParseError as error:
            with pytest.raises(ConfigError) as caught:
                index.read([path], origin="--config-file")
            if "Section must be started" not in error.msg:
                assert caught.value.message.startswith(f"{path} line {error.lineno}: ")
            return
        index.read([path], origin="--config-file")
        expected = {
            (section, key): values[-1]
            for section, keys in normalized.items()
            for key, values in keys.items()
        }
        assert {key: place.value for key, place in index._files[0].items()} == expected
        for (_, key), place in index._files[0].items():
            assert key in lines[place.line - 1]


def test_line_of_an_assignment_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("[a]\nb = 1\n  2\n\n# c\nc = 3\nd = 4\n")
    index = FileIndex()
    index.read([str(path)], origin="")
    places = {name: index.find("a", cfg.StrOpt(name)) for name in "bcd"}
    assert {name: place and place.line for name, place in places.items()} == {
        "b": 2,
        "c": 6,
        "d": 7,
    }


def test_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="a pipe cannot be"):
        FileIndex().read([str(tmp_path / "pipe")], origin="--config-file")


def test_directories(tmp_path: Path) -> None:
    assert conf_files(str(tmp_path), origin="") == []
    for name in ("b.conf", "a.conf", ".c.conf", "d.conf~"):
        (tmp_path / name).touch()
    assert conf_files(str(tmp_path), origin="") == [f"{tmp_path}/a.conf", f"{tmp_path}/b.conf"]
    with pytest.raises(ConfigError, match="^--config-dir .*: cannot be read: not a directory"):
        conf_files(str(tmp_path / "a.conf"), origin="--config-dir")
