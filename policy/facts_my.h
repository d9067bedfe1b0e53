/* Facts of MySQL's and MariaDB's statements: what policy/facts.h promises, from a lexer and a parser of our own.
 *
 * The same bytes mean different things to different servers and in different modes, so the caller says which server it is, in which mode its session is,
 * and which database is the default. All of that must be pinned or followed by the caller: facts that were made for another mode are worth nothing.
 *
 * The text must be what the server reads as utf8mb4 (or utf8mb3, or ASCII): character_set_client is the caller's to pin. */
#ifndef GH_POLICY_FACTS_MY_H
#define GH_POLICY_FACTS_MY_H

#include "policy/facts.h"

enum my_server { MY_MYSQL, MY_MARIADB };

/* The parts of sql_mode that change what a text means. */
enum my_mode {
    MY_ANSI_QUOTES = 1u << 0,          /* "x" is an identifier */
    MY_NO_BACKSLASH_ESCAPES = 1u << 1, /* '\' is a character like any other */
    MY_PIPES_AS_CONCAT = 1u << 2,      /* || concatenates, and binds tighter */
    MY_HIGH_NOT_PRECEDENCE = 1u << 3,  /* NOT binds like ! */
    MY_IGNORE_SPACE = 1u << 4,         /* COUNT (*) is COUNT(*), and such names are reserved */
    MY_ORACLE = 1u << 5,               /* MariaDB's other grammar: no facts, POL_NOT_UNDERSTOOD */
};
/* The bits for a value of sql_mode as the server shows it ("ANSI_QUOTES,STRICT_TRANS_TABLES", in any case; combinations like ANSI count as what they
 * stand for). False when it holds a word that is no mode of either server, or a number: what it does is not known. */
bool my_mode_of(const char *text, size_t len, unsigned *mode);

struct my_options {
    enum my_server server;
    uint32_t version;       /* as in versioned comments: 101119 for MariaDB 10.11.19, 80406 for MySQL 8.4.6 */
    unsigned mode;          /* MY_* bits */
    const char *default_db; /* NULL: none is chosen; relations without one are then reported in the schema "", which no rule grants */
    bool fold_names;        /* lower_case_table_names is 1 or 2: databases, tables and aliases are folded to lower case */
    bool multi;             /* CLIENT_MULTI_STATEMENTS was agreed on, and this is no COM_STMT_PREPARE: more than one statement is one text.
                             * Otherwise anything behind the first semicolon is POL_SYNTAX, as it is to the server */
    const struct pol_parse_limits *limits; /* NULL: the defaults; depth counts what is open inside of each other [1000] */
};

/* Thread-safe; with the default depth MY_STACK_BYTES of stack are enough. sql need not end with NUL. NULL and *err when there are none.
 *
 * What differs from PostgreSQL's facts:
 * - schema is the database, never NULL: default_db where the text names none, the one of USE for what follows it in the same text.
 * - functions in lower case. schema NULL: the server's own of that name (the reference in policy/my_reference.h says what it does). A name that the
 *   server would look for among stored or loadable functions has the schema of the database where it would be found.
 * - relation.catalog: information_schema, performance_schema, mysql, sys. SHOW and DESCRIBE are reads of the relations of
 *   information_schema and others that have the same answer.
 * - settings: "global.x" and "persist.x" where they are not the session's; names of user variables are no settings.
 * - copy_in: LOAD DATA LOCAL INFILE, so the server will ask the client for a file.
 * - use_schema: USE. */
struct pol_facts *pol_facts_my(const char *sql, size_t len, const struct my_options *options, struct pol_parse_error *err);
#define MY_STACK_BYTES (8u << 20)

#endif
