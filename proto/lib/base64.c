/* Base64; see base64.h. */
#include "proto/lib/base64.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct strbuf *out, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i += 3) {
		const size_t left = len - i;
		const uint32_t v = (uint32_t)data[i] << 16 |
				   (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
				   (left > 2 ? data[i + 2] : 0);

		strbuf_add_char(out, alphabet[v >> 18]);
		strbuf_add_char(out, alphabet[v >> 12 & 63]);
		strbuf_add_char(out, left > 1 ? alphabet[v >> 6 & 63] : '=');
		strbuf_add_char(out, left > 2 ? alphabet[v & 63] : '=');
	}
}

int base64_decode(const char *text, size_t text_len, uint8_t **data, size_t *len)
{
	size_t pad = 0, n = 0;
	uint8_t *out;

	*data = NULL;
	*len = 0;
	if (text_len == 0)
		return 0;
	if (text_len % 4 != 0)
		return -EINVAL;
	while (pad < 2 && text[text_len - 1 - pad] == '=')
		pad++;
	out = malloc(text_len / 4 * 3);
	if (out == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < text_len; i += 4) {
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			const char c = text[i + k];
			const char *at = c != '\0' ? strchr(alphabet, c) : NULL;

			if (at == NULL && !(c == '=' && i + k >= text_len - pad)) {
				free(out);
				return -EINVAL;
			}
			v = v << 6 | (at != NULL ? (uint32_t)(at - alphabet) : 0);
		}
		out[n++] = (uint8_t)(v >> 16);
		out[n++] = (uint8_t)(v >> 8);
		out[n++] = (uint8_t)v;
	}
	*data = out;
	*len = n - pad;
	return 0;
}
