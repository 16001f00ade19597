import pytest

from search.lab.simulation.clock import Clock


def test_threads_work_one_at_a_time_in_the_order_of_their_times() -> None:
    clock, events = Clock(), []

    def worker(name: str, seconds: float) -> None:
        for _ in range(3):
            clock.sleep(seconds)
            events.append((name, clock.now))

    clock.run([lambda: worker("slow", 2.0), lambda: worker("quick", 1.0)])
    # At 2.0 both wake; the slow one went to sleep first.
    assert events == [
        ("quick", 1.0),
        ("slow", 2.0),
        ("quick", 2.0),
        ("quick", 3.0),
        ("slow", 4.0),
        ("slow", 6.0),
    ]


def test_who_waits_wakes_when_another_says_so_and_nobody_waits_for_nobody() -> None:
    clock, events = Clock(), []

    def waiter(name: str) -> None:
        events.append((name, clock.wait(), clock.now))

    def busy() -> None:
        clock.sleep(5.0)
        clock.notify()
        clock.sleep(5.0)
        events.append(("busy", clock.wait(), clock.now))

    clock.run([lambda: waiter("a"), lambda: waiter("b"), busy])
    assert events == [("a", True, 5.0), ("b", True, 5.0), ("busy", False, 10.0)]


def test_an_error_ends_all_threads_and_is_raised() -> None:
    clock = Clock()
    ended = []

    def fails() -> None:
        clock.sleep(1.0)
        raise KeyError("here")

    def sleeps() -> None:
        clock.sleep(9.0)
        ended.append("never")

    def waits() -> None:
        clock.wait()
        ended.append("never")

    with pytest.raises(KeyError, match="here"):
        clock.run([sleeps, waits, fails])
    assert not ended
