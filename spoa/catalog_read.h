/* One reading of a database's catalog: which statement is next, and what becomes of its rows. For dbclient.h, whose callbacks these are. */
#ifndef GH_SPOA_CATALOG_READ_H
#define GH_SPOA_CATALOG_READ_H

#include "filters/bytes.h"
#include "policy/catalog.h"
#include "spoa/config.h"

#define CATALOG_MARK_BYTES 512u

struct catalog_read {
    const struct pol_catalog_reading *how;
    const char *known; /* the mark of what is known already, borrowed; "": read in any case */
    size_t at;         /* the next statement; 0: the mark's */
    bool again;        /* the mark was asked for once more */
    char mark[CATALOG_MARK_BYTES], after[CATALOG_MARK_BYTES];
    struct buf text; /* what was read: pol_catalog_parse() */
};

void catalog_read_begin(struct catalog_read *r, const struct conf_database *db, const char *known);
/* dbclient_next_fn and dbclient_row_fn; arg is the reading. */
const char *catalog_read_next(void *arg);
bool catalog_read_row(void *arg, const char *text, size_t len);
/* Behind a reading that went well: nothing was read, because the mark is the one that was known. */
bool catalog_read_unchanged(const struct catalog_read *r);
/* The schema was changed meanwhile, and what was read may be half of each: it is to be read again. */
bool catalog_read_torn(const struct catalog_read *r);
void catalog_read_free(struct catalog_read *r); /* what begin made */

#endif
