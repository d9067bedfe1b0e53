"""The command-line client, mariadb or (second argument) another one: statements from a script, refusals, LOCAL, kill, vertical output."""
import signal

from my_checks import *

CLIENT = sys.argv[1].split()
TOKEN_FILE = os.path.join(os.environ["GH_T_FOLDER"], "client.cnf")


def write(password, ca=CA):
    with open(os.open(TOKEN_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        f.write(f"[client]\nhost={HOST}\nport={PORT}\nprotocol=TCP\nuser={USER}\npassword={password}\ndefault-character-set=utf8mb4\n")
        if GATE and "mysql" in sys.argv[1]:
            f.write(f"ssl-mode=VERIFY_IDENTITY\nssl-ca={ca}\n")
        elif GATE:
            f.write(f"ssl-ca={ca}\nssl-verify-server-cert\n")


def run(script, *args, password=PASSWORD, ca=CA):
    write(password, ca)
    return subprocess.run([*CLIENT, f"--defaults-file={TOKEN_FILE}", "--batch", "--skip-column-names", *args, DATABASE], input=script, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120)


def good(script, *args):
    done = run(script, *args)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


@check
def connects():
    assert good("SELECT 1, DATABASE();\nstatus\n").startswith("1\tshop\n")


@gate_only
def verifies_tls():
    done = run("SELECT 1;", ca=WRONG_CA)
    assert done.returncode == 1 and "certificate" in done.stderr.lower(), done.stderr


@gate_only
def bad_token():
    done = run("SELECT 1;", password="not.a.token")
    assert "ERROR 1045" in done.stderr and "must be a valid OIDC access token" in done.stderr, done.stderr


@check
def prepared():
    show("prepared", good("PREPARE p FROM 'SELECT ? + 1, ?';\nSET @a = 1, @b = 'x';\n" + "EXECUTE p USING @a, @b;\n" * 20 + "DEALLOCATE PREPARE p;\n"))


@check
def batch():
    good(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int PRIMARY KEY, v text);\n" + "".join(f"INSERT INTO {T} VALUES ({n}, 'v{n}');\n" for n in range(500)))
    done = run(f"INSERT INTO {T} VALUES (1, 'x');\nSELECT 'goes on';\n", "--force")
    assert "ERROR 1062" in done.stderr and done.stdout == "goes on\n", done
    show("batch", good(f"delimiter //\nSELECT count(*), sum(id) FROM {T}//\n"))


@check
def large():
    show_large((int(n), h) for n, h in (line.split("\t") for line in good(SQL_LARGE).splitlines()))


@check
def stream():
    show_large((int(n), h) for n, h in (line.split("\t") for line in good(SQL_LARGE, "--quick").splitlines()))


@check
def cancel():
    """Ctrl-C: the client sends KILL QUERY over a connection of its own."""
    write(PASSWORD)
    process = subprocess.Popen([*CLIENT, f"--defaults-file={TOKEN_FILE}", "--batch", "--unbuffered", "--skip-column-names", "--force", DATABASE], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    process.stdin.write("SELECT CONNECTION_ID();\nSELECT SLEEP(60);\n")
    process.stdin.flush()
    subprocess.run([os.environ["GH_T_WAIT_ASLEEP"], process.stdout.readline().strip()], check=True)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=50)


@check
def load_local():
    good(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int, v text); LOAD DATA LOCAL INFILE '{infile()}' INTO TABLE {T} CHARACTER SET utf8mb4;", "--local-infile=1")
    show("load_local", good(LOADED))


@check
def transaction():
    good(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int PRIMARY KEY); BEGIN; INSERT INTO {T} VALUES (1); ROLLBACK; START TRANSACTION; INSERT INTO {T} VALUES (2); COMMIT;")
    show("transaction", good(f"SELECT * FROM {T}"))


@check
def types():
    good(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} ({TYPES});\n"
         f"INSERT INTO {T} VALUES (-42, {2**53 + 1}, 123456789012345678901.123456789, 0.1, true, 't\u00ebxt \U0001f418', x'00ff5c27', '2026-02-28', "
         f"'2026-01-02 03:04:05.678901', '5:6:7', '{{\"a\": [1, null, \"x\"]}}', 'b', b'101', {2**64 - 1}, NULL);")
    show("types", good(AS_TEXT).rstrip("\n"))
    show("vertical", good(f"SELECT i, s, z FROM {T}\\G").replace("\n", "/"))


@gate_only
def refused():
    for _ in range(2):
        done = run(STAFF + ";\nSELECT 'goes on';\n", "--force")
        assert "ERROR 1142 (42000)" in done.stderr and done.stdout == "goes on\n", done
        says_why(done.stderr)


@gate_only
def refused_in_transaction():
    run(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int); BEGIN; INSERT INTO {T} VALUES (1); DELETE FROM orders; ROLLBACK;", "--force")
    assert good(f"SELECT count(*) FROM {T}") == "0\n"


@check
def settings_pass():
    good(";\n".join(settings()) + ";\n")


@check
def metadata():
    show("metadata", good(f"CREATE OR REPLACE TABLE {T} ({TYPES}); SHOW COLUMNS FROM {T}; SHOW CREATE TABLE {T}; SHOW INDEX FROM {T}; DESCRIBE orders;"))


main()
