import random

from search.tracking.outbox import Event
from search.tracking.update import fold


def event(kind: str, at: float, **fields: object) -> Event:
    return Event.model_validate({"kind": kind, "trial": 0, "at": at, **fields})


LIFE = [
    event("start", 1, tags={"worker": "a"}),
    event("params", 2, params={"lr": 0.1}),
    event("metrics", 3, step=1, values={"val_accuracy": 0.5}),
    event("metrics", 4, step=2, values={"val_accuracy": 0.6}),
    event("start", 5, tags={"worker": "b"}),
    event("params", 6, params={"lr": 0.1}),
    event("metrics", 7, step=2, values={"val_accuracy": 0.6}),
    event("metrics", 8, step=3, values={"val_accuracy": 0.7}),
    event("end", 9, state="PRUNED"),
]


def test_the_order_in_which_files_are_read_does_not_matter():
    expected = fold(LIFE)
    update = expected[0]
    assert update.first_at == 1
    assert update.tags == {"worker": "b"}
    assert [(p.step, p.at) for p in update.points.values()] == [(1, 3), (2, 4), (3, 8)]
    assert update.state
    assert update.state.name == "PRUNED"
    for seed in range(20):
        assert fold(random.Random(seed).sample(LIFE, len(LIFE))) == expected


def test_a_final_state_holds_even_where_clocks_differ():
    events = [
        event("end", 10, state="COMPLETE"),
        event("end", 50, state="WAITING"),
        event("start", 60),
    ]
    state = fold(events)[0].state
    assert state
    assert state.name == "COMPLETE"
