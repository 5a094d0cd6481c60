/* Reading the port inventory; see inventory.h. */
#include "controller/agent/inventory.h"

#include "controller/agent/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 4096

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct port *)a)->name, ((const struct port *)b)->name);
}

/* A device name the kernel takes. */
static bool device_valid(const char *s)
{
	const size_t n = strlen(s);

	if (n < 1 || n >= IFNAMSIZ || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		return false;
	for (; *s; s++)
		if (*s <= ' ' || *s == '/' || *s == ':' || *s >= 0x7f)
			return false;
	return true;
}

/* One line without comment. Returns 1 when a port was read, 0 for an empty line, -EINVAL. */
static int line_parse(char *line, struct port *p, const char **what)
{
	char *save, *word = strtok_r(line, " \t\r\n", &save);
	bool role = false;

	if (!word)
		return 0;
	memset(p, 0, sizeof(*p));
	if (strcmp(word, "port") != 0) {
		*what = "expected \"port NAME role=...\"";
		return -EINVAL;
	}
	word = strtok_r(NULL, " \t\r\n", &save);
	if (!word || !text_name(word, INVENTORY_NAME_MAX)) {
		*what = "port name: expected [a-z][a-z0-9-]{0,13}";
		return -EINVAL;
	}
	memcpy(p->name, word, strlen(word) + 1);
	memcpy(p->tap, word, strlen(word) + 1);
	while ((word = strtok_r(NULL, " \t\r\n", &save))) {
		char *value = strchr(word, '=');

		if (!value) {
			*what = "expected key=value";
			return -EINVAL;
		}
		*value++ = '\0';
		if (strcmp(word, "role") == 0) {
			role = true;
			if (strcmp(value, "uplink") == 0) {
				p->role = PORT_UPLINK;
			} else if (strcmp(value, "access") == 0) {
				p->role = PORT_ACCESS;
			} else {
				*what = "role: expected uplink or access";
				return -EINVAL;
			}
		} else if (strcmp(word, "tap") == 0) {
			if (!device_valid(value)) {
				*what = "tap: not a device name";
				return -EINVAL;
			}
			memcpy(p->tap, value, strlen(value) + 1);
		}
	}
	if (!role) {
		*what = "role= is missing";
		return -EINVAL;
	}
	return 1;
}

int inventory_load(struct inventory *inv, const char *path, char *error, size_t error_size)
{
	struct inventory fresh = {0};
	char line[LINE_BYTES];
	const char *what = "";
	unsigned int number = 0;
	int err = 0;
	FILE *f = fopen(path, "re");

	if (!f) {
		err = -errno;
		snprintf(error, error_size, "%s: %s", path, strerror(-err));
		return err;
	}
	fresh.ports = calloc(INVENTORY_PORT_MAX, sizeof(*fresh.ports));
	if (!fresh.ports) {
		err = -ENOMEM;
		what = "out of memory";
		goto out;
	}
	while (fgets(line, sizeof(line), f)) {
		struct port p;
		int r;

		number++;
		if (!strchr(line, '\n') && !feof(f)) {
			what = "line too long";
			err = -EINVAL;
			goto out;
		}
		line[strcspn(line, "#")] = '\0';
		r = line_parse(line, &p, &what);
		if (r == 0)
			continue;
		if (r > 0 && fresh.count == INVENTORY_PORT_MAX) {
			what = "more ports than 2048";
			r = -E2BIG;
		}
		for (size_t i = 0; r > 0 && i < fresh.count; i++) {
			if (strcmp(fresh.ports[i].name, p.name) == 0) {
				what = "port named twice";
				r = -EEXIST;
			} else if (strcmp(fresh.ports[i].tap, p.tap) == 0) {
				what = "two ports with the same tap";
				r = -EEXIST;
			}
		}
		if (r < 0) {
			err = r;
			goto out;
		}
		fresh.ports[fresh.count++] = p;
	}
	if (ferror(f)) {
		err = -EIO;
		what = "cannot be read";
	}
out:
	fclose(f);
	if (err) {
		snprintf(error, error_size, "%s:%u: %s", path, number, what);
		free(fresh.ports);
		return err;
	}
	qsort(fresh.ports, fresh.count, sizeof(*fresh.ports), compare);
	inventory_clear(inv);
	*inv = fresh;
	return 0;
}

void inventory_clear(struct inventory *inv)
{
	free(inv->ports);
	inv->ports = NULL;
	inv->count = 0;
}

const struct port *inventory_find(const struct inventory *inv, const char *name)
{
	struct port key;

	if (!inv->count || strlen(name) > INVENTORY_NAME_MAX)
		return NULL;
	memset(&key, 0, sizeof(key));
	strcpy(key.name, name);
	return bsearch(&key, inv->ports, inv->count, sizeof(*inv->ports), compare);
}

const char *port_role_name(enum port_role role)
{
	return role == PORT_UPLINK ? "uplink" : "access";
}
