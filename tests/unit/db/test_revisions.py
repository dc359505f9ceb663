"""The constants about revisions: what they say, and that the revision files say the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from glance.db.migrations.data import DATA_MIGRATIONS, due
from glance.db.migrations.runner import scripts
from glance.db.revisions import (
    CATALOGUE_CHAIN,
    CHAINS,
    OWN_CHAIN,
    Chain,
    Place,
    expanded_by_newer,
)

TINY = Chain("tiny", "tiny_version", ("first",), ("a_{}01", "b_{}01"))


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain.name)
def test_constants_are_those_of_the_files(chain: Chain) -> None:
    found = {script.revision: script for script in scripts(chain).walk_revisions()}
    assert set(found) == set(chain.revisions)
    assert set(scripts(chain).get_heads()) == {chain.expand[-1], chain.contract[-1]}
    lines = [chain.linear + chain.expand, chain.linear + chain.contract]
    for line in lines:
        assert found[line[0]].down_revision is None
        for older, newer in zip(line, line[1:], strict=False):
            assert found[newer].down_revision == older
    for expand, contract in zip(chain.expand, chain.contract, strict=True):
        assert found[contract].dependencies == expand
        assert found[expand].dependencies is None
        assert "expand" in found[expand].branch_labels
        assert "contract" in found[contract].branch_labels


def test_every_chain_has_a_version_table_of_its_own() -> None:
    assert CATALOGUE_CHAIN.version_table == "alembic_version"
    assert OWN_CHAIN.version_table == "txglance_version"
    assert CATALOGUE_CHAIN.head == "2024_1_contract01"


def test_revisions_fit_their_column() -> None:
    assert max(len(revision) for chain in CHAINS for revision in chain.revisions) <= 32


@pytest.mark.parametrize(
    ("recorded", "place"),
    [
        ([], Place(0, 0, 0, ())),
        (["first"], Place(1, 0, 0, ())),
        (["a_expand01"], Place(1, 1, 0, ())),
        (["b_expand01", "first"], Place(1, 2, 0, ())),
        (["b_expand01", "a_contract01"], Place(1, 2, 1, ())),
        (["b_contract01"], Place(1, 2, 2, ())),
        (
            ["z_expand01", "c_expand01", "b_contract01"],
            Place(1, 2, 2, ("c_expand01", "z_expand01")),
        ),
        (["nonsense"], Place(0, 0, 0, ("nonsense",))),
    ],
)
def test_place(recorded: list[str], place: Place) -> None:
    assert TINY.place(recorded) == place


def test_applied() -> None:
    assert TINY.applied(["b_expand01", "a_contract01"]) == (
        "first",
        "a_expand01",
        "b_expand01",
        "a_contract01",
    )
    assert TINY.applied([TINY.head]) == TINY.revisions


@pytest.mark.parametrize(
    ("unknown", "usable"),
    [
        (["2099_1_expand01"], True),
        (["2099_1_expand01", "2_0_expand02"], True),
        (["2099_1_contract01"], False),
        (["2099_1_expand01", "2_0_contract01"], False),
        (["nonsense"], False),
    ],
)
def test_only_expansion_by_a_newer_release_leaves_the_schema_usable(
    unknown: list[str], usable: bool
) -> None:
    assert expanded_by_newer(unknown) is usable


def test_data_migrations_belong_to_revisions() -> None:
    for migration in DATA_MIGRATIONS:
        assert migration.before in migration.chain.contract


@pytest.mark.parametrize(
    ("catalogue", "own", "names"),
    [
        ((), (), []),
        (("mitaka02",), (), []),
        (("2024_1_expand01",), (), ["ocata_migrate01", "train_migrate01"]),
        (("2024_1_expand01", "rocky_contract02"), (), ["train_migrate01"]),
        (("rocky_expand02",), (), ["ocata_migrate01"]),
        (("2024_1_contract01",), (), []),
        (("2024_1_contract01",), ("1_0_expand01",), ["1_0_migrate01"]),
        (("2024_1_contract01",), ("1_0_contract01",), []),
        (("2024_1_contract01",), ("1_0_expand02",), ["1_0_migrate01", "1_0_migrate02"]),
        (("2024_1_contract01",), ("1_0_expand02", "1_0_contract01"), ["1_0_migrate02"]),
        (("2024_1_contract01",), ("1_0_contract02",), []),
    ],
)
def test_due_data_migrations(
    catalogue: tuple[str, ...], own: tuple[str, ...], names: list[str]
) -> None:
    found = due({CATALOGUE_CHAIN: catalogue, OWN_CHAIN: own})
    assert [migration.name for migration in found] == names


def test_starting_on_an_up_to_date_database_does_not_load_alembic(tmp_path: Path) -> None:
    program = """
import sys
from glance.db import schema
from glance.db.engine import make_engine
engine = make_engine(sys.argv[1])
assert schema.thd_sync(engine)
schema.thd_status(engine).check_usable()
assert not schema.thd_sync(engine)
print("alembic" in sys.modules)
"""
    url = f"sqlite:///{tmp_path}/glance.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
