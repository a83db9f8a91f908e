"""A server that speaks the chat-completions form as a test's script tells it: busy, broken, slow and wrong."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def completion(text, tokens=(100, 2)):
    return 200, {
        "choices": [{"message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]},
    }


class Server:
    """Answers by `script`, a function of the request's number and body: (status, body, headers), seconds to
    wait, or None to hang up."""

    def __init__(self):
        self.requests, self.headers, self.paths = [], [], []
        self.script = lambda number, body: completion("Yes")
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    server.requests.append(body)
                    server.headers.append(dict(self.headers))
                    server.paths.append(self.path)
                    reply = server.script(len(server.requests) - 1, body)
                if reply is None:
                    self.close_connection = True
                    return
                if isinstance(reply, float):
                    time.sleep(reply)
                    reply = completion("late")
                status, content, *more = reply
                payload = content if isinstance(content, bytes) else json.dumps(content).encode()
                try:
                    self.send_response(status)
                    for name, value in (more[0] if more else {}).items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(payload)))
                    self.end_headers()
                    self.wfile.write(payload)
                except BrokenPipeError:
                    pass  # who asked has given up, which is what is tested

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@contextmanager
def running():
    """A server that is there inside the `with` block."""
    server = Server()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
