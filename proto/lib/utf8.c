/* Decoding UTF-8; see utf8.h. */
#include "proto/lib/utf8.h"

size_t utf8_next(const char *text, size_t len, uint32_t *character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const uint8_t *s = (const uint8_t *)text;
	size_t n;
	uint32_t c;

	if (len == 0)
		return 0;
	if (s[0] < 0x80) {
		*character = s[0];
		return 1;
	}
	if (s[0] >= 0xf8 || s[0] < 0xc0)
		return 0;
	n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (len < n)
		return 0;
	c = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*character = c;
	return n;
}

size_t utf8_valid(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		uint32_t c;
		const size_t n = utf8_next(text + at, len - at, &c);

		if (n == 0)
			return at;
		at += n;
	}
	return len;
}

bool utf8_control(uint32_t character)
{
	return character < 0x20 || (character >= 0x7f && character < 0xa0);
}
