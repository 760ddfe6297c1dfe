"""`postroom trace`: the story of a message, recipient by recipient."""

from collections.abc import Iterator

from postroom.client import Item, ledger
from postroom.show import AsJson, moment, plain, show_json


async def trace(mail: str, *, as_json: AsJson = False) -> None:
    """Tell what became of a message.

    Parameters
    ----------
    mail
        The id that stands in the answer to its sender, in its Received field and in the log.

    """
    async with ledger() as api:
        story = await api.get("v1/mails", mail)
    if as_json:
        show_json(story)
        return
    for line in story_of(story):
        print(line)


def story_of(mail: Item) -> Iterator[str]:
    """Yield the lines of a message's story."""
    yield f"mail {plain(mail['id'])}"
    yield f"  from      {plain(mail.get('sender') or '<>')}"
    yield f"  accepted  {moment(mail['accepted_at'])}, {mail['size']} octets"
    yield f"  by way of {plain(mail['origin'])}"
    if mail.get("submitter"):
        yield f"  by user   {plain(mail['submitter'])}"
    ended = mail.get("ended_at")
    yield f"  ended     {moment(ended) if ended else 'not yet'}"
    for recipient in mail["recipients"]:
        yield ""
        yield f"{plain(recipient['recipient'])}: {plain(recipient['stage'])}"
        yield from _steps(mail["timeline"], recipient["recipient"])


def _steps(timeline: list[Item], recipient: str) -> Iterator[str]:
    for step in timeline:
        if step["recipient"] == recipient:
            words = [step.get("detail"), step.get("reply")]
            said = " - ".join(plain(word) for word in words if word)
            yield f"  {moment(step['at'])}  {plain(step['stage']):<9}  {said}".rstrip()
