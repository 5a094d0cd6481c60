/* Base64 with padding (RFC 4648 section 4), for bytes fields in YAML and JSON. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/lib/strbuf.h"

void base64_encode(struct strbuf *out, const uint8_t *data, size_t len);

/*
 * Decode into a new allocation (*data is NULL when nothing is in it). Returns 0, -EINVAL when the
 * text is not base64, or -ENOMEM.
 */
int base64_decode(const char *text, size_t text_len, uint8_t **data, size_t *len);
