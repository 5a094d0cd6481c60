/*
 * The tables in text, sorted by what they mean and never by index, so that equal states print equal
 * text however they came about. For tests and for an operator's eyes; called by the main thread.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/mirror/state.h"

struct lines {
	char **lines;
	size_t n, size;
};

static void line_add(struct lines *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line_add(struct lines *l, const char *fmt, ...)
{
	va_list ap;
	char *line;

	if (l->n == l->size) {
		size_t size = l->size ? l->size * 2 : 64;
		char **lines = realloc(l->lines, size * sizeof(*lines));

		if (!lines)
			return;
		l->lines = lines;
		l->size = size;
	}
	va_start(ap, fmt);
	if (vasprintf(&line, fmt, ap) >= 0)
		l->lines[l->n++] = line;
	va_end(ap);
}

static int line_compare(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static void lines_out(struct lines *l, FILE *out)
{
	if (l->n)
		qsort(l->lines, l->n, sizeof(*l->lines), line_compare);
	for (size_t i = 0; i < l->n; i++) {
		fprintf(out, "%s\n", l->lines[i]);
		free(l->lines[i]);
	}
	free(l->lines);
	*l = (struct lines){0};
}

struct ip_text {
	char text[16];
};

static struct ip_text ip(rte_be32_t addr)
{
	uint32_t a = rte_be_to_cpu_32(addr);
	struct ip_text t;

	snprintf(t.text, sizeof(t.text), "%u.%u.%u.%u", a >> 24, a >> 16 & 0xff, a >> 8 & 0xff,
		a & 0xff);
	return t;
}

static void adj_text(const struct mirror *m, uint16_t index, char *to, size_t size)
{
	const struct adj *a = adj_get(&m->t->adjs, index);
	const uint8_t *r = a->rewrite;

	snprintf(to, size, "%s@%s/%u", ip(a->addr).text, port_get(&m->t->ports, a->port)->name,
		a->mtu);
	size -= strlen(to);
	to += strlen(to);
	if (a->resolved)
		snprintf(to, size, "=%02x:%02x:%02x:%02x:%02x:%02x", r[0], r[1], r[2], r[3], r[4],
			r[5]);
	else
		snprintf(to, size, "=?");
}

static int text_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static char *nhg_text(const struct mirror *m, uint16_t index)
{
	const struct nhg *g = nhg_get(&m->t->nhgs, index);
	char legs[NHG_MAX_LEGS][80], *all;
	size_t size;

	if (!g)
		return strdup("none");
	for (unsigned int i = 0; i < g->n_legs; i++) {
		adj_text(m, g->legs[i].adj, legs[i], sizeof(legs[i]) - 8);
		if (g->legs[i].weight != 1)
			snprintf(legs[i] + strlen(legs[i]), 8, "*%u", g->legs[i].weight);
	}
	qsort(legs, g->n_legs, sizeof(legs[0]), text_compare);
	size = (size_t)g->n_legs * 81 + 32;
	all = calloc(1, size);
	for (unsigned int i = 0; all && i < g->n_legs; i++)
		snprintf(all + strlen(all), size - strlen(all), "%s%s", i ? "," : "", legs[i]);
	if (all)
		snprintf(all + strlen(all), size - strlen(all), " live=%u", g->n_live);
	return all;
}

struct ac_name {
	char text[PORT_NAME_LEN + sizeof(struct ac_text)];
};

/* The port's name, and the tags if there are: "p1", "p1.100". */
static struct ac_name ac_name(const struct mirror *m, uint16_t id)
{
	struct ac_text tags = ac_tags_text(&m->t->acs, id);
	struct ac_name n;

	snprintf(n.text, sizeof(n.text), "%s%s%s",
		port_get(&m->t->ports, ac_port(&m->t->acs, id))->name, *tags.text ? "." : "",
		tags.text);
	return n;
}

static void print_ports(const struct mirror *m, struct lines *l)
{
	for (uint16_t i = 0; i < m->t->ports.n; i++) {
		const struct port_entry *p = port_get(&m->t->ports, i);

		if (p->kind != PORT_KIND_NONE)
			line_add(l, "port %s mtu %u admin %u bd %s", p->name, p->mtu, p->admin_up,
				ac_bd(&m->t->acs, i) ? mirror_bd_name(m, ac_bd(&m->t->acs, i))
						     : "-");
	}
	for (uint16_t i = AC_TAGGED; i < m->t->acs.end; i++)
		if (ac_get(&m->t->acs, i)->live)
			line_add(l, "ac %s bd %s", ac_name(m, i).text,
				ac_bd(&m->t->acs, i) ? mirror_bd_name(m, ac_bd(&m->t->acs, i))
						     : "-");
}

static void print_domains(const struct mirror *m, struct lines *l)
{
	for (uint16_t id = 1; id < bd_end(m->t->bds); id++) {
		const struct bd *bd = bd_get(m->t->bds, id);
		const char *name = mirror_bd_name(m, id);

		if (!bd || !*name)
			continue;
		line_add(l, "bd %s vni %u mtu %u local %s", name, bd->vni, bd->mtu,
			ip(bd->local).text);
		for (unsigned int i = 0; i < bd->n_acs; i++)
			line_add(l, "bd %s port %s", name, ac_name(m, bd->acs[i]).text);
		for (unsigned int i = 0; i < bd->n_flood; i++)
			line_add(l, "bd %s flood %s", name,
				ip(vtep_get(&m->t->vteps, bd->flood[i])->remote).text);
		for (uint16_t i = 1; i < m->t->vteps.end; i++)
			if (bd_allows(bd, i))
				line_add(l, "bd %s allows %s", name,
					ip(vtep_get(&m->t->vteps, i)->remote).text);
	}
}

struct fdb_print {
	const struct mirror *m;
	struct lines *lines;
};

static bool print_mac(void *ctx, const struct fdb_entry *e)
{
	struct fdb_print *p = ctx;
	const struct mirror *m = p->m;
	uint32_t at = fdb_dest_index(e->dest);
	struct rte_ether_addr mac;
	const uint8_t *b = mac.addr_bytes;

	fdb_key_mac(e->key, &mac);
	line_add(p->lines, "fdb %s %02x:%02x:%02x:%02x:%02x:%02x %s",
		mirror_bd_name(m, fdb_key_bd(e->key)), b[0], b[1], b[2], b[3], b[4], b[5],
		fdb_dest_kind(e->dest) == FDB_KIND_AC
			? ac_name(m, (uint16_t)at).text
			: ip(vtep_get(&m->t->vteps, (uint16_t)at)->remote).text);
	return true;
}

static void print_vteps(const struct mirror *m, struct lines *l)
{
	for (uint16_t i = 1; i < m->t->vteps.end; i++) {
		const struct vtep *v = vtep_get(&m->t->vteps, i);
		char *by;

		if (m->t->vteps.refs[i] == 0)
			continue;
		by = nhg_text(m, vtep_nhg(v));
		line_add(l, "vtep %s %s by %s", ip(v->local).text, ip(v->remote).text,
			by ? by : "?");
		free(by);
	}
}

static void print_route(void *ctx, uint32_t addr, uint8_t depth, uint16_t result)
{
	static const char *const names[FIB4_NHG] = {[FIB4_MISS] = "miss",
		[FIB4_LOCAL] = "local",
		[FIB4_BLACKHOLE] = "blackhole",
		[FIB4_REJECT] = "reject",
		[FIB4_PUNT] = "punt"};
	struct fdb_print *p = ctx;
	char *by = fib4_is_nhg(result) ? nhg_text(p->m, fib4_nhg(result)) : NULL;

	line_add(p->lines, "route %s/%u %s", ip(rte_cpu_to_be_32(addr)).text, depth,
		fib4_is_nhg(result) ? (by ? by : "?") : names[result]);
	free(by);
}

void mirror_print(const struct mirror *m, void *file)
{
	struct lines lines = {0};
	struct fdb_print ctx = {m, &lines};
	uint32_t cursor = 0;

	print_ports(m, &lines);
	print_domains(m, &lines);
	while (fdb_walk(m->t->fdb, &cursor, 1024, print_mac, &ctx))
		;
	print_vteps(m, &lines);
	fib4_walk(m->t->fib, print_route, &ctx);
	lines_out(&lines, file);
}
