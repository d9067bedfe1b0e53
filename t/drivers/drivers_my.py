"""The drivers of MySQL and MariaDB, for drivers.py: the table, what they must read back, and the way straight to the database."""
import os
import subprocess

import drivers
from drivers import Driver, JAVA, PYTHON, WORK, go_build, here

CHECKS = ["connects", "verifies_tls", "bad_token", "prepared", "prepared_many", "batch", "large", "stream", "cancel", "load_local", "transaction", "reconnect", "types", "binary",
          "injection", "refused", "refused_in_transaction", "settings_pass", "pool", "metadata"]
ROW = "-42|9007199254740993|123456789012345678901.123456789|0.1|1|t\u00ebxt \U0001f418|00FF5C27|2026-02-28|2026-01-02 03:04:05.678901|05:06:07.000|{\"a\": [1, null, \"x\"]}|b|5|18446744073709551615|NULL"
FIXED = {"types": ROW, "binary": ROW, "large": drivers.FIXED["large"]}
ORM_CHECKS = ["connects", "verifies_tls", "bad_token", "create_all", "reflection", "orm_queries", "core", "stream", "isolation", "pool", "refused"]
DJANGO_CHECKS = ["connects", "verifies_tls", "bad_token", "migrates", "inspectdb", "orm_queries", "transaction", "refused", "reconnect"]
NO_POOL = drivers.NO_POOL
TEXT_ONLY = "it reads and writes text alone"
MARIADB_JAR = "/usr/share/java/mariadb-java-client.jar"
HIKARI = "/usr/share/java/HikariCP.jar:/usr/share/java/slf4j-api.jar:/usr/share/java/slf4j-nop.jar"


class MyDriver(Driver):
    mysql, common, fixed = True, CHECKS, FIXED

    def way_to(self, stack, word, way):
        env = dict(GH_T_PREFIX="drv_" + word, GH_T_SETTINGS=here("my_settings.sql"), GH_T_END_BACKEND=os.path.join(WORK, "my-end-backend"),
                   GH_T_WAIT_ASLEEP=os.path.join(WORK, "my-wait-asleep"), GH_T_FOLDER=os.path.join(WORK, "my-" + word + way))
        os.makedirs(env["GH_T_FOLDER"])
        if way == "gate":  # an address: to many of these clients "localhost" is a Unix socket
            return dict(env, GH_T_HOST="127.0.0.1", GH_T_PORT=stack.env["GH_MY_PORT"], GH_T_USER="driver",
                        GH_T_PASSWORD=stack.mint("driver@shop.example", ["drivers"]), GH_T_PASSWORD_ALL=stack.token("dba"))
        return dict(env, GH_T_HOST="127.0.0.1", GH_T_PORT=stack.env["GH_MY_PORT_DIRECT"], GH_T_USER="drivers_direct", GH_T_PASSWORD="drivers", GH_T_PASSWORD_ALL="drivers")


def python(name, *args):
    return [PYTHON, "-W", "ignore", here(f"drv_my_{name}.py"), *args]


def java(jars, prefix):
    return [JAVA, "-XX:TieredStopAtLevel=1", "-cp", f"{jars}:{HIKARI}", here("MyJdbc.java"), prefix]


NO_PREPARE = "it prepares nothing at the server"
DRIVERS = {
    "pymysql": MyDriver("python3-pymysql", python("dbapi", "pymysql"), dict(binary=TEXT_ONLY, pool=NO_POOL)),
    "mysqlclient": MyDriver("python3-mysqldb", python("dbapi", "mysqlclient"), dict(binary=TEXT_ONLY, pool=NO_POOL)),
    "aiomysql": MyDriver("python3-aiomysql", python("aiomysql"), dict(prepared_many=NO_PREPARE, binary=TEXT_ONLY)),
    "mariadb-cli": MyDriver("mariadb-client", python("cli", "/usr/bin/mariadb"),
                            dict(prepared_many=NO_PREPARE, binary=TEXT_ONLY, injection="it knows no parameters", pool=NO_POOL, reconnect="it is its user's to connect again")),
    "mariadb-jdbc": MyDriver("default-jdk-headless libmariadb-java libhikaricp-java", java(MARIADB_JAR, "jdbc:mariadb")),
    "php-mysqli": MyDriver("php-cli php-mysql", ["/usr/bin/php", "-d", "mysqli.allow_local_infile=On", here("drv_my_php_mysqli.php")], dict(pool=NO_POOL)),
    "php-pdo-mysql": MyDriver("php-cli php-mysql", ["/usr/bin/php", here("drv_my_php_pdo.php")], dict(cancel="it cannot cancel")),
    "ruby-mysql2": MyDriver("ruby-mysql2", ["/usr/bin/ruby", "-W0", here("drv_my_ruby.rb")], dict(pool=NO_POOL)),
    "dbd-mysql": MyDriver("libdbd-mysql-perl", ["/usr/bin/perl", here("drv_my_dbd.pl")], dict(pool=NO_POOL)),
}


SQL = """CREATE USER drivers_direct@'127.0.0.1' IDENTIFIED BY 'drivers';
GRANT ALL ON shop.* TO drivers_direct@'127.0.0.1';
SET GLOBAL local_infile = 1;
CREATE TABLE shop.drv_numbers (n int PRIMARY KEY, h char(32) NOT NULL) AS SELECT seq AS n, md5(seq) AS h FROM seq_1_to_120000;
"""


def set_up(stack):
    """What the programs ask for from outside, a user without TLS for the direct way, and a table with 120,000 rows."""
    options = os.path.join(WORK, "my.cnf")
    with open(os.open(options, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(f"[client]\nprotocol=TCP\nhost=127.0.0.1\nport={stack.env['GH_MY_PORT_DIRECT']}\nuser=root\npassword={stack.env['GH_PASSWORD_SUPER']}\n")
    mariadb = f"mariadb --defaults-file={options} -N -B"
    subprocess.run([*mariadb.split(), "shop"], input=SQL, text=True, check=True)
    for name, text in (("my-end-backend", f'exec {mariadb} -e "KILL CONNECTION $1"'),
                       ("my-wait-asleep", f'until {mariadb} -e "SELECT info FROM information_schema.processlist WHERE id = $1" | grep -q SLEEP; do sleep 0.05; done')):
        path = os.path.join(WORK, name)
        with open(path, "w") as f:
            f.write("#!/bin/sh\n" + text + "\n")
        os.chmod(path, 0o700)
