/* Facts: what a statement does, in no dialect. The seam between parsers and the verdict.
 *
 * A text that cannot be parsed, or holds a construct that the extractor does not know, has no facts: it is denied. */
#ifndef GH_POLICY_FACTS_H
#define GH_POLICY_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Access to a relation, and what kinds of statement a rule can grant. One bit each, so that rules hold masks.
 * Words in policy files are in pol_action_name(). */
enum pol_action {
    POL_SELECT = 1u << 0,
    POL_INSERT = 1u << 1,
    POL_UPDATE = 1u << 2,
    POL_DELETE = 1u << 3,
    POL_TRUNCATE = 1u << 4,
    POL_LOCK = 1u << 5,   /* LOCK TABLE (SELECT ... FOR UPDATE is select plus update, as in PostgreSQL's own privileges) */
    POL_CREATE = 1u << 6, /* CREATE of any object, CREATE TABLE AS, SELECT INTO */
    POL_ALTER = 1u << 7,  /* ALTER, RENAME, COMMENT, REINDEX, CLUSTER, ... */
    POL_DROP = 1u << 8,
    POL_GRANT = 1u << 9,     /* GRANT, REVOKE, roles, default privileges, security labels */
    POL_EXECUTE = 1u << 10,  /* CALL, DO: opaque code */
    POL_MAINTAIN = 1u << 11, /* VACUUM, ANALYZE, CHECKPOINT, REFRESH MATERIALIZED VIEW */
    POL_NOTIFY = 1u << 12,   /* LISTEN, NOTIFY, UNLISTEN */
    POL_SET = 1u << 13,      /* settings that are neither pinned nor known to be harmless */
    POL_FILES = 1u << 14,    /* COPY to or from a server's file or program, and the like */
    POL_TEMP = 1u << 15,     /* temporary tables */
};
#define POL_ALL_ACTIONS 0xFFFFu
/* The policy file's word for one bit; NULL when it is none. */
const char *pol_action_name(unsigned bit);
/* The bit (or "all", "read", "write" as sets, see policy(5)) for a word; 0 when unknown. */
unsigned pol_action_of(const char *word);

enum pol_kind { /* the statement as a whole, for records and messages */
                POL_K_EMPTY,
                POL_K_SELECT,
                POL_K_INSERT,
                POL_K_UPDATE,
                POL_K_DELETE,
                POL_K_MERGE,
                POL_K_COPY,
                POL_K_TRANSACTION,
                POL_K_SET,
                POL_K_SHOW,
                POL_K_EXPLAIN,
                POL_K_PREPARE,
                POL_K_EXECUTE,
                POL_K_DEALLOCATE,
                POL_K_DECLARE,
                POL_K_FETCH,
                POL_K_CLOSE,
                POL_K_DISCARD,
                POL_K_LOCK,
                POL_K_TRUNCATE,
                POL_K_DDL,
                POL_K_GRANT,
                POL_K_CALL,
                POL_K_DO,
                POL_K_MAINTAIN,
                POL_K_NOTIFY,
                POL_K_OTHER,
};
const char *pol_kind_name(enum pol_kind k); /* "select", "create", ... */

enum pol_bounds { /* what a statement of POL_K_TRANSACTION does to transactions and to savepoints */
                  POL_B_NONE,
                  POL_B_END, /* COMMIT, ROLLBACK, PREPARE TRANSACTION */
                  POL_B_SAVEPOINT,
                  POL_B_RELEASE,
                  POL_B_BACK, /* ROLLBACK TO */
};

struct pol_relation {
    const char *schema; /* NULL: unqualified; the verdict resolves it over the pinned search_path */
    const char *name;
    unsigned access;   /* POL_* bits */
    uint32_t location; /* byte offset of the name in the whole text */
    bool catalog;      /* pg_catalog or information_schema, by name (unqualified pg_* too) */
    bool named_rows;   /* pg_settings: only rows of settings that anybody may SHOW */
};
struct pol_function {
    const char *schema; /* NULL: unqualified */
    const char *name;
    uint32_t location;
    bool field; /* somewhere it is written as a column would be, (x).f or t.f, and may be one */
};
#define POL_MODE_AND  "@@sql_mode" /* MySQL: what sql_mode is before, and what follows behind it */
#define POL_ANY_VALUE "(any)"      /* set_config('jit', $1, false) of a harmless setting; no pin has this value */
struct pol_setting {
    const char *name;  /* folded to lower case; "all" for RESET ALL */
    const char *value; /* as text; NULL: RESET or SET ... TO DEFAULT; POL_ANY_VALUE: the text does not hold it */
    bool local;
    bool show; /* SHOW: only reads it */
};
struct pol_stmt {
    enum pol_kind kind;
    const char *tag;        /* "SELECT", "DROP TABLE", ...: for messages; static */
    unsigned actions;       /* POL_* bits that the statement needs besides its relations (CREATE of a schema, EXECUTE, SET, ...) */
    uint32_t location, len; /* its piece of the text */
    struct pol_relation *relations;
    size_t nrelations;
    struct pol_function *functions;
    size_t nfunctions;
    struct pol_setting *settings;
    size_t nsettings;
    unsigned carries; /* what it makes gives these rights on whatever it reads to whoever may use it: a view. With keeps */
    bool keeps;       /* what it makes goes on reading, writing and calling what the text names: views, defaults, checks */
    bool moves;       /* rows of relations that it alters are to be found under another name then: RENAME, INHERIT, PARTITION OF */
    unsigned tells;  /* its errors may tell values of rows (a type, a constraint, an index does not fit them) of relations of this access */
    bool definer;    /* MySQL: a view that is to have another account's rights: DEFINER = x */
    bool opaque;     /* runs code that we cannot see into (DO, CALL, CREATE FUNCTION, ...) */
    bool where;      /* UPDATE or DELETE has a WHERE */
    bool limited;    /* a SELECT's own LIMIT or FETCH FIRST is a number or a parameter, also in PREPARE, DECLARE, COPY */
    bool changes;    /* PostgreSQL: INSERT, UPDATE, DELETE or MERGE is somewhere in it */
    bool returns;    /* and it gives rows for that, by RETURNING or as a SELECT with such a WITH */
    bool unbounded;  /* somewhere in it an UPDATE or DELETE has no WHERE that names a column, or a MERGE updates or deletes */
    bool reads_only; /* nothing in it writes */
    bool copy_in, copy_out;       /* COPY FROM STDIN, COPY TO STDOUT */
    bool last_value;              /* currval('s') of a relation: what this session made last, whoever used it */
    bool counts_rows;             /* LIMIT ROWS EXAMINED (MariaDB): its result depends on how many rows the server reads */
    const char *forget_statement; /* PREPARE, DEALLOCATE: the name; "" with forget_all_statements for ALL */
    const char *forget_portal;    /* DECLARE, CLOSE: the name */
    bool forget_all_statements, forget_all_portals;
    bool hold;                  /* DECLARE: WITH HOLD */
    enum pol_bounds bounds;     /* PostgreSQL */
    const char *savepoint;      /* with the last three of them: its name */
    const char *uses_statement; /* EXECUTE name */
    const char *uses_portal;    /* FETCH, MOVE, CLOSE, WHERE CURRENT OF name */
    const char *bare_type;  /* a type's name that a temporary type would take away, or one that reads names itself (regclass); NULL: none */
    const char *use_schema; /* USE name (MySQL): the default database from here on */
};
enum pol_dialect { POL_POSTGRESQL, POL_MYSQL /* and MariaDB */ };
struct pol_facts { /* immutable; owned by whoever holds it; free with pol_facts_free() */
    enum pol_dialect dialect;
    size_t nstmts;
    struct pol_stmt *stmts;
    uint8_t my_server, my_mode; /* POL_MYSQL: as what the text was read, see struct my_options */
    uint32_t my_version;
    bool values;             /* they depend on the value of one of its constants: SET x = 5, nextval('s') */
    struct pol_arena *arena; /* holds every string above */
};

struct pol_parse_limits { /* zero: the default in brackets */
    uint32_t bytes;       /* [16 MiB] */
    uint32_t depth;       /* upper bound on the tree's depth by the pre-scan [32000]; more needs more than POL_STACK_BYTES */
    uint32_t tokens;      /* [4,000,000] */
    /* Give up with POL_LONG, or POL_REWRITE_LONG, where the work on a text that is not long would take more than some ms: for a thread that others wait for, and
     * that has another one to hand it to. The bounds that make a text refused are far beyond. [false] */
    bool brief;
};
enum pol_parse_rc {
    POL_PARSED = 0,
    POL_SYNTAX,         /* the parser refuses it: SQLSTATE 42601 */
    POL_TOO_DEEP,       /* 54001 */
    POL_TOO_LARGE,      /* 54000 */
    POL_ENCODING,       /* NUL or invalid UTF-8: 22021 */
    POL_NOT_UNDERSTOOD, /* valid SQL, but a construct that the extractor does not know: 42501 */
    POL_NO_MEMORY,      /* 53200 */
    POL_LONG,           /* pol_parse_limits.brief: nothing is known of it but that. 54000 */
};
struct pol_parse_error {
    enum pol_parse_rc rc;
    uint32_t position; /* character position from 1, as in ErrorResponse's P field; 0 when unknown */
    char text[256];
};
/* PostgreSQL's facts from libpg_query. Thread-safe. sql is NUL-terminated at sql[len]. NULL and *err when there are none.
 * Needs stack in proportion to the depth limit: call it on a thread with at least POL_STACK_BYTES. */
struct pol_facts *pol_facts_pg(const char *sql, size_t len, const struct pol_parse_limits *limits, struct pol_parse_error *err);
void pol_facts_free(struct pol_facts *f);
/* The SQLSTATE that fits a parse result. */
const char *pol_parse_sqlstate(enum pol_parse_rc rc);
#define POL_STACK_BYTES (64u << 20)

#endif
