"""Replicas that join, leave, die, freeze and learn everything late: a model, step by step.

PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cdc_daemon.sharing.facts import era_of
from tests.generators.budget import repeatable, rounds, seeded
from tests.generators.sharing_model import DOCUMENTS, REPLICAS, SLOTS_USED, Replica, World

if TYPE_CHECKING:
    from random import Random

MOST_STEPS = 400
COMMON = [
    *("look", "start", "look_at_checkpoint", "load_state", "read", "read", "write", "write"),
    *("tell", "forget_written", "join", "store_checkpoint", "load"),
]
RARE = ["die", "lose_state", "remake", "elect", "give", "give", "give"]
RARE_SHARE = 0.08
COMMIT_SHARE = 0.1
TURN_SHARES = (0.1, 0.3, 0.6)
"""How often one does everything that it can do: others have then done much that one knows nothing
of."""
PACES = (0, 0, 1, 4)
"""How often one does anything, beside the others: not at all where it is frozen."""
MOOD_STEPS = 25
"""After about as many steps others are frozen."""


def test_replicas_lose_nothing() -> None:
    """What any of them believes to be complete is, at every step; in the end all of it is there."""
    seed, rng = seeded()
    counts: Counter[str] = Counter()
    with repeatable(seed):
        for _ in rounds():
            _run(rng, counts)
            counts["worlds"] += 1
    print(f"sharing: {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert counts["shared"], "no two replicas ever shared the documents"


def test_a_state_knows_nothing_of_an_index_that_is_made_anew() -> None:
    """Its marks are of what another index lacks: a chain of events that chance hardly comes to."""
    world = World()
    writer, late, keeper = (Replica(number, world) for number in range(REPLICAS))
    world.leader, world.has = writer.number, dict.fromkeys(SLOTS_USED, writer.number)
    for _ in range(3):
        for one in (writer, late, keeper):
            one.do_all()
    world.log.append(DOCUMENTS[0])
    for step in ("read", "write", "write", "tell"):
        getattr(writer, step)()
    keeper.read()
    keeper.forget_written()
    assert not keeper.state.pending, "another has written it, and has told so"
    world.leader, world.has = late.number, dict.fromkeys(SLOTS_USED, late.number)
    late.look()
    late.remake("joined")
    late.load()
    while late.run is not None and late.run.queue:
        late.write()
    late.load()
    assert world.checkpoint is not None
    assert not world.checkpoint.building, "it is shown, without the last change"
    late.die()
    _settle(world, [keeper, late, writer])
    _require_true(world, [keeper, late, writer])
    _require_reached(world, world.end, "the end")


def _run(rng: Random, counts: Counter[str]) -> None:
    world = World()
    replicas = [Replica(number, world) for number in range(REPLICAS)]
    turn_share, awake = rng.choice(TURN_SHARES), replicas
    for _ in range(rng.randrange(MOST_STEPS)):
        if rng.randrange(MOOD_STEPS) == 0:
            awake = [one for one in replicas for _ in range(rng.choice(PACES))] or replicas
        step = _step(rng, turn_share)
        _do(step, world, replicas, rng.choice(awake), rng)
        counts[step] += 1
        counts["shared"] += sum(bool(one.run and one.run.seat.slots) for one in replicas) > 1
        _require_true(world, replicas)
    _settle(world, replicas)
    assert world.checkpoint is not None
    _require_reached(world, world.end, "the end")


def _step(rng: Random, turn_share: float) -> str:
    chance = rng.random()
    for step, share in (("commit", COMMIT_SHARE), ("turn", turn_share)):
        if chance < share:
            return step
        chance -= share
    return rng.choice(RARE if chance < RARE_SHARE else COMMON)


def _do(step: str, world: World, replicas: list[Replica], one: Replica, rng: Random) -> None:
    if step == "commit":
        world.log.append(rng.choice(DOCUMENTS))
    elif step == "give":
        _give(world, replicas, rng)
    elif step == "elect":
        world.leader = rng.choice(replicas).number
    elif step == "turn":
        one.do_all()
    elif step == "remake":
        one.remake(rng.choice(["flat", "joined"]))
    else:
        getattr(one, step)()


def _give(world: World, replicas: list[Replica], rng: Random) -> None:
    """The group divides the slots anew, among those who want some."""
    wanting = [one.number for one in replicas if one.wants_slots or one.number == world.leader]
    world.has = {slot: rng.choice(wanting) for slot in SLOTS_USED} if wanting else {}


def _require_true(world: World, replicas: list[Replica]) -> None:
    """Everything up to what is believed to be complete is in what is searched."""
    if world.checkpoint is not None:
        _require_reached(world, world.checkpoint.position, "the checkpoint")
    for one in replicas:
        if one.run is not None and world.checkpoint is not None:
            is_of_now = one.run.era == era_of(world.checkpoint)
            _require_reached(world, one.complete() if is_of_now else 0, f"replica {one.number}")


def _require_reached(world: World, position: int, who: str) -> None:
    assert world.checkpoint is not None
    for name, generation in world.checkpoint.generations.items():
        if name in world.checkpoint.building:
            continue
        there = world.indices[generation.uuid]
        for document in DOCUMENTS:
            least = world.content(document, position)
            _, content = there.get(document, (0, 0))
            assert content >= least, (
                f"{who} says {position}: {document!r} of {name} shows {content}, not {least}"
            )


def _settle(world: World, replicas: list[Replica]) -> None:
    """Everybody goes on, nobody dies, until nothing is left to do."""
    world.leader = replicas[0].number
    for turn in range(12):
        wanting = [one.number for one in replicas if one.wants_slots or one.number == world.leader]
        world.has = {slot: wanting[at % len(wanting)] for at, slot in enumerate(sorted(SLOTS_USED))}
        for one in replicas:
            one.do_all()
        assert turn < 11 or world.checkpoint is None or not world.checkpoint.building
