#include "filters/proxyv2.h"

#include <stdio.h>
#include <string.h>

/* Section 2.2: signature, version and command, family and protocol, length. */
#define SIGNATURE_LEN 12
#define FIXED_LEN     16
static const uint8_t signature[SIGNATURE_LEN] = "\r\n\r\n\0\r\nQUIT\n";

enum {
    TLV_CRC32C = 0x03,
    TLV_UNIQUE_ID = 0x05,
    TLV_SSL = 0x20,
    SUBTLV_SSL_VERSION = 0x21,
    SUBTLV_SSL_CN = 0x22,
};

/* RFC 4960, appendix B: the Castagnoli polynomial, reflected. Bit by bit, since a header is short and the checksum rare. */
static uint32_t crc32c(uint32_t crc, uint8_t byte) {
    crc ^= byte;
    for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (0x82F63B78u & -(crc & 1));
    return crc;
}

/* The checksum of the header with the four bytes at hole taken as zero. */
static uint32_t header_crc(const uint8_t *header, size_t len, size_t hole) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < len; i++) crc = crc32c(crc, i >= hole && i - hole < 4 ? 0 : header[i]);
    return ~crc;
}

/* Where the longest run of zero groups begins; runs of one are not shortened (RFC 5952, section 4.2). */
static void longest_zeroes(const uint16_t g[8], size_t *at, size_t *count) {
    *at = 8;
    *count = 1;
    for (size_t i = 0; i < 8; i++) {
        size_t n = 0;
        while (i + n < 8 && g[i + n] == 0) n++;
        if (n > *count) {
            *at = i;
            *count = n;
        }
    }
}

bool pp2_addr_text(const uint8_t *addr, size_t len, char out[PP2_ADDR_SIZE]) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    out[0] = '\0';
    if (len != 4 && len != 16) return false;
    if (len == 16 && memcmp(addr, mapped, sizeof mapped) == 0) {
        addr += 12;
        len = 4;
    }
    if (len == 4) {
        snprintf(out, PP2_ADDR_SIZE, "%u.%u.%u.%u", addr[0], addr[1], addr[2], addr[3]);
        return true;
    }
    uint16_t g[8];
    for (size_t i = 0; i < 8; i++) g[i] = (uint16_t)(addr[2 * i] << 8 | addr[2 * i + 1]);
    size_t zero, zeroes, n = 0;
    longest_zeroes(g, &zero, &zeroes);
    for (size_t i = 0; i < 8;) {
        if (i == zero) {
            n += (size_t)snprintf(out + n, PP2_ADDR_SIZE - n, "::");
            i += zeroes;
            continue;
        }
        bool colon = i > 0 && i != zero + zeroes;
        n += (size_t)snprintf(out + n, PP2_ADDR_SIZE - n, "%s%x", colon ? ":" : "", g[i]);
        i++;
    }
    return true;
}

/* A TLV's text into out[size]; a NUL inside would make two readers see two names. */
static enum gh_rc take_text(struct cur *value, char *out, size_t size, bool *seen, size_t at, struct gh_err *err) {
    if (*seen) return gh_fail(err, GH_MALFORMED, at, "a TLS field comes twice");
    *seen = true;
    size_t len = cur_left(value);
    if (len > size - 1) return gh_fail(err, GH_LIMIT, at, "a TLS field is too long");
    if (!gh_utf8_valid(value->p, len)) return gh_fail(err, GH_MALFORMED, at, "a TLS field is not UTF-8 text");
    memcpy(out, value->p, len);
    out[len] = '\0';
    return GH_OK;
}

/* Section 2.2.6: flags, verify, then TLVs of its own. at is the value's offset in the header. */
static enum gh_rc take_ssl(struct cur *value, size_t at, struct pp2_ssl *ssl, struct gh_err *err) {
    if (ssl->present) return gh_fail(err, GH_MALFORMED, at, "two SSL fields");
    ssl->present = true;
    if (!cur_u8(value, &ssl->client) || !cur_be32(value, &ssl->verify)) return gh_fail(err, GH_MALFORMED, at, "the SSL field is too short");
    bool version = false, cn = false;
    while (cur_left(value) > 0) {
        size_t here = at + cur_offset(value);
        uint8_t type;
        uint16_t len;
        struct cur sub;
        if (!cur_u8(value, &type) || !cur_be16(value, &len) || !cur_sub(value, len, &sub))
            return gh_fail(err, GH_MALFORMED, here, "a field of the SSL field is cut off");
        enum gh_rc rc = GH_OK;
        if (type == SUBTLV_SSL_VERSION) rc = take_text(&sub, ssl->version, sizeof ssl->version, &version, here, err);
        if (type == SUBTLV_SSL_CN) rc = take_text(&sub, ssl->cn, sizeof ssl->cn, &cn, here, err);
        if (rc != GH_OK) return rc;
    }
    return GH_OK;
}

static enum gh_rc take_unique_id(struct cur *value, size_t at, struct pp2_header *h, struct gh_err *err) {
    if (h->has_unique_id) return gh_fail(err, GH_MALFORMED, at, "two unique ids");
    size_t len = cur_left(value);
    if (len > PP2_UNIQUE_ID_MAX) return gh_fail(err, GH_MALFORMED, at, "the unique id is longer than 128 bytes");
    h->has_unique_id = true;
    h->unique_id_len = len;
    memcpy(h->unique_id, value->p, len);
    return GH_OK;
}

/* c spans the whole header and stands behind the addresses. */
static enum gh_rc take_tlvs(struct cur *c, struct pp2_header *h, struct gh_err *err) {
    bool crc_seen = false;
    while (cur_left(c) > 0) {
        size_t here = cur_offset(c);
        uint8_t type;
        uint16_t len;
        if (!cur_u8(c, &type) || !cur_be16(c, &len)) return gh_fail(err, GH_MALFORMED, here, "a field is cut off");
        size_t at = cur_offset(c);
        struct cur value;
        if (!cur_sub(c, len, &value)) return gh_fail(err, GH_MALFORMED, here, "a field is cut off");
        enum gh_rc rc = GH_OK;
        uint32_t crc;
        switch (type) {
        case TLV_CRC32C:
            if (crc_seen || len != 4 || !cur_be32(&value, &crc)) return gh_fail(err, GH_MALFORMED, here, "not one checksum of 4 bytes");
            crc_seen = true;
            if (crc != header_crc(c->start, (size_t)(c->end - c->start), at))
                return gh_fail(err, GH_MALFORMED, here, "the checksum is wrong");
            break;
        case TLV_UNIQUE_ID: rc = take_unique_id(&value, at, h, err); break;
        case TLV_SSL: rc = take_ssl(&value, at, &h->ssl, err); break;
        default: break; /* section 2.2: a receiver may skip what it is not interested in */
        }
        if (rc != GH_OK) return rc;
    }
    return GH_OK;
}

static enum gh_rc take_inet(struct cur *c, size_t size, struct pp2_header *h, struct gh_err *err) {
    const uint8_t *src, *dst;
    if (!cur_take(c, size, &src) || !cur_take(c, size, &dst) || !cur_be16(c, &h->src_port) || !cur_be16(c, &h->dst_port) ||
        !pp2_addr_text(src, size, h->src) || !pp2_addr_text(dst, size, h->dst))
        return gh_fail(err, GH_MALFORMED, FIXED_LEN, "the addresses are cut off");
    return GH_OK;
}

static enum gh_rc take_addresses(struct cur *c, uint8_t family, struct pp2_header *h, struct gh_err *err) {
    switch (family) {
    case 0x00: h->family = PP2_UNSPEC; return GH_OK;
    case 0x11: h->family = PP2_INET; return take_inet(c, 4, h, err);
    case 0x21: h->family = PP2_INET6; return take_inet(c, 16, h, err);
    case 0x31:
        h->family = PP2_UNIX;
        if (!cur_skip(c, 216)) return gh_fail(err, GH_MALFORMED, FIXED_LEN, "the addresses are cut off");
        return GH_OK;
    case 0x12:
    case 0x22:
    case 0x32: return gh_fail(err, GH_UNSUPPORTED, SIGNATURE_LEN + 1, "a datagram protocol");
    default: return gh_fail(err, GH_MALFORMED, SIGNATURE_LEN + 1, "unknown address family or protocol");
    }
}

/* What can be said of the first bytes, as soon as they are there: a peer that speaks something else is refused at once. */
static enum gh_rc check_start(const uint8_t *p, size_t len, struct gh_err *err) {
    for (size_t i = 0; i < len && i < SIGNATURE_LEN; i++)
        if (p[i] != signature[i]) return gh_fail(err, GH_MALFORMED, i, "not a PROXY protocol version 2 header");
    if (len > SIGNATURE_LEN) {
        uint8_t version_command = p[SIGNATURE_LEN];
        if (version_command >> 4 != 2) return gh_fail(err, GH_MALFORMED, SIGNATURE_LEN, "not version 2 of the PROXY protocol");
        if ((version_command & 0x0f) > 1) return gh_fail(err, GH_MALFORMED, SIGNATURE_LEN, "unknown PROXY command");
    }
    return len < FIXED_LEN ? gh_fail(err, GH_NEED_MORE, len, "the header is incomplete") : GH_OK;
}

enum gh_rc pp2_decode(const void *data, size_t len, struct pp2_header *h, size_t *consumed, struct gh_err *err) {
    *h = (struct pp2_header){0};
    *consumed = 0;
    struct cur all = cur_of(data, len), c;
    enum gh_rc rc = check_start(all.p, len, err);
    if (rc != GH_OK) return rc;
    uint8_t version_command = all.p[SIGNATURE_LEN], family = all.p[SIGNATURE_LEN + 1];
    size_t rest = (size_t)all.p[14] << 8 | all.p[15];
    if (rest > PP2_HEADER_MAX - FIXED_LEN) return gh_fail(err, GH_LIMIT, 14, "the PROXY header is too long");
    if (!cur_sub(&all, FIXED_LEN + rest, &c)) return gh_fail(err, GH_NEED_MORE, len, "the header is incomplete");
    if (!cur_skip(&c, FIXED_LEN)) return gh_fail(err, GH_MALFORMED, 0, "the header is incomplete");
    h->command = (version_command & 0x0f) == 1 ? PP2_PROXY : PP2_LOCAL;
    if (h->command == PP2_PROXY) {
        rc = take_addresses(&c, family, h, err);
        if (rc == GH_OK) rc = take_tlvs(&c, h, err);
        if (rc != GH_OK) {
            *h = (struct pp2_header){0};
            return rc;
        }
    }
    *consumed = FIXED_LEN + rest;
    return gh_fail(err, GH_OK, *consumed, "ok");
}
