/* UTF-8 (RFC 3629): decoding that accepts no overlong form, surrogate or value above U+10FFFF. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decode one character. Returns how many octets it takes, or 0 when they are no UTF-8. */
size_t utf8_next(const char *text, size_t len, uint32_t *character);

/* Octets up to the first that is no UTF-8; len when all are. */
size_t utf8_valid(const char *text, size_t len);

/* C0 and C1 control characters and DEL. */
bool utf8_control(uint32_t character);
