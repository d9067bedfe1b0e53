/* Builds an event for the ledger out of named values; texts are borrowed until it is appended. */
#ifndef GH_SPOA_RECORD_H
#define GH_SPOA_RECORD_H

#include "filters/filter.h"
#include "policy/facts.h"
#include "spoa/ledger.h"

struct rec {
    size_t n, nnumbers;
    struct led_field f[LED_MAX_FIELDS];
    char numbers[16][24];
};
void rec_str(struct rec *r, const char *name, const char *value); /* NULL: left out */
void rec_bytes(struct rec *r, const char *name, const void *value, size_t len);
void rec_u64(struct rec *r, const char *name, uint64_t value);
void rec_append(struct led *l, const struct rec *r, enum led_stream stream, const char *session, const char *type, led_done_fn done,
                void *arg);

/* "public.orders:select,update staff:select", cut with " ..." at size. */
void rec_relations(const struct pol_facts *f, char *out, size_t size);
/* The kinds of the statements, "select insert", cut likewise. */
void rec_kinds(const struct pol_facts *f, char *out, size_t size);
/* Parameters as a JSON array: text as a string, NULL as null, binary as {"hex": ...}; {"cut": length} closes what was not kept whole. The caller
 * frees; NULL when there are none or memory is out. */
char *rec_params(const struct flt_param *params, size_t n);
/* Hex SHA-256. */
void rec_sha256(const void *data, size_t len, char out[65]);
/* The text with the literals of PASSWORD clauses of CREATE and ALTER ROLE replaced by '***'; NULL when there is nothing to hide. The caller
 * frees; *outlen without its NUL. */
char *rec_hide_passwords(const struct pol_facts *f, const char *text, size_t len, size_t *outlen);

#endif
