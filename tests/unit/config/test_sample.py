from pathlib import Path

import pytest
from oslo_config import cfg

from glance.config import load, sample
from glance.config.programs import PROGRAMS
from tests.unit.config.conftest import DATABASE

CONF = Path(__file__).parents[3] / "conf"


def test_samples_are_up_to_date() -> None:
    assert sample.outdated(CONF) == []
    assert sample.main(["--check", str(CONF)]) == 0


def test_check_tells_of_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample.main(["--check", str(tmp_path)]) == 1
    assert "glance-api.conf is not up to date" in capsys.readouterr().err
    assert sample.main([str(tmp_path)]) == 0
    assert sample.main(["--check", str(tmp_path)]) == 0
    with (tmp_path / "glance-manage.conf").open("a") as file:
        file.write("#\n")
    assert sample.main(["--check", str(tmp_path)]) == 1
    assert "glance-api" not in capsys.readouterr().err


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_is_told_of_in_its_group(program: str) -> None:
    text = sample.sample(PROGRAMS[program])
    for group, opt in PROGRAMS[program].declared():
        section = text.split(f"\n[{group}]\n")[1].split("\n[")[0]
        assert f"\n#{opt.dest} = " in section or f"\n#{opt.dest} =\n" in section
        assert opt.help


@pytest.mark.parametrize("program", PROGRAMS)
def test_uncommented_defaults_are_the_defaults(program: str, tmp_path: Path) -> None:
    """What the sample shows as a default is taken as just that when it is put into effect."""
    text = sample.sample(PROGRAMS[program])
    lines = [
        line.removeprefix("#")
        for line in text.splitlines()
        if line.startswith("[") or (line[:1] == "#" and line[1:2].islower() and "= <" not in line)
    ]
    path = tmp_path / "x.conf"
    path.write_text("\n".join(lines) + "\n" + DATABASE)
    conf = load(program, ["--config-file", str(path)]).conf
    plain = tmp_path / "plain.conf"
    plain.write_text(DATABASE)
    expected = load(program, ["--config-file", str(plain)]).conf
    for group, opt in PROGRAMS[program].declared():
        values: list[cfg.ConfigOpts] = [conf, expected]
        found, wanted = (
            value[opt.dest] if group == "DEFAULT" else value[group][opt.dest] for value in values
        )
        assert found == wanted, f"[{group}]{opt.dest}"
