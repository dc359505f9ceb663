from glance.checks.results import Level, Outcome, doubt, fault, note, some, sum_up


def test_nothing_to_say():
    assert sum_up("x", []) == Outcome("x", Level.SUCCESS, None)


def test_the_worst_comes_first_and_decides():
    found = [note("a."), fault("b."), doubt("c."), fault("d.")]
    assert sum_up("x", found) == Outcome("x", Level.FAILURE, "b.\nd.\nc.\na.")
    assert sum_up("x", [note("a."), doubt("c.")]).level is Level.WARNING
    assert sum_up("x", [note("a.")]) == Outcome("x", Level.SUCCESS, "a.")


def test_long_lists_are_cut():
    assert some("abc") == "a, b, c"
    assert some("abcdefg") == "a, b, c, d, e and 2 more"
