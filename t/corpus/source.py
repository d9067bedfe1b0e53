"""PostgreSQL's source package, for its regression SQL: fetched with apt at test time, checked as apt checks, kept for the next run.

Nothing of it is part of this tree. The machine's own apt configuration stays as it is: deb-src lines are made of its deb lines, in a folder
of our own, and apt is told to look only there.
"""
import glob
import os
import re
import shutil
import subprocess

MAJOR = "15"
SERVER = f"/usr/lib/postgresql/{MAJOR}"
KEEP = ("src/test/regress", "contrib", "src/pl/plpgsql/src")


def cache_folder():
    return os.environ.get("GH_CORPUS_CACHE") or f"/var/tmp/gatehouse-corpus-{os.getuid()}"


def run(*command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def one_line_sources(text):
    """deb lines of sources.list, as deb-src lines; only those of Debian's own suites, by their path."""
    for line in text.splitlines():
        m = re.match(r"\s*deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)", line)
        if m:
            yield m[1] or "", m[2], m[3], m[4].split("#")[0].strip()


def deb822_sources(text):
    for stanza in re.split(r"\n\s*\n", text):
        lines = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
        field = {m[1].lower(): " ".join(m[2].split()) for m in re.finditer(r"^([A-Za-z-]+):((?:.*)(?:\n[ \t].*)*)", lines, re.M)}
        if "deb" not in field.get("types", "").split() or field.get("enabled", "yes").lower() == "no":
            continue
        options = f"[signed-by={field['signed-by']}] " if field.get("signed-by", "").startswith("/") else ""
        for uri in field.get("uris", "").split():
            for suite in field.get("suites", "").split():
                yield options, uri, suite, field.get("components", "")


def apt_sources():
    """Every deb source of this machine that names a suite of Debian's release, as deb-src lines."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', open("/etc/os-release").read(), re.M))["VERSION_CODENAME"]
    etc = dict(re.findall(r"^(\w+)='(.*)'$", run("apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"), re.M))
    files = [etc["LIST"]] + sorted(glob.glob(os.path.join(etc["PARTS"], "*.list")) + glob.glob(os.path.join(etc["PARTS"], "*.sources")))
    out = []
    for name in files:
        if not os.path.isfile(name):
            continue
        with open(name) as f:
            text = f.read()
        for options, uri, suite, components in (deb822_sources if name.endswith(".sources") else one_line_sources)(text):
            if suite.split("-")[0].split("/")[0] == release and "main" in components.split():
                out.append(f"deb-src {options}{uri} {suite} main\n")
    if not out:
        raise RuntimeError(f"no source of {release} in apt's configuration")
    return out


def download(folder):
    """The source package's files in folder: of the installed server's version, else of the newest that the mirrors hold."""
    apt = os.path.join(folder, "apt")
    for sub in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(apt, sub), exist_ok=True)
    with open(os.path.join(apt, "sources.list"), "w") as f:
        f.writelines(apt_sources())
    options = ["-o", f"Dir::Etc::sourcelist={apt}/sources.list", "-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::State::lists={apt}/lists",
               "-o", f"Dir::Cache={apt}/cache", "-o", "APT::Sandbox::User="]
    run("apt-get", *options, "-qq", "update")
    offered = re.findall(r"^Version: (\S+)$", run("apt-cache", *options, "showsrc", f"postgresql-{MAJOR}"), re.M)
    installed = run("dpkg-query", "-W", "-f", "${Version}", f"postgresql-{MAJOR}")
    wanted = [v for v in offered if v == installed] + sorted((v for v in offered if v != installed), key=lambda v: [int(n) for n in re.findall(r"\d+", v)], reverse=True)
    errors = []
    for version in wanted:
        try:
            run("apt-get", *options, "-qq", "source", "--download-only", f"postgresql-{MAJOR}={version}", cwd=folder)
            return glob.glob(os.path.join(folder, f"postgresql-{MAJOR}_*.dsc"))[0]
        except RuntimeError as e:  # listed, but not (or no longer) on the mirror
            errors.append(str(e))
    raise RuntimeError("no version of the source package can be had:\n" + "\n".join(errors))


def verify(dsc):
    """apt has checked the files against the signed index; this holds them against the .dsc once more, as dpkg-source would."""
    import hashlib
    with open(dsc) as f:
        text = f.read()
    part = text.split("Checksums-Sha256:", 1)[1]
    names = []
    for sha, size, name in re.findall(r"^ ([0-9a-f]{64}) (\d+) (\S+)$", part.split("\nFiles:")[0], re.M):
        path = os.path.join(os.path.dirname(dsc), name)
        with open(path, "rb") as f:
            data = f.read()
        if hashlib.sha256(data).hexdigest() != sha or len(data) != int(size):
            raise RuntimeError(f"{path} is not what {dsc} says")
        names.append(path)
    return next(n for n in names if ".orig.tar." in n)


def headers(folder):
    """The server's headers, to compile regress.so: installed, or out of the package without its dependencies (a compiler suite of 600 MB)."""
    installed = f"/usr/include/postgresql/{MAJOR}/server"
    if os.path.exists(f"{installed}/postgres.h"):
        return [installed]
    root = os.path.join(folder, "dev")
    os.makedirs(root)
    run("apt-get", "-o", "APT::Sandbox::User=", "-qq", "download", f"postgresql-server-dev-{MAJOR}", "libpq-dev", cwd=root)
    for deb in glob.glob(os.path.join(root, "*.deb")):
        run("dpkg-deb", "-x", deb, root)
    return [root + installed, f"{root}/usr/include/postgresql"]


def unpacked():
    """The folder of the unpacked source, with lib/regress.so compiled."""
    folder = os.path.join(cache_folder(), f"postgresql-{MAJOR}")
    if os.path.exists(os.path.join(folder, "done")):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    tar = verify(download(folder))
    top = run("tar", "-tf", tar).split("\n", 1)[0].split("/")[0]
    run("tar", "-C", folder, "-xf", tar, *[f"{top}/{part}" for part in KEEP])
    os.rename(os.path.join(folder, top), os.path.join(folder, "src"))
    regress = os.path.join(folder, "src", "src", "test", "regress")
    os.makedirs(os.path.join(folder, "lib"))
    run("gcc", "-shared", "-fPIC", "-O1", "-w", *[f"-I{i}" for i in headers(folder)], os.path.join(regress, "regress.c"), "-o", os.path.join(folder, "lib", "regress.so"))
    shutil.rmtree(os.path.join(folder, "apt"))
    run("chmod", "-R", "a+rX", folder)  # the servers read data files, as their own user
    with open(os.path.join(folder, "done"), "w") as f:
        f.write(os.path.basename(tar) + "\n")
    return folder


if __name__ == "__main__":
    print(unpacked())
