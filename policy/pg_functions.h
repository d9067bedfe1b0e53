/* PostgreSQL's built-in functions, judged by name: an overloaded name is what its worst overload is. */
#ifndef GH_POLICY_PG_FUNCTIONS_H
#define GH_POLICY_PG_FUNCTIONS_H

#include <stdbool.h>

/* Computes from its arguments alone (and the clock, a random generator, the session's own name): reads no table, file or other session,
 * writes nothing, runs no SQL text, does not wait. */
bool pg_function_harmless(const char *name);
/* Describes the schema: what psql's \d commands and drivers call. */
bool pg_function_introspection(const char *name);
/* The same for functions of information_schema. */
bool pg_function_information_schema(const char *name);
/* A name in PostgreSQL 15's pg_catalog, harmless or not, or one of PostgreSQL's own prefixes. */
bool pg_function_built_in(const char *name);
/* A column that harmless functions in FROM return (json_each's key and value): no function's name. */
bool pg_function_column(const char *name);
/* An operator's name in PostgreSQL 15's pg_catalog. One that is not is somebody's own: his function under another name. */
bool pg_operator_built_in(const char *name);
/* Called in FROM as t, it has the one column t: no OUT parameter names it otherwise. */
bool pg_function_one_column(const char *name);

/* For tests: the first name of a table here that stands in the wrong place; NULL when all are sorted. */
const char *pg_functions_out_of_order(void);

#endif
