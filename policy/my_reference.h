/* What MySQL's and MariaDB's own functions, schemas and variables do: which are harmless. Names in lower case. */
#ifndef GH_POLICY_MY_REFERENCE_H
#define GH_POLICY_MY_REFERENCE_H

#include "policy/facts_my.h"

/* The server's own function of that name, called without a database, computes only: see my_reference.c. */
bool my_function_harmless(const char *name, const struct my_options *o);
/* The server has one of its own, harmless or not. Any other name means a loadable or a stored function. */
bool my_function_known(const char *name, const struct my_options *o);
/* For the verdict, which does not know the server: a function that facts report without a schema is known to it, and so harmless, when it is so on both. */
bool my_function_harmless_anywhere(const char *name);
/* mariadb_schema, oracle_schema, maxdb_schema: in MariaDB a function there is the native one. */
bool my_native_schema(const char *schema);
/* The canonical name when schema is information_schema, performance_schema, mysql or sys, in any case; NULL when it is none. */
const char *my_system_schema(const char *schema);
/* Open to anyone who has any rule on the database. */
bool my_catalog_open(const char *schema, const char *relation);
/* Holds what the server has counted, planned, locked or said, for hidden rows and values as for others. Canonical names. */
bool my_catalog_tells(const char *schema, const char *relation);
/* The relations of information_schema that estimate how many rows tables have; ended by NULL. */
const char *const *my_catalog_estimates(void);
bool my_setting_harmless(const char *name);
bool my_setting_showable(const char *name);
/* Whether a statement succeeds, or is refused by the server, may then depend on how many rows it reads, hidden ones too. value as in struct pol_setting. */
bool my_setting_counts_rows(const char *name, const char *value);
/* Of how transactions are isolated, and the value may be SERIALIZABLE, by which each SELECT locks what it reads. */
bool my_setting_serializable(const char *name, const char *value);

/* For tests: the first name of a table here that stands in the wrong place; NULL when all are sorted. */
const char *my_reference_out_of_order(void);

#endif
