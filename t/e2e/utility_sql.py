"""Statements of analysts for test_utility.py, each on its own paragraph: decision support over a wholesaler's orders, and over a shop's star of sales (see utility_world.py)."""
import re

ORDERS = """
SELECT returned, state, sum(quantity) AS pieces, sum(price) AS gross, sum(price * (1 - discount)) AS net, sum(price * (1 - discount) * (1 + tax)) AS charged, round(avg(quantity), 4) AS mean, count(*) AS n
FROM lines WHERE shipped <= date '2026-12-01' - interval '90 days' GROUP BY returned, state ORDER BY returned, state

SELECT v.balance, v.vendor, c.country, p.product_id, p.brand, v.phone FROM products p, vendors v, offers o, countries c, areas a
WHERE p.product_id = o.product_id AND v.vendor_id = o.vendor_id AND p.kind LIKE '%BRASS' AND v.country_id = c.country_id AND c.area_id = a.area_id AND a.area = 'SOUTH'
  AND o.cost = (SELECT min(o2.cost) FROM offers o2, vendors v2, countries c2, areas a2 WHERE p.product_id = o2.product_id AND v2.vendor_id = o2.vendor_id AND v2.country_id = c2.country_id
                AND c2.area_id = a2.area_id AND a2.area = 'SOUTH')
ORDER BY v.balance DESC, c.country, v.vendor, p.product_id LIMIT 100

SELECT l.purchase_id, sum(l.price * (1 - l.discount)) AS revenue, u.day, u.urgency FROM clients c, purchases u, lines l
WHERE c.segment = 'BUILDING' AND c.client_id = u.client_id AND l.purchase_id = u.purchase_id AND u.day < date '2026-03-15' AND l.shipped > date '2025-03-15'
GROUP BY l.purchase_id, u.day, u.urgency ORDER BY revenue DESC, u.day, l.purchase_id LIMIT 10

SELECT urgency, count(*) FROM purchases u WHERE day >= date '2025-07-01' AND day < date '2025-07-01' + interval '9 months'
AND EXISTS (SELECT * FROM lines l WHERE l.purchase_id = u.purchase_id AND l.promised < l.received) GROUP BY urgency ORDER BY urgency

SELECT n.country, sum(l.price * (1 - l.discount)) AS revenue FROM clients c, purchases u, lines l, vendors v, countries n, areas a
WHERE c.client_id = u.client_id AND l.purchase_id = u.purchase_id AND l.vendor_id = v.vendor_id AND c.country_id = v.country_id AND v.country_id = n.country_id AND n.area_id = a.area_id
  AND a.area IN ('NORTH', 'SOUTH') AND u.day >= date '2025-01-01' GROUP BY n.country ORDER BY revenue DESC, n.country

SELECT sum(price * discount) AS revenue FROM lines WHERE shipped >= date '2025-01-01' AND shipped < date '2025-01-01' + interval '1' year AND discount BETWEEN .06 - 0.01 AND .06 + 0.01 AND quantity < 24

SELECT from_country, to_country, year, sum(volume) AS revenue FROM (
  SELECT n1.country AS from_country, n2.country AS to_country, extract(year FROM l.shipped) AS year, l.price * (1 - l.discount) AS volume
  FROM vendors v, lines l, purchases u, clients c, countries n1, countries n2
  WHERE v.vendor_id = l.vendor_id AND u.purchase_id = l.purchase_id AND c.client_id = u.client_id AND v.country_id = n1.country_id AND c.country_id = n2.country_id
    AND ((n1.country = 'SPAIN' AND n2.country = 'POLAND') OR (n1.country = 'POLAND' AND n2.country = 'SPAIN')) AND l.shipped BETWEEN date '2025-01-01' AND date '2026-12-31') AS shipping
GROUP BY from_country, to_country, year ORDER BY from_country, to_country, year

SELECT year, sum(CASE WHEN country = 'SPAIN' THEN volume ELSE 0 END) / sum(volume) AS share FROM (
  SELECT extract(year FROM u.day) AS year, l.price * (1 - l.discount) AS volume, n2.country
  FROM products p JOIN lines l ON p.product_id = l.product_id JOIN vendors v ON v.vendor_id = l.vendor_id JOIN purchases u ON l.purchase_id = u.purchase_id JOIN clients c ON u.client_id = c.client_id
  JOIN countries n1 ON c.country_id = n1.country_id JOIN areas a ON n1.area_id = a.area_id JOIN countries n2 ON v.country_id = n2.country_id
  WHERE u.day BETWEEN date '2025-01-01' AND date '2026-12-31' AND p.kind IN ('PROMO STEEL', 'LARGE BRASS')) AS all_countries GROUP BY year ORDER BY year

SELECT country, year, sum(amount) AS profit FROM (
  SELECT n.country, extract(year FROM u.day) AS year, l.price * (1 - l.discount) - o.cost * l.quantity AS amount FROM products p, vendors v, lines l, offers o, purchases u, countries n
  WHERE v.vendor_id = l.vendor_id AND o.vendor_id = l.vendor_id AND o.product_id = l.product_id AND p.product_id = l.product_id AND u.purchase_id = l.purchase_id AND v.country_id = n.country_id
    AND p.product LIKE '%green%') AS profit GROUP BY country, year ORDER BY country, year DESC

SELECT c.client_id, c.name, sum(l.price * (1 - l.discount)) AS revenue, c.balance, n.country, c.email, c.phone, c.card FROM clients c, purchases u, lines l, countries n
WHERE c.client_id = u.client_id AND l.purchase_id = u.purchase_id AND u.day >= date '2025-03-01' AND u.day < date '2025-03-01' + interval '1 year' AND l.returned = 'R' AND c.country_id = n.country_id
GROUP BY c.client_id, c.name, c.balance, c.phone, n.country, c.email, c.card ORDER BY revenue DESC, c.client_id LIMIT 20

SELECT o.product_id, sum(o.cost * o.stock) AS value FROM offers o, vendors v, countries n WHERE o.vendor_id = v.vendor_id AND v.country_id = n.country_id AND n.country = 'NORWAY'
GROUP BY o.product_id HAVING sum(o.cost * o.stock) > (SELECT sum(o2.cost * o2.stock) * 0.001 FROM offers o2, vendors v2, countries n2 WHERE o2.vendor_id = v2.vendor_id
  AND v2.country_id = n2.country_id AND n2.country = 'NORWAY') ORDER BY value DESC, o.product_id

SELECT l.way, sum(CASE WHEN u.urgency = '1-HIGH' OR u.urgency = '2-LOW' THEN 1 ELSE 0 END) AS urgent, sum(CASE WHEN u.urgency <> '1-HIGH' AND u.urgency <> '2-LOW' THEN 1 ELSE 0 END) AS other
FROM purchases u, lines l WHERE u.purchase_id = l.purchase_id AND l.way IN ('RAIL', 'SHIP') AND l.promised < l.received AND l.shipped < l.promised GROUP BY l.way ORDER BY l.way

SELECT orders, count(*) AS clients FROM (SELECT c.client_id, count(u.purchase_id) FROM clients c LEFT OUTER JOIN purchases u ON c.client_id = u.client_id AND u.clerk NOT LIKE '%2%' GROUP BY c.client_id)
AS c_orders (client_id, orders) GROUP BY orders ORDER BY clients DESC, orders DESC

SELECT 100.00 * sum(CASE WHEN p.kind LIKE 'PROMO%' THEN l.price * (1 - l.discount) ELSE 0 END) / sum(l.price * (1 - l.discount)) AS promo FROM lines l, products p
WHERE l.product_id = p.product_id AND l.shipped >= date '2025-06-01' AND l.shipped < date '2025-06-01' + interval '4 months'

WITH revenue (vendor_id, total) AS (SELECT vendor_id, sum(price * (1 - discount)) FROM lines WHERE shipped >= date '2025-01-01' AND shipped < date '2025-01-01' + interval '6 months' GROUP BY vendor_id)
SELECT v.vendor_id, v.vendor, v.phone, total FROM vendors v, revenue r WHERE v.vendor_id = r.vendor_id AND total = (SELECT max(total) FROM revenue) ORDER BY v.vendor_id

SELECT p.brand, p.kind, p.size, count(DISTINCT o.vendor_id) AS vendors FROM offers o, products p WHERE p.product_id = o.product_id AND p.brand <> 'B4' AND p.kind NOT LIKE 'SMALL%' AND p.size IN (1, 3, 5, 7, 9, 11, 13)
AND o.vendor_id NOT IN (SELECT vendor_id FROM vendors WHERE vendor LIKE '%7%') GROUP BY p.brand, p.kind, p.size ORDER BY vendors DESC, p.brand, p.kind, p.size

SELECT sum(l.price) / 7.0 AS average FROM lines l, products p WHERE p.product_id = l.product_id AND p.brand = 'B3' AND p.box = 'JAR' AND l.quantity < (SELECT 0.9 * avg(quantity) FROM lines WHERE product_id = p.product_id)

SELECT c.name, c.client_id, u.purchase_id, u.day, u.total, sum(l.quantity) FROM clients c, purchases u, lines l
WHERE u.purchase_id IN (SELECT purchase_id FROM lines GROUP BY purchase_id HAVING sum(quantity) > 60) AND c.client_id = u.client_id AND u.purchase_id = l.purchase_id
GROUP BY c.name, c.client_id, u.purchase_id, u.day, u.total ORDER BY u.total DESC, u.day, u.purchase_id LIMIT 100

SELECT sum(l.price * (1 - l.discount)) AS revenue FROM lines l, products p
WHERE (p.product_id = l.product_id AND p.brand = 'B1' AND p.box IN ('JAR', 'BAG') AND l.quantity BETWEEN 1 AND 21 AND p.size BETWEEN 1 AND 5 AND l.way IN ('AIR', 'SHIP'))
   OR (p.product_id = l.product_id AND p.brand = 'B2' AND p.box IN ('BOX') AND l.quantity BETWEEN 10 AND 40 AND p.size BETWEEN 1 AND 10 AND l.way IN ('AIR', 'SHIP'))

SELECT v.vendor, v.phone FROM vendors v, countries n WHERE v.vendor_id IN (SELECT o.vendor_id FROM offers o WHERE o.product_id IN (SELECT product_id FROM products WHERE product LIKE 'red%')
  AND o.stock > (SELECT 0.5 * sum(l.quantity) FROM lines l WHERE l.product_id = o.product_id AND l.vendor_id = o.vendor_id)) AND v.country_id = n.country_id AND n.country <> 'LATVIA' ORDER BY v.vendor

SELECT v.vendor, count(*) AS waits FROM vendors v, lines l1, purchases u, countries n WHERE v.vendor_id = l1.vendor_id AND u.purchase_id = l1.purchase_id AND u.status = 'F' AND l1.received > l1.promised
AND EXISTS (SELECT * FROM lines l2 WHERE l2.purchase_id = l1.purchase_id AND l2.vendor_id <> l1.vendor_id)
AND NOT EXISTS (SELECT * FROM lines l3 WHERE l3.purchase_id = l1.purchase_id AND l3.vendor_id <> l1.vendor_id AND l3.received > l3.promised)
AND v.country_id = n.country_id GROUP BY v.vendor ORDER BY waits DESC, v.vendor LIMIT 100

SELECT code, count(*) AS clients, sum(balance) AS balance FROM (SELECT substring(c.card FROM 4 FOR 2) AS code, c.balance FROM clients c
  WHERE c.balance > (SELECT avg(c2.balance) FROM clients c2 WHERE c2.balance > 0.00) AND NOT EXISTS (SELECT * FROM purchases u WHERE u.client_id = c.client_id)) AS idle GROUP BY code ORDER BY code
"""

SALES = """
SELECT d.year, g.brand, sum(s.price * s.quantity) AS total FROM days d, sales s, goods g WHERE d.day_id = s.day_id AND s.good_id = g.good_id AND g.category = 'Books' AND d.month = 11 GROUP BY d.year, g.brand ORDER BY d.year, total DESC, g.brand LIMIT 100

WITH returned AS (SELECT r.shopper_id, s.store_id, sum(r.amount) AS total FROM returns r JOIN sales s USING (sale_id) GROUP BY r.shopper_id, s.store_id)
SELECT h.shopper_id, h.first, h.last FROM returned r1 JOIN stores t ON t.store_id = r1.store_id JOIN shoppers h ON h.shopper_id = r1.shopper_id
WHERE r1.total > (SELECT avg(total) * 1.2 FROM returned r2 WHERE r1.store_id = r2.store_id) AND t.city = 'Oslo' ORDER BY h.shopper_id, r1.total

WITH both_ways AS (SELECT day_id, price * quantity AS amount FROM web_sales UNION ALL SELECT day_id, price * quantity FROM sales)
SELECT d.year, d.quarter, sum(CASE WHEN d.weekday = 'Monday' THEN amount END) AS monday, sum(CASE WHEN d.weekday = 'Friday' THEN amount END) AS friday, sum(amount) AS all_days
FROM both_ways b JOIN days d USING (day_id) GROUP BY d.year, d.quarter ORDER BY 1, 2

SELECT h.shopper_id, h.first, h.last, h.email, sum(s.price) AS store, (SELECT coalesce(sum(w.price), 0) FROM web_sales w WHERE w.shopper_id = h.shopper_id) AS web
FROM shoppers h JOIN sales s ON s.shopper_id = h.shopper_id GROUP BY h.shopper_id, h.first, h.last, h.email HAVING sum(s.price) > 300 ORDER BY h.shopper_id

SELECT g.category, g.class, sum(s.price) AS total, grouping(g.category) + grouping(g.class) AS level, rank() OVER (PARTITION BY grouping(g.category) + grouping(g.class), CASE WHEN grouping(g.class) = 0 THEN g.category END
ORDER BY sum(s.price) DESC) AS place FROM sales s JOIN goods g USING (good_id) JOIN days d USING (day_id) WHERE d.year = 2025 GROUP BY ROLLUP (g.category, g.class) ORDER BY level DESC, 1 NULLS FIRST, place, 2

SELECT h.city, h.last, h.born, g.category, count(*) AS n FROM shoppers h JOIN sales s USING (shopper_id) JOIN goods g USING (good_id) GROUP BY CUBE (h.city, h.last, h.born), g.category HAVING count(*) > 8 ORDER BY n DESC, 1, 2, 3, 4

SELECT h.children, extract(year FROM h.born) AS born, count(*), avg(h.income)::numeric(10, 2), max(h.income) - min(h.income) FROM shoppers h WHERE EXISTS (SELECT 1 FROM sales s WHERE s.shopper_id = h.shopper_id)
AND (EXISTS (SELECT 1 FROM web_sales w WHERE w.shopper_id = h.shopper_id) OR h.city IN ('Riga', 'Oslo')) GROUP BY h.children, extract(year FROM h.born) ORDER BY 1, 2

SELECT g.good, avg(s.quantity), avg(s.price) AS mean, avg(s.cost) AS cost FROM sales s, shoppers h, days d, goods g, promotions p WHERE s.day_id = d.day_id AND s.good_id = g.good_id AND s.shopper_id = h.shopper_id
AND s.promotion_id = p.promotion_id AND h.income > 20000 AND (p.channel = 'mail' OR p.channel = 'tv') AND d.year = 2025 GROUP BY g.good ORDER BY g.good LIMIT 100

SELECT CASE WHEN (SELECT count(*) FROM sales WHERE quantity BETWEEN 1 AND 3) > 50 THEN (SELECT avg(price) FROM sales WHERE quantity BETWEEN 1 AND 3) ELSE (SELECT avg(cost) FROM sales WHERE quantity BETWEEN 1 AND 3) END AS low,
CASE WHEN (SELECT count(*) FROM sales WHERE quantity > 3) > 1000 THEN (SELECT avg(price) FROM sales WHERE quantity > 3) ELSE (SELECT avg(cost) FROM sales WHERE quantity > 3) END AS high

WITH yearly AS (SELECT h.shopper_id, h.first, h.last, d.year, sum(s.price * s.quantity) AS total FROM shoppers h JOIN sales s USING (shopper_id) JOIN days d USING (day_id) GROUP BY h.shopper_id, h.first, h.last, d.year)
SELECT a.shopper_id, a.first, a.last, a.total, b.total FROM yearly a JOIN yearly b ON a.shopper_id = b.shopper_id AND a.year = 2025 AND b.year = 2026 WHERE b.total > a.total ORDER BY a.shopper_id

SELECT g.good_id, g.category, g.price, sum(s.price) AS revenue, round(sum(s.price) * 100 / sum(sum(s.price)) OVER (PARTITION BY g.class), 3) AS ratio FROM sales s, goods g, days d
WHERE s.good_id = g.good_id AND g.category IN ('Books', 'Home') AND s.day_id = d.day_id AND d.day BETWEEN date '2025-02-01' AND date '2025-02-01' + 60 GROUP BY g.good_id, g.category, g.price, g.class ORDER BY g.category, ratio, g.good_id

SELECT t.store, t.manager, avg(s.quantity), stddev_samp(s.price)::numeric(12, 4), variance(s.cost)::numeric(12, 4), count(s.cost) FROM sales s RIGHT JOIN stores t USING (store_id) GROUP BY t.store_id, t.store, t.manager ORDER BY t.store

WITH cross_goods AS (SELECT good_id FROM sales INTERSECT SELECT good_id FROM web_sales), mean AS (SELECT avg(quantity * price) AS value FROM (SELECT quantity, price FROM sales UNION ALL SELECT quantity, price FROM web_sales) x)
SELECT channel, category, sum(amount), sum(n) FROM (
  SELECT 'store' AS channel, g.category, sum(s.quantity * s.price) AS amount, count(*) AS n FROM sales s JOIN goods g USING (good_id) WHERE s.good_id IN (SELECT good_id FROM cross_goods) GROUP BY g.category
  HAVING sum(s.quantity * s.price) > (SELECT value FROM mean)
  UNION ALL SELECT 'web', g.category, sum(w.quantity * w.price), count(*) FROM web_sales w JOIN goods g USING (good_id) GROUP BY g.category HAVING sum(w.quantity * w.price) > (SELECT value FROM mean)) y
GROUP BY ROLLUP (channel, category) ORDER BY channel, category

SELECT count(DISTINCT w.sale_id) AS orders, sum(w.price) AS total FROM web_sales w WHERE w.price > 20 AND EXISTS (SELECT 1 FROM web_sales x WHERE x.shopper_id = w.shopper_id AND x.sale_id <> w.sale_id)
AND NOT EXISTS (SELECT 1 FROM returns r WHERE r.shopper_id = w.shopper_id AND r.good_id = w.good_id)

SELECT g.good, t.city, count(s.quantity) AS n, avg(s.quantity) AS mean, avg(r.quantity) AS back FROM sales s LEFT JOIN returns r ON r.sale_id = s.sale_id JOIN goods g ON g.good_id = s.good_id JOIN stores t ON t.store_id = s.store_id
GROUP BY g.good, t.city HAVING count(r.quantity) > 0 ORDER BY g.good, t.city

SELECT g.brand, t.city, sum(s.price) FROM days d, sales s, goods g, shoppers h, stores t WHERE d.day_id = s.day_id AND s.good_id = g.good_id AND s.shopper_id = h.shopper_id AND h.city <> t.city AND s.store_id = t.store_id GROUP BY g.brand, t.city ORDER BY 3 DESC, 1, 2

SELECT good_id, sum(on_hand) FILTER (WHERE d.month < 4) AS before, sum(on_hand) FILTER (WHERE d.month >= 4) AS after FROM stock JOIN days d USING (day_id) GROUP BY good_id
HAVING sum(on_hand) FILTER (WHERE d.month < 4) > 0 AND sum(on_hand) FILTER (WHERE d.month >= 4)::numeric / sum(on_hand) FILTER (WHERE d.month < 4) BETWEEN 0.5 AND 3 ORDER BY good_id

SELECT g.category, g.class, g.brand, avg(k.on_hand)::numeric(10, 3) AS q FROM stock k JOIN goods g USING (good_id) GROUP BY GROUPING SETS ((g.category, g.class, g.brand), (g.category), ()) ORDER BY q, 1, 2, 3 LIMIT 50

WITH frequent AS (SELECT good_id FROM sales GROUP BY good_id HAVING count(*) > 15), best AS (SELECT shopper_id FROM sales GROUP BY shopper_id HAVING sum(quantity * price) > 0.5 * (SELECT max(total) FROM
(SELECT sum(quantity * price) AS total FROM sales GROUP BY shopper_id) x)) SELECT h.last, h.first, sum(w.quantity * w.price) FROM web_sales w JOIN shoppers h USING (shopper_id)
WHERE w.good_id IN (SELECT good_id FROM frequent) AND w.shopper_id IN (SELECT shopper_id FROM best) GROUP BY h.last, h.first ORDER BY 1, 2

SELECT h.last, h.first, h.city, sum(s.price - s.cost) AS profit, dense_rank() OVER (PARTITION BY h.city ORDER BY sum(s.price - s.cost) DESC) AS place FROM shoppers h JOIN sales s USING (shopper_id) GROUP BY h.shopper_id, h.last, h.first, h.city
ORDER BY h.city, place, h.last, h.first

SELECT h.*, s.n FROM shoppers h JOIN LATERAL (SELECT count(*) AS n, max(price) AS top FROM sales WHERE sales.shopper_id = h.shopper_id AND sales.price > 10) s ON s.n > 6 ORDER BY h.shopper_id

SELECT h.shopper_id, last_sale.at, last_sale.price FROM shoppers h CROSS JOIN LATERAL (SELECT at, price FROM sales s WHERE s.shopper_id = h.shopper_id ORDER BY at DESC, sale_id LIMIT 1) last_sale ORDER BY 1

SELECT d.year, d.month, sum(s.price) AS total, sum(sum(s.price)) OVER (PARTITION BY d.year ORDER BY d.month ROWS UNBOUNDED PRECEDING) AS so_far, lag(sum(s.price)) OVER (ORDER BY d.year, d.month) AS last_month,
avg(sum(s.price)) OVER (ORDER BY d.year, d.month ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS smooth FROM sales s JOIN days d USING (day_id) GROUP BY d.year, d.month ORDER BY d.year, d.month

SELECT good_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY price)::numeric(10, 2) AS median, percentile_disc(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY price) AS quartiles, mode() WITHIN GROUP (ORDER BY quantity) FROM sales GROUP BY good_id ORDER BY good_id

SELECT h.last, percentile_disc(0.9) WITHIN GROUP (ORDER BY h.income) AS top, count(*) FILTER (WHERE h.children > 1) AS families, array_agg(h.first ORDER BY h.first, h.shopper_id) FROM shoppers h GROUP BY h.last ORDER BY h.last

SELECT date_trunc('quarter', s.at, 'UTC') AS q, t.city, sum(s.price) FROM sales s JOIN stores t USING (store_id) GROUP BY 1, 2 ORDER BY 1, 2

SELECT extract(isodow FROM s.at AT TIME ZONE 'UTC') AS dow, extract(hour FROM s.at AT TIME ZONE 'UTC') AS h, count(*) FROM sales s GROUP BY 1, 2 HAVING count(*) > 3 ORDER BY 3 DESC, 1, 2

SELECT age(date '2026-01-01', h.born) AS age, h.born + interval '18 years' AS adult, date '2026-01-01' - h.born AS days, to_char(h.born, 'YYYY-MM') FROM shoppers h ORDER BY h.shopper_id LIMIT 20

WITH RECURSIVE months (m) AS (SELECT date '2025-01-01' UNION ALL SELECT (m + interval '1 month')::date FROM months WHERE m < date '2025-12-01')
SELECT m, count(s.sale_id), coalesce(sum(s.price), 0) FROM months LEFT JOIN sales s ON s.at >= m AND s.at < m + interval '1 month' GROUP BY m ORDER BY m

WITH RECURSIVE chain (shopper_id, depth, path) AS (SELECT shopper_id, 1, ARRAY[shopper_id] FROM shoppers WHERE shopper_id = 1 UNION ALL SELECT h.shopper_id, c.depth + 1, c.path || h.shopper_id FROM chain c JOIN shoppers h ON h.shopper_id = c.shopper_id * 2
WHERE c.depth < 6) SELECT c.depth, c.path, h.email FROM chain c JOIN shoppers h USING (shopper_id) ORDER BY c.depth

SELECT shopper_id FROM sales EXCEPT SELECT shopper_id FROM web_sales ORDER BY 1

(SELECT city, 'store' AS what FROM stores UNION SELECT city, 'shopper' FROM shoppers) INTERSECT ALL SELECT city, 'shopper' FROM shoppers WHERE children > 0 ORDER BY city

SELECT g.good, coalesce(w.n, 0) AS web, coalesce(s.n, 0) AS store FROM goods g LEFT JOIN (SELECT good_id, count(*) AS n FROM web_sales GROUP BY good_id) w USING (good_id) FULL JOIN (SELECT good_id, count(*) AS n FROM sales GROUP BY good_id) s USING (good_id)
ORDER BY good_id

SELECT h.shopper_id, ntile(4) OVER (ORDER BY h.income, h.shopper_id) AS quarter, percent_rank() OVER (ORDER BY h.income)::numeric(6, 4), first_value(h.shopper_id) OVER w, last_value(h.shopper_id) OVER w, nth_value(h.shopper_id, 2) OVER w
FROM shoppers h WINDOW w AS (PARTITION BY h.city ORDER BY h.income, h.shopper_id RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY h.shopper_id

SELECT DISTINCT ON (h.city) h.city, h.shopper_id, h.email, h.income FROM shoppers h ORDER BY h.city, h.income DESC, h.shopper_id

SELECT upper(h.last) || ', ' || h.first AS who, length(h.email), split_part(h.email, '@', 2) AS domain FROM shoppers h WHERE h.email LIKE '%@web1.example' AND h.last ILIKE 'o%' ORDER BY h.shopper_id

SELECT split_part(email, '@', 2) AS domain, count(*), count(DISTINCT left(last, 1)) FROM shoppers GROUP BY domain HAVING count(*) > 2 ORDER BY domain

SELECT json_agg(json_build_object('id', h.shopper_id, 'mail', h.email) ORDER BY h.shopper_id) FROM shoppers h WHERE h.city = 'Riga'

SELECT h.city, jsonb_object_agg(h.shopper_id::text, h.income ORDER BY h.shopper_id) FROM shoppers h GROUP BY h.city ORDER BY h.city

SELECT string_agg(DISTINCT h.last, '; ' ORDER BY h.last) AS names, bool_and(h.income > 0), every(h.children < 9) FROM shoppers h

SELECT s.* FROM sales s WHERE (s.good_id, s.store_id) IN (SELECT good_id, store_id FROM stock WHERE on_hand > 40) AND s.price > ALL (SELECT price FROM web_sales WHERE quantity = 5 AND price < 40) ORDER BY s.sale_id

SELECT t.store, x.week, x.total FROM stores t, LATERAL (SELECT d.week, sum(s.price) AS total FROM sales s JOIN days d USING (day_id) WHERE s.store_id = t.store_id GROUP BY d.week ORDER BY total DESC, d.week LIMIT 3) x ORDER BY t.store, x.total DESC, x.week

SELECT CASE WHEN h.income < 10000 THEN 'low' WHEN h.income < 40000 THEN 'middle' ELSE 'high' END AS class, count(*), avg(s.price)::numeric(10, 4) FROM shoppers h JOIN sales s USING (shopper_id) GROUP BY class ORDER BY class

SELECT width_bucket(h.income, 0, 60000, 6) AS bucket, min(h.income), max(h.income), count(*) FROM shoppers h GROUP BY bucket ORDER BY bucket

SELECT corr(s.price, s.cost)::numeric(10, 6), regr_slope(s.price, s.quantity)::numeric(10, 6), covar_pop(s.price, s.cost)::numeric(12, 4) FROM sales s

SELECT d.weekday, sum(CASE WHEN s.promotion_id IS NULL THEN s.price ELSE 0 END) AS plain, sum(s.price) FILTER (WHERE s.promotion_id IS NOT NULL) AS promoted FROM sales s JOIN days d USING (day_id) GROUP BY d.weekday ORDER BY d.weekday

SELECT p.channel, count(s.sale_id), sum(s.price) / NULLIF(sum(s.cost), 0) AS margin FROM promotions p LEFT JOIN sales s USING (promotion_id) GROUP BY p.channel ORDER BY p.channel

SELECT r.reason, g.category, sum(r.amount), count(*) * 100.0 / (SELECT count(*) FROM returns) AS share FROM returns r JOIN goods g USING (good_id) GROUP BY r.reason, g.category ORDER BY r.reason, g.category

SELECT h.shopper_id, h.first FROM shoppers h WHERE h.shopper_id IN (SELECT shopper_id FROM sales WHERE good_id IN (SELECT good_id FROM goods WHERE category = 'Music' AND price > (SELECT avg(price) FROM goods g WHERE g.category = goods.category))) ORDER BY 1

SELECT a.shopper_id, b.shopper_id, a.city FROM shoppers a JOIN shoppers b ON a.city = b.city AND a.shopper_id < b.shopper_id AND a.born < b.born AND abs(a.income - b.income) < 3000 ORDER BY 1, 2

SELECT s.good_id, w.good_id, count(*) FROM sales s JOIN web_sales w ON w.shopper_id = s.shopper_id AND w.good_id < s.good_id JOIN shoppers h ON h.shopper_id = s.shopper_id AND h.children = 2 GROUP BY s.good_id, w.good_id HAVING count(*) > 4 ORDER BY 3 DESC, 1, 2

SELECT d.day, d.weekday, k.on_hand, k.on_hand - lag(k.on_hand, 1, 0) OVER (PARTITION BY k.good_id, k.store_id ORDER BY d.day) AS change FROM stock k JOIN days d USING (day_id) WHERE k.good_id = 3 ORDER BY k.store_id, d.day

VALUES ((SELECT max(email) FROM shoppers)), ((SELECT min(manager) FROM stores)), ('x')

SELECT x.n, h.first FROM generate_series(1, 10) AS x (n) LEFT JOIN shoppers h ON h.shopper_id = x.n ORDER BY x.n

SELECT u.key, u.value FROM shoppers h, jsonb_each_text(to_jsonb(h)) u WHERE h.shopper_id = 7 ORDER BY u.key

SELECT row_to_json(x) FROM (SELECT h.shopper_id, h.email, (SELECT json_agg(s.price ORDER BY s.sale_id) FROM sales s WHERE s.shopper_id = h.shopper_id) AS prices FROM shoppers h WHERE h.shopper_id < 5) x ORDER BY x.shopper_id

SELECT unnest(string_to_array(email, '@')) AS part, count(*) FROM shoppers GROUP BY 1 HAVING count(*) > 5 ORDER BY 2 DESC, 1

SELECT shoppers.city, count(*) FROM shoppers WHERE (shoppers.first, shoppers.children) <> ('Ada', 0) AND shoppers.born BETWEEN SYMMETRIC date '1990-01-01' AND date '1970-01-01' GROUP BY shoppers.city ORDER BY 1

SELECT public.shoppers.email, public.shoppers.last FROM public.shoppers WHERE public.shoppers.shopper_id IN (3, 4, 5) ORDER BY public.shoppers.shopper_id

SELECT count(*) FROM shoppers NATURAL JOIN (SELECT shopper_id, city FROM shoppers WHERE children > 1) AS x

TABLE stores ORDER BY store_id

SELECT * FROM (VALUES (1, 'one'), (2, 'two')) AS v (store_id, word) JOIN stores USING (store_id) ORDER BY store_id

SELECT c.name, c.balance, sum(u.total) OVER (PARTITION BY c.client_id ORDER BY u.day, u.purchase_id) AS so_far FROM clients c JOIN purchases u USING (client_id) WHERE c.balance >= 1000 ORDER BY c.client_id, u.day, u.purchase_id

SELECT extract(decade FROM c.born) AS decade, c.segment, count(*), sum(c.balance) FROM clients c GROUP BY 1, 2 ORDER BY 1, 2

SELECT c.client_id, c.card, c.phone IS NULL AS no_phone, coalesce(c.phone, 'none') FROM clients c WHERE c.card LIKE '***%' AND c.balance % 200 = 0 ORDER BY c.client_id

SELECT max(c.balance) FILTER (WHERE c.segment = 'AUTO'), min(c.born), count(DISTINCT c.email), count(c.phone) FROM clients c
"""


# What MySQL and MariaDB have beside, or say otherwise.
MYSQL = """
SELECT * FROM clients ORDER BY client_id

SELECT * FROM shoppers h WHERE h.shopper_id BETWEEN 5 AND 9 ORDER BY h.shopper_id

SELECT * FROM vendors ORDER BY vendor_id

SELECT vendor_id, LEGACY + 1, v.phone FROM vendors v ORDER BY vendor_id

SELECT c.*, n.country FROM clients AS c INNER JOIN countries AS n USING (country_id) WHERE n.country = 'SPAIN' ORDER BY c.client_id

SELECT raw.clients.email, `raw`.`clients`.`name` FROM raw.clients WHERE raw.clients.client_id IN (3, 5, 11) ORDER BY raw.clients.client_id

SELECT email, name FROM `clients` WHERE client_id = 7

select Client_ID, EMAIL from clients where Email like 'a%' order by CLIENT_ID

SELECT concat(upper(h.last), ', ', h.first) AS who, char_length(h.email) AS n, substring_index(h.email, '@', -1) AS domain FROM shoppers h WHERE h.email LIKE '%@web1.example' AND h.last LIKE 'o%' ORDER BY h.shopper_id

SELECT substring_index(email, '@', -1) AS domain, count(*), count(DISTINCT left(last, 1)) FROM shoppers GROUP BY domain HAVING count(*) > 2 ORDER BY domain

SELECT city, group_concat(DISTINCT last ORDER BY last SEPARATOR '; ') AS names FROM shoppers GROUP BY city ORDER BY city

SELECT json_object('id', h.shopper_id, 'mail', h.email, 'born', h.born) AS j FROM shoppers h WHERE h.city = 'Riga' ORDER BY h.shopper_id

SELECT h.city, json_arrayagg(h.email ORDER BY h.shopper_id) AS mails FROM shoppers h GROUP BY h.city ORDER BY h.city

SELECT h.city, json_objectagg(h.shopper_id, h.income) AS incomes FROM shoppers h WHERE h.shopper_id < 9 GROUP BY h.city ORDER BY h.city

SELECT json_unquote(json_extract(json_object('a', email), '$.a')) AS a, json_valid(email), json_length(json_array(first, last)) FROM shoppers ORDER BY shopper_id LIMIT 8

SELECT j.n, h.first FROM shoppers h JOIN json_table('[1, 4, 9, 77]', '$[*]' COLUMNS (n int PATH '$')) AS j ON j.n = h.shopper_id ORDER BY j.n

SELECT date_format(s.at, '%Y-%m') AS month, t.city, sum(s.price) FROM sales s JOIN stores t USING (store_id) GROUP BY 1, 2 ORDER BY 1, 2

SELECT dayofweek(s.at) AS dow, hour(s.at) AS h, count(*) FROM sales s GROUP BY 1, 2 HAVING count(*) > 3 ORDER BY 3 DESC, 1, 2

SELECT timestampdiff(YEAR, h.born, date '2026-01-01') AS age, date_add(h.born, INTERVAL 18 YEAR) AS adult, datediff('2026-01-01', h.born) AS days, date_format(h.born, '%d.%m.%Y') AS de FROM shoppers h ORDER BY h.shopper_id LIMIT 20

SELECT quarter(day) AS q, year(day) AS y, week(day, 3) AS w, count(*) FROM purchases GROUP BY y, q, w ORDER BY y, q, w

SELECT last_day(day) AS month_end, sum(total) FROM purchases WHERE day BETWEEN '2025-01-01' AND '2025-06-30' GROUP BY last_day(day) ORDER BY 1

SELECT extract(YEAR_MONTH FROM day) AS ym, count(*) FROM purchases GROUP BY ym ORDER BY ym

SELECT unix_timestamp(at) DIV 86400 AS d, from_unixtime(unix_timestamp(at)) AS same FROM sales ORDER BY sale_id LIMIT 10

SELECT str_to_date('01,5,2025', '%d,%m,%Y') AS d, makedate(2025, 100), maketime(12, 15, 30), to_days('2025-01-01'), sec_to_time(3700)

SELECT h.city, h.children, count(*) FROM shoppers h GROUP BY h.city, h.children WITH ROLLUP

SELECT g.category, g.class, sum(s.price) AS total FROM sales s JOIN goods g USING (good_id) GROUP BY g.category, g.class WITH ROLLUP HAVING total > 100

SELECT good_id, sum(IF(d.month < 4, on_hand, 0)) AS first_half, sum(CASE WHEN d.month >= 4 THEN on_hand END) AS second_half FROM stock JOIN days d USING (day_id) GROUP BY good_id ORDER BY good_id

SELECT IF(c.balance < 0, 'owes', IF(c.balance > 5000, 'rich', 'fine')) AS k, count(*), ifnull(max(c.phone), 'none') FROM clients c GROUP BY k ORDER BY k

SELECT c.client_id, ifnull(c.phone, c.email) AS reach, nullif(c.segment, 'AUTO'), coalesce(c.phone, 'none'), isnull(c.phone), c.phone <=> NULL FROM clients c ORDER BY c.client_id

SELECT c.client_id, greatest(c.balance, 0), least(c.balance, 100), round(c.balance, -2), truncate(c.balance, 0), floor(c.balance / 3), c.balance DIV 7, c.balance MOD 7 FROM clients c ORDER BY c.client_id

SELECT cast(c.client_id AS char), convert(c.balance, signed), cast(c.born AS datetime), cast(c.balance AS decimal(20, 4)), c.born + 0 FROM clients c ORDER BY c.client_id LIMIT 12

SELECT find_in_set('b', 'a,b,c'), field(city, 'Oslo', 'Riga'), elt(1 + children, 'a', 'b', 'c', 'd'), lpad(shopper_id, 5, '0'), reverse(first), locate('@', email), insert(first, 1, 1, '*') FROM shoppers ORDER BY shopper_id

SELECT * FROM clients WHERE email REGEXP '^[a-c].*@mail1' ORDER BY client_id LIMIT 20

SELECT client_id FROM clients WHERE email RLIKE 'mail[02]' AND name NOT REGEXP '0$' ORDER BY 1

SELECT regexp_replace(email, '[a-z]+$', 'test') AS e, regexp_substr(name, '[0-9]+') AS n FROM clients ORDER BY client_id LIMIT 10

SELECT client_id, name FROM clients ORDER BY FIELD(segment, 'AUTO', 'RETAIL'), name LIMIT 5, 10

SELECT client_id FROM clients ORDER BY balance DESC, client_id LIMIT 10 OFFSET 20

SELECT SQL_NO_CACHE count(*) FROM shoppers

SELECT STRAIGHT_JOIN c.name, u.total FROM clients c JOIN purchases u ON u.client_id = c.client_id WHERE u.total > 4000 ORDER BY u.purchase_id

SELECT c.name, u.total FROM clients c USE INDEX (PRIMARY) JOIN purchases u FORCE INDEX (PRIMARY) ON u.client_id = c.client_id WHERE u.total > 4500 ORDER BY u.purchase_id

SELECT /*+ NO_RANGE_OPTIMIZATION(c) */ c.name FROM clients c WHERE c.client_id < 5 ORDER BY c.client_id

SELECT /* the report's */ c.name -- a comment
FROM clients c # another
WHERE c.client_id < 5 ORDER BY c.client_id

SELECT c.name FROM (clients c, countries n) WHERE c.country_id = n.country_id AND n.country = 'ITALY' ORDER BY c.client_id

SELECT c.name, n.country FROM clients c LEFT JOIN (countries n JOIN areas a ON a.area_id = n.area_id) ON n.country_id = c.country_id ORDER BY c.client_id

SELECT s.name FROM (clients AS s) WHERE s.client_id < 4 ORDER BY 1

SELECT client_id FROM (clients) WHERE client_id < 4 ORDER BY 1

SELECT name FROM clients NATURAL JOIN countries WHERE country = 'DENMARK' ORDER BY name

SELECT c.name, u.purchase_id FROM clients c RIGHT JOIN purchases u ON c.client_id = u.client_id AND c.balance > 100 ORDER BY u.purchase_id LIMIT 30

SELECT c.client_id FROM clients c WHERE (c.country_id, c.segment) IN ((1, 'AUTO'), (2, 'RETAIL'), (5, 'BUILDING')) ORDER BY 1

SELECT c.client_id, c.email FROM clients c WHERE c.client_id = (SELECT u.client_id FROM purchases u WHERE u.status = 'F' ORDER BY u.total DESC, u.purchase_id LIMIT 1)

SELECT c.client_id FROM clients c WHERE c.balance >= ALL (SELECT b.balance FROM clients b WHERE b.country_id = c.country_id) ORDER BY 1

SELECT c.client_id FROM clients c WHERE EXISTS (SELECT 1 FROM clients b WHERE b.email = c.email AND b.client_id <> c.client_id) ORDER BY 1

SELECT c.email, count(*) AS n, group_concat(c.client_id ORDER BY c.client_id) AS ids FROM clients c GROUP BY c.email HAVING n > 1 ORDER BY n DESC, c.email

SELECT c.segment, avg(c.balance) AS mean, stddev_pop(c.balance) AS dev, variance(c.balance), bit_or(c.client_id), min(c.email), max(c.born) FROM clients c GROUP BY c.segment ORDER BY c.segment

WITH RECURSIVE months (m) AS (SELECT cast('2025-01-01' AS date) UNION ALL SELECT m + INTERVAL 1 MONTH FROM months WHERE m < '2025-12-01')
SELECT m, count(s.sale_id), coalesce(sum(s.price), 0) FROM months LEFT JOIN sales s ON s.at >= m AND s.at < m + INTERVAL 1 MONTH GROUP BY m ORDER BY m

WITH RECURSIVE chain (shopper_id, depth, path) AS (SELECT shopper_id, 1, cast(shopper_id AS char(100)) FROM shoppers WHERE shopper_id = 1 UNION ALL SELECT h.shopper_id, c.depth + 1, concat(c.path, '/', h.shopper_id)
FROM chain c JOIN shoppers h ON h.shopper_id = c.shopper_id * 2 WHERE c.depth < 6) SELECT c.depth, c.path, h.email FROM chain c JOIN shoppers h USING (shopper_id) ORDER BY c.depth

WITH top AS (SELECT client_id, sum(total) AS t FROM purchases GROUP BY client_id ORDER BY t DESC, client_id LIMIT 5), named AS (SELECT c.email, top.t FROM top JOIN clients c USING (client_id)) SELECT * FROM named ORDER BY t DESC, email

WITH clients AS (SELECT client_id, email FROM raw.clients WHERE client_id < 10) SELECT * FROM clients ORDER BY client_id

SELECT h.shopper_id, row_number() OVER (PARTITION BY h.city ORDER BY h.income DESC, h.shopper_id) AS n, ntile(3) OVER (ORDER BY h.shopper_id) AS third, lead(h.email) OVER (ORDER BY h.shopper_id) AS next FROM shoppers h ORDER BY h.shopper_id

SELECT s.sale_id, sum(s.price) OVER (ORDER BY s.sale_id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS three, avg(s.price) OVER w AS mean FROM sales s WHERE s.store_id = 1 WINDOW w AS (PARTITION BY s.good_id) ORDER BY s.sale_id

SELECT x.week, x.total, x.place FROM (SELECT d.week, sum(s.price) AS total, rank() OVER (ORDER BY sum(s.price) DESC) AS place FROM sales s JOIN days d USING (day_id) GROUP BY d.week) x WHERE x.place <= 5 ORDER BY x.place, x.week

(SELECT client_id AS id, email FROM clients ORDER BY client_id LIMIT 3) UNION ALL (SELECT shopper_id, email FROM shoppers ORDER BY shopper_id LIMIT 3) ORDER BY email, id

SELECT city FROM stores UNION SELECT city FROM shoppers ORDER BY city

SELECT 'c' AS kind, count(*) AS n FROM clients UNION ALL SELECT 's', count(*) FROM shoppers UNION ALL SELECT 'p', count(*) FROM purchases

SELECT n.country, (SELECT count(*) FROM clients c WHERE c.country_id = n.country_id) AS clients, (SELECT max(c.email) FROM clients c WHERE c.country_id = n.country_id) AS last FROM countries n ORDER BY n.country_id

SELECT (SELECT email FROM clients WHERE client_id = 1) AS e, (SELECT count(*) FROM shoppers) AS n, 1 + 1 AS two, 'x' 'y' AS xy, 0x41 AS a, b'101' + 0 AS five

SELECT @n := 5 AS n

SELECT DISTINCT segment, email LIKE '%mail1%' AS one FROM clients ORDER BY 1, 2

SELECT DISTINCTROW city FROM shoppers ORDER BY city

SELECT ALL city FROM shoppers ORDER BY shopper_id LIMIT 3

SELECT client_id, card, length(card), card LIKE '***%' FROM clients WHERE card IS NOT NULL AND balance % 200 = 0 ORDER BY client_id

SELECT max(IF(c.segment = 'AUTO', c.balance, NULL)) AS m, min(c.born), count(DISTINCT c.email), count(c.phone), count(DISTINCT c.segment, c.country_id) FROM clients c

SELECT floor(year(c.born) / 10) * 10 AS decade, c.segment, count(*), sum(c.balance) FROM clients c GROUP BY 1, 2 ORDER BY 1, 2

SELECT v.vendor, c.name FROM vendors v CROSS JOIN clients c WHERE v.vendor_id = c.client_id ORDER BY v.vendor_id

SELECT CASE c.segment WHEN 'AUTO' THEN 1 WHEN 'RETAIL' THEN 2 ELSE 3 END AS s, c.email FROM clients c ORDER BY s, c.client_id LIMIT 10

SELECT md5(email), sha1(email), sha2(email, 256), crc32(email), hex(left(email, 2)), to_base64(first) FROM shoppers ORDER BY shopper_id LIMIT 5

SELECT c.name COLLATE utf8mb4_bin AS n, c.email = 'X' COLLATE utf8mb4_bin, _utf8mb4'x', N'y', BINARY 'z' FROM clients c ORDER BY n LIMIT 5

SELECT c.name FROM clients c WHERE c.name = 'CLIENT 007' AND NOT c.balance IS NULL AND c.born IS NOT NULL XOR c.client_id = 8 ORDER BY c.client_id

SELECT c.client_id, c.client_id << 2 | 1 AS bits, ~c.client_id & 255, c.client_id ^ 3, -c.balance, !c.client_id FROM clients c ORDER BY c.client_id LIMIT 4

SELECT p.product, p.price * (1 + 0.19) AS gross FROM products AS p ORDER BY p.product_id

SELECT * FROM goods g LEFT JOIN (SELECT good_id, count(*) AS n FROM web_sales GROUP BY good_id) w USING (good_id) LEFT JOIN (SELECT good_id, count(*) AS m FROM sales GROUP BY good_id) s USING (good_id) ORDER BY good_id

SELECT now() > '2020-01-01', curdate() > '2020-01-01', database(), schema(), connection_id() > 0, version() IS NOT NULL

SELECT 1

SELECT * FROM (SELECT 1 AS store_id, 'one' AS word UNION SELECT 2, 'two') AS v JOIN stores USING (store_id) ORDER BY store_id

VALUES (1, 'a'), (2, 'b')

SHOW COLUMNS FROM clients

SHOW FULL COLUMNS FROM shoppers LIKE '%a%'

DESCRIBE stores

DESC vendors phone

EXPLAIN shoppers

SHOW FULL TABLES

SHOW TABLES LIKE 's%'

SHOW VARIABLES LIKE 'lower_case_table_names'

SHOW COLLATION LIKE 'utf8mb4_b%'

SHOW CHARACTER SET LIKE 'utf8%'

SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = database() ORDER BY table_name

SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = schema() AND table_name IN ('clients', 'shoppers') ORDER BY table_name, ordinal_position

SELECT column_name FROM information_schema.key_column_usage WHERE table_schema = database() AND table_name = 'offers' AND constraint_name = 'PRIMARY' ORDER BY ordinal_position
"""

# Not in MariaDB 10.11, or not in this form: MYSQL has what stands for them.
ANOTHERS = re.compile(r"FILTER \(|\bCUBE\b|GROUPING SETS|ROLLUP|LATERAL|WITHIN GROUP|ARRAY|unnest|jsonb?_|row_to_json|generate_series|DISTINCT ON|split_part|string_agg|width_bucket|corr\(|FULL JOIN|NULLS|"
                      r"date_trunc|isodow|age\(|ILIKE|SYMMETRIC|public\.|decade|VALUES|TABLE|c_orders \(|\|\||::date|grouping\(|lag\(k|date '[^']*' \+ [0-9]")


def statements(text):
    return [s for s in text.strip().split("\n\n")]


def for_mysql(sql):
    sql = re.sub(r"\blines\b", "`lines`", sql)
    sql = re.sub(r"(?i)interval '([0-9]+)'? ?(day|month|year)s?'?", lambda m: f"INTERVAL {m[1]} {m[2].upper()}", sql)
    sql = re.sub(r"(\w+\((?:[^()]|\([^()]*\))*\)(?: OVER \([^()]*\))?)::numeric\((.*?)\)", r"cast(\1 AS decimal(\2))", sql)
    return re.sub(r"\bAS (change)\b", r"AS `\1`", sql)


ALL = statements(ORDERS) + statements(SALES)
ALL_MYSQL = [for_mysql(s) for s in ALL if not ANOTHERS.search(s)] + statements(MYSQL)
