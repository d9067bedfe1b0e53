-- The demo database: shop. Run as the role that owns it. Every sensitive text holds "c4n4ry", where the mask of its column takes it away.
CREATE TABLE customers (
    id          integer PRIMARY KEY,
    name        text NOT NULL,
    email       text NOT NULL UNIQUE,
    phone       text NOT NULL,
    card_number text NOT NULL,
    birth_date  date NOT NULL,
    region      text NOT NULL
);

CREATE TABLE orders (
    id          integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    total       numeric(10, 2) NOT NULL,
    status      text NOT NULL,
    placed_at   timestamptz NOT NULL
);

CREATE TABLE staff (
    id     integer PRIMARY KEY,
    name   text NOT NULL,
    salary numeric(10, 2) NOT NULL
);

INSERT INTO customers
SELECT n,
       first || ' ' || last,
       lower(first) || '.' || lower(last) || '.c4n4ry' || n || '@mail.example',
       '+49-30-c4n4ry-' || lpad(n::text, 6, '0'),
       '4000-c4n4ry-' || lpad(n::text, 4, '0') || '-' || lpad((n * 7919 % 10000)::text, 4, '0'),
       date '1950-01-01' + n * 17 % 20000,
       (ARRAY['eu', 'us', 'apac'])[1 + n % 3]
FROM (SELECT n,
             (ARRAY['Anna', 'Bruno', 'Chiara', 'David', 'Elif', 'Farid', 'Grace', 'Hugo', 'Ines', 'Jonas'])[1 + n % 10] AS first,
             (ARRAY['Adler', 'Berg', 'Costa', 'Dubois', 'Eriksen', 'Ferrari', 'Garcia', 'Haas', 'Ivanov', 'Jansen', 'Kaya'])[1 + n % 11] AS last
      FROM generate_series(1, 1000) AS n) AS names;

INSERT INTO orders
SELECT n,
       1 + n * 37 % 1000,
       (500 + n * 7 % 20000) / 100.0,
       (ARRAY['open', 'paid', 'shipped', 'returned'])[1 + n % 4],
       timestamptz '2026-01-01 08:00:00+00' + n * interval '47 minutes'
FROM generate_series(1, 10000) AS n;

INSERT INTO staff
SELECT n,
       'c4n4ry ' || (ARRAY['Kim', 'Lena', 'Marek', 'Nora', 'Omar'])[1 + n % 5] || ' ' || n,
       48000 + n * 1750
FROM generate_series(1, 20) AS n;

CREATE VIEW customer_directory AS SELECT name, email FROM customers;

CREATE INDEX orders_customer_id ON orders (customer_id);
ANALYZE customers, orders, staff;
