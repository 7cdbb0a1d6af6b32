"""Generation and member id as librdkafka tells them: in what it logs with debug=cgrp alone."""
import fcntl
import os
import re

JOINED = re.compile(r"JoinGroup response: GenerationId (\d+), .*? my MemberId ([^,]*),|"
                    r"ConsumerGroupHeartbeat response received for member id \"([^\"]*)\" with "
                    r"epoch (\d+)")
PIPE_BYTES = 1 << 20


class Membership:
    """What the last of the lines said."""

    def __init__(self):
        self.member, self.generation = "", None

    def read(self, line):
        found = JOINED.search(line)
        if found:
            self.member = found[2] or found[3]
            self.generation = int(found[1] or found[4])
        return bool(found)


class StandardError(Membership):
    """Takes this process's standard error.  librdkafka logs what it was answered before it tells
    the application, so in a callback everything has come that belongs to it."""

    def __init__(self):
        super().__init__()
        self.pipe, end = os.pipe()
        # librdkafka waits where it is full.
        fcntl.fcntl(self.pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(self.pipe, False)
        self.shown = os.dup(2)
        os.dup2(end, 2)
        os.close(end)
        self.rest = b""

    def update(self):
        while True:
            try:
                data = os.read(self.pipe, PIPE_BYTES)
            except BlockingIOError:
                return
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                if not self.read(line.decode(errors="replace")) and not line.startswith(b"%7|"):
                    os.write(self.shown, line + b"\n")
