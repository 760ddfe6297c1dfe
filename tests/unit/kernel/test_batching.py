"""A lone question never waits; a crowd goes together."""

import asyncio

import pytest

from kernel.batching import Batcher


class Oracle:
    """Answers each question with its double, once it is let go."""

    def __init__(self):
        self.batches = []
        self.let_go = asyncio.Event()

    async def __call__(self, questions):
        self.batches.append(list(questions))
        await self.let_go.wait()
        return [2 * question for question in questions]


async def ask_many(batcher, questions):
    tasks = [asyncio.create_task(batcher.ask(question)) for question in questions]
    await asyncio.sleep(0)
    return tasks


async def test_a_lone_question_is_asked_at_once():
    oracle = Oracle()
    oracle.let_go.set()

    assert await Batcher(oracle).ask(21) == 42
    assert oracle.batches == [[21]]


async def test_questions_gather_while_others_are_under_way():
    oracle = Oracle()
    batcher = Batcher(oracle, in_flight=1)
    first = await ask_many(batcher, [0])
    await asyncio.sleep(0)

    rest = await ask_many(batcher, range(1, 10))
    oracle.let_go.set()

    assert await asyncio.gather(*first, *rest) == [2 * n for n in range(10)]
    assert oracle.batches == [[0], list(range(1, 10))]


async def test_a_batch_holds_no_more_than_its_limit():
    oracle = Oracle()
    oracle.let_go.set()
    batcher = Batcher(oracle, limit=4, in_flight=1)

    answers = await asyncio.gather(*(batcher.ask(n) for n in range(10)))

    assert answers == [2 * n for n in range(10)]
    assert max(map(len, oracle.batches)) <= 4


async def test_a_batch_weighs_no_more_than_its_limit_unless_one_alone_does():
    oracle = Oracle()
    oracle.let_go.set()
    batcher = Batcher(oracle, in_flight=1, weigh=lambda n: n, max_weight=10)

    await asyncio.gather(*(batcher.ask(n) for n in [6, 6, 50, 3, 3]))

    assert [sum(batch) for batch in oracle.batches] == [6, 6, 50, 6]


async def test_an_error_reaches_everybody_in_the_batch_and_nobody_else():
    async def picky(questions):
        if 1 in questions:
            raise LookupError
        return questions

    batcher = Batcher(picky, limit=2, in_flight=1)

    answers = await asyncio.gather(*(batcher.ask(n) for n in [0, 1, 2, 3]), return_exceptions=True)

    assert [type(answer) for answer in answers] == [LookupError, LookupError, int, int]


async def test_too_few_answers_answer_nobody():
    async def forgetful(questions):
        return questions[1:]

    with pytest.raises(ValueError, match="0 answers to 1 questions"):
        await Batcher(forgetful).ask(1)


async def test_an_asker_who_leaves_disturbs_no_other():
    oracle = Oracle()
    batcher = Batcher(oracle)
    leaver, stayer = await ask_many(batcher, [1, 2])

    leaver.cancel()
    oracle.let_go.set()

    assert await stayer == 4
    with pytest.raises(asyncio.CancelledError):
        await leaver


async def test_closing_waits_for_what_was_asked():
    oracle = Oracle()
    batcher = Batcher(oracle)
    (task,) = await ask_many(batcher, [1])
    oracle.let_go.set()

    await batcher.close()

    assert task.done() or await task == 2


async def test_what_is_cut_off_looks_like_a_lost_connection():
    oracle = Oracle()
    batcher = Batcher(oracle, in_flight=1)
    (task,) = await ask_many(batcher, [1])
    await asyncio.sleep(0)

    await batcher.cut_off()

    with pytest.raises(ConnectionAbortedError):
        await task


async def test_a_question_nobody_waits_for_any_more_is_not_asked():
    oracle = Oracle()
    batcher = Batcher(oracle, in_flight=1)
    first = await ask_many(batcher, [0])
    given_up, second = await ask_many(batcher, [1, 2])
    given_up.cancel()
    await asyncio.sleep(0)
    oracle.let_go.set()

    assert await asyncio.gather(*first, second) == [0, 4]
    assert oracle.batches == [[0], [2]]


async def test_who_waits_too_long_is_told_and_nobody_else():
    oracle = Oracle()
    batcher = Batcher(oracle, in_flight=1)
    patient = await ask_many(batcher, [1])
    await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        await batcher.ask(2, within=0)
    oracle.let_go.set()

    assert await asyncio.gather(*patient) == [2]
    await batcher.close()
    assert oracle.batches == [[1]]
