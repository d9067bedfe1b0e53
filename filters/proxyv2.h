/* The PROXY protocol, version 2 (doc/proxy-protocol.txt of HAProxy, section 2.2), receiving side. Sans-IO.
 *
 * Only version 2 is taken: the payload door expects it and never guesses, so version 1 and everything else is malformed. */
#ifndef GH_FILTERS_PROXYV2_H
#define GH_FILTERS_PROXYV2_H

#include "filters/bytes.h"

#define PP2_HEADER_MAX    (16 + 1024) /* bytes of a whole header that we read; HAProxy stays under 536 */
#define PP2_UNIQUE_ID_MAX 128         /* section 2.2.5 */
#define PP2_ADDR_SIZE     46          /* textual address with its NUL */

enum pp2_command { PP2_LOCAL, PP2_PROXY };
enum pp2_family { PP2_UNSPEC, PP2_INET, PP2_INET6, PP2_UNIX };

/* Bits of pp2_ssl.client (section 2.2.6). */
enum { PP2_CLIENT_SSL = 0x01, PP2_CLIENT_CERT_CONN = 0x02, PP2_CLIENT_CERT_SESS = 0x04 };

struct pp2_ssl {
    bool present;
    uint8_t client;
    /* 0 when a client certificate was verified, and with HAProxy also when there was none: look at client too. */
    uint32_t verify;
    char version[32]; /* "" when absent, as are the others */
    char cn[257];     /* UTF-8, no NUL inside */
};

struct pp2_header {
    enum pp2_command command; /* PP2_LOCAL (a health check): everything below is empty, as section 2.2 demands */
    enum pp2_family family;
    char src[PP2_ADDR_SIZE], dst[PP2_ADDR_SIZE]; /* "" for UNSPEC and UNIX; see pp2_addr_text() */
    uint16_t src_port, dst_port;
    bool has_unique_id;
    size_t unique_id_len; /* any bytes, not a string */
    uint8_t unique_id[PP2_UNIQUE_ID_MAX];
    struct pp2_ssl ssl;
};

/* Reads one header from the start of a connection.
 * GH_OK: *h is filled and *consumed bytes belong to the header; the payload follows them.
 * GH_NEED_MORE: call again with more bytes (a wrong byte is refused as soon as it is seen, so this ends).
 * GH_MALFORMED, GH_LIMIT (header over PP2_HEADER_MAX, a TLS string over its array), GH_UNSUPPORTED (datagrams): close the connection.
 * A CRC32C TLV is verified when present; a TLV that we read must not come twice; other TLVs are skipped. */
enum gh_rc pp2_decode(const void *data, size_t len, struct pp2_header *h, size_t *consumed, struct gh_err *err);

/* An address of 4 or 16 bytes (network order) as canonical text, RFC 5952. An IPv4-mapped IPv6 address gives the IPv4 text, so that
 * both doors name one client alike. False for another length. */
GH_CHECKED bool pp2_addr_text(const uint8_t *addr, size_t len, char out[PP2_ADDR_SIZE]);

#endif
