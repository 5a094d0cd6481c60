/* Textual formats of the schema (enum Format in rules.proto): does a text have one? No state. */
#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "proto/lib/rules.h"

static bool lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* [a-z] and then up to max - 1 of [a-z0-9] and `others`. */
static bool word(const char *text, size_t max, const char *others)
{
	size_t n = 0;

	if (!lower(text[0]))
		return false;
	for (; text[n]; n++)
		if (n == max || (!lower(text[n]) && !digit(text[n]) && !strchr(others, text[n])))
			return false;
	return true;
}

/* inet_pton alone takes what we want: four decimals without leading zeros. */
static bool address(const char *text, int family, unsigned char out[16])
{
	return inet_pton(family, text, out) == 1;
}

/* address/length; `network`: no bit may be set behind the length. */
static bool prefix(const char *text, int family, bool network)
{
	const char *slash = strchr(text, '/');
	const unsigned bits = family == AF_INET ? 32 : 128;
	char head[INET6_ADDRSTRLEN];
	unsigned char octets[16] = {0};
	unsigned len = 0;
	size_t n;

	if (slash == NULL || (size_t)(slash - text) >= sizeof(head))
		return false;
	n = (size_t)(slash - text);
	memcpy(head, text, n);
	head[n] = '\0';
	if (!address(head, family, octets))
		return false;
	n = strlen(slash + 1);
	if (n == 0 || n > 3 || (slash[1] == '0' && n > 1))
		return false;
	for (const char *s = slash + 1; *s; s++) {
		if (!digit(*s))
			return false;
		len = len * 10 + (unsigned)(*s - '0');
	}
	if (len > bits)
		return false;
	for (unsigned bit = len; network && bit < bits; bit++)
		if (octets[bit / 8] & (0x80u >> (bit % 8)))
			return false;
	return true;
}

static bool mac(const char *text)
{
	unsigned octets = 0;
	bool nonzero = false;

	if (strlen(text) != 17)
		return false;
	for (unsigned i = 0; i < 17; i++) {
		const char c = text[i];

		if (i % 3 == 2) {
			if (c != ':')
				return false;
			continue;
		}
		if (!digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F'))
			return false;
		nonzero |= c != '0';
		octets++;
	}
	/* the lowest bit of the first octet says multicast */
	return octets == 12 && nonzero && strchr("02468aceACE", text[1]) != NULL;
}

const char *rules_format_check(Audums__V1__Format format, const char *text)
{
	const size_t len = strlen(text);

	switch (format) {
	case AUDUMS__V1__FORMAT__FORMAT_NAME:
		if (word(text, 31, "-") && text[len - 1] != '-')
			return NULL;
		return "expected a name: 1 to 31 of a-z, 0-9 and '-', a letter first, no '-' last";
	case AUDUMS__V1__FORMAT__FORMAT_PORT_NAME:
		if (word(text, 14, "-"))
			return NULL;
		return "expected a port's name: 1 to 14 of a-z, 0-9 and '-', a letter first";
	case AUDUMS__V1__FORMAT__FORMAT_IPV4: {
		unsigned char octets[16];

		if (address(text, AF_INET, octets))
			return NULL;
		return "expected an IPv4 address such as 10.254.1.1";
	}
	case AUDUMS__V1__FORMAT__FORMAT_IPV4_PREFIX:
		if (prefix(text, AF_INET, true))
			return NULL;
		return "expected an IPv4 prefix without host bits, such as 10.254.1.0/24";
	case AUDUMS__V1__FORMAT__FORMAT_IP_PREFIX:
		if (prefix(text, AF_INET, true) || prefix(text, AF_INET6, true))
			return NULL;
		return "expected an IPv4 or IPv6 prefix without host bits, such as 10.1.0.0/24 or "
		       "2001:db8:1::/64";
	case AUDUMS__V1__FORMAT__FORMAT_IP_INTERFACE:
		if (prefix(text, AF_INET, false) || prefix(text, AF_INET6, false))
			return NULL;
		return "expected an address with prefix length, such as 10.1.0.1/24";
	case AUDUMS__V1__FORMAT__FORMAT_MAC:
		if (mac(text))
			return NULL;
		return "expected a unicast MAC address such as 02:00:00:00:00:01";
	case AUDUMS__V1__FORMAT__FORMAT_LABEL_KEY:
		if (word(text, 63, "._/-"))
			return NULL;
		return "expected a label's key: 1 to 63 of a-z, 0-9, '.', '_', '/' and '-', a "
		       "letter first";
	default:
		return NULL;
	}
}
