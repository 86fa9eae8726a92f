"""Retractions: word that what was said of a host may stand no longer, for whoever repeats it.

Whatever decides a host says so here when it changes its mind; copies of the answer are then thrown away.
"""

from collections.abc import Callable

__all__ = ["Retractions"]


class Retractions:
    """Passes each retraction on to every listener, at once."""

    __slots__ = ("_everything", "_host")

    def __init__(self) -> None:
        self._host: list[Callable[[str], None]] = []
        self._everything: list[Callable[[], None]] = []

    def listen(self, *, host: Callable[[str], None], everything: Callable[[], None]) -> Callable[[], None]:
        """Call these with each canonical host, and when all hosts may have changed; neither may raise.

        Returns what ends this; to be called once, and not by a listener.
        """
        self._host.append(host)
        self._everything.append(everything)

        def stop() -> None:
            self._host.remove(host)
            self._everything.remove(everything)

        return stop

    def retract(self, host: str) -> None:
        """What was said of a canonical host may stand no longer."""
        for listener in self._host:
            listener(host)

    def retract_everything(self) -> None:
        """What was said of any host may stand no longer."""
        for listener in self._everything:
            listener()
