"""Threads: the same bits from any number of them, errors that arrive, forks and callers at once."""

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from exact_convolution import Case, computed, reference, relative_error

from isthmus.model.kernels.threads import share

CASES = [
    Case(2, 3, 1, 2, (9, 10, 24), (5, 6, 5), (2, 2, 2), (2, 3, 2)),
    Case(2, 1, 2, 4, (20, 24, 24), (5, 6, 5), (2, 2, 2), (2, 3, 2)),
    Case(2, 1, 17, 33, (5, 4, 3)),
    Case(1, 1, 3, 5, (11, 10, 9), stride=2),
    Case(3, 40, 1, 1, (6, 5, 4)),
]


@pytest.mark.parametrize("case", CASES)
def test_any_number_of_threads_gives_the_same_bits(case: Case) -> None:
    found = []
    for n_threads in (1, 2, 3, 8):
        torch.set_num_threads(n_threads)
        found.append(computed(case).tensors())
    torch.set_num_threads(1)
    for others in found[1:]:
        for name, tensor in others.items():
            if name != "d_bias":  # which is PyTorch's own sum
                assert torch.equal(tensor, found[0][name]), name


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("n_tasks", [0, 1, 2, 7, 100])
def test_every_task_is_done_once(n_tasks: int, n_threads: int) -> None:
    torch.set_num_threads(n_threads)
    done: list[int] = []
    share(n_tasks, lambda first, last: done.extend(range(first, last)))
    assert sorted(done) == list(range(n_tasks))


@pytest.mark.parametrize("failing", [0, 2, 5])
def test_an_error_in_a_task_arrives_and_the_next_call_works(failing: int) -> None:
    torch.set_num_threads(3)
    ended: list[int] = []

    def work(first: int, last: int) -> None:
        if first <= failing < last:
            raise ArithmeticError(f"task {failing}")
        ended.append(first)

    with pytest.raises(ArithmeticError, match=f"task {failing}"):
        share(6, work)
    assert len(ended) == 2, "the others have ended by then"
    done: list[int] = []
    share(6, lambda first, last: done.extend(range(first, last)))
    assert sorted(done) == list(range(6))


def test_two_callers_at_once() -> None:
    torch.set_num_threads(2)
    expected = [computed(case).y for case in CASES[:2]]
    found: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    start = threading.Barrier(2)

    def call(i: int) -> None:
        torch.set_num_threads(2)  # each thread of Python has a number of its own
        start.wait()
        for _ in range(10):
            found[i].append(_values(CASES[i]))

    callers = [threading.Thread(target=call, args=(i,)) for i in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
        assert not caller.is_alive()
    for i in range(2):
        assert len(found[i]) == 10
        assert all(torch.equal(y, expected[i]) for y in found[i])


def _values(case: Case) -> torch.Tensor:
    """Convolve, memory as it comes: the way it is filled is one of the whole process."""
    from exact_convolution import tensors_of

    from isthmus.model.kernels.choice import convolve

    x, weight, bias, _dy = tensors_of(case)
    return convolve(x, weight, bias, case.before, case.after, case.stride, case.groups)


def _fork() -> None:
    """Convolve with two threads, fork, and convolve in the child: run as a script."""
    torch.set_num_threads(2)
    y = _values(CASES[0])

    def child() -> None:
        torch.set_num_threads(2)
        assert torch.equal(_values(CASES[0]), y)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    alive, code = process.is_alive(), process.exitcode
    process.kill()
    print("hangs" if alive else f"ended with {code}")


@pytest.mark.skipif(sys.platform != "linux", reason="forks processes, as Linux does")
def test_a_forked_child_has_threads_of_its_own() -> None:
    root = Path(__file__).resolve().parents[4]
    code = f"import sys; sys.path[:0] = [{str(root / 'platform')!r}, {str(root / 'tests')!r}]\n"
    code += f"import runpy; runpy.run_path({__file__!r})['_fork']()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "ended with 0" in done.stdout, f"{done.stdout}\n{done.stderr}"


def test_reference_is_met_by_many_threads() -> None:
    torch.set_num_threads(8)
    found, expected = computed(CASES[1]).tensors(), reference(CASES[1]).tensors()
    for name, tensor in found.items():
        assert relative_error(tensor, expected[name]) <= 1e-6
