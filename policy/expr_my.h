/* A policy's expressions (policy/expr_pg.h) written out in MySQL's and MariaDB's dialect, with the meaning that they have in PostgreSQL: typed, so that no text is
 * taken for a number; texts are equal when their characters are, whatever the column's collation; nothing depends on sql_mode, time zone or collation_connection, and
 * nothing raises an error. What has no such form is refused with a sentence. */
#ifndef GH_POLICY_EXPR_MY_H
#define GH_POLICY_EXPR_MY_H

#include "policy/policy_int.h"

/* Appends the row filter e of r's for a table of rel's columns as a template (POL_T_ROW), in parentheses, with the role's claims as literals. A claim that is not
 * there, or is no value of the type that it meets, makes it FALSE. False and a sentence when it does not fit. */
bool pol_filter_my(const struct pol_expr *e, const struct pol_role *r, const struct pol_cat_relation *rel, struct buf *out, char *why,
                   size_t size);
/* Appends a mask of the operator's own for col, as a template. */
bool pol_mask_expr_my(const struct pol_expr *e, const struct pol_catalog *c, const struct pol_cat_column *col, struct buf *out, char *why,
                      size_t size);
/* Appends s as a string literal that no sql_mode reads otherwise. False when s holds control characters or is no UTF-8: then nothing is appended. */
bool my_put_literal(struct buf *out, const char *s);
/* Appends `s` as an identifier. */
void my_put_ident(struct buf *out, const char *s);
/* 2026-01-31, or with 10:00:00 behind it, in the calendar and from the year 1000 on. */
bool my_is_time(const char *s, bool date_only);

#endif
