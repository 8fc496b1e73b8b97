"""A relay between a program and its server: cuts connections, holds them, delays answers, and notes every command.

    with Relay(server.uri) as relay:
        run_something(relay.uri)
        relay.cut()        # all connections end, as a network that goes away ends them
        relay.refuse()     # and no new ones, until accept()
        relay.hold()       # nothing passes, in either direction; go() lets pass what was held
        relay.delay(50)    # each answer comes so many milliseconds later
        relay.commands()   # [Command(name, collection, document, connection)] that the server was sent, in order

Threads, two for each connection: what it does to one is done to all at once. Not for measuring.
"""

import collections
import contextlib
import re
import socket
import struct
import threading
import time

import bson

OP_COMPRESSED, OP_MSG = 2012, 2013
Command = collections.namedtuple('Command', 'name collection document connection')


class Reader:
    """Commands out of a stream of messages."""

    def __init__(self):
        self.bytes = bytearray()

    def feed(self, data):
        self.bytes += data
        while len(self.bytes) >= 16:
            length, _, _, kind = struct.unpack_from('<iiii', self.bytes)
            if len(self.bytes) < length:
                return
            message = bytes(self.bytes[:length])
            del self.bytes[:length]
            assert kind != OP_COMPRESSED, 'the relay does not read compressed messages'
            # Flags, then sections; the body is the one of kind 0, and ours comes first.
            if kind == OP_MSG and message[20] == 0:
                size = struct.unpack_from('<i', message, 21)[0]
                yield bson.decode(message[21:21 + size])


class Relay:
    def __init__(self, uri):
        host, port = re.search(r'//(?:[^@/]*@)?([^/:,]+):(\d+)', uri).groups()
        self.target = (host, int(port))
        self.lock = threading.Condition()
        self.pairs = set()
        self.log = []
        self.held = self.refusing = self.ended = False
        self.delayed = 0.0
        self.connections = 0
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.uri = uri.replace(f'{host}:{port}', f'127.0.0.1:{self.listener.getsockname()[1]}')
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.lock:
            self.ended = True
        self.listener.close()
        self.go()
        self.cut()

    # ---- what it does

    def cut(self):
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            self._end(pair, abruptly=True)

    def refuse(self):
        with self.lock:
            self.refusing = True
        self.cut()

    def accept(self):
        with self.lock:
            self.refusing = False

    def hold(self):
        with self.lock:
            self.held = True

    def go(self):
        with self.lock:
            self.held = False
            self.lock.notify_all()

    def delay(self, ms):
        with self.lock:
            self.delayed = ms / 1000

    def commands(self, since=0):
        with self.lock:
            return self.log[since:]

    # ---- how

    @staticmethod
    def _end(pair, abruptly=False):
        for end in pair:
            with contextlib.suppress(OSError):
                if abruptly:  # RST, not FIN
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                refused = self.refusing or self.ended
            try:
                if refused:
                    raise ConnectionRefusedError
                server = socket.create_connection(self.target, timeout=10)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self.lock:
                self.pairs.add(pair)
                self.connections += 1
                number = self.connections
            threading.Thread(target=self._pump, args=(pair, client, server, number), daemon=True).start()
            threading.Thread(target=self._pump, args=(pair, server, client, None), daemon=True).start()

    def _pump(self, pair, source, target, number):
        reader = Reader()
        try:
            while data := source.recv(65536):
                with self.lock:
                    self.lock.wait_for(lambda: not self.held)
                    wait = 0 if number else self.delayed
                    for document in reader.feed(data) if number else ():
                        name, value = next(iter(document.items()))
                        self.log.append(Command(name, value if isinstance(value, str) else document.get('collection'),
                                                document, number))
                time.sleep(wait)
                target.sendall(data)
        except OSError:
            pass
        with self.lock:
            self.pairs.discard(pair)
        self._end(pair)
