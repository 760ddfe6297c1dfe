"""Fuzzes the session core by coverage (atheris), for as long as one likes.

python -m tests.fuzz.session [-max_total_time=600] [-max_len=4096] [FOLDER OF INPUTS]

What it finds, it writes to a file whose name it prints; give that file instead of a folder to
play it again. The suite does with Hypothesis what can be done in seconds.
"""

import sys

import atheris

with atheris.instrument_imports(include=["services.ingress.core", "kernel.sasl", "kernel.model"]):
    from tests.fuzz.conversation import Conversation, Do, Say, make_listener

from tests.fuzz.words import MAIL, WORDS

_MOST = 80  # steps


def one_input(octets: bytes) -> None:
    """Play the conversation that ``octets`` stand for."""
    source = atheris.FuzzedDataProvider(octets)
    listener = make_listener(source.ConsumeIntInRange(0, 2**16 - 1))
    one = Conversation(listener)
    if source.ConsumeBool():
        one.play([Say.YES, *(step for line in MAIL for step in (line, Say.YES, Say.YES))])
    for _ in range(_MOST):
        if not source.remaining_bytes():
            break
        one.play([_step(source)])


def _step(source: atheris.FuzzedDataProvider) -> bytes | Say | Do:
    match source.ConsumeIntInRange(0, 9):
        case 0 | 1 | 2:
            return WORDS[source.ConsumeIntInRange(0, len(WORDS) - 1)]
        case 3 | 4 | 5:
            return Say.YES
        case 6:
            return tuple(Say)[source.ConsumeIntInRange(0, len(Say) - 1)]
        case 7:
            return tuple(Do)[source.ConsumeIntInRange(0, len(Do) - 1)]
        case _:
            return source.ConsumeBytes(source.ConsumeIntInRange(0, 200))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
