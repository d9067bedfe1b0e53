"""Looks for what must be nowhere: the database's password and every token, in all that a stack has written, kept, shown or sent to a client.

Stack.close() does it for every stack of the tests; test_leaks.py does it for one that has everything at its most verbose, and shows that the search finds.
"""
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

DUMP = """local out, cursor = {}, '0'
repeat
  local page = redis.call('SCAN', cursor, 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local kind = redis.call('TYPE', key).ok
    local value = '(' .. kind .. ')'
    if kind == 'stream' then value = redis.call('XRANGE', key, '-', '+') end
    if kind == 'string' then value = redis.call('GET', key) end
    if kind == 'hash' then value = redis.call('HGETALL', key) end
    if kind == 'list' then value = redis.call('LRANGE', key, 0, -1) end
    if kind == 'set' then value = redis.call('SMEMBERS', key) end
    if kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1) end
    out[#out + 1] = cjson.encode({key, value})
  end
until cursor == '0'
return out"""


def as_root(*command):
    return list(command) if os.getuid() == 0 else ["sudo", "--", *command]


def read(path):
    return subprocess.run(as_root("cat", path), check=True, stdout=subprocess.PIPE).stdout


def paths(directory, *patterns):
    """As root sees them: the journal's folder is closed to others."""
    script = "shopt -s nullglob; for p in " + " ".join(f"{directory}/{p}" for p in patterns) + "; do [ ! -f \"$p\" ] || printf '%s\\0' \"$p\"; done"
    out = subprocess.run(as_root("bash", "-c", script), check=True, stdout=subprocess.PIPE).stdout
    return [p.decode() for p in out.split(b"\0") if p]


def needles(stack):
    """By name: passwords whole; of a token its signature, without which the rest is worth nothing, and which is in the whole."""
    out = {os.path.basename(p): read(p).strip() for p in paths(stack.dir, "etc/*.password")}
    out["the superuser's password"] = urllib.parse.urlparse(stack.env["GH_PG_DIRECT_URL"]).password.encode()
    for i, token in enumerate(stack.given_tokens()):
        parts = token.split(".")
        if len(parts) == 3 and len(parts[2]) >= 40:
            out[f"token {i}"] = parts[2].encode()
    return out


def places(stack):
    """By name, as bytes."""
    out = {p[len(stack.dir) + 1:]: read(p) for p in paths(stack.dir, "log/*", "etc/journal/*", "etc/journal/slot-*/*")}
    for p in paths(stack.dir, "redis/*", "redis/*/*"):
        try:
            out[p[len(stack.dir) + 1:]] = read(p)
        except subprocess.CalledProcessError:
            if subprocess.run(as_root("test", "-e", p)).returncode == 0:
                raise  # else Redis has written its file anew meanwhile
    out["sent to clients"] = stack.received()
    if stack.runs("redis"):
        out["all of Redis"] = stack.redis("EVAL", DUMP, "0").encode()
    url = stack.metrics_url()
    for page in ("/metrics", "/healthz") if url else ():
        try:
            with urllib.request.urlopen(url + page, timeout=10) as answer:
                out[page] = answer.read()
        except urllib.error.HTTPError as e:
            out[page] = e.read()
        except OSError:
            pass  # the daemon is stopped
    if stack.runs("gatehouse"):
        out["command line"] = read(f"/proc/{stack.pid('gatehouse')}/cmdline")
    return out


def find(secrets, where, servers_own=()):
    """What is where, as sentences. The database's server logs how its roles were made, and parameters of statements that it was given: servers_own."""
    return [f"{name} is in {place}" for place, data in where.items() for name, secret in secrets.items()
            if secret in data and not (place == "log/postgresql.log" and (name in servers_own or not name.startswith("token")))]


def search(stack):
    return find(needles(stack), places(stack), stack.data_tokens)
