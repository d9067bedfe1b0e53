/* Builds an event for the ledger out of named values; texts are borrowed until it is appended. */
#ifndef GH_SPOA_RECORD_H
#define GH_SPOA_RECORD_H

#include "filters/filter.h"
#include "policy/facts.h"
#include "spoa/ledger.h"

struct rec {
    size_t n, nnumbers;
    bool can_wait;     /* as in struct led_event */
    bool journal_does; /* led_append_journal() */
    struct led_field f[LED_MAX_FIELDS];
    char numbers[16][LED_NUMBER_ROOM];
};
/* Empties it; a record that is made for each statement is not cleared down to its last byte. */
static inline void rec_begin(struct rec *r) {
    r->n = r->nnumbers = 0;
    r->can_wait = r->journal_does = false;
}
void rec_str(struct rec *r, const char *name, const char *value); /* NULL: left out */
void rec_bytes(struct rec *r, const char *name, const void *value, size_t len);
void rec_u64(struct rec *r, const char *name, uint64_t value);
void rec_number(struct rec *r, const struct led_name *name, uint64_t value); /* the same, for what is in every record */
void rec_run(struct rec *r, const struct led_run *run);                      /* its fields */
void rec_append(struct led *l, const struct rec *r, enum led_stream stream, const char *session, const char *type, led_done_fn done,
                void *arg);

/* "public.orders:select,update staff:select", cut with " ..." at size. */
void rec_relations(const struct pol_facts *f, char *out, size_t size);
/* The kinds of the statements, "select insert", cut likewise. */
void rec_kinds(const struct pol_facts *f, char *out, size_t size);
/* Parameters as a JSON array: text as a string, NULL as null, binary as {"hex": ...}; {"cut": length} closes what was not kept whole. conninfo: they may
 * be connection strings, whose passwords are hidden. The caller
 * frees; NULL when there are none, and when not all of them can be written down. */
char *rec_params(const struct flt_param *params, size_t n, bool conninfo);
/* A copy with a NUL behind it; NULL when out of memory. */
char *rec_copy(const char *text, size_t len);
/* Hex SHA-256. */
void rec_sha256(const void *data, size_t len, char out[65]);

/* What the filter kept of a result (flt_event.result.kept) as a JSON array: each row as an array of strings, null, or {"hex": ...} for what is no
 * text; COPY data as strings; {"columns": [names]} before the rows of a simple query. The caller frees; NULL without memory. */
char *rec_rows(const uint8_t *kept, size_t len);

#endif
