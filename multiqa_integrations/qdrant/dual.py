"""Write a method once, for callers that block and for coroutines.

Two ways, and each keeps names, signatures and docstrings:

- `awaitable(method)` makes the coroutine of a method that blocks: it runs in a thread.
- `both(steps)` makes a method and its coroutine of one generator. The generator yields what it
  waits for, `ask` for a method of something that has both forms and `work` for plain computing,
  and is sent the results:

      class Shop(Dual):
          def _price(self, item: str) -> Steps[float]:
              record = yield from ask(self.store, Store.find, item)  # `find` or `await afind`
              return (yield from work(compute_price, record))        # for coroutines in a thread

          price, aprice = both(_price)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

from multiqa_integrations.coroutines import in_thread
from multiqa_integrations.qdrant.context import ContextManaged

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

Steps: TypeAlias = Generator[Any, Any, T]
"""A method as a generator: yields what it waits for, is sent the results, returns a `T`."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a method waits for, in both forms."""

    call: Callable[[], Any]
    acall: Callable[[], Awaitable[Any]]


def ask(
    target: S, method: Callable[Concatenate[S, P], T], /, *args: P.args, **kwargs: P.kwargs
) -> Steps[T]:
    """Wait for a method of `target`; coroutines await the one with an `a` before its name."""
    name = method.__name__
    result: T = yield Step(
        functools.partial(getattr(target, name), *args, **kwargs),
        functools.partial(getattr(target, f"a{name}"), *args, **kwargs),
    )
    return result


def work(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
    """Wait for a function that computes; coroutines have it done in a thread."""
    result: T = yield Step(
        functools.partial(function, *args, **kwargs),
        functools.partial(in_thread, function, *args, **kwargs),
    )
    return result


class Runner(Protocol):
    """Who carries out steps."""

    def _run(self, steps: Steps[T]) -> T: ...

    async def _arun(self, steps: Steps[T]) -> T: ...


def run(steps: Steps[T]) -> T:
    """Carry out the steps of a method, for a caller that blocks."""
    try:
        step: Step = next(steps)
        while True:
            try:
                result = step.call()
            except Exception as error:  # noqa: BLE001  (the generator decides)
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


class Dual(ContextManaged):
    """Carries out the steps that `ask` and `work` yield."""

    def _run(self, steps: Steps[T]) -> T:
        return run(steps)

    async def _arun(self, steps: Steps[T]) -> T:
        try:
            step: Step = next(steps)
            while True:
                try:
                    result = await step.acall()
                except Exception as error:  # noqa: BLE001  (the generator decides)
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


R = TypeVar("R", bound=Runner)


def both(
    steps: Callable[Concatenate[R, P], Steps[T]],
) -> tuple[Callable[Concatenate[R, P], T], Callable[Concatenate[R, P], Coroutine[Any, Any, T]]]:
    """Make a method and its coroutine of one generator."""

    @functools.wraps(steps)
    def method(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(steps(self, *args, **kwargs))

    @functools.wraps(steps)
    async def coroutine(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._arun(steps(self, *args, **kwargs))

    _present(method, steps, steps.__name__.lstrip("_"))
    _present(coroutine, steps, f"a{steps.__name__.lstrip('_')}")
    return method, coroutine


def _present(function: Any, steps: Callable[..., Any], name: str) -> None:
    """Show a method as it would be written: `-> T` instead of `-> Steps[T]`, `self` untyped."""
    signature = inspect.signature(steps)
    first, *others = signature.parameters.values()
    returned = str(signature.return_annotation).removeprefix("Steps[").removesuffix("]")
    function.__signature__ = signature.replace(
        parameters=[first.replace(annotation=inspect.Parameter.empty), *others],
        return_annotation=returned,
    )
    function.__qualname__ = function.__qualname__.removesuffix(function.__name__) + name
    function.__name__ = name


class Threaded(ContextManaged):
    """Blocks, and so runs in a thread for coroutines."""

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread."""
        return await in_thread(work, *args, **kwargs)


B = TypeVar("B", bound=Threaded)


def awaitable(
    method: Callable[Concatenate[B, P], T],
) -> Callable[Concatenate[B, P], Coroutine[Any, Any, T]]:
    """Make the coroutine of a method that blocks: it runs in a thread."""

    @functools.wraps(method)
    async def coroutine(self: B, /, *args: P.args, **kwargs: P.kwargs) -> T:
        blocking: Callable[P, T] = getattr(self, method.__name__)
        return await self._in_thread(blocking, *args, **kwargs)

    coroutine.__dict__.pop("__isabstractmethod__", None)  # `wraps` copies it
    coroutine.__name__ = f"a{method.__name__}"
    return coroutine
