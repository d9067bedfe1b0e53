"""An identity provider of the tests' own, over HTTPS on the loopback: discovery and keys of any number of realms, each of which can be made to
answer whatever a test wants; and signing in by authorization code with PKCE. Its keys and tokens come from gatehousectl."""
import base64
import hashlib
import html
import http.server
import json
import os
import secrets
import shutil
import ssl
import subprocess
import tempfile
import threading
import urllib.parse


class Realm:
    def __init__(self, idp, name):
        self.idp, self.name = idp, name
        self.issuer = f"{idp.url}/{name}"
        self.keys = []       # names of keys that are published
        self.answers = {}    # "keys" or "discovery": a function that gets the handler, in place of the right answer
        self.requests = 0    # for keys
        self.published = {}  # members of the discovery document that are not as they should be
        self.clients = {}    # by id: {"redirect_uri": ..., "secret": None or a text, "post": whether it goes into the body}
        self.people = {}     # who can sign in, and their groups
        self.codes = {}      # handed out and not yet exchanged
        self.id_claims = {}  # of ID tokens, instead of what they should be: audience, issuer, key, nonce, principal, groups, more (arguments)
        self.access_token = lambda q: "opaque"  # that comes with an ID token; q: the authorization request
        self.exchanges = []  # what came to the token endpoint: (form, status)

    def document(self):
        return dict({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys", "authorization_endpoint": f"{self.issuer}/authorize",
                     "token_endpoint": f"{self.issuer}/token"}, **self.published)

    # --- the authorization code flow, as OpenID Connect Core 1.0 and RFC 7636 have it ---

    def authorize(self, query, principal):
        """Where the browser is sent when principal signs in; ValueError for a request that must not be answered by a redirect."""
        q = dict(urllib.parse.parse_qsl(query, strict_parsing=True))
        client = self.clients.get(q.get("client_id"))
        if client is None or q.get("redirect_uri") != client["redirect_uri"]:
            raise ValueError("unknown client or redirect_uri")
        answer = {"state": q["state"], "iss": self.issuer}
        if q.get("response_type") != "code" or "openid" not in q.get("scope", "").split() or q.get("code_challenge_method") != "S256":
            answer["error"] = "invalid_request"
        elif principal not in self.people:
            answer["error"] = "access_denied"
        else:
            answer["code"] = secrets.token_urlsafe(24)
            self.codes[answer["code"]] = dict(q, principal=principal)
        return q["redirect_uri"] + "?" + urllib.parse.urlencode(answer)

    def _client_ok(self, client_id, client, form, authorization):
        given = form.get("client_secret")
        if authorization:
            user, _, given = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            if urllib.parse.unquote(user) != client_id or "client_secret" in form:
                return False
            given = urllib.parse.unquote(given)
        return given == client.get("secret") and bool(authorization) == (client.get("secret") is not None and not client.get("post"))

    def exchange(self, form, authorization):
        """(status, answer) of the token endpoint."""
        client = self.clients.get(form.get("client_id"))
        if client is None or not self._client_ok(form["client_id"], client, form, authorization):
            return 401, {"error": "invalid_client"}
        q = self.codes.pop(form.get("code"), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if form.get("grant_type") != "authorization_code" or q is None or q["client_id"] != form["client_id"] or \
                q["redirect_uri"] != form.get("redirect_uri") or q["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant", "error_description": "the code is not good"}
        return 200, {"access_token": self.access_token(q), "token_type": "Bearer", "expires_in": 60, "id_token": self.id_token(q)}

    def id_token(self, q):
        c = dict({"issuer": self.issuer, "audience": q["client_id"], "key": self.keys[0], "nonce": q["nonce"], "principal": q["principal"],
                  "groups": self.people[q["principal"]], "more": []}, **self.id_claims)
        command = [self.idp.ctl, "token", "--key", self.idp.key(c["key"]), "--kid", c["key"], "--issuer", c["issuer"], "--audience", c["audience"],
                   "--principal", c["principal"], *c["more"]]
        if c["nonce"] is not None:
            command += ["--claim", "nonce=" + json.dumps(c["nonce"])]
        for group in c["groups"]:
            command += ["--group", group]
        token = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.idp.issued.append(token)
        return token

    def mint(self, key, *more, principal="tester@shop.example", groups=("testers",)):
        command = [self.idp.ctl, "token", "--key", self.idp.key(key), "--kid", key, "--issuer", self.issuer, "--audience", "gatehouse", "--principal", principal]
        for group in groups:
            command += ["--group", group]
        return subprocess.run([*command, *more], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def config(self, keys, *more):
        """An entry of identity.issuers; keys: "discovery" or "jwks_url"."""
        where = "discovery: true" if keys == "discovery" else f"jwks_url: {self.issuer}/keys"
        lines = [f"- issuer: {self.issuer}", "  audience: gatehouse", f"  {where}", f"  ca_file: {self.idp.dir}/ca.pem", *("  " + m for m in more)]
        return "".join(f"    {line}\n" for line in lines)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, body, status=200, **fields):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        for name, value in dict({"Content-Type": "application/json", "Content-Length": len(data)}, **fields).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        parts = self.path.split("/")
        if parts[1] == "pages" and parts[2] in self.server.idp.pages:
            self.answer(self.server.idp.pages[parts[2]], Content_Type="text/html")
            return
        realm = self.server.idp.realms.get(parts[1])
        what = {"keys": "keys", ".well-known": "discovery"}.get(parts[2] if len(parts) > 2 else "")
        if realm is not None and len(parts) == 3 and parts[2].startswith("authorize?"):
            self.authorize(realm, parts[2].partition("?")[2])
            return
        if realm is None or what is None:
            self.send_error(404)
            return
        if what == "keys":
            realm.requests += 1
        try:
            if what in realm.answers:
                realm.answers[what](self)
            elif what == "discovery":
                self.answer(json.dumps(realm.document()))
            else:
                self.answer(self.server.idp.jwks(realm.keys))
        except OSError:
            pass  # the client gave up, as it should


    def authorize(self, realm, query):
        """A page where whoever it is picks who they are; with &as=NAME, at once."""
        q, _, principal = query.partition("&as=")
        try:
            if principal:
                self.answer("", 303, Location=realm.authorize(q, urllib.parse.unquote(principal)))
                return
        except (ValueError, KeyError) as e:
            self.answer(str(e), 400, Content_Type="text/plain")
            return
        links = "".join(f'<p><a id="{html.escape(p.split("@")[0])}" href="?{html.escape(q)}&amp;as={urllib.parse.quote(p)}">{html.escape(p)}</a></p>'
                        for p in realm.people)
        self.answer(f"<!DOCTYPE html><title>Who are you?</title><h1>Who are you?</h1>{links}", Content_Type="text/html")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        realm = self.server.idp.realms.get(self.path.split("/")[1])
        if realm is None or not self.path.endswith("/token"):
            self.send_error(404)
            return
        try:
            if "token" in realm.answers:
                realm.answers["token"](self)
                return
            form = dict(urllib.parse.parse_qsl(body, strict_parsing=True))
            status, answer = realm.exchange(form, self.headers["Authorization"])
            realm.exchanges.append((form, status))
            self.answer(json.dumps(answer), status)
        except OSError:
            pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class Provider:
    def __init__(self, ctl):
        """ctl: the command gatehousectl."""
        self.ctl = ctl
        self.dir = tempfile.mkdtemp(prefix="gh-idp.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.realms = {}
        self.issued = []  # ID tokens
        self.pages = {}   # of somebody else's: HTML by name, at /pages/NAME
        self.making = threading.Lock()
        self._certificates()
        self.server = self._serve("server")
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.dir)

    def _certificates(self):
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        for ca in ("ca", "other-ca"):
            self._openssl("req", "-x509", *ec, "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/CN={ca}", "-days", "2")
        for name, ca, san, days in (("server", "ca", "IP:127.0.0.1", "2"), ("stranger", "other-ca", "IP:127.0.0.1", "2"), ("misnamed", "ca", "DNS:idp.example", "2"),
                                    ("expired", "ca", "IP:127.0.0.1", "-1")):
            with open(os.path.join(self.dir, f"{name}.ext"), "w") as f:
                f.write(f"subjectAltName={san}\n")
            self._openssl("req", "-new", *ec, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-out", f"{name}.pem",
                          "-days", days, "-extfile", f"{name}.ext")

    def _serve(self, certificate, port=0):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{self.dir}/{certificate}.pem", f"{self.dir}/{certificate}.key")
        server = Server(("127.0.0.1", port), Handler)
        server.idp = self
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server

    def down(self):
        self.server.shutdown()
        self.server.server_close()

    def up(self, certificate="server"):
        self.server = self._serve(certificate, int(self.url.rsplit(":", 1)[1]))

    def close(self):
        self.down()
        shutil.rmtree(self.dir)

    def realm(self, name):
        self.realms[name] = Realm(self, name)
        return self.realms[name]

    def key(self, name):
        """The file of a key, which is made when it is not there; its algorithm is the name's beginning, as in es256-1."""
        path = os.path.join(self.dir, f"key-{name}.pem")
        with self.making:
            if not os.path.exists(path):
                subprocess.run([self.ctl, "keygen", "--alg", name.split("-")[0].upper(), "--out", path], check=True)
        return path

    def jwks(self, names):
        args = []
        for name in names:
            args += ["--key", self.key(name), "--kid", name]
        return subprocess.run([self.ctl, "jwks", *args], check=True, stdout=subprocess.PIPE, text=True).stdout if names else '{"keys": []}'
