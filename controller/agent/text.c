/* Small parsers; see text.h. */
#include "controller/agent/text.h"

#include <stdio.h>
#include <string.h>

bool text_u32(const char *s, uint32_t max, uint32_t *out)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (const char *p = s; *p; p++) {
		if (*p < '0' || *p > '9' || p - s > 9)
			return false;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	if (v > max)
		return false;
	*out = (uint32_t)v;
	return true;
}

/* One decimal number up to `max` that ends at `end`; moves *s behind it. */
static bool number_until(const char **s, char end, uint32_t max, uint32_t *out)
{
	const char *stop = end ? strchr(*s, end) : *s + strlen(*s);
	char buf[12];

	if (!stop || stop == *s || (size_t)(stop - *s) >= sizeof(buf))
		return false;
	memcpy(buf, *s, (size_t)(stop - *s));
	buf[stop - *s] = '\0';
	if (!text_u32(buf, max, out) || (buf[0] == '0' && buf[1]))
		return false;
	*s = end ? stop + 1 : stop;
	return true;
}

static bool ipv4_until(const char **s, char end, uint32_t *ip)
{
	uint32_t v = 0, part;

	for (int i = 0; i < 4; i++) {
		if (!number_until(s, i < 3 ? '.' : end, 255, &part))
			return false;
		v = v << 8 | part;
	}
	*ip = v;
	return true;
}

bool text_ipv4(const char *s, uint32_t *ip)
{
	return ipv4_until(&s, '\0', ip);
}

bool text_ipv4_plen(const char *s, uint32_t *ip, uint8_t *plen)
{
	uint32_t n;

	if (!ipv4_until(&s, '/', ip) || !number_until(&s, '\0', 32, &n))
		return false;
	*plen = (uint8_t)n;
	return true;
}

bool text_rd(const char *s)
{
	uint32_t ip, index;

	return ipv4_until(&s, ':', &ip) && number_until(&s, '\0', 65535, &index);
}

bool text_rt(const char *s)
{
	uint32_t asn, vni;

	return number_until(&s, ':', 65535, &asn) && number_until(&s, '\0', 16777215, &vni) && asn;
}

bool text_name(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n < 1 || n > max || s[0] < 'a' || s[0] > 'z' || s[n - 1] == '-')
		return false;
	for (size_t i = 1; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '-'))
			return false;
	return true;
}

const char *text_ipv4_put(char buf[TEXT_IPV4_MAX], uint32_t ip)
{
	snprintf(buf, TEXT_IPV4_MAX, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
		ip & 255);
	return buf;
}
