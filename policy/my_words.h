/* MySQL's and MariaDB's words: those the parser looks for, and all that are reserved. */
#ifndef GH_POLICY_MY_WORDS_H
#define GH_POLICY_MY_WORDS_H

#include "policy/facts_my.h"

/* Reserved in MySQL, in MariaDB; P: a function's name only where "(" follows at once (or, with IGNORE_SPACE, behind blanks), then a word of the grammar.
 * Checked against MariaDB 10.11 and MySQL 9.7 by t/mysql: a word is reserved when no column may have it for a name without quotes. */
#define MY_W_MYSQL   1u
#define MY_W_MARIADB 2u
#define MY_W_PAREN   4u

enum my_word {
    MY_W_NONE,
#define MY_WORD(word, flags) W_##word,
#include "policy/my_words.inc"
#undef MY_WORD
    MY_WORDS
};

/* The word of n bytes at s, in any case (ASCII); MY_W_NONE for any other. */
enum my_word my_word_of(const char *s, size_t n);
const char *my_word_text(enum my_word w); /* in upper case; "" for MY_W_NONE */
bool my_word_reserved(enum my_word w, enum my_server server);
bool my_word_needs_paren(enum my_word w);

/* For tests: the first word of the table that stands in the wrong place; NULL when all are sorted. */
const char *my_words_out_of_order(void);

#endif
