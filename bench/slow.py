"""A connection that is far away: each answer of the server comes so many milliseconds later, however large it is.

    with Slow(uri, ms) as slow:
        run_something(slow.uri)
        slow.spent    # seconds that commands were under way, all connections together

Unlike tests/integration/relay.py it reads nothing of what passes, and pieces of one answer do not add up.
"""

import collections
import contextlib
import re
import socket
import threading
import time


class Slow:
    def __init__(self, uri, ms):
        host, port = re.search(r'//(?:[^@/]*@)?([^/:,]+):(\d+)', uri).groups()
        self.target, self.delay = (host, int(port)), ms / 1000
        self.lock = threading.Lock()
        self.spent = 0.0
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.uri = uri.replace(f'{host}:{port}', f'127.0.0.1:{self.listener.getsockname()[1]}')
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                asked = collections.deque()
                pieces, more = collections.deque(), threading.Condition()
                for what in ((self._ask, client, server, asked), (self._answer, server, client, pieces, more),
                             (self._give, client, asked, pieces, more)):
                    threading.Thread(target=what[0], args=what[1:], daemon=True).start()

    @staticmethod
    def _ask(client, server, asked):
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 20):
                if not asked:
                    asked.append(time.monotonic())  # one command at a time
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _answer(self, server, client, pieces, more):
        data = b'-'
        with contextlib.suppress(OSError):
            while data:
                data = server.recv(1 << 20)
                with more:
                    pieces.append((time.monotonic() + self.delay, data))
                    more.notify()
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RD)

    def _give(self, client, asked, pieces, more):
        with contextlib.suppress(OSError):
            while True:
                with more:
                    more.wait_for(lambda: pieces)
                    when, data = pieces.popleft()
                time.sleep(max(0.0, when - time.monotonic()))
                if not data:
                    break
                began = asked.popleft() if asked else None
                client.sendall(data)
                if began:
                    with self.lock:
                        self.spent += time.monotonic() - began
        client.close()
