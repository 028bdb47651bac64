"""A program that a node calls when something happens."""

import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook, WebhookVerificationError

PATIENCE_SECS = 60


def read_event(secret: str, headers: dict[str, str], body: bytes) -> BaseCloudEvent:
    """Checks the signature of a call; an error says that it is not the node's."""
    Webhook(secret).verify(body, headers)
    return from_http_event(HTTPMessage(headers, body))


class Receiver:
    """Takes calls on a port of this machine."""

    def __init__(self) -> None:
        self._secret = ""
        self._events: queue.Queue[BaseCloudEvent] = queue.Queue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(receiver._take(headers, body))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def expect(self, secret: str) -> None:
        """Sets the key of the calls, which the answer to the subscription had."""
        self._secret = secret

    def next_event(self) -> BaseCloudEvent:
        return self._events.get(timeout=PATIENCE_SECS)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, headers: dict[str, str], body: bytes) -> int:
        try:
            event = read_event(self._secret, headers, body)
        except WebhookVerificationError:
            return 401
        if not refuses(self._secret, headers, body + b" "):
            raise AssertionError("a changed body has a valid signature")
        self._events.put(event)
        return 204


def refuses(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        read_event(secret, headers, body)
    except WebhookVerificationError:
        return True
    return False
