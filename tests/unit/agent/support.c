/* What the agent's tests share; see support.h. */
#include "tests/unit/agent/support.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int support_need_root(void)
{
	if (geteuid() == 0)
		return 0;
	puts("skipped: needs root for a network namespace of its own");
	return 77;
}

static int run(const char *fmt, va_list ap)
{
	char command[1024];

	if (vsnprintf(command, sizeof(command), fmt, ap) >= (int)sizeof(command))
		fail_msg("command is too long");
	return system(command);
}

void support_run(const char *fmt, ...)
{
	va_list ap;
	int status;

	va_start(ap, fmt);
	status = run(fmt, ap);
	va_end(ap);
	if (status != 0)
		fail_msg("\"%s\" ended with %d", fmt, status);
}

void support_try(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (run(fmt, ap) != 0)
		(void)0; /* what was to be cleaned up is not there */
	va_end(ap);
}

static char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	assert_true(vasprintf(&s, fmt, ap) >= 0);
	va_end(ap);
	return s;
}

#define NEW(type, init) ((type *)new_message(sizeof(type), init))

static void *new_message(size_t size, void (*init)(void *))
{
	void *p = calloc(1, size);

	assert_non_null(p);
	init(p);
	return p;
}

#define INIT(name)                                                                                 \
	static void init_##name(void *p)                                                           \
	{                                                                                          \
		audums__v1__##name##__init(p);                                                     \
	}
INIT(desired_state)
INIT(node_base)
INIT(uplink_config)
INIT(evpn_peer_config)
INIT(segment_config)
INIT(attachment_config)

static void *list(void *first)
{
	void **l = calloc(1, sizeof(*l));

	assert_non_null(l);
	*l = first;
	return l;
}

static Audums__V1__SegmentConfig *segment(unsigned int node, unsigned int i, uint32_t vni)
{
	Audums__V1__SegmentConfig *s = NEW(Audums__V1__SegmentConfig, init_segment_config);

	s->name = text("seg%u", i);
	s->vni = vni + i;
	s->rd = text("10.254.%u.1:%u", node, i + 1);
	s->rt_import = list(text("64500:%u", vni + i));
	s->n_rt_import = 1;
	s->rt_export = list(text("64500:%u", vni + i));
	s->n_rt_export = 1;
	s->mtu = 1500;
	s->vteps = list(text("10.254.%u.1", 3 - node));
	s->n_vteps = 1;
	s->generation = 1;
	return s;
}

Audums__V1__DesiredState *support_desired(
	unsigned int node, uint64_t generation, unsigned int n, uint32_t vni)
{
	Audums__V1__DesiredState *m = NEW(Audums__V1__DesiredState, init_desired_state);
	Audums__V1__NodeBase *b = NEW(Audums__V1__NodeBase, init_node_base);
	Audums__V1__UplinkConfig *u = NEW(Audums__V1__UplinkConfig, init_uplink_config);
	Audums__V1__EvpnPeerConfig *p = NEW(Audums__V1__EvpnPeerConfig, init_evpn_peer_config);
	const unsigned int peer = 3 - node;

	m->generation = generation;
	m->full = m->last = true;
	m->node_base = b;
	b->node = text("n%u", node);
	b->asn = 64510 + node;
	b->router_id = text("10.254.%u.1", node);
	b->vtep = text("10.254.%u.1", node);
	u->link = text("l1");
	u->port = text("up0");
	u->address = text("10.253.1.%u/31", node - 1);
	u->peer_address = text("10.253.1.%u", peer - 1);
	u->peer_asn = 64510 + peer;
	u->peer_node = text("n%u", peer);
	u->mtu = 1600;
	b->uplinks = list(u);
	b->n_uplinks = 1;
	p->node = text("n%u", peer);
	p->address = text("10.254.%u.1", peer);
	p->asn = 64510 + peer;
	b->evpn_peers = list(p);
	b->n_evpn_peers = 1;
	m->segments = calloc(n + 1, sizeof(*m->segments));
	assert_non_null(m->segments);
	for (unsigned int i = 0; i < n; i++)
		m->segments[i] = segment(node, i, vni);
	m->n_segments = n;
	return m;
}

void support_attach(Audums__V1__DesiredState *m, unsigned int i, const char *name, const char *port)
{
	Audums__V1__SegmentConfig *s = m->segments[i];
	Audums__V1__AttachmentConfig *a = NEW(Audums__V1__AttachmentConfig, init_attachment_config);

	a->name = text("%s", name);
	a->port = text("%s", port);
	s->attachments = realloc(s->attachments, (s->n_attachments + 1) * sizeof(*s->attachments));
	assert_non_null(s->attachments);
	s->attachments[s->n_attachments++] = a;
}

void support_drop(Audums__V1__DesiredState *m, unsigned int i)
{
	audums__v1__segment_config__free_unpacked(m->segments[i], NULL);
	m->segments[i] = m->segments[--m->n_segments];
}

char *support_read(const char *name, size_t *len)
{
	char path[512], *buf;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", name[0] == '/' ? "" : AGENT_TEST_DATA, name);
	f = fopen(path, "re");
	if (!f)
		fail_msg("cannot open %s", path);
	buf = malloc(1 << 20);
	assert_non_null(buf);
	n = fread(buf, 1, (1 << 20) - 1, f);
	fclose(f);
	buf[n] = '\0';
	if (len)
		*len = n;
	return buf;
}

bool support_device(const char *name)
{
	return if_nametoindex(name) != 0;
}
