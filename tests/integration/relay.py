"""A relay between a program and its server: cuts connections, holds them, delays answers, and notes every command.

    with Relay(server.uri) as relay:
        run_something(relay.uri)
        relay.cut()        # all connections end, as a network that goes away ends them
        relay.refuse()     # and no new ones, until accept()
        relay.hold()       # nothing passes, in either direction; go() lets pass what was held
        relay.delay(50)    # each answer comes so many milliseconds later
        relay.catch(f, 3)  # holds when the third command from now on for which f is true arrives: it does not pass
        relay.caught()     # whether that was so; then cut() loses it, go() lets it pass
        relay.silence(f)   # from the first command on for which f is true its connection gets no answers, until go()
        relay.edit(f)      # each answer is f(answer); None leaves it as it is. Before anybody connects
        relay.change(f)    # the same with f(command, answer): the Command that is answered. An OSError of f's cuts the connection:
                       # the server did it, and its answer is lost
        relay.commands()   # [Command(name, collection, document, connection, at)] that the server was sent, in order

Threads, two for each connection: what it does to one is done to all at once. Not for measuring.
"""

import contextlib
import re
import socket
import struct
import threading
import time

import bson

OP_REPLY, OP_COMPRESSED, OP_MSG = 1, 2012, 2013


class Command:
    """One that was sent. It is kept as bytes: what a backfill writes is much as objects."""

    def __init__(self, raw, connection):
        self.raw, self.connection, self.at = raw, connection, time.monotonic()
        # The first element is the name; its value is the collection, but for a getMore.
        end = raw.index(b'\0', 5)
        self.name, value = raw[5:end].decode(), None
        if raw[4] == 2:
            size = struct.unpack_from('<i', raw, end + 1)[0]
            value = raw[end + 5:end + 4 + size].decode()
        self.collection = value if value is not None or self.name != 'getMore' else self.document['collection']

    @property
    def document(self):
        return bson.decode(self.raw)


class Reader:
    """Messages out of a stream, and the documents in them."""

    def __init__(self):
        self.bytes = bytearray()

    def messages(self, data):
        self.bytes += data
        while len(self.bytes) >= 16:
            length, _, _, kind = struct.unpack_from('<iiii', self.bytes)
            if len(self.bytes) < length:
                return
            message = bytes(self.bytes[:length])
            del self.bytes[:length]
            assert kind != OP_COMPRESSED, 'the relay does not read compressed messages'
            yield kind, message

    def feed(self, data):
        """The number of each command, and its document."""
        for kind, message in self.messages(data):
            # Flags, then sections; the body is the one of kind 0, and ours comes first.
            if kind == OP_MSG and message[20] == 0:
                size = struct.unpack_from('<i', message, 21)[0]
                yield struct.unpack_from('<i', message, 4)[0], message[21:21 + size]

    def edit(self, data, function):
        """function is given the number of the command that is answered, and the answer."""
        for kind, message in self.messages(data):
            at = 21 if kind == OP_MSG and message[20] == 0 else 36 if kind == OP_REPLY else 0
            size = struct.unpack_from('<i', message, at)[0] if at else 0
            number = struct.unpack_from('<i', message, 8)[0]
            changed = function(number, bson.decode(message[at:at + size])) if at else None
            if changed is not None:
                rest = message[4:at] + bson.encode(changed) + message[at + size:]
                message = struct.pack('<i', 4 + len(rest)) + rest
            yield message


class Relay:
    def __init__(self, uri):
        host, port = re.search(r'//(?:[^@/]*@)?([^/:,]+):(\d+)', uri).groups()
        self.target = (host, int(port))
        self.lock = threading.Condition()
        self.pairs = set()
        self.log = []
        self.held = self.refusing = self.ended = False
        self.trap, self.left, self.editor = None, 0, None
        self.silences, self.silent = None, set()
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
            self.held, self.silences, self.silent = False, None, set()
            self.lock.notify_all()

    def catch(self, match, k=1):
        with self.lock:
            self.trap, self.left = match, k

    def caught(self):
        with self.lock:
            return self.held and self.trap is None

    def silence(self, match):
        with self.lock:
            self.silences = match

    def edit(self, function):
        self.change(lambda _, answer: function(answer))

    def change(self, function):
        self.editor = function

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
            sent = {}
            threading.Thread(target=self._pump, args=(pair, client, server, number, sent), daemon=True).start()
            threading.Thread(target=self._pump, args=(pair, server, client, number, sent, False), daemon=True).start()

    def _spring(self, command):
        if self.trap and self.trap(command):
            self.left -= 1
            if not self.left:
                self.trap, self.held = None, True

    def _pump(self, pair, source, target, number, sent, asks=True):
        """sent: the connection's last command, by its number."""
        reader = Reader()
        try:
            while data := source.recv(65536):
                with self.lock:
                    self.lock.wait_for(lambda: not self.held and (asks or number not in self.silent))
                    wait = 0 if asks else self.delayed
                    for request, raw in reader.feed(data) if asks else ():
                        self.log.append(Command(raw, number))
                        sent.clear()
                        sent[request] = self.log[-1]
                        self._spring(self.log[-1])
                        if self.silences and self.silences(self.log[-1]):
                            self.silent.add(number)
                    self.lock.wait_for(lambda: not self.held)
                if self.editor and not asks:
                    data = b''.join(reader.edit(data, lambda to, answer: self.editor(sent.get(to), answer)))
                time.sleep(wait)
                target.sendall(data)
        except OSError:
            pass
        with self.lock:
            self.pairs.discard(pair)
        self._end(pair)
