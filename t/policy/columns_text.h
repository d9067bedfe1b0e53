/* Column facts as one line of text, and a catalog to ask about. */
#ifndef GH_T_POLICY_COLUMNS_TEXT_H
#define GH_T_POLICY_COLUMNS_TEXT_H

#include "policy/columns.h"

/* public: customers, orders, staff, customer_directory (a view), pair (a type); other: staff; pg_catalog: pg_class. */
struct pol_catalog *columns_catalog(void);
/* "customers{id=o name*o email=op} orders{}!": of each relation the columns that are touched, "=" and the uses where they are named, "*" and those where
 * they are not: o output, p predicate, g group, s order, j join, m merged, w written, x EXCLUDED, "-" for read and nothing else. "ctid" for system
 * columns, "!" when not complete; "!!" behind all when nothing is. conjuncts: "customers@14.id OPERATOR(pg_catalog.=) 6; ..." */
void columns_text(const struct pol_catalog *cat, const char *sql, size_t len, char *out, size_t size);
void conjuncts_text(const struct pol_catalog *cat, const char *sql, size_t len, char *out, size_t size);

#endif
