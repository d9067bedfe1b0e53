"""What the programs in Python for MySQL and MariaDB share, over and above checks.py."""
from checks import *

SQL_LARGE = "SELECT n, h FROM drv_numbers ORDER BY n"
EVIL = "'); DROP TABLE " + T + "; -- \\' $1 %s ? :x \"\u2019"
TYPES = ("i int, b bigint, n decimal(30, 9), f double, t boolean, s text, y varbinary(40), d date, ts datetime(6), tm time(3), j longtext, e enum('a', 'b'), "
         "bt bit(8), u bigint unsigned, z text")
ROW = [-42, 2**53 + 1, decimal.Decimal("123456789012345678901.123456789"), 0.1, 1, "t\u00ebxt \U0001f418", b"\0\xff\\'", datetime.date(2026, 2, 28),
       datetime.datetime(2026, 1, 2, 3, 4, 5, 678901), datetime.timedelta(hours=5, minutes=6, seconds=7), '{"a": [1, null, "x"]}', "b", b"\x05", 2**64 - 1, None]
# All of a row as one text, the same for every driver.
AS_TEXT = f"SELECT CONCAT_WS('|', i, b, n, f, t, s, HEX(y), d, ts, tm, j, e, HEX(bt), u, COALESCE(z, 'NULL')) FROM {T}"
STAFF = "SELECT * FROM staff"


def says_why(message):
    """The rule's own words, and its hint: the protocol has one text for both."""
    assert "select on shop.staff is denied by the policy: A driver's test has no business with salaries." in message, message
    assert "Read shop.orders." in message, message


def infile():
    """A file of 50,000 lines for LOAD DATA LOCAL."""
    path = os.path.join(os.environ["GH_T_FOLDER"], "lines.txt")
    with open(path, "w") as f:
        f.write("".join(f"{n}\ta\\tb\\\\{n}\n" for n in range(50000)))
    return path


LOADED = f"SELECT count(*), sum(id), min(v), sum(crc32(v)) FROM {T}"


def all_pass(run):
    """Each statement of the file with run(sql); at the end all that failed are told."""
    wrong = []
    for sql in settings():
        try:
            run(sql)
        except Exception as e:
            wrong.append(f"{sql[:60]}: {e}")
    assert not wrong, " / ".join(wrong)
