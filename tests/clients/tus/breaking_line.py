"""Leads to a node, and breaks the first connection that has brought 5 MiB.

Usage: breaking_line.py URL-OF-THE-NODE; prints its own URL as JSON.
"""

import json
import socket
import sys
import threading
from urllib.parse import urlsplit

LIVES_FOR = 5 * 1024 * 1024

node = urlsplit(sys.argv[1])
has_broken = threading.Event()


def close(*sockets):
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        # A client that is still sending is told so.
        one.close()


def carry(source, target):
    passed = 0
    try:
        while piece := source.recv(65536):
            passed += len(piece)
            if passed > LIVES_FOR and not has_broken.is_set():
                has_broken.set()
                print("the connection breaks", file=sys.stderr)
                break
            target.sendall(piece)
    except OSError:
        pass
    close(source, target)


line = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"url": f"http://127.0.0.1:{line.getsockname()[1]}"}), flush=True)
while True:
    client, _ = line.accept()
    upstream = socket.create_connection((node.hostname, node.port))
    for pair in (client, upstream), (upstream, client):
        threading.Thread(target=carry, args=pair, daemon=True).start()
