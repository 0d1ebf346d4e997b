"""Stands between a real terminal and a program, as ssh does, so that a test can type and read along.

Started by the terminal as `python relay.py FOLDER COMMAND...`. FOLDER/keys is a pipe: what is written there is typed.
FOLDER/size.json says how large the terminal is; FOLDER/sent.bin grows by what the program writes; FOLDER/pid is its
process and FOLDER/code its exit code once it has ended, after which the relay stays, so that the screen can be looked
at. What begins with a NUL on the pipe is written to the terminal instead.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
import tty
from pathlib import Path


def copy_size(program: int, folder: Path) -> None:
    """Hands the terminal's size on, in cells and in pixels."""
    packed = fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8)
    fcntl.ioctl(program, termios.TIOCSWINSZ, packed)
    lines, columns, width, height = struct.unpack("HHHH", packed)
    made = folder / "size.tmp"
    made.write_text(json.dumps({"columns": columns, "lines": lines, "width_px": width, "height_px": height}))
    made.rename(folder / "size.json")


def main(folder: Path, command: list[str]) -> None:
    """Runs the command until it ends, then waits to be killed."""
    before = termios.tcgetattr(0)
    tty.setraw(0)
    # Terminals size their window a moment after the program in it has started.
    time.sleep(0.5)
    pid, program = pty.fork()
    if pid == 0:
        time.sleep(0.1)  # until the size is there
        os.execvp(command[0], command)
    (folder / "pid").write_text(str(pid))
    copy_size(program, folder)
    signal.signal(signal.SIGWINCH, lambda *_: copy_size(program, folder))
    typed = os.open(folder / "keys", os.O_RDWR)
    with (folder / "sent.bin").open("wb", buffering=0) as sent:
        while True:
            ready = select.select([0, program, typed], [], [])[0]
            if program in ready:
                try:
                    data = os.read(program, 1 << 16)
                except OSError:
                    break
                sent.write(data)
                while data:
                    data = data[os.write(1, data) :]
            for source in (0, typed):
                if source in ready:
                    keys = os.read(source, 1 << 12)
                    os.write(1 if keys.startswith(b"\0") else program, keys.lstrip(b"\0"))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    termios.tcsetattr(0, termios.TCSADRAIN, before)
    (folder / "code").write_text(str(code))
    time.sleep(600)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
