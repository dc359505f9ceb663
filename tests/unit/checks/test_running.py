import threading

from glance.checks.results import Level, Outcome, doubt, fault, note
from glance.checks.running import Check, hangs, run, thd_finish
from glance.domain.errors import ConfigError


def blot(text):
    return text.replace("geheim", "***")


def outcomes(setting, *checks):
    return {outcome.name: outcome for outcome in run(checks, setting, blot)}


def test_a_check_that_breaks_hides_no_other(make):
    def broken(setting):
        yield note("so far so good.")
        raise RuntimeError("password geheim")

    def refused(setting):
        raise ConfigError("[x]y is wrong.")

    found = outcomes(
        make(), Check("a", broken), Check("b", refused), Check("c", lambda _: [doubt("hm.")])
    )
    assert found["a"] == Outcome(
        "a",
        Level.FAILURE,
        "The check itself failed: RuntimeError: password ***\nso far so good.",
    )
    assert found["b"] == Outcome("b", Level.FAILURE, "[x]y is wrong.")
    assert found["c"] == Outcome("c", Level.WARNING, "hm.")


def test_what_stands_on_a_failure_is_not_looked_at(make):
    looked = []
    later = Check("b", lambda _: looked.append(1) or [], needs="a")
    found = outcomes(make(), Check("a", lambda _: [fault("no.")]), later)
    assert not looked
    assert found["b"].level is Level.WARNING
    assert found["b"].details == "Not looked at, since this failed: a."
    assert outcomes(make(), Check("a", lambda _: [doubt("hm.")]), later)["b"].level == 0
    assert looked


def test_a_check_that_hangs_holds_up_no_other(make):
    release = threading.Event()

    def hanging(setting):
        yield note("before.")
        release.wait()

    try:
        found = outcomes(make(patience=0.05), Check("a", hanging), Check("b", lambda _: []))
        assert hangs()
    finally:
        release.set()
    assert found["a"].level is Level.FAILURE
    assert found["a"].details == "No answer within 0.05 seconds.\nbefore."
    assert found["b"].level is Level.SUCCESS


def test_jobs_run_side_by_side():
    meeting = threading.Barrier(3)
    finished = thd_finish(dict.fromkeys("abc", meeting.wait), 60)
    assert finished == {"a": True, "b": True, "c": True}
