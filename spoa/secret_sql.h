/* Secrets in the text of statements: what the record, the log and approvers get instead. */
#ifndef GH_SPOA_SECRET_SQL_H
#define GH_SPOA_SECRET_SQL_H

#include "policy/facts.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether a statement of these facts is of a kind that carries secrets; true without facts, for nobody knows what it is. */
bool secret_sql_may(const struct pol_facts *f);
/* The text with secrets replaced by ***, and as little else as possible, so that nobody can hide the rest of a statement behind one. spoa/gatehouse.8 says what
 * is one. It is read as its facts were: by PostgreSQL's rules, or by MySQL's of that server and sql_mode. f NULL, or a text that is not as its facts say:
 * nobody knows where a literal ends, so all behind the first word for a secret is hidden. NULL: there is nothing to hide (or, with *failed, no memory). The
 * caller frees; *outlen without its NUL. */
char *secret_sql_hide(const char *text, size_t len, const struct pol_facts *f, size_t *outlen, bool *failed);
/* The same for a connection string alone (a parameter): "host=h password=x" or a URI. In place; gives the new length. */
size_t secret_conninfo_hide(char *text, size_t len);
/* Cuts off what a syntax error quotes of a text without facts, for the record and the log: when that is a literal, for nobody knows what kind of one, or hidden in
 * the text, or the text is long. */
void secret_message(char *message, const char *text, size_t len);

#endif
