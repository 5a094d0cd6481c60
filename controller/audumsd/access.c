/* See access.h. */
#include "controller/audumsd/access.h"

#include <stdio.h>
#include <string.h>

#include "proto/lib/rules.h"

static bool name_valid(const char *name)
{
	return !rules_format_check(AUDUMS__V1__FORMAT__FORMAT_NAME, name);
}

/* Copy the part up to the next '/' (or the end); what follows it, or NULL at the end or when the
 * part is empty or too long. */
static const char *part_take(const char *from, char *part, size_t size)
{
	size_t n = strcspn(from, "/");

	if (!n || n >= size)
		return NULL;
	memcpy(part, from, n);
	part[n] = '\0';
	return from + n;
}

void access_parse(const char *identity, struct access *access)
{
	static const char scheme[] = "audums://";
	char kind[16], role[16];
	const char *at;

	*access = (struct access){0};
	snprintf(access->identity, sizeof(access->identity), "%s", identity);
	if (strncmp(identity, scheme, sizeof(scheme) - 1) ||
		strlen(identity) >= sizeof(access->identity))
		return;
	at = part_take(identity + sizeof(scheme) - 1, kind, sizeof(kind));
	if (!at || *at != '/')
		return;
	if (!strcmp(kind, "node")) {
		at = part_take(at + 1, access->name, sizeof(access->name));
		if (at && !*at && name_valid(access->name))
			access->role = ACCESS_NODE;
		return;
	}
	if (strcmp(kind, "client"))
		return;
	at = part_take(at + 1, role, sizeof(role));
	if (!at || *at != '/')
		return;
	at = part_take(at + 1, access->provider, sizeof(access->provider));
	if (!at || *at != '/')
		return;
	at = part_take(at + 1, access->name, sizeof(access->name));
	if (!at || *at)
		return;
	if (strcmp(access->provider, "*") && !name_valid(access->provider))
		return;
	if (!strcmp(role, "operator"))
		access->role = ACCESS_OPERATOR;
	else if (!strcmp(role, "reader"))
		access->role = ACCESS_READER;
}

bool access_read(const struct access *access)
{
	return access->role == ACCESS_OPERATOR || access->role == ACCESS_READER;
}

bool access_change(const struct access *access)
{
	return access->role == ACCESS_OPERATOR;
}

bool access_change_provider(const struct access *access, const char *provider,
	char *const *providers, size_t n, char *why, size_t size)
{
	bool acts = !n;

	if (!access_change(access)) {
		snprintf(why, size, "the certificate %s may not change anything; use an operator's",
			access->identity);
		return false;
	}
	for (size_t i = 0; i < n && !acts; i++)
		acts = !strcmp(providers[i], provider);
	if (!acts) {
		snprintf(why, size,
			"this controller does not act for provider %s; ask that provider's own",
			provider);
		return false;
	}
	if (strcmp(access->provider, "*") && strcmp(access->provider, provider)) {
		snprintf(why, size,
			"it belongs to provider %s and the certificate is of provider %s; ask an "
			"operator of %s",
			provider, access->provider, provider);
		return false;
	}
	return true;
}

bool access_node(const struct access *access, const char *node)
{
	return access->role == ACCESS_NODE && !strcmp(access->name, node);
}
