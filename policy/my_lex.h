/* MySQL's and MariaDB's lexical rules: a text to tokens, as the server reads it in a mode. No I/O, linear time, one array.
 *
 * Follows sql_mode (ANSI_QUOTES, NO_BACKSLASH_ESCAPES, IGNORE_SPACE), versioned comments for the server's version, and the rules by which the character behind a
 * word decides what it is. What the servers refuse, or what one of them would read otherwise than this, is an error. */
#ifndef GH_POLICY_MY_LEX_H
#define GH_POLICY_MY_LEX_H

#include "policy/facts_my.h"
#include "policy/my_words.h"

enum my_token_kind {
    MY_T_END,    /* of the text */
    MY_T_WORD,   /* an unquoted word: an identifier unless it is reserved; word says which, when it is known */
    MY_T_NAME,   /* an unquoted identifier where no word is looked up: a.select, @@x */
    MY_T_QUOTED, /* `x`, or "x" with ANSI_QUOTES */
    MY_T_STRING, /* 'x', or "x" without */
    MY_T_NSTRING,
    MY_T_NUMBER,  /* 1, 1.5, 1e5 */
    MY_T_BINARY,  /* 0x41, x'41', 0b1, b'1' */
    MY_T_CHARSET, /* _utf8mb4: an introducer */
    MY_T_PARAM,   /* ? */
    MY_T_USERVAR, /* @x, @`x`, @'x': all of it */
    MY_T_SYSVAR,  /* @@: the names follow as tokens */
    MY_T_NULL,    /* \N */
    MY_T_HINT,    /* an optimizer hint behind SELECT and the like */
    MY_T_OP,      /* everything else: word holds enum my_op, or the character */
};
enum my_op {
    MY_OP_LE = 256,
    MY_OP_GE,
    MY_OP_NE,
    MY_OP_NULLSAFE,
    MY_OP_SHL,
    MY_OP_SHR,
    MY_OP_ASSIGN,
    MY_OP_OR,
    MY_OP_AND,
    MY_OP_ARROW,
    MY_OP_ARROW2
};

#define MY_TF_PAREN   1u /* a word with "(" behind it, as functions want it */
#define MY_TF_COMMENT 2u /* stands in a versioned comment that is executed */
#define MY_TF_ESCAPED 4u /* a string or a quoted name with escapes or doubled quotes in it */
struct my_token {
    uint32_t at, end; /* bytes */
    uint8_t kind, flags;
    uint16_t word; /* enum my_word of MY_T_WORD, op of MY_T_OP */
};
struct my_tokens {
    struct my_token *t; /* ends with MY_T_END */
    uint32_t n;         /* with it */
    bool versioned;     /* the text has a versioned comment, executed or not */
};

/* Reads all of the text. False and *err when it cannot be read. t is the caller's to free(), on success only. */
bool my_lex(const char *sql, size_t len, const struct my_options *o, struct my_tokens *out, struct pol_parse_error *err);

/* What a string or name token stands for, into to, which holds (end - at) + 1 bytes; returns its length; NUL-terminated. Escapes are resolved as the server does.
 * A result can hold NUL bytes ('\0'). */
size_t my_token_value(const char *sql, const struct my_token *t, unsigned mode, char *to);

#endif
