"""Replicas that share documents, as a model: what each does in one step, and nothing of how.

Changes have positions 1, 2, ...; the content of a document is the position that changed it last. So
whatever is wrong shows as a number that is too low.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cdc_daemon.events import BEYOND, NOWHERE, Checkpoint, Generation, Position
from cdc_daemon.ports import NOTHING, Reached, Seat
from cdc_daemon.sharing.facts import complete, era_of, reached_of, worth_telling
from cdc_daemon.sharing.slots import slot_of
from cdc_daemon.state.knowing import Known, known_of

DOCUMENTS = [b'"%d"' % number for number in range(5)]
SLOTS_USED = frozenset(map(slot_of, DOCUMENTS))
REPLICAS = 3
FLAT, JOINED = "flat", "joined"


class Write(NamedTuple):
    """A document on its way."""

    projection: str
    uuid: str
    document: bytes
    version: int
    content: int
    after: int


@dataclass
class World:
    """What all replicas see: the log, the sink, the checkpoint, the group."""

    log: list[bytes] = field(default_factory=list)
    indices: dict[str, dict[bytes, tuple[int, int]]] = field(default_factory=dict)
    """By uuid: version and content of each document."""
    checkpoint: Checkpoint | None = None
    told: dict[int, Reached] = field(default_factory=dict)
    has: dict[int, int] = field(default_factory=dict)
    """Which replica has a slot."""
    leader: int | None = None

    @property
    def end(self) -> Position:
        """Where the log ends."""
        return Position(len(self.log))

    def content(self, document: bytes, at: int) -> int:
        """Of a document as of a position."""
        changed = (number for number in range(at, 0, -1) if self.log[number - 1] == document)
        return next(changed, 0)

    def write(self, one: Write) -> None:
        """As the sink does: what is older than what is there has no effect."""
        there = self.indices.get(one.uuid)
        if there is None:
            return  # it was dropped
        version, content = there.get(one.document, (0, 0))
        if one.version == version:
            assert content == one.content, f"two contents of one version: {one}, {content}"
        if one.version >= version:
            there[one.document] = (one.version, one.content)

    def make(self, projection: str) -> Generation:
        """An empty index."""
        uuid = f"{projection}-{len(self.indices)}"
        self.indices[uuid] = {}
        return Generation(projection, uuid, uuid, "")


@dataclass
class State:
    """What a replica keeps over its death."""

    position: Position = NOWHERE
    whole: bool = False
    pending: dict[bytes, int] = field(default_factory=dict)
    known: Known | None = None


@dataclass
class Run:
    """One start of a replica, until the next."""

    seat: Seat
    era: str
    checkpoint: Checkpoint
    received: Position
    most: Position
    """The floor of what is known of others."""
    loading: bool
    """The leader makes generations."""
    queue: list[Write] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)


class Replica:
    """One process after the other, with one state."""

    def __init__(self, number: int, world: World) -> None:
        self.number = number
        self.world = world
        self.state = State()
        self.run: Run | None = None
        self.seat = NOTHING
        """What it believes to have."""
        self.wants_slots = False

    def die(self) -> None:
        """Nothing is left but the state; to the group the next process is another one."""
        self.number += REPLICAS
        self.run = None
        self.wants_slots = False
        self.seat = NOTHING

    def lose_state(self) -> None:
        """It has another machine."""
        self.die()
        self.state = State()

    def look(self) -> None:
        """Learn what it has; where that is another seat, what was read is let go."""
        world = self.world
        slots = frozenset(slot for slot, who in world.has.items() if who == self.number)
        seat = Seat(world.leader == self.number, slots)
        if seat != self.seat:
            self.seat, self.run = seat, None

    def start(self) -> None:
        """Begin with the seat that it believes to have."""
        if self.run is not None:
            return
        if self.seat.leads:
            self._lead()
        else:
            self._follow()

    def remake(self, projection: str) -> None:
        """A mapping has changed: who leads makes another index of it."""
        if self.seat.leads:
            self.run = None
            self._lead(projection)

    def _lead(self, remake: str | None = None) -> None:
        world, kept = self.world, self.world.checkpoint
        owner = f"{self.number}"
        if kept is None:
            made = {name: world.make(name) for name in (FLAT, JOINED)}
            kept = Checkpoint("p", world.end, "s", made, building=(FLAT, JOINED))
            self.state = State(world.end)
        anew = set(kept.building) | ({remake} if remake else set())
        if remake:
            kept = self._remade(kept, remake)
        self._know(kept)
        if JOINED not in anew and not self._is_ready(kept):
            kept = self._remade(kept, JOINED)
            self._know(kept)
        world.checkpoint = Checkpoint(
            "p", kept.position, "s", kept.generations, building=kept.building, owner=owner
        )
        if world.checkpoint.building and self.seat.slots != SLOTS_USED:
            return  # the others are to leave first
        self._begin(world.checkpoint)

    def _remade(self, kept: Checkpoint, name: str) -> Checkpoint:
        generations = {**kept.generations, name: self.world.make(name)}
        building = tuple(sorted({*kept.building, name}))
        return Checkpoint(
            kept.pipeline, kept.position, kept.source_id, generations, building=building
        )

    def _follow(self) -> None:
        kept = self.world.checkpoint
        if kept is None or kept.building:
            self.wants_slots = False
            return
        self._know(kept)
        self._begin(kept)

    def _know(self, kept: Checkpoint) -> None:
        state, uuid = self.state, kept.generations[JOINED].uuid
        if state.whole:
            state.known = known_of(state.known, uuid, state.position, alone=False)

    def _begin(self, kept: Checkpoint) -> None:
        begin = Position(min(self.state.position or kept.position, kept.position))
        seat = self.seat if self.seat.leads or self._is_ready(kept) else NOTHING
        run = self.run = Run(
            seat, era_of(kept), kept, begin, kept.position, loading=bool(kept.building)
        )
        if self.state.whole:
            self._send(sorted(self.state.pending), run)

    def _is_ready(self, kept: Checkpoint) -> bool:
        """Whether all that the state doesn't know is in the sink."""
        state = self.state
        everywhere = complete(self.world.told, era_of(kept), kept.position, SLOTS_USED).durable
        return state.whole and state.known is not None and state.known.since <= everywhere

    def look_at_checkpoint(self) -> None:
        """Begin again where it isn't what we have begun with, or somebody else has stored it."""
        run, kept = self.run, self.world.checkpoint
        if run is None or kept is None:
            return
        if self.seat.leads:
            if kept.owner != str(self.number):
                self.run = None
        elif kept.building or era_of(kept) != run.era:
            self.run, self.wants_slots = None, False

    def do_all(self) -> None:
        """Everything that can be done by now."""
        self.look()
        self.look_at_checkpoint()
        self.start()
        for _ in self.world.log:
            self.read()
        self.load_state()
        self.load()
        while self.run is not None and self.run.queue:
            self.write()
        self.load()
        self.tell()
        self.store_checkpoint()
        self.forget_written()
        self.join()

    def load_state(self) -> None:
        """All rows are in the state: what is touched from now on is known."""
        run, state = self.run, self.state
        if run is None or state.whole:
            return
        state.whole = True
        state.position = max(state.position, run.received)
        state.pending = {}
        state.known = Known(run.checkpoint.generations[JOINED].uuid, state.position)

    def read(self) -> None:
        """One more change of the log."""
        run, world = self.run, self.world
        if run is None or run.received >= world.end:
            return
        before, document = run.received, world.log[run.received]
        run.received = Position(before + 1)
        uuid = run.checkpoint.generations[FLAT].uuid
        if slot_of(document) in run.seat.slots:
            run.queue.append(Write(FLAT, uuid, document, run.received, run.received, before))
        state = self.state
        if run.received > state.position:
            state.position = run.received
            if state.whole:
                state.pending[document] = state.position
                self._send([document], run, before)

    def _send(self, documents: list[bytes], run: Run, before: int | None = None) -> None:
        uuid, at = run.checkpoint.generations[JOINED].uuid, self.state.position
        after = run.received if before is None else before
        for document in documents:
            if slot_of(document) in run.seat.slots:
                content = self.world.content(document, at)
                run.queue.append(Write(JOINED, uuid, document, at, content, after))

    def write(self) -> None:
        """The first document that is on its way comes into the sink."""
        run = self.run
        if run is None or not run.queue:
            return
        one = run.queue.pop(0)
        self.world.write(one)
        last = self.state.pending.get(one.document)
        if one.projection == JOINED and last is not None and last <= one.version:
            del self.state.pending[one.document]

    def durable(self, run: Run) -> int:
        """Up to where nothing is on its way."""
        return min(run.received, *(one.after for one in run.queue), BEYOND)

    def tell(self) -> None:
        """Let the others know how far our documents are."""
        run = self.run
        if run is not None and not run.loading:
            here = Position(self.durable(run))
            now = Reached(run.era, here, here)
            self.world.told.update(worth_telling(self.world.told, run.seat.slots, now))

    def forget_written(self) -> None:
        """What others have written is pending no longer."""
        run = self.run
        if run is None:
            return
        for document, last in list(self.state.pending.items()):
            slot = slot_of(document)
            known = reached_of(self.world.told, slot, run.era, run.most).durable
            if slot not in run.seat.slots and last <= known:
                del self.state.pending[document]

    def complete(self) -> Position:
        """Up to where it would let others believe that all documents are."""
        run = self.run
        if run is None or run.loading:
            return NOWHERE
        others = SLOTS_USED - run.seat.slots
        known = complete(self.world.told, run.era, run.most, others).durable
        return Position(min(known, self.durable(run))) if others else Position(self.durable(run))

    def join(self) -> None:
        """Want slots where nothing is unknown that others may not have written yet, or where there
        are some by now; else give up what the group has given meanwhile, for a wish of before.
        """  # noqa: D205 - one sentence
        run = self.run
        if run is None or (run.loading and not run.seat.leads):
            return
        if run.seat.leads:
            self.wants_slots = True
            return
        everywhere = complete(self.world.told, run.era, run.most, SLOTS_USED).durable
        is_ready = self._is_ready(run.checkpoint) and run.received >= everywhere
        self.wants_slots = is_ready or bool(run.seat.slots)
        if self.wants_slots and run.seat != self.seat:
            self.run = None

    def store_checkpoint(self) -> None:
        """The leader says how far all are."""
        run, kept = self.run, self.world.checkpoint
        if run is None or not run.seat.leads or kept is None:
            return
        if kept.owner != str(self.number):
            self.run = None
            return
        others = SLOTS_USED - run.seat.slots
        position = Position(self.durable(run))
        if others:
            position = min(position, complete(self.world.told, run.era, run.most, others).durable)
        self.world.checkpoint = Checkpoint(
            "p",
            max(kept.position, position),
            "s",
            kept.generations,
            building=kept.building,
            owner=kept.owner,
        )

    def load(self) -> None:
        """The leader writes all documents of what it makes, or shows it once they are there."""
        run, kept = self.run, self.world.checkpoint
        if run is None or kept is None or not run.loading:
            return
        if kept.owner != str(self.number):
            self.run = None
            return
        for name in (FLAT, JOINED):
            if name in kept.building and name not in run.loaded:
                self._load(name, run)
                return
        if not any(one.after == BEYOND for one in run.queue):
            self.state.known = Known(kept.generations[JOINED].uuid, NOWHERE)
            position = max(kept.position, Position(self.durable(run)))
            self.world.checkpoint = Checkpoint(
                "p", position, "s", kept.generations, owner=kept.owner
            )
            run.loading = False

    def _load(self, name: str, run: Run) -> None:
        if name == JOINED and not self.state.whole:
            return
        at = run.received if name == FLAT else self.state.position
        uuid = run.checkpoint.generations[name].uuid
        for document in DOCUMENTS:
            content = self.world.content(document, at)
            run.queue.append(Write(name, uuid, document, at, content, BEYOND))
        run.loaded.add(name)
