"""The way to the terminal: never makes the event loop wait, and knows when the line has room for another frame."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.events import CursorPosition
from textual.message import Message

from .lateanswers import KeysAlone

if TYPE_CHECKING:
    from textual.app import App

ROOM_BYTES = 8 << 10
"""A frame may be drawn while no more than this is under way: a slow line then is at most one frame behind."""
ASK_BYTES = 4 << 10
"""After so many bytes the terminal is asked whether it has them."""
ASK = "\x1b[6n"
"""Where is the cursor: a question that every terminal answers, in order with what it draws."""
PATIENCE_S = 2.0
"""A terminal that takes longer to answer is not waited for any more."""
LEAVE_S = 0.5
"""On the way out answers are awaited so long: later ones would be typed into the shell."""
END_S = 3.0
"""A line that takes nothing is given up after this."""
PIECE_BYTES = 16 << 10
CLEAR = "\x1b[H\x1b[2J"
"""Before the alternate screen is left: tmux 3.3 wraps wide rows again when its window has grown meanwhile, and what
they push up comes to lie above the prompt."""
LOOK_S = 1.0
"""How often it is looked whether the terminal is still there."""


class Line(threading.Thread):
    """Writes to a file descriptor, in order, in a thread of its own.

    Between the program and the terminal there may be buffers of megabytes, as in ssh. So bytes count as under way until
    the terminal has answered a question sent after them; for a terminal that does not answer, until they are written.

    Args:
        descriptor: Where to write.
        on_room: Called in this thread when there is room again.
    """

    def __init__(self, descriptor: int, on_room: Callable[[], None]) -> None:
        super().__init__(name="flowtui-output", daemon=True)
        self._descriptor = descriptor
        self._on_room = on_room
        self._change = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._unwritten = 0
        self._since_asked = 0
        self._asked: deque[tuple[int, float]] = deque()
        self._unanswered = 0
        self._answers = False
        self._ending = False
        self._broken = False
        self._full = False

    @property
    def under_way(self) -> int:
        """Bytes that the terminal does not have yet, as far as is known."""
        with self._change:
            return self._under_way()

    @property
    def has_room(self) -> bool:
        """Whether another frame may be drawn; if not, `on_room` is called once that is so."""
        with self._change:
            self._full = self._under_way() > ROOM_BYTES
            return not self._full

    def write(self, text: str) -> None:
        """Queues text. Returns at once."""
        data = text.encode("utf-8", "backslashreplace")
        with self._change:
            self._since_asked += len(data)
            if self._since_asked >= ASK_BYTES and (self._answers or not self._asked):
                data += ASK.encode()
                self._asked.append((self._since_asked, time.monotonic()))
                self._unanswered += self._since_asked
                self._since_asked = 0
            self._queue.append(data)
            self._unwritten += len(data)
            self._change.notify_all()

    def answered(self) -> bool:
        """Takes an answer of the terminal; False if nothing had been asked."""
        with self._change:
            if not self._asked:
                return False
            self._unanswered -= self._asked.popleft()[0]
            self._answers = True
            self._change.notify_all()
        self._tell()
        return True

    def run(self) -> None:
        """Writes until the end."""
        while True:
            with self._change:
                while not self._queue and not self._ending:
                    # Woken now and then while an answer is due, to stop waiting for a terminal that no longer answers.
                    if not self._change.wait(PATIENCE_S if self._asked else None):
                        break
                data = self._queue.popleft() if self._queue else b""
                if not data and self._ending:
                    return
            self._put(data)
            self._tell()

    def finish(self) -> None:
        """Writes what is queued and ends; a line that takes nothing is given up."""
        with self._change:
            self._ending = True
            self._change.notify_all()
        self.join(END_S)

    def wait_for_answers(self) -> None:
        """Waits a moment for the answers that are still to come."""
        end = time.monotonic() + LEAVE_S
        with self._change:
            # A terminal that has never answered is given the same time from its first question on.
            if self._asked and not self._answers:
                end = min(end, self._asked[0][1] + LEAVE_S)
            while self._asked and not self._broken and (left := end - time.monotonic()) > 0:
                self._change.wait(left)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            done = len(view)
            if not self._broken:
                try:
                    done = os.write(self._descriptor, view[:PIECE_BYTES])
                except InterruptedError:
                    continue
                except BlockingIOError:
                    time.sleep(0.005)
                    continue
                except OSError:
                    # The terminal is gone. What follows is dropped: the program is about to be told so by a signal.
                    self._broken = True
            view = view[done:]
            with self._change:
                self._unwritten -= done

    def _under_way(self) -> int:
        if self._asked and time.monotonic() - self._asked[0][1] > PATIENCE_S + self._unanswered / 50_000:
            self._answers = False
            self._asked.clear()
            self._unanswered = 0
        unanswered = self._unanswered + self._since_asked if self._answers and self._asked else 0
        return max(self._unwritten, unanswered)

    def _tell(self) -> None:
        with self._change:
            tell = self._full and self._under_way() <= ROOM_BYTES
            self._full = self._full and not tell
        if tell:
            self._on_room()


class LineDriver(LinuxDriver):
    """Textual's driver over a `Line`; ends the application tidily on signals."""

    def __init__(self, app: App[Any], **settings: Any) -> None:
        super().__init__(app, **settings)
        self.line: Line | None = None
        self._signals = False
        self._together: list[str] | None = None

    @property
    def _steady(self) -> Any:
        """The application, which is a `SteadyApp`: its module imports this one."""
        return self._app

    @property
    def has_room(self) -> bool:
        """Whether another frame may be drawn; `on_line_room` of the application is called when that is so again."""
        return self.line is None or self.line.has_room

    def start_application_mode(self) -> None:
        """Takes the terminal over."""
        assert self._file is not None  # it was opened with the driver
        self.line = Line(self._file.fileno(), self._has_room_again)
        self.line.start()
        if not self._signals:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                self._loop.add_signal_handler(number, self._end, number)
            self._signals = True
            self._look()
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def write(self, data: str) -> None:
        """Queues text for the terminal. Returns at once."""
        if self._together is not None:
            self._together.append(data)
            return
        if self.line is None:
            return  # suspended: all is drawn anew afterwards
        if "\x1b[?1049h" in data or "\x1bP" in data:
            # A new screen, or pixels over cells: what was drawn before is no longer what is seen.
            self._steady.screen_changed()
        self.line.write(data)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Whatever is written inside goes out in one piece."""
        parts: list[str] = []
        self._together = parts
        try:
            yield
        finally:
            self._together = None
            if parts:
                self.write("".join(parts))

    def stop_application_mode(self) -> None:
        """Gives the terminal back, as it was."""
        if self.line is not None:
            self._steady.leave_screen()
        self.write(CLEAR)
        super().stop_application_mode()

    def _sigcont_application(self, *_: object) -> None:
        """Comes back after a stop, and draws everything again."""
        if not self._auto_restart:
            return
        if self.line is not None:
            # Stopped without notice (SIGSTOP): whoever had the terminal meanwhile may have changed it.
            self.suspend_application_mode()
            self._must_signal_resume = True
        self.resume_application_mode()
        self._loop.call_soon_threadsafe(self._steady.redraw)

    def run_input_thread(self) -> None:
        """Reads keys."""
        # Textual has no other way to give it a parser.
        setattr(linux_driver, "XTermParser", KeysAlone)  # noqa: B010 - the name is not exported
        super().run_input_thread()

    def process_message(self, message: Message) -> None:
        """Keeps the answers to the line's own questions to itself."""
        if isinstance(message, CursorPosition) and self.line is not None and self.line.answered():
            return
        super().process_message(message)

    def disable_input(self) -> None:
        """Stops reading keys, when no more answers are to come."""
        if self.line is not None and self._key_thread is not None and self._key_thread.is_alive():
            self.line.wait_for_answers()
        super().disable_input()

    def close(self) -> None:
        """Writes what is left."""
        super().close()
        if self.line is not None:
            self.line.finish()
            self.line = None

    def _get_terminal_size(self) -> tuple[int, int]:
        """(width, height) as the terminal has it: COLUMNS and LINES of a shell that exports them do not follow it."""
        try:
            width, height = os.get_terminal_size(self.fileno)
        except OSError:
            return super()._get_terminal_size()
        return width, height

    def _has_room_again(self) -> None:
        # A loop that is closed has nothing left to draw.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._steady.on_line_room)

    def _look(self) -> None:
        """Ends the application when its terminal is gone: the signal for that goes to the shell, which may keep it."""
        if hung_up(self.fileno):
            self._end(signal.SIGHUP)
        else:
            self._loop.call_later(LOOK_S, self._look)

    def _end(self, number: signal.Signals) -> None:
        # As a shell has it: 128 and the signal's number.
        self._app.exit(return_code=128 + number)


def hung_up(descriptor: int) -> bool:
    """Whether there is no terminal at the other end any more. Such a one is read as if keys came without end."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))
