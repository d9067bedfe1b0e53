/* PostgreSQL's system catalogs, split in two: what describes the schema and is open to anyone who has any rule on the database, and the rest. */
#ifndef GH_POLICY_PG_CATALOG_H
#define GH_POLICY_PG_CATALOG_H

#include <stdbool.h>

/* Reading it tells about structure only: no other session's activity, no secret, no sample of column values. */
bool pg_catalog_harmless(const char *relation);
/* pg_catalog has it, harmless or not. */
bool pg_catalog_relation(const char *relation);
bool pg_information_schema_harmless(const char *relation);

/* For tests: the first name of a table here that stands in the wrong place; NULL when all are sorted. */
const char *pg_catalog_out_of_order(void);

#endif
