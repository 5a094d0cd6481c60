/*
 * Which controller to ask: finds and reads context files.
 */
#include <errno.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/ctl/client.h"
#include "controller/ctl/lab/lab.h"

#define CONTEXT_MAX 16384

static const struct {
	const char *key;
	size_t offset;
	bool file;
} context_keys[] = {
	{"endpoint", offsetof(struct context, endpoint), false},
	{"ca", offsetof(struct context, ca), true},
	{"cert", offsetof(struct context, cert), true},
	{"key", offsetof(struct context, key), true},
	{"server_name", offsetof(struct context, server_name), false},
};

/* Strip blanks, a comment and one pair of quotes. */
static char *value_trim(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	if (*s == '"' || *s == '\'') {
		char *end = strchr(s + 1, *s);

		if (end) {
			*end = '\0';
			return s + 1;
		}
	}
	for (char *p = s; *p; p++)
		if (*p == '#' && (p == s || isspace((unsigned char)p[-1]))) {
			*p = '\0';
			break;
		}
	n = strlen(s);
	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
	return s;
}

static bool context_set(struct context *c, const char *path, unsigned int line, const char *key,
	const char *value, char *error, size_t size)
{
	for (size_t i = 0; i < sizeof(context_keys) / sizeof(context_keys[0]); i++) {
		char *out = (char *)c + context_keys[i].offset;
		const char *slash = strrchr(path, '/');
		int n;

		if (strcmp(context_keys[i].key, key))
			continue;
		if (context_keys[i].file && *value != '/' && slash)
			n = snprintf(out, 256, "%.*s/%s", (int)(slash - path), path, value);
		else
			n = snprintf(out, 256, "%s", value);
		if (n < 256)
			return true;
		snprintf(error, size, "%s:%u: the value of %s is longer than 255 characters", path,
			line, key);
		return false;
	}
	snprintf(error, size,
		"%s:%u: unknown key \"%s\", expected endpoint, ca, cert, key or server_name", path,
		line, key);
	return false;
}

bool context_parse(const char *path, const char *text, struct context *c, char *error, size_t size)
{
	char *copy = strdup(text), *save = NULL, *line;
	unsigned int number = 0;
	bool ok = copy != NULL;

	memset(c, 0, sizeof(*c));
	for (char *p = copy; ok && p && *p; p = save) {
		char *colon;

		line = p;
		save = strchr(p, '\n');
		if (save)
			*save++ = '\0';
		number++;
		while (isspace((unsigned char)*line))
			line++;
		if (!*line || *line == '#')
			continue;
		colon = strchr(line, ':');
		if (!colon || !isspace((unsigned char)colon[1])) {
			snprintf(error, size, "%s:%u: expected \"key: value\"", path, number);
			ok = false;
			break;
		}
		*colon = '\0';
		ok = context_set(c, path, number, line, value_trim(colon + 1), error, size);
	}
	free(copy);
	for (size_t i = 0; ok && i < 4; i++)
		if (!*((char *)c + context_keys[i].offset)) {
			snprintf(error, size, "%s: %s is missing", path, context_keys[i].key);
			ok = false;
		}
	return ok;
}

bool context_read(const char *path, struct context *c, char *error, size_t size)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t n;
	bool ok;

	if (!f) {
		snprintf(error, size, "cannot open context %s: %s", path, strerror(errno));
		return false;
	}
	text = malloc(CONTEXT_MAX + 1);
	n = text ? fread(text, 1, CONTEXT_MAX, f) : 0;
	fclose(f);
	if (!text) {
		snprintf(error, size, "out of memory");
		return false;
	}
	text[n] = '\0';
	ok = context_parse(path, text, c, error, size);
	free(text);
	return ok;
}

/* The one lab that is up: 1 with its context in `found`, 0 when there is none, or how many. */
static unsigned int context_of_lab(char found[LAB_PATH_LEN])
{
	char labs[16][LAB_NAME_LEN];
	unsigned int count = lab_list(labs, 16), up = 0;

	for (unsigned int i = 0; i < count; i++) {
		char candidate[LAB_PATH_LEN];

		lab_run_path(labs[i], "context.yaml", candidate);
		if (!access(candidate, F_OK) && !up++)
			memcpy(found, candidate, sizeof(candidate));
	}
	return up;
}

static bool path_take(const char *from, char *path, size_t size, char *error, size_t error_size)
{
	size_t len = strlen(from);

	if (len < size) {
		memcpy(path, from, len + 1);
		return true;
	}
	snprintf(error, error_size, "the path of the context file is too long");
	return false;
}

bool context_find(const char *option, char *path, size_t path_size, char *error, size_t size)
{
	const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
	char found[1024];
	unsigned int up;

	if (!option)
		option = getenv("AUDUMS_CONTEXT");
	if (option && *option)
		return path_take(option, path, path_size, error, size);
	up = context_of_lab(found);
	if (up == 1)
		return path_take(found, path, path_size, error, size);
	if (up > 1) {
		snprintf(error, size,
			"%u labs are up: choose one with --context " LAB_RUN_ROOT
			"/LAB/context.yaml",
			up);
		return false;
	}
	found[0] = '\0';
	if (config && *config)
		snprintf(found, sizeof(found), "%s/audums/context.yaml", config);
	else if (home)
		snprintf(found, sizeof(found), "%s/.config/audums/context.yaml", home);
	if (*found && !access(found, F_OK))
		return path_take(found, path, path_size, error, size);
	if (!access("/etc/audums/context.yaml", F_OK))
		return path_take("/etc/audums/context.yaml", path, path_size, error, size);
	snprintf(error, size,
		"no controller is known: no lab is up, and there is no context file (audumsctl "
		"--help, CONTEXT)");
	return false;
}
