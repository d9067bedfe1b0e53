/* The names of prepared statements and portals, as the server will know them when it reads the next message.
 *
 * Messages are pipelined, so a name has what the server has confirmed (live) and what was sent but not answered (pending). A
 * lookup sees the pending one; when that belongs to an earlier pipeline (another Sync unit), whose failure would not skip
 * the message at hand, the caller must wait for its answer, or it would record one text and run another. */
#ifndef GH_FILTERS_PG_NAMES_H
#define GH_FILTERS_PG_NAMES_H

#include "filters/bytes.h"
#include "filters/filter.h"
#include "filters/pg_wire.h"

/* A prepared statement. */
struct pg_stmt {
    unsigned refs;
    char *text; /* owned, NUL-terminated: as the client sent it; when that held a secret, what the server got */
    size_t len;
    void *ctx; /* the owner's */
    void (*ctx_free)(void *ctx);
    bool copy_in;
    uint32_t *types; /* owned: of its first parameters, as the Parse said; NULL: of none */
    size_t ntypes;
};
/* A portal: a statement with its parameters. */
struct pg_portal {
    unsigned refs;
    struct pg_stmt *stmt;
    struct flt_param *params; /* one allocation with the bytes that they point to */
    size_t nparams;
    bool cut;     /* there were more */
    size_t bytes; /* that all this takes */
};

struct pg_name {
    struct pg_name *next; /* in its bucket */
    char name[PG_NAME_MAX + 1];
    void *live, *pend; /* referenced */
    bool doubt;        /* live was, and may be at the server: a text that was to drop or make the name failed somewhere */
    unsigned npend;    /* changes sent and not answered */
    uint64_t unit;     /* Sync unit of the last of them */
    uint64_t sent;     /* portals: pg_filter.sent of the last of them */
    uint64_t mark;     /* portals: live was bound behind so many savepoints (pg_ends.c) */
};
#define PG_NAME_BUCKETS 64
struct pg_names {
    struct pg_name *bucket[PG_NAME_BUCKETS];
    bool portals;
    size_t count; /* names */
    size_t npend; /* changes outstanding, all names */
    size_t bytes; /* statement texts, or portals' parameters, held */
};

#define PG_PARAM_COST 8u

struct pg_stmt *pg_stmt_new(const char *text, size_t len);
void pg_stmt_unref(struct pg_stmt *s);
/* Copies the parameters, at most keep bytes of values, and one parameter for each PG_PARAM_COST of them (cut tells). params may be NULL when nparams is 0. NULL without memory. Takes a reference to s. */
struct pg_portal *pg_portal_new(struct pg_stmt *s, const struct flt_param *params, size_t nparams, size_t keep);
void pg_portal_unref(struct pg_portal *p);

void pg_names_free(struct pg_names *t);
struct pg_name *pg_names_get(struct pg_names *t, const char *name);
/* What the name will mean to a message of the given unit that uses it; NULL for nothing. *wait: ask again after the next answer of the server.
 * Messages that only change a name need not look: the server decides, and what uses the name in the same unit fails with them. */
void *pg_names_look(struct pg_names *t, const char *name, uint64_t unit, bool *wait);
/* A change was sent: obj (NULL: the name goes away). Takes its own reference. NULL without memory. */
struct pg_name *pg_names_pend(struct pg_names *t, const char *name, void *obj, uint64_t unit);
/* The server did it (obj as given to pg_names_pend), or did not. n may be freed by it. */
void pg_names_commit(struct pg_names *t, struct pg_name *n, void *obj);
void pg_names_abort(struct pg_names *t, struct pg_name *n);
/* The server may have done it: what the name had is kept from everybody, and the name is in doubt. n may be freed by it. */
void pg_names_doubt(struct pg_names *t, struct pg_name *n);
/* The same without a change. */
void pg_names_suspect(struct pg_names *t, struct pg_name *n);
/* Drops what the server is known to have dropped. Names with changes outstanding are kept. */
void pg_names_forget(struct pg_names *t, const char *name);
void pg_names_forget_all(struct pg_names *t);

#endif
