#include "spoa/catalog_read.h"

#include <stdio.h>
#include <string.h>

void catalog_read_begin(struct catalog_read *r, const struct conf_database *db, const char *known) {
    *r = (struct catalog_read){
        .how = db->engine == CONF_MYSQL ? &pol_catalog_my : &pol_catalog_pg, .known = known, .text = BUF_INIT(POL_CAT_BYTES)};
}

const char *catalog_read_next(void *arg) {
    struct catalog_read *r = arg;
    if (r->at == 0) {
        r->at = 1;
        return r->how->mark;
    }
    if (catalog_read_unchanged(r)) return NULL;
    const char *sql = r->how->statements[r->at - 1];
    if (sql != NULL) {
        r->at++;
        return sql;
    }
    if (!r->how->torn || r->again) return NULL;
    r->again = true;
    return r->how->mark;
}

static bool keep_mark(char mark[CATALOG_MARK_BYTES], const char *text, size_t len) {
    snprintf(mark, CATALOG_MARK_BYTES, "%.*s", (int)(len < CATALOG_MARK_BYTES ? len : CATALOG_MARK_BYTES - 1), text);
    return len > 0 && len < CATALOG_MARK_BYTES;
}

bool catalog_read_row(void *arg, const char *text, size_t len) {
    struct catalog_read *r = arg;
    if (r->again) return keep_mark(r->after, text, len);
    if (r->at == 1) return keep_mark(r->mark, text, len);
    buf_put(&r->text, text, len);
    buf_u8(&r->text, '\n');
    return !r->text.failed;
}

bool catalog_read_unchanged(const struct catalog_read *r) { return r->at == 1 && r->known[0] != '\0' && strcmp(r->known, r->mark) == 0; }

bool catalog_read_torn(const struct catalog_read *r) { return r->again && strcmp(r->mark, r->after) != 0; }

void catalog_read_free(struct catalog_read *r) { buf_free(&r->text); }
