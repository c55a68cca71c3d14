"""The stock of an item: an actor per item, which keeps goods for orders and sends them.

It is called by sagas, so what it does for an order it does once, and taking back what never was is no error.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from callboard import ActorError, Code, Context, JsonActor, ReadContext, action


@dataclass
class Shelf:
    """What there is of one item."""

    available: int = 0
    #: How many are kept for each order.
    reserved: dict[str, int] = field(default_factory=dict)
    #: How many went out for each order.
    sent: dict[str, int] = field(default_factory=dict)


@dataclass
class Reserve:
    """Goods to keep for an order."""

    order: str
    count: int


@dataclass
class Release:
    """An order whose goods are free again."""

    order: str


@dataclass
class Send:
    """Where to send the goods of an order."""

    order: str
    address: str


class Stock(JsonActor[Shelf]):
    """The stock of one item; the item is the actor's key."""

    state_type = Shelf

    @action()
    async def add(self, ctx: Context[Shelf], count: int) -> int:
        """Puts goods on the shelf, and answers how many are there."""
        ctx.state.available += count
        return ctx.state.available

    @action()
    async def reserve(self, ctx: Context[Shelf], wanted: Reserve) -> None:
        """Keeps goods for an order."""
        shelf = ctx.state
        if wanted.order in shelf.reserved or wanted.order in shelf.sent:
            return
        if wanted.count > shelf.available:
            message = f"{wanted.count} of {ctx.self.key} are wanted, {shelf.available} are there"
            raise ActorError(Code.FAILED_PRECONDITION, "OUT_OF_STOCK", message)
        shelf.available -= wanted.count
        shelf.reserved[wanted.order] = wanted.count

    @action()
    async def release(self, ctx: Context[Shelf], given: Release) -> None:
        """Keeps nothing for an order any longer."""
        ctx.state.available += ctx.state.reserved.pop(given.order, 0)

    @action()
    async def send(self, ctx: Context[Shelf], parcel: Send) -> None:
        """Sends the goods that are kept for an order."""
        shelf = ctx.state
        if parcel.order in shelf.sent:
            return
        if not parcel.address:
            raise ActorError(Code.INVALID_ARGUMENT, "NO_ADDRESS", f"where is order {parcel.order} to be sent?")
        if parcel.order not in shelf.reserved:
            raise ActorError(Code.FAILED_PRECONDITION, "NOT_RESERVED", f"nothing is kept for order {parcel.order}")
        shelf.sent[parcel.order] = shelf.reserved.pop(parcel.order)

    @action(read_only=True)
    async def show(self, ctx: ReadContext[Shelf]) -> Shelf:
        """What there is, what is kept and what went out."""
        return ctx.state
