/* Looking a name up in a sorted table: the allow-lists of functions, catalogs and settings. */
#ifndef GH_POLICY_WORDS_H
#define GH_POLICY_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* sorted holds n strings in strcmp() order; the *_out_of_order() functions are there so that tests hold the tables to it. */
bool pol_words_contain(const char *const *sorted, size_t n, const char *name);
/* The first string that is not behind the one before it; NULL when the table is sorted and has nothing twice. */
const char *pol_words_out_of_order(const char *const *sorted, size_t n);
#define POL_OUT_OF_ORDER(table) pol_words_out_of_order(table, sizeof table / sizeof *table)
#define POL_IN(table, name)     pol_words_contain(table, sizeof table / sizeof *table, name)

#endif
