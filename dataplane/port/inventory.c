/*
 * The parser of the port inventory (inventory.h). Called by the holder at its start.
 *
 * Invariant: a result without errors holds specs whose every word is valid and whose names, TAPs
 * and devices are unique; only what a living system must say (indexes, MAC, descriptors) is
 * missing.
 */
#include "dataplane/port/inventory.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define MTU_DEFAULT 1500
#define SHOWN_MAX   64 /* octets of a word that are repeated in a message */

struct parser {
	const char *file;
	FILE *errors;
	unsigned int line;
	unsigned int failed;
	struct inventory *inventory;
};

/* The words of a port line, as found; "" = not given. */
struct words {
	const char *role, *backend, *netns, *device, *pci, *vdev, *tap, *mtu;
};

static void complain(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void complain(struct parser *p, const char *fmt, ...)
{
	va_list args;

	if (++p->failed > INVENTORY_ERRORS_MAX || p->errors == NULL)
		return;
	fprintf(p->errors, "%s:%u: ", p->file, p->line);
	va_start(args, fmt);
	vfprintf(p->errors, fmt, args);
	va_end(args);
	fputc('\n', p->errors);
}

/* A word for a message: cut, and without what would disturb a terminal. */
static const char *shown(char buf[SHOWN_MAX + 1], const char *word)
{
	size_t i;

	for (i = 0; i < SHOWN_MAX && word[i] != '\0'; i++)
		buf[i] = word[i] > ' ' && word[i] < 127 ? word[i] : '?';
	buf[i] = '\0';
	return buf;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Cut the next word off *rest; NULL at the end of the line. */
static char *word_next(char **rest)
{
	char *word = *rest;
	char *end;

	while (blank(*word))
		word++;
	if (*word == '\0')
		return NULL;
	for (end = word; *end != '\0' && !blank(*end); end++)
		;
	if (*end != '\0')
		*end++ = '\0';
	*rest = end;
	return word;
}

static void words_read(struct parser *p, char *rest, struct words *words)
{
	const struct {
		const char *key;
		const char **value;
	} known[] = {
		{"role", &words->role},
		{"backend", &words->backend},
		{"netns", &words->netns},
		{"device", &words->device},
		{"pci", &words->pci},
		{"vdev", &words->vdev},
		{"tap", &words->tap},
		{"mtu", &words->mtu},
	};
	char buf[SHOWN_MAX + 1];
	char *word;

	while ((word = word_next(&rest)) != NULL) {
		char *equals = strchr(word, '=');
		size_t i;

		if (equals == NULL) {
			complain(p, "\"%s\": expected key=value", shown(buf, word));
			continue;
		}
		*equals = '\0';
		for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			if (strcmp(word, known[i].key) == 0)
				break;
		}
		if (i == sizeof(known) / sizeof(known[0]))
			complain(p,
				"unknown key \"%s\", expected role, backend, netns, device, pci, vdev, tap "
				"or mtu",
				shown(buf, word));
		else if (**known[i].value != '\0')
			complain(p, "%s is given twice", known[i].key);
		else if (equals[1] == '\0')
			complain(p, "%s is empty", known[i].key);
		else
			*known[i].value = equals + 1;
	}
}

/* Letters, digits and colon, dot: a PCI address as DPDK takes it, with or without domain. */
static bool pci_valid(const char *s)
{
	unsigned int bus, dev, fn, domain;
	int end = 0;

	if (strlen(s) > 16 || strspn(s, "0123456789abcdefABCDEF:.") != strlen(s))
		return false;
	if (sscanf(s, "%4x:%2x:%2x.%1x%n", &domain, &bus, &dev, &fn, &end) == 4 && s[end] == '\0')
		return dev < 32 && fn < 8;
	end = 0;
	return sscanf(s, "%2x:%2x.%1x%n", &bus, &dev, &fn, &end) == 3 && s[end] == '\0' &&
	       dev < 32 && fn < 8;
}

static bool ifname_valid(const char *s)
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++) {
		if (i >= 15 || s[i] <= ' ' || s[i] >= 127 || s[i] == '/' || s[i] == ':')
			return false;
	}
	return i > 0 && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static void packet_take(struct parser *p, const struct words *words, struct inventory_port *port)
{
	char buf[SHOWN_MAX + 1];

	if (words->pci[0] != '\0' || words->vdev[0] != '\0' || words->mtu[0] != '\0')
		complain(p, "backend=packet takes no pci, vdev or mtu, expected netns and device");
	if (words->device[0] == '\0')
		complain(p, "device is missing, expected the wire interface's name");
	else if (!ifname_valid(words->device))
		complain(p, "device \"%s\" is no interface name", shown(buf, words->device));
	else
		memcpy(port->spec.device, words->device, strlen(words->device) + 1);
	if (words->netns[0] == '\0') {
		complain(p, "netns is missing, expected an absolute path or \"self\"");
	} else if (strcmp(words->netns, "self") != 0) {
		if (words->netns[0] != '/' || strlen(words->netns) >= sizeof(port->netns))
			complain(p, "netns \"%s\": expected an absolute path or \"self\"",
				shown(buf, words->netns));
		else
			memcpy(port->netns, words->netns, strlen(words->netns) + 1);
	}
}

static void ethdev_take(struct parser *p, const struct words *words, struct inventory_port *port)
{
	const bool pci = words->pci[0] != '\0';
	const char *device = pci ? words->pci : words->vdev;
	char buf[SHOWN_MAX + 1];
	unsigned int mtu = MTU_DEFAULT;
	int end = 0;

	if (words->netns[0] != '\0' || words->device[0] != '\0')
		complain(p, "backend=ethdev takes no netns or device, expected pci or vdev");
	if (pci == (words->vdev[0] != '\0'))
		complain(p, "expected either pci or vdev");
	else if (pci && !pci_valid(device))
		complain(
			p, "pci \"%s\": expected an address like 0000:03:00.0", shown(buf, device));
	else if (strlen(device) >= sizeof(port->spec.device))
		complain(p, "vdev is longer than %zu octets", sizeof(port->spec.device) - 1);
	else
		memcpy(port->spec.device, device, strlen(device) + 1);
	if (words->mtu[0] != '\0' &&
		(words->mtu[0] < '0' || words->mtu[0] > '9' || strlen(words->mtu) > 5 ||
			sscanf(words->mtu, "%u%n", &mtu, &end) != 1 || words->mtu[end] != '\0' ||
			mtu < PORT_MTU_MIN || mtu > PORT_MTU_MAX))
		complain(p, "mtu \"%s\": expected %u to %u", shown(buf, words->mtu), PORT_MTU_MIN,
			PORT_MTU_MAX);
	port->spec.mtu = mtu;
}

static void unique_check(struct parser *p, const struct inventory_port *port)
{
	unsigned int i;

	for (i = 0; i < p->inventory->n; i++) {
		const struct inventory_port *other = &p->inventory->ports[i];

		if (strcmp(port->spec.name, other->spec.name) == 0)
			complain(p, "port \"%s\" is there already, in line %u", port->spec.name,
				other->line);
		if (port->spec.tap[0] != '\0' && strcmp(port->spec.tap, other->spec.tap) == 0)
			complain(p, "TAP \"%s\" is there already, in line %u", port->spec.tap,
				other->line);
		if (port->spec.device[0] != '\0' && port->spec.backend == other->spec.backend &&
			strcmp(port->spec.device, other->spec.device) == 0 &&
			strcmp(port->netns, other->netns) == 0)
			complain(p, "device \"%s\" is there already, in line %u", port->spec.device,
				other->line);
	}
}

static void line_parse(struct parser *p, char *line)
{
	struct words words = {"", "", "", "", "", "", "", ""};
	struct inventory_port port = {.line = p->line};
	struct port_spec *spec = &port.spec;
	char buf[SHOWN_MAX + 1];
	char *rest = line;
	const char *word = word_next(&rest);
	const char *name;

	if (word == NULL)
		return;
	if (strcmp(word, "port") != 0) {
		complain(p, "\"%s\": expected \"port\"", shown(buf, word));
		return;
	}
	name = word_next(&rest);
	if (name == NULL || !port_name_valid(name)) {
		complain(p, "\"%s\" is no port name, expected [a-z][a-z0-9-]{0,13}",
			shown(buf, name != NULL ? name : ""));
		return;
	}
	memcpy(spec->name, name, strlen(name) + 1);
	words_read(p, rest, &words);
	if (strcmp(words.role, "uplink") == 0)
		spec->role = PORT_ROLE_UPLINK;
	else if (strcmp(words.role, "access") == 0)
		spec->role = PORT_ROLE_ACCESS;
	else
		complain(p, "role is \"%s\", expected uplink or access", shown(buf, words.role));
	if (words.tap[0] == '\0')
		words.tap = name;
	if (port_name_valid(words.tap))
		memcpy(spec->tap, words.tap, strlen(words.tap) + 1);
	else
		complain(p, "tap \"%s\": expected [a-z][a-z0-9-]{0,13}", shown(buf, words.tap));
	spec->tap_fd = spec->packet_fd = spec->link_fd = -1;
	if (strcmp(words.backend, "packet") == 0) {
		spec->backend = PORT_BACKEND_PACKET;
		packet_take(p, &words, &port);
	} else if (strcmp(words.backend, "ethdev") == 0) {
		spec->backend = PORT_BACKEND_ETHDEV;
		ethdev_take(p, &words, &port);
	} else {
		complain(p, "backend is \"%s\", expected packet or ethdev",
			shown(buf, words.backend));
	}
	unique_check(p, &port);
	if (p->inventory->n == PORT_MAX) {
		complain(p, "more than %u ports", PORT_MAX);
		return;
	}
	/* also a faulty port is kept until the end, so that a second of its name is seen */
	spec->id = (uint16_t)p->inventory->n;
	p->inventory->ports[p->inventory->n++] = port;
}

int inventory_parse(
	const char *file, const char *text, size_t size, struct inventory *inventory, FILE *errors)
{
	struct parser p = {.file = file, .errors = errors, .inventory = inventory};
	const char *at = text;
	const char *const end = text + size;

	inventory->n = 0;
	if (size > INVENTORY_SIZE_MAX) {
		complain(&p, "longer than %u octets", INVENTORY_SIZE_MAX);
		return -EFBIG;
	}
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const size_t len = (size_t)((newline != NULL ? newline : end) - at);
		char line[INVENTORY_LINE_MAX + 1];

		p.line++;
		if (len > INVENTORY_LINE_MAX) {
			complain(&p, "line longer than %u octets", INVENTORY_LINE_MAX);
		} else if (memchr(at, '\0', len) != NULL) {
			complain(&p, "a NUL octet");
		} else {
			memcpy(line, at, len);
			line[len] = '\0';
			line[strcspn(line, "#")] = '\0';
			line_parse(&p, line);
		}
		if (newline == NULL)
			break;
		at = newline + 1;
	}
	if (p.failed == 0 && inventory->n == 0)
		complain(&p, "no port, expected a line \"port NAME role=... backend=...\"");
	if (p.failed > INVENTORY_ERRORS_MAX && errors != NULL)
		fprintf(errors, "%s: %u more errors\n", file, p.failed - INVENTORY_ERRORS_MAX);
	return p.failed == 0 ? 0 : -EINVAL;
}
