#!/usr/bin/env python3
"""Records the frames that real clients and a real broker exchange: a proxy between them.

    record.py LISTEN_PORT BROKER_HOST:PORT CLIENT_NAME DIRECTORY

The broker must advertise 127.0.0.1:LISTEN_PORT.  The first frame of each API, version and direction is
kept as DIRECTORY/<client>_<key>_v<version>_<request|response>.hex.  Runs until it is ended.
"""
import os
import socket
import struct
import sys
import threading

FRAME_BYTES_MAX = 4096  # larger ones say nothing that a small one does not


def take(stream, count):
    data = b''
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def keep(directory, client, key, version, kind, frame):
    path = os.path.join(directory, f'{client}_{key}_v{version}_{kind}.hex')
    if os.path.exists(path) or len(frame) > FRAME_BYTES_MAX:
        return
    text = frame.hex()
    with open(path, 'w', encoding='ascii') as file:
        file.writelines(text[at:at + 96] + '\n' for at in range(0, len(text), 96))


def pass_on(source, target, see):
    try:
        while True:
            size = take(source, 4)
            frame = take(source, struct.unpack('>i', size)[0])
            see(frame)
            target.sendall(size + frame)
    except (EOFError, OSError):
        for stream in (source, target):
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(client_side, broker, client, directory):
    broker_side = socket.create_connection(broker)
    asked = {}

    def see_request(frame):
        key, version, correlation = struct.unpack_from('>hhi', frame)
        asked[correlation] = key, version
        keep(directory, client, key, version, 'request', frame)

    def see_response(frame):
        key, version = asked.pop(struct.unpack_from('>i', frame)[0])
        keep(directory, client, key, version, 'response', frame)

    threading.Thread(target=pass_on, args=(client_side, broker_side, see_request),
                     daemon=True).start()
    threading.Thread(target=pass_on, args=(broker_side, client_side, see_response),
                     daemon=True).start()


def main():
    host, port = sys.argv[2].rsplit(':', 1)
    listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
    while True:
        serve(listener.accept()[0], (host, int(port)), sys.argv[3], sys.argv[4])


main()
