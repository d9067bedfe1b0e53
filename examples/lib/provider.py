"""A stand-in for the company's OpenID provider, for the quickstart alone: whoever comes may be anybody. It has discovery, keys, and signing in by
authorization code with PKCE (OpenID Connect Core 1.0, RFC 7636), on the loopback, over HTTPS. Tokens are made by gatehousectl.

    provider.py PORT CERTIFICATE KEY GATEHOUSECTL JWKS SIGNING-KEY REDIRECT-URI NAME=GROUP...
"""
import base64
import hashlib
import html
import http.server
import json
import secrets
import ssl
import subprocess
import sys
import time
import urllib.parse

CLIENT = "gatehouse-page"
CODE_SECONDS = 60
CODES_MAX = 1000


class Handler(http.server.BaseHTTPRequestHandler):
    timeout = 10

    def log_message(self, *args):
        pass  # codes would be in it

    def answer(self, status, kind, body, **fields):
        data = body.encode()
        self.send_response(status)
        for name, value in dict({"Content-Type": kind, "Content-Length": str(len(data)), "Cache-Control": "no-store"}, **fields).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        p = self.server
        path, _, query = self.path.partition("?")
        if path == "/.well-known/openid-configuration":
            self.answer(200, "application/json", json.dumps({
                "issuer": p.issuer, "jwks_uri": p.issuer + "/keys", "authorization_endpoint": p.issuer + "/authorize", "token_endpoint": p.issuer + "/token",
                "response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"]}))
        elif path == "/keys":
            with open(p.jwks) as f:
                self.answer(200, "application/json", f.read())
        elif path == "/authorize":
            self.authorize(query)
        else:
            self.answer(404, "text/plain", "not found\n")

    def authorize(self, query):
        q = dict(urllib.parse.parse_qsl(query))
        p = self.server
        if q.get("client_id") != CLIENT or q.get("redirect_uri") != p.redirect_uri or q.get("code_challenge_method") != "S256":
            self.answer(400, "text/plain", "unknown client or redirect_uri, or no PKCE\n")
        elif q.get("as") in p.people:
            now = time.monotonic()
            p.codes = {c: v for c, v in list(p.codes.items())[-CODES_MAX:] if now - v["at"] < CODE_SECONDS}
            code = secrets.token_urlsafe(24)
            p.codes[code] = dict(q, at=now)
            self.answer(303, "text/plain", "", Location=p.redirect_uri + "?" + urllib.parse.urlencode({"code": code, "state": q.get("state", ""), "iss": p.issuer}))
        else:
            links = "".join(f'<p><a href="?{html.escape(query)}&amp;as={urllib.parse.quote(name)}">{html.escape(name)}</a> ({html.escape(group)})</p>'
                            for name, group in p.people.items())
            self.answer(200, "text/html; charset=utf-8", "<!DOCTYPE html><meta name=viewport content='width=device-width'><title>Who are you?</title>"
                        f"<h1>Who are you?</h1><p>This stands for your company's sign-in page.</p>{links}")

    def do_POST(self):
        p = self.server
        length = int(self.headers["Content-Length"] or 0)
        if self.path != "/token" or not 0 < length < 65536:
            self.answer(404, "text/plain", "not found\n")
            return
        form = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode()))
        q = p.codes.pop(form.get("code"), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if q is None or time.monotonic() - q["at"] > CODE_SECONDS or form.get("client_id") != CLIENT or form.get("redirect_uri") != q["redirect_uri"] or \
                challenge != q.get("code_challenge"):
            self.answer(400, "application/json", '{"error": "invalid_grant"}')
            return
        token = subprocess.run([p.ctl, "token", "--key", p.key, "--issuer", p.issuer, "--audience", CLIENT, "--principal", q["as"], "--group", p.people[q["as"]],
                                "--claim", "nonce=" + json.dumps(q.get("nonce", "")), "--ttl", "5m"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.answer(200, "application/json", json.dumps({"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": 60, "id_token": token}))


def main():
    port, certificate, key, ctl, jwks, signing_key, redirect_uri, *people = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.daemon_threads = True
    server.issuer, server.ctl, server.jwks, server.key, server.redirect_uri = f"https://localhost:{port}", ctl, jwks, signing_key, redirect_uri
    server.people, server.codes = dict(p.split("=") for p in people), {}
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


main()
