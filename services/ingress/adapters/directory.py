"""The directory is auth, asked over HTTP; what many connections ask at once goes together."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Self
from urllib.parse import quote

from kernel.batching import Batcher
from kernel.http import Peer, PeerUnavailableError
from kernel.model.questions import (
    AdmissionAnswer,
    AdmissionQuestion,
    GreylistAnswer,
    GreylistQuestion,
    Listener,
    LoginAnswer,
    LoginQuestion,
    RelayAnswer,
    RelayQuestion,
)
from services.ingress.ports import DirectoryUnavailableError

Questions = Sequence[RelayQuestion]
Answers = Sequence[RelayAnswer]

_BATCH = 256


@contextmanager
def _no_answer_is_no_answer() -> Iterator[None]:
    try:
        yield
    except (PeerUnavailableError, ConnectionAbortedError) as error:
        raise DirectoryUnavailableError(str(error)) from error


class HttpDirectory:
    """The `Directory`, and the `Memory`. Use as a context manager."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._decisions: Batcher[Questions, Answers] = Batcher(
            self._decide_all, limit=_BATCH, weigh=len, in_flight=1
        )

    async def __aenter__(self) -> Self:
        await self._peer.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._decisions.close()
        await self._peer.__aexit__()

    async def decide(self, questions: Questions) -> Answers:
        """Ask ``POST /internal/relay``, together with others."""
        with _no_answer_is_no_answer():
            return await self._decisions.ask(questions)

    async def admit(self, question: AdmissionQuestion) -> AdmissionAnswer:
        """Ask ``POST /internal/admission``."""
        with _no_answer_is_no_answer():
            return await self._peer.ask("/internal/admission", question, AdmissionAnswer)

    async def log_in(self, question: LoginQuestion) -> LoginAnswer:
        """Ask ``POST /internal/login``."""
        with _no_answer_is_no_answer():
            return await self._peer.ask("/internal/login", question, LoginAnswer)

    async def greylist(self, question: GreylistQuestion) -> GreylistAnswer:
        """Ask ``POST /internal/greylist``."""
        with _no_answer_is_no_answer():
            return await self._peer.ask("/internal/greylist", question, GreylistAnswer)

    async def listener(self, name: str) -> Listener:
        """Ask ``GET /internal/listeners/{name}``."""
        with _no_answer_is_no_answer():
            return await self._peer.get(f"/internal/listeners/{quote(name)}", Listener)

    async def _decide_all(self, asked: Sequence[Questions]) -> Sequence[Answers]:
        questions = list(chain.from_iterable(asked))
        answers = await self._peer.ask("/internal/relay", questions, list[RelayAnswer])
        if len(answers) != len(questions):
            raise PeerUnavailableError("auth answered another number of questions than we asked")
        coming = iter(answers)
        return [list(islice(coming, len(part))) for part in asked]
