/*
 * Reading netlink attributes, strictly: nothing is taken whose length is not what the kernel's
 * headers say. Private to the mirror.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <linux/netlink.h>

/*
 * Index the attributes in `len` octets at `data` by type (at most `max`; others are ignored, the
 * last of a type wins). False: one is cut off or shorter than its header.
 */
static inline bool nl_attrs(const void *data, size_t len, const struct nlattr *tb[], unsigned max)
{
	const char *at = data;

	memset(tb, 0, (max + 1) * sizeof(tb[0]));
	while (len >= NLA_HDRLEN) {
		const struct nlattr *nla = (const struct nlattr *)(const void *)at;
		size_t step;

		if (nla->nla_len < NLA_HDRLEN || nla->nla_len > len)
			return false;
		if ((nla->nla_type & NLA_TYPE_MASK) <= max)
			tb[nla->nla_type & NLA_TYPE_MASK] = nla;
		step = NLA_ALIGN((size_t)nla->nla_len);
		if (step >= len)
			return true;
		at += step;
		len -= step;
	}
	return len == 0;
}

static inline size_t nl_len(const struct nlattr *nla)
{
	return (size_t)nla->nla_len - NLA_HDRLEN;
}

static inline const void *nl_data(const struct nlattr *nla)
{
	return (const char *)nla + NLA_HDRLEN;
}

/* Copy an attribute of exactly this size; absent leaves *to as it is. False: another size. */
static inline bool nl_get(const struct nlattr *nla, void *to, size_t size)
{
	if (!nla)
		return true;
	if (nl_len(nla) != size)
		return false;
	memcpy(to, nl_data(nla), size);
	return true;
}

/* A string of at most size - 1 octets, NUL or not at its end. False: longer, or empty. */
static inline bool nl_get_string(const struct nlattr *nla, char *to, size_t size)
{
	size_t len;

	if (!nla)
		return true;
	len = strnlen(nl_data(nla), nl_len(nla));
	if (len == 0 || len >= size)
		return false;
	memcpy(to, nl_data(nla), len);
	to[len] = '\0';
	return true;
}
