"""A web server that takes hooks as a test wants it: well, slowly, not at all, with nonsense."""
import http.server
import json
import socket
import threading
import time


class Receiver:
    def __init__(self, port=0):
        self.got = []  # (headers, body as bytes)
        self.how = []  # what to do with the next ones; then "ok"
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                how = outer.how.pop(0) if outer.how else "ok"
                if how != "drop":
                    outer.got.append((dict(self.headers), body, how))
                if isinstance(how, int):
                    self.send_response(how)
                    if 300 <= how < 400:
                        self.send_header("Location", "/elsewhere")
                    self.end_headers()
                elif how == "slow":
                    time.sleep(30)
                elif how == "rubbish":
                    self.wfile.write(b"\0\1\2 not HTTP at all\r\n\r\n")
                elif how == "endless":
                    self.send_response(200)
                    self.end_headers()
                    try:
                        while True:
                            self.wfile.write(b"x" * 65536)
                    except OSError:
                        pass
                elif how == "drop":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    self.connection.close()
                else:
                    self.send_response(204)
                    self.end_headers()

            def log_message(self, *args):
                pass

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self, event=None):
        """Bodies that were taken."""
        out = [json.loads(body) for _, body, how in self.got if how == "ok" or how == "endless"]
        return [e for e in out if event is None or e["event"] == event]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
