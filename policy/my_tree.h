/* The parser's tree of MySQL's and MariaDB's statements, flat: an array of nodes that name tokens, so every node has its place in the text. Shared by
 * my_parse.c, my_expr.c, my_query.c, my_stmt.c, my_util.c and what reads the tree. */
#ifndef GH_POLICY_MY_TREE_H
#define GH_POLICY_MY_TREE_H

#include "policy/my_lex.h"

enum my_node_type {
    MN_NONE,
    /* queries */
    MN_QUERY,   /* [WITH] body [ORDER] [LIMIT] [LOCK] [INTO] ..., in the text's order */
    MN_WITH,    /* CTEs; MF_RECURSIVE */
    MN_CTE,     /* tok: its name; [COLUMNS] QUERY */
    MN_UNION,   /* of two and more operands: UNION, EXCEPT, INTERSECT; each a SELECT, VALUES, TABLE or QUERY */
    MN_SELECT,  /* items, FROM, WHERE, ... */
    MN_VALUES,  /* ROWs */
    MN_TABLE_Q, /* TABLE t: one TABLE */
    MN_ITEMS,   /* the select list: expressions, STARs, each followed by its ALIAS */
    MN_FROM,    /* what it reads, in order: TABLE, DERIVED, JSON_TABLE, FROM (parentheses), ON, USING */
    MN_TABLE,   /* tok: first part of the name, flags: parts; word: explicit access (POL_*), then it is no CTE; [ALIAS] and clauses */
    MN_DERIVED, /* SUBQUERY [ALIAS]; MF_LATERAL */
    MN_JSON_TABLE,
    MN_ALIAS,   /* tok: the name */
    MN_COLUMNS, /* names of columns */
    MN_ON,      /* an expression */
    MN_USING,   /* COLUMNs */
    MN_WHERE,
    MN_GROUP,
    MN_HAVING,
    MN_WINDOW, /* definitions of windows */
    MN_ORDER,
    MN_LIMIT, /* MF_EXAMINED */
    MN_LOCK,  /* FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE; TARGETs of OF */
    MN_INTO,  /* word: W_OUTFILE, W_DUMPFILE, or none for variables */
    MN_PROCEDURE,
    /* expressions */
    MN_COLUMN, /* tok: first part, flags: parts; a leading point counts as an empty part */
    MN_STAR,   /* the same; flags: parts in front of the star */
    MN_LITERAL,
    MN_PARAM,
    MN_USERVAR,
    MN_SYSVAR,   /* tok: @@; flags: parts of the name */
    MN_ASSIGN,   /* @x := expression */
    MN_OP,       /* operands; word: the first operator's token */
    MN_CALL,     /* tok: first part of the name, flags: parts; word: the grammar's own function; arguments */
    MN_OVER,     /* window of the call in front of it */
    MN_SUBQUERY, /* QUERY in parentheses */
    MN_EXISTS,
    MN_CASE,
    MN_ROW,      /* parentheses around one or more expressions */
    MN_INTERVAL, /* expression; word: the unit */
    MN_DEFAULT,
    MN_SEQUENCE, /* NEXT VALUE FOR and its kin: a TABLE */
    MN_MATCH,    /* COLUMNs, expression */
    /* statements */
    MN_STMT, /* word: enum my_stmt_kind; MF_*; children by kind */
    MN_SET,  /* one assignment of UPDATE and INSERT: COLUMN, expression */
    MN_SETS, /* SET of DML: MN_SET */
    MN_RETURNING,
    MN_TARGET,       /* DELETE a, b: tok: name, flags: parts */
    MN_SETTING,      /* SET x: tok: name, flags: parts; word: scope; [expression] */
    MN_USING_TABLES, /* a FROM clause of DELETE and UPDATE */
    MN_NAME,         /* tok: a name or a text; of a TABLE: its database, whatever its own name says */
};

#define MF_RECURSIVE 1u
#define MF_LATERAL   2u
#define MF_PAREN     4u
#define MF_MULTI     8u  /* UPDATE, DELETE of several tables */
#define MF_LOCAL     16u /* LOAD DATA LOCAL; a setting that is not the session's */
#define MF_IGNORE    32u
#define MF_REPLACE   64u
#define MF_OPAQUE    128u
/* Of MS_DDL, whose other flags have no meaning there: pol_stmt.carries, moves, keeps, definer, tells. */
#define MF_VIEW     MF_MULTI
#define MF_DEFINER  MF_LATERAL
#define MF_MOVES    MF_LOCAL
#define MF_TELLS    MF_REPLACE
#define MF_KEEPS    MF_IGNORE
#define MF_EXAMINED 1u /* LIMIT ROWS EXAMINED */

enum my_stmt_kind {
    MS_EMPTY,
    MS_QUERY,   /* QUERY */
    MS_INSERT,  /* TABLE, then COLUMNS, QUERY or SETS, SETS of ON DUPLICATE KEY, RETURNING */
    MS_UPDATE,  /* [WITH] USING_TABLES SETS [WHERE] [ORDER] [LIMIT] */
    MS_DELETE,  /* [WITH] TARGETs, USING_TABLES, [WHERE] ...; MF_MULTI */
    MS_LOAD,    /* TABLE ... */
    MS_CALL,    /* CALL */
    MS_DO,      /* expressions */
    MS_HANDLER, /* TABLE ... */
    MS_EXPLAIN, /* STMT, or TABLE */
    MS_SET,     /* SETTINGs, ASSIGNs, [STMT] of SET STATEMENT */
    MS_SHOW,    /* TABLEs, expressions, SETTINGs */
    MS_USE,     /* NAME */
    MS_TRANSACTION,
    MS_PREPARE, /* NAME, LITERAL or USERVAR */
    MS_EXECUTE, /* NAME; MF_OPAQUE: immediate, of what the text does not hold */
    MS_DEALLOCATE,
    MS_LOCK,
    MS_TRUNCATE,
    MS_DDL, /* TABLEs with access, expressions, QUERY */
    MS_GRANT,
    MS_MAINTAIN,
    MS_OTHER, /* tag says what */
};

struct my_node {
    uint8_t type, flags;
    uint16_t word;
    uint32_t tok, end; /* tokens, end behind the last */
    uint32_t first, next;
};
#define MY_SHOW_GRANTS "SHOW gatehouse.grants" /* the tag of what Gatehouse itself answers: facts have it as a setting */
/* Of mysql: SHOW GRANTS and SHOW CREATE USER show the hash of the account's password, which information_schema has nowhere. */
#define MY_ACCOUNTS "user"
/* One statement: what MN_STMT does not hold. */
struct my_stmt {
    uint32_t node;
    const char *tag;     /* static */
    const char *catalog; /* static: the relation of information_schema that has what SHOW shows, MY_ACCOUNTS, or NULL */
    unsigned actions;
    uint32_t tok, end; /* its tokens */
};
struct my_tree {
    const char *sql;
    const struct my_options *o;
    struct my_tokens tokens;
    struct my_node *nodes; /* 0 is no node */
    uint32_t nnodes, cap;
    struct my_stmt *stmts;
    uint32_t nstmts, stmts_cap;
};

/* Reads a text to a tree. False and *err when it is not understood. my_tree_free() in both cases. */
bool my_parse(struct my_tree *t, const char *sql, size_t len, const struct my_options *o, struct pol_parse_error *err);
void my_tree_free(struct my_tree *t);

#endif
