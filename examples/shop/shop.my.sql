-- The demo database shop for MySQL and MariaDB, with the same rows as shop.sql. Run in the database that is to hold it.
CREATE TABLE customers (
    id          integer PRIMARY KEY,
    name        varchar(100) NOT NULL,
    email       varchar(100) NOT NULL UNIQUE,
    phone       varchar(40) NOT NULL,
    card_number varchar(40) NOT NULL,
    birth_date  date NOT NULL,
    region      varchar(10) NOT NULL
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE orders (
    id          integer PRIMARY KEY,
    customer_id integer NOT NULL,
    total       decimal(10, 2) NOT NULL,
    status      varchar(20) NOT NULL,
    placed_at   datetime NOT NULL,
    KEY orders_customer_id (customer_id),
    FOREIGN KEY (customer_id) REFERENCES customers (id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE staff (
    id     integer PRIMARY KEY,
    name   varchar(100) NOT NULL,
    salary decimal(10, 2) NOT NULL
) DEFAULT CHARACTER SET utf8mb4;

-- Numbers from 1 to 10,000, in a way that every version has.
CREATE TEMPORARY TABLE digits (d integer NOT NULL);
INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
CREATE TEMPORARY TABLE digits2 AS SELECT d FROM digits;
CREATE TEMPORARY TABLE digits3 AS SELECT d FROM digits;
CREATE TEMPORARY TABLE digits4 AS SELECT d FROM digits;
CREATE TEMPORARY TABLE numbers AS
SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS n
FROM digits AS a CROSS JOIN digits2 AS b CROSS JOIN digits3 AS c CROSS JOIN digits4 AS e;

INSERT INTO customers
SELECT n,
       concat(first, ' ', last),
       concat(lower(first), '.', lower(last), '.c4n4ry', n, '@mail.example'),
       concat('+49-30-c4n4ry-', lpad(n, 6, '0')),
       concat('4000-c4n4ry-', lpad(n, 4, '0'), '-', lpad(n * 7919 % 10000, 4, '0')),
       date '1950-01-01' + INTERVAL n * 17 % 20000 DAY,
       elt(1 + n % 3, 'eu', 'us', 'apac')
FROM (SELECT n,
             elt(1 + n % 10, 'Anna', 'Bruno', 'Chiara', 'David', 'Elif', 'Farid', 'Grace', 'Hugo', 'Ines', 'Jonas') AS first,
             elt(1 + n % 11, 'Adler', 'Berg', 'Costa', 'Dubois', 'Eriksen', 'Ferrari', 'Garcia', 'Haas', 'Ivanov', 'Jansen', 'Kaya') AS last
      FROM numbers WHERE n <= 1000) AS names;

INSERT INTO orders
SELECT n,
       1 + n * 37 % 1000,
       (500 + n * 7 % 20000) / 100.0,
       elt(1 + n % 4, 'open', 'paid', 'shipped', 'returned'),
       timestamp '2026-01-01 08:00:00' + INTERVAL n * 47 MINUTE
FROM numbers;

INSERT INTO staff
SELECT n,
       concat('c4n4ry ', elt(1 + n % 5, 'Kim', 'Lena', 'Marek', 'Nora', 'Omar'), ' ', n),
       48000 + n * 1750
FROM numbers WHERE n <= 20;

CREATE VIEW customer_directory AS SELECT name, email FROM customers;

ANALYZE TABLE customers, orders, staff;
