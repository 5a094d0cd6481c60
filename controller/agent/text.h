/* Parsing of the small textual values that come from outside; strict, nothing is trimmed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "a.b.c.d" -> host byte order. */
bool text_ipv4(const char *s, uint32_t *ip);
/* "a.b.c.d/n", host bits allowed. */
bool text_ipv4_plen(const char *s, uint32_t *ip, uint8_t *plen);
/* "A.B.C.D:INDEX", INDEX below 65536. */
bool text_rd(const char *s);
/* "ASN:VNI", ASN 1-65535, VNI 1-16777215. */
bool text_rt(const char *s);
/* [a-z][a-z0-9-]{0,max-1}, not ending in '-'. */
bool text_name(const char *s, size_t max);
/* Decimal digits only, at most `max`. */
bool text_u32(const char *s, uint32_t max, uint32_t *out);

#define TEXT_IPV4_MAX 16
/* Host byte order -> text; returns buf. */
const char *text_ipv4_put(char buf[TEXT_IPV4_MAX], uint32_t ip);
