"""A kind of thing that auth keeps, and what the command can do with all such kinds alike."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from postroom.client import Item, auth
from postroom.show import as_it_is, show, show_one

Edits = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""What to put into a list, and what to take out of it, by its field."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Things that stand under ``path``, shown in ``columns`` (heading by field).

    ``spoken`` turns what the API says into what people read, with the same fields; a field
    of ``alarms`` that is true must catch the eye.
    """

    path: tuple[str, ...]
    columns: Mapping[str, str]
    spoken: Callable[[Item], Item] = as_it_is
    alarms: Collection[str] = ()

    async def every(self, *, as_json: bool, **filters: object) -> None:
        """Print all that pass the filters."""
        async with auth() as api:
            self._show(await api.every(*self.path, **filters), as_json=as_json)

    async def show(self, *name: str, as_json: bool) -> None:
        """Print everything about one of them."""
        async with auth() as api:
            self._show_one(await api.get(*self.path, *name), as_json=as_json)

    async def add(self, body: Item, *, as_json: bool) -> Item:
        """Make one, print it, and return it."""
        async with auth() as api:
            item = await api.post(*self.path, body=body)
        self._show([item], as_json=as_json)
        return item

    async def change(
        self, *name: str, changes: Item, edits: Edits | None = None, as_json: bool
    ) -> None:
        """Make the changes, and the edits of lists; print what it became."""
        wanted = {field: edit for field, edit in (edits or {}).items() if any(edit)}
        if not (changes or wanted):
            raise ValueError("nothing to change: `--help` tells the options")
        async with auth() as api:
            if wanted:
                item = await api.revise(
                    *self.path, *name, changes=lambda item: changes | edited(item, wanted)
                )
            else:
                item = await api.patch(*self.path, *name, body=changes)
        self._show_one(item, as_json=as_json)

    async def remove(self, *name: str, **query: object) -> None:
        """Remove one, and say so."""
        async with auth() as api:
            await api.delete(*self.path, *name, **query)
        print(f"{' '.join(name)} is removed")

    def _show(self, items: list[Item], *, as_json: bool) -> None:
        show(items, self.columns, as_json=as_json, spoken=self.spoken, alarms=self.alarms)

    def _show_one(self, item: Item, *, as_json: bool) -> None:
        show_one(item, as_json=as_json, spoken=self.spoken, alarms=self.alarms)


def edited(item: Item, edits: Edits) -> Item:
    """Return the changes that make ``edits`` to lists of ``item``; case does not count."""
    changes: Item = {}
    for field, (add, drop) in edits.items():
        words: dict[str, str] = {}
        for word in (*item[field], *add):
            words.setdefault(word.casefold(), word)
        for word in drop:
            words.pop(word.casefold(), None)
        if [*words.values()] != item[field]:
            changes[field] = [*words.values()]
    return changes
