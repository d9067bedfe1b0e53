/* MySQL's client/server protocol, version 10: packets, capabilities, and the packets that Gatehouse itself writes.
 * Source: MySQL documentation, "Client/Server Protocol"; MariaDB documentation, "Clients & Servers Protocol". */
#ifndef GH_FILTERS_MY_WIRE_H
#define GH_FILTERS_MY_WIRE_H

#include "filters/bytes.h"

#define MY_HEADER      4u
#define MY_PACKET_MAX  0xffffffu /* a packet of this length has another one behind it */
#define MY_NONCE       20u
#define MY_SSL_REQUEST 32u /* payload bytes */

/* Capabilities (MySQL documentation, "Capabilities Flags"). */
#define MY_CAP_LONG_PASSWORD     0x00000001u /* MariaDB: absent means that the upper half of a second word counts. We never leave it out */
#define MY_CAP_FOUND_ROWS        0x00000002u
#define MY_CAP_LONG_FLAG         0x00000004u
#define MY_CAP_CONNECT_WITH_DB   0x00000008u
#define MY_CAP_NO_SCHEMA         0x00000010u
#define MY_CAP_COMPRESS          0x00000020u
#define MY_CAP_ODBC              0x00000040u
#define MY_CAP_LOCAL_FILES       0x00000080u
#define MY_CAP_IGNORE_SPACE      0x00000100u
#define MY_CAP_PROTOCOL_41       0x00000200u
#define MY_CAP_INTERACTIVE       0x00000400u
#define MY_CAP_SSL               0x00000800u
#define MY_CAP_IGNORE_SIGPIPE    0x00001000u
#define MY_CAP_TRANSACTIONS      0x00002000u
#define MY_CAP_RESERVED          0x00004000u
#define MY_CAP_SECURE_CONNECTION 0x00008000u
#define MY_CAP_MULTI_STATEMENTS  0x00010000u
#define MY_CAP_MULTI_RESULTS     0x00020000u
#define MY_CAP_PS_MULTI_RESULTS  0x00040000u
#define MY_CAP_PLUGIN_AUTH       0x00080000u
#define MY_CAP_CONNECT_ATTRS     0x00100000u
#define MY_CAP_LENENC_AUTH       0x00200000u
#define MY_CAP_SESSION_TRACK     0x00800000u
#define MY_CAP_DEPRECATE_EOF     0x01000000u

/* What clients are offered: what is inspected, and what changes nothing that passes. No compression, no query attributes, no optional metadata,
 * none of MariaDB's own; and not ODBC, with which IS NULL means something else. */
#define MY_OFFER                                                                                                                           \
    (MY_CAP_LONG_PASSWORD | MY_CAP_FOUND_ROWS | MY_CAP_LONG_FLAG | MY_CAP_CONNECT_WITH_DB | MY_CAP_LOCAL_FILES | MY_CAP_PROTOCOL_41 |      \
     MY_CAP_INTERACTIVE | MY_CAP_SSL | MY_CAP_IGNORE_SIGPIPE | MY_CAP_TRANSACTIONS | MY_CAP_RESERVED | MY_CAP_SECURE_CONNECTION |          \
     MY_CAP_MULTI_STATEMENTS | MY_CAP_MULTI_RESULTS | MY_CAP_PS_MULTI_RESULTS | MY_CAP_PLUGIN_AUTH | MY_CAP_CONNECT_ATTRS |                \
     MY_CAP_LENENC_AUTH | MY_CAP_SESSION_TRACK | MY_CAP_DEPRECATE_EOF)
/* Of these the server's connection has those that the client has. */
#define MY_MIRRORED                                                                                                                        \
    (MY_CAP_FOUND_ROWS | MY_CAP_LOCAL_FILES | MY_CAP_INTERACTIVE | MY_CAP_MULTI_STATEMENTS | MY_CAP_MULTI_RESULTS |                        \
     MY_CAP_PS_MULTI_RESULTS | MY_CAP_DEPRECATE_EOF)

/* Status flags of OK and EOF packets. */
#define MY_STATUS_IN_TRANS      0x0001u
#define MY_STATUS_AUTOCOMMIT    0x0002u
#define MY_STATUS_MORE_RESULTS  0x0008u
#define MY_STATUS_CURSOR_EXISTS 0x0040u
#define MY_STATUS_STATE_CHANGED 0x4000u
/* NO_GOOD_INDEX_USED, NO_INDEX_USED, QUERY_WAS_SLOW: of the plan, which follows from all rows. */
#define MY_STATUS_PLAN 0x0830u

enum my_command {
    MY_COM_SLEEP = 0,
    MY_COM_QUIT,
    MY_COM_INIT_DB,
    MY_COM_QUERY,
    MY_COM_FIELD_LIST,
    MY_COM_CREATE_DB,
    MY_COM_DROP_DB,
    MY_COM_REFRESH,
    MY_COM_SHUTDOWN,
    MY_COM_STATISTICS,
    MY_COM_PROCESS_INFO,
    MY_COM_CONNECT,
    MY_COM_PROCESS_KILL,
    MY_COM_DEBUG,
    MY_COM_PING,
    MY_COM_TIME,
    MY_COM_DELAYED_INSERT,
    MY_COM_CHANGE_USER,
    MY_COM_BINLOG_DUMP,
    MY_COM_TABLE_DUMP,
    MY_COM_CONNECT_OUT,
    MY_COM_REGISTER_SLAVE,
    MY_COM_STMT_PREPARE,
    MY_COM_STMT_EXECUTE,
    MY_COM_STMT_SEND_LONG_DATA,
    MY_COM_STMT_CLOSE,
    MY_COM_STMT_RESET,
    MY_COM_SET_OPTION,
    MY_COM_STMT_FETCH,
    MY_COM_DAEMON,
    MY_COM_BINLOG_DUMP_GTID,
    MY_COM_RESET_CONNECTION,
};

/* Length-encoded integer ("Integer Types"); false also for the bytes 0xfb and 0xff, which begin none. */
GH_CHECKED bool my_lenenc(struct cur *c, uint64_t *v);
/* A string behind its length-encoded length. */
GH_CHECKED bool my_lenenc_str(struct cur *c, const uint8_t **at, size_t *len);
void my_put_lenenc(struct buf *b, uint64_t v);

/* The payload as one packet, or several when it is long; *seq is counted up. */
void my_put_packet(struct buf *out, uint8_t *seq, const void *payload, size_t len);
/* A header alone, for a payload that follows by itself. */
void my_put_header(struct buf *out, uint8_t seq, uint32_t len);

struct my_greeting {
    char version[64];
    uint32_t thread, caps;
    uint16_t status;
    uint8_t charset;
    uint8_t nonce[MY_NONCE]; /* without zero bytes, as servers make it */
    char plugin[64];         /* "" when the server names none */
};
/* HandshakeV10 as a whole packet with sequence number 0 ("Protocol::HandshakeV10"). */
void my_put_greeting(struct buf *out, const struct my_greeting *g);
/* Reads the payload of a server's. MALFORMED, or UNSUPPORTED: older than what we speak. */
enum gh_rc my_read_greeting(struct cur body, struct my_greeting *g, struct gh_err *err);

/* Payloads. */
void my_put_ok(struct buf *b, uint16_t status);
void my_put_eof(struct buf *b, uint16_t status);
void my_put_err(struct buf *b, uint16_t code, const char *sqlstate, const char *message);

struct my_ok {
    uint64_t rows, last_id;
    uint16_t status, warnings;
    const uint8_t *info; /* the text for people */
    size_t info_len;
    const uint8_t *track; /* session state changes, with CLIENT_SESSION_TRACK */
    size_t track_len;
};
/* The payload of an OK packet, or of the OK that ends a result with CLIENT_DEPRECATE_EOF. tracked: CLIENT_SESSION_TRACK was agreed on. */
GH_CHECKED bool my_read_ok(struct cur body, bool tracked, struct my_ok *ok);
/* The same again for a peer that may have agreed on other things: head is the packet's first byte (0x00 or 0xfe). */
void my_write_ok(struct buf *b, uint8_t head, const struct my_ok *ok, bool tracked);

struct my_err {
    uint16_t code;
    char sqlstate[6], message[512];
};
GH_CHECKED bool my_read_err(struct cur body, struct my_err *e);

/* What an error of ours is in MySQL's words: its number, and the SQLSTATE that goes with it. Never 1064: a refusal is no typing error. */
struct my_code {
    uint16_t code;
    const char *sqlstate;
};
struct my_code my_code_of(const char *sqlstate);
#define MY_COLUMN_DENIED "42501 column" /* in the place of SQLSTATE: ER_COLUMNACCESS_DENIED_ERROR */
/* One text of what PostgreSQL has in three fields; hint before detail, because clients show about 500 bytes. */
void my_put_refusal(struct buf *payload, const char *sqlstate, const char *message, const char *detail, const char *hint);

#endif
