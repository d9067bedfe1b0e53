/* A cheap look at SQL text before PostgreSQL's parser sees it: how deep can its tree become, how many tokens has it?
 *
 * libpg_query's output functions recurse once or more for each level of the tree and check no stack, so a few hundred kilobytes of
 * NOT NOT NOT ... or 1+1+1+... overflow any stack. The scan reads tokens as PostgreSQL 15 does with standard_conforming_strings = on
 * (SQL reference, "Lexical Structure") and gives an upper bound on the tree's depth, in linear time and without recursion. */
#ifndef GH_POLICY_PG_SCAN_H
#define GH_POLICY_PG_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pg_scan_rc { PG_SCAN_OK, PG_SCAN_DEEP, PG_SCAN_TOKENS, PG_SCAN_OPERATORS, PG_SCAN_ENCODING, PG_SCAN_NO_MEMORY };
struct pg_scan {
    uint32_t depth; /* upper bound, in words and operators that can nest */
    uint32_t tokens;
    uint64_t steps; /* of PostgreSQL's lexer over bytes that it has seen before; some 5 ns each */
};
/* Stops at the first limit that is passed. *out holds what was counted until then. */
enum pg_scan_rc pg_scan(const char *sql, size_t len, uint32_t max_depth, uint32_t max_tokens, struct pg_scan *out);
/* The same, and each gets the tokens in their order, as bytes [start, end): comments are none, a run of operator characters is one, U&"x" is three and
 * N'x' two. False from it ends the scan with PG_SCAN_NO_MEMORY. */
typedef bool (*pg_scan_each)(void *arg, uint32_t start, uint32_t end);
enum pg_scan_rc pg_scan_tokens(const char *sql, size_t len, uint32_t max_depth, uint32_t max_tokens, struct pg_scan *out, pg_scan_each each,
                               void *arg);

#endif
