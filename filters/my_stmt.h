/* Prepared statements of a MySQL session: what the filter must remember of each to know what an execution runs, and with which parameters.
 * Source: MySQL documentation, "COM_STMT_EXECUTE", "Binary Protocol Value". */
#ifndef GH_FILTERS_MY_STMT_H
#define GH_FILTERS_MY_STMT_H

#include "filters/filter.h"

#define MY_PARAMS_MAX 65535u

#define MY_LONGS_MAX 256u /* parameters of one statement that may have long data at once */

struct my_long { /* what COM_STMT_SEND_LONG_DATA brought for a parameter */
    uint16_t param;
    uint64_t len;
    struct buf kept; /* the beginning */
};

struct my_stmt {
    uint32_t id;
    uint16_t nparams;
    char *text; /* owned, NUL-terminated */
    size_t len;
    void *ctx;             /* the owner's */
    uint32_t *types;       /* of the last execution that told them: type and flags; NULL: none has */
    struct my_long *longs; /* since the last execution */
    size_t nlongs;
    bool rewritten; /* the server has another text than the one that was told */
    bool broken;    /* its long data was over a limit: it cannot be executed before it is reset */
};

struct my_stmts {
    struct my_stmt **list; /* sorted by id */
    size_t n, cap;
    size_t bytes; /* that all of them hold, but for the owner's part */
    void (*ctx_free)(void *ctx);
};

struct my_stmt *my_stmts_find(const struct my_stmts *s, uint32_t id);
/* Takes one over. False without memory: it stays the caller's. An older one of the same id is freed: the server has forgotten it. */
bool my_stmts_add(struct my_stmts *s, struct my_stmt *one);
void my_stmts_drop(struct my_stmts *s, uint32_t id);
void my_stmts_clear(struct my_stmts *s);
void my_stmt_free(struct my_stmt *one, void (*ctx_free)(void *ctx));
void my_stmts_forget_long(struct my_stmts *s, struct my_stmt *one);
/* Long data for parameter n, of which keep bytes are kept. False when there is none of this number, there are too many, or without memory: then
 * *memory is false, too. */
GH_CHECKED bool my_stmts_add_long(struct my_stmts *s, struct my_stmt *one, uint16_t n, struct cur data, size_t keep, bool *memory);

/* Reads the part of COM_STMT_EXECUTE behind its fixed fields: null bitmap, types, values. params has room for one->nparams; each keeps what it has in
 * body, up to keep bytes in all. On success the types of this execution are remembered. MALFORMED, UNSUPPORTED (a type that we do not know), LIMIT (memory). */
enum gh_rc my_stmts_params(struct my_stmts *s, struct my_stmt *one, struct cur body, struct flt_param *params, size_t keep,
                           struct gh_err *err);

#endif
