"""
A worker that can tell which edition of its app it is.

The event ``edition`` answers with what its manifest and its code say, so that a
mixture of two can be seen; any other event answers with the chunk that came.
"""

import os
import time
from pathlib import Path

from speech import Speaker

TEXT = Path(__file__).with_name("edition.txt").read_text()


class Edition(Speaker):
    def chunk(self, channel, event, data):
        if event == b"edition":
            data = f"{os.environ['EDITION']} {TEXT}".encode()
        self.answer(channel, data)


time.sleep(float(os.environ.get("DELAY", 0)))
Edition().run()
