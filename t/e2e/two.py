"""A second node beside a stack: its own HAProxy and daemon, with the first one's Redis, database and identity provider."""
import re
import shutil

import stack


def keys_of(*stacks):
    """node -> public key, of daemons that run."""
    import json
    import subprocess
    out = {}
    for s in stacks:
        status = json.loads(subprocess.run([s.env["GH_CTL"], "status", "--json"], stdout=subprocess.PIPE, check=True, text=True).stdout)
        out[status["node"]] = status["key"]
    return out


def configure(s, change):
    with open(s.env["GH_CONFIG"]) as f:
        text = f.read()
    with open(s.env["GH_CONFIG"], "w") as f:
        f.write(change(text))


def restart(s):
    s.stop("gatehouse")
    s.start("gatehouse")


class Second(stack.Stack):
    """Tokens, the policy and direct() are the first one's."""

    def __init__(self, first, node="shop-2", **more):
        super().__init__(**more)
        self.first = first
        for name in ("jwks.json", "shop-ca.pem", "policy.yaml"):
            shutil.copyfile(f"{first.dir}/etc/{name}", f"{self.dir}/etc/{name}")
        with open(f"{first.dir}/etc/shop.password") as f:
            password = f.read()
        with open(f"{self.dir}/etc/shop.password", "w") as f:  # keeps its owner and mode
            f.write(password)
        with open(first.env["GH_CONFIG"]) as f:
            ports = re.findall(r"(?m)^ +port: (\d+)$", f.read())

        def change(text):
            for mine, theirs in zip(re.findall(r"(?m)^ +port: (\d+)$", text), ports, strict=True):
                text = text.replace(f"port: {mine}", f"port: {theirs}")
            return text.replace("node: shop-1", "node: " + node)
        configure(self, change)
        self.env.update({k: first.env[k] for k in ("GH_REDIS_URL", "GH_PG_DIRECT_URL")})
        restart(self)

    def token(self, who):
        return self.first.token(who)


def acquaint(*stacks):
    """Lists each node's key with the others."""
    keys = keys_of(*stacks)
    for s in stacks:
        own = next(n for n, k in keys_of(s).items())
        others = "".join(f"  {n}: {k}\n" for n, k in keys.items() if n != own)
        configure(s, lambda text: re.sub(r"(?ms)^nodes:\n(  [^\n]*\n)+", "", text) + "\nnodes:\n" + others)
        before = s.log("gatehouse").count("event=reload ")
        s.signal("gatehouse")
        stack.wait_until("it knows the other", lambda: s.log("gatehouse").count("event=reload ") > before)
