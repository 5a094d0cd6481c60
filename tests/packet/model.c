/* The reference; see model.h. Read it beside docs/developer/packet.md, not beside the dataplane. */
#include "tests/packet/model.h"

#include <stdlib.h>
#include <string.h>

#define VXLAN_PORT 4789
#define OUTER      50 /* Ethernet 14, IPv4 20, UDP 8, VXLAN 8 */

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static void set16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void set32(uint8_t *p, uint32_t v)
{
	set16(p, v >> 16);
	set16(p + 2, v & 0xffff);
}

uint16_t model_checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += get16(data + i);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void model_init(struct model *m)
{
	memset(m, 0, sizeof(*m));
	for (int i = 0; i < MODEL_PORTS; i++)
		m->ports[i].segment = -1;
	for (int s = 0; s < MODEL_SEGMENTS; s++)
		for (int i = 0; i < MODEL_MACS; i++)
			m->segments[s].macs[i].self = m->segments[s].macs[i].learnt = -1;
}

/* ---- what the kernel says ---- */

static void segment_empty(struct model *m, unsigned int segment)
{
	struct model_segment *s = &m->segments[segment];

	memset(s->flood, 0, sizeof(s->flood));
	for (int i = 0; i < MODEL_MACS; i++)
		s->macs[i] = (struct model_mac){.self = -1, .learnt = -1};
}

void model_segment_add(struct model *m, unsigned int segment)
{
	m->segments[segment].exists = true;
}

void model_segment_del(struct model *m, unsigned int segment)
{
	segment_empty(m, segment);
	m->segments[segment].exists = false;
	for (int i = 0; i < MODEL_PORTS; i++)
		if (m->ports[i].segment == (int)segment)
			m->ports[i].segment = -1;
}

static bool port_works(const struct model *m, unsigned int port)
{
	return m->ports[port].link && m->ports[port].admin;
}

/* A local MAC is not here any more; what the kernel has of it, it is asked to forget. */
static void mac_withdraw(struct model_mac *e)
{
	e->learnt = -1;
	if (e->kernel == MODEL_MAC_PORT)
		e->expiring = true;
}

/* The kernel's entry goes. */
static void kernel_entry_clear(struct model_mac *e)
{
	e->kernel = MODEL_MAC_NONE;
	e->expiring = false;
}

/* Port and segment part: nothing of the port stays in the segment. */
static void port_leaves(struct model *m, unsigned int port)
{
	const int segment = m->ports[port].segment;

	if (segment < 0)
		return;
	for (int i = 0; i < MODEL_MACS; i++) {
		struct model_mac *e = &m->segments[segment].macs[i];

		if (e->learnt == (int)port)
			e->learnt = -1;
		if (e->kernel == MODEL_MAC_PORT && e->kernel_port == (int)port)
			kernel_entry_clear(e);
	}
	m->ports[port].segment = -1;
}

void model_attach(struct model *m, unsigned int port, int segment)
{
	if (m->ports[port].segment == segment)
		return;
	port_leaves(m, port);
	m->ports[port].segment = segment;
}

/* The port stopped working: its MACs are withdrawn. */
static void port_fails(struct model *m, unsigned int port)
{
	const int segment = m->ports[port].segment;

	if (segment < 0)
		return;
	for (unsigned int i = 0; i < MODEL_MACS; i++) {
		int at, vtep;

		model_mac_place(m, (unsigned int)segment, i, &at, &vtep);
		if (at == (int)port)
			mac_withdraw(&m->segments[segment].macs[i]);
	}
}

void model_link(struct model *m, unsigned int port, bool up)
{
	const bool was = m->ports[port].link;

	m->ports[port].link = up;
	if (was && !up && port >= MODEL_UPLINKS)
		port_fails(m, port);
}

void model_admin(struct model *m, unsigned int port, bool up)
{
	const bool was = m->ports[port].admin;

	m->ports[port].admin = up;
	if (was && !up && port >= MODEL_UPLINKS)
		port_fails(m, port);
}

void model_mac_remote(struct model *m, unsigned int segment, unsigned int mac, unsigned int vtep)
{
	struct model_mac *e = &m->segments[segment].macs[mac];

	e->self = (int)vtep;
	e->learnt = -1; /* the kernel decides */
	e->kernel = MODEL_MAC_VXLAN;
	e->expiring = false;
}

void model_mac_remote_del(
	struct model *m, unsigned int segment, unsigned int mac, unsigned int vtep)
{
	struct model_mac *e = &m->segments[segment].macs[mac];

	if (e->kernel == MODEL_MAC_VXLAN)
		kernel_entry_clear(e);
	if (e->self == (int)vtep)
		e->self = -1;
}

void model_mac_local(struct model *m, unsigned int segment, unsigned int mac, unsigned int port)
{
	struct model_mac *e = &m->segments[segment].macs[mac];

	/* learnt elsewhere meanwhile: this is the echo of a write before that, and stands behind */
	if (e->learnt == (int)port)
		e->learnt = -1;
	if (e->kernel != MODEL_MAC_PORT || e->kernel_port != (int)port)
		e->expiring = false;
	e->kernel = MODEL_MAC_PORT;
	e->kernel_port = (int)port;
	/* found at a port without link: nobody is there */
	if (!e->expiring && !m->ports[port].link)
		mac_withdraw(e);
}

void model_mac_local_del(struct model *m, unsigned int segment, unsigned int mac, unsigned int port)
{
	struct model_mac *e = &m->segments[segment].macs[mac];

	if (e->kernel == MODEL_MAC_PORT && e->kernel_port == (int)port)
		kernel_entry_clear(e);
}

void model_mac_age(struct model *m, unsigned int segment, unsigned int mac)
{
	int port, vtep;

	model_mac_place(m, segment, mac, &port, &vtep);
	if (port >= 0)
		mac_withdraw(&m->segments[segment].macs[mac]);
}

struct model_route *model_route(struct model *m, uint32_t addr, unsigned int len)
{
	struct model_route *unused = NULL;

	for (int i = 0; i < MODEL_ROUTES; i++) {
		struct model_route *r = &m->routes[i];

		if (r->used && r->addr == addr && r->len == len)
			return r;
		if (!r->used)
			unused = r;
	}
	if (unused == NULL)
		abort();
	*unused = (struct model_route){.used = true, .addr = addr, .len = len};
	return unused;
}

void model_route_del(struct model *m, uint32_t addr, unsigned int len)
{
	model_route(m, addr, len)->used = false;
}

/* ---- look-ups ---- */

void model_mac_place(
	const struct model *m, unsigned int segment, unsigned int mac, int *port, int *vtep)
{
	const struct model_mac *e = &m->segments[segment].macs[mac];

	*port = *vtep = -1;
	if (e->learnt >= 0)
		*port = e->learnt;
	else if (e->expiring || e->kernel == MODEL_MAC_NONE)
		return;
	else if (e->kernel == MODEL_MAC_VXLAN)
		*vtep = e->self;
	else if (m->ports[e->kernel_port].segment == (int)segment)
		*port = e->kernel_port;
}

static int mac_number(const struct model *m, const uint8_t *mac)
{
	for (int i = 0; i < MODEL_MACS; i++)
		if (memcmp(m->macs[i], mac, 6) == 0)
			return i;
	return -1;
}

/* The VTEP may send into the segment: it is in the flood list, or a MAC is there. */
static bool vtep_known(const struct model_segment *s, int vtep)
{
	if (s->flood[vtep])
		return true;
	for (int i = 0; i < MODEL_MACS; i++)
		if (s->macs[i].self == vtep)
			return true;
	return false;
}

static const struct model_route *route_best(const struct model *m, uint32_t addr)
{
	const struct model_route *best = NULL;

	for (int i = 0; i < MODEL_ROUTES; i++) {
		const struct model_route *r = &m->routes[i];
		const uint32_t mask = r->len == 0 ? 0 : 0xffffffffu << (32 - r->len);

		if (r->used && (addr & mask) == r->addr && (best == NULL || r->len > best->len))
			best = r;
	}
	return best;
}

static const bool *route_legs(const struct model *m, const struct model_route *r)
{
	if (r == NULL)
		return NULL;
	if (r->kind == MODEL_ROUTE_LEGS)
		return r->leg;
	return r->kind == MODEL_ROUTE_NEXTHOP ? m->nexthops[r->nexthop] : NULL;
}

/* ---- what must leave ---- */

static struct model_out *out_new(struct model *m, const uint8_t *data, size_t len)
{
	struct model_out *o = &m->outs[m->n_outs++];

	if (m->n_outs == MODEL_OUTS)
		abort();
	memset(o, 0, offsetof(struct model_out, frame));
	o->source = m->source;
	o->frame.len = len;
	memcpy(o->frame.data, data, len);
	return o;
}

static void out_port(struct model *m, unsigned int port, const uint8_t *data, size_t len)
{
	struct model_out *o;

	if (!port_works(m, port))
		return;
	o = out_new(m, data, len);
	o->n_ways = 1;
	o->ways[0] = port;
	memcpy(o->eth[0], data, 14);
}

static void out_tap(struct model *m, unsigned int port, const uint8_t *data, size_t len)
{
	struct model_out *o = out_new(m, data, len);

	o->tap = true;
	o->n_ways = 1;
	o->ways[0] = port;
	memcpy(o->eth[0], data, 14);
}

/* An IPv4 packet (after 14 octets of anything) to whichever leg a hash may choose. */
static void out_legs(struct model *m, const bool legs[MODEL_UPLINKS], const uint8_t *data,
	size_t len, bool entropy)
{
	struct model_out *o = NULL;

	for (unsigned int i = 0; i < MODEL_UPLINKS; i++) {
		uint8_t *eth;

		/* legs without link or neighbour are left out; with no other leg the packet ends */
		if (!legs[i] || !port_works(m, i) || !m->neighbour[i])
			continue;
		if (o == NULL)
			o = out_new(m, data, len);
		eth = o->eth[o->n_ways];
		memcpy(eth, m->hop_mac[i], 6);
		memcpy(eth + 6, m->ports[i].mac, 6);
		set16(eth + 12, 0x0800);
		o->ways[o->n_ways++] = i;
		o->entropy = entropy;
	}
}

static void out_vtep(
	struct model *m, unsigned int segment, unsigned int vtep, const struct model_frame *inner)
{
	const bool *legs = route_legs(m, route_best(m, m->vteps[vtep]));
	uint8_t data[MODEL_FRAME + OUTER] = {0};

	if (legs == NULL)
		return;
	data[14] = 0x45;
	set16(data + 16, (uint32_t)(inner->len + OUTER - 14));
	set16(data + 20, 0x4000);
	data[22] = 64;
	data[23] = 17;
	set32(data + 26, m->local);
	set32(data + 30, m->vteps[vtep]);
	set16(data + 24, model_checksum(data + 14, 20));
	set16(data + 36, VXLAN_PORT);
	set16(data + 38, (uint32_t)(inner->len + 16));
	data[42] = 0x08;
	set32(data + 46, m->segments[segment].vni << 8);
	memcpy(data + OUTER, inner->data, inner->len);
	out_legs(m, legs, data, inner->len + OUTER, true);
}

/* ---- frames ---- */

static bool is_group(const uint8_t *mac)
{
	return (mac[0] & 1) != 0;
}

static bool is_zero(const uint8_t *mac)
{
	static const uint8_t zero[6];

	return memcmp(mac, zero, 6) == 0;
}

static bool is_tagged(const uint8_t *frame)
{
	return get16(frame + 12) == 0x8100 || get16(frame + 12) == 0x88a8;
}

/* To all of the segment but where it came from. from_port -1: it came by the overlay. */
static void flood(struct model *m, unsigned int segment, int from_port, const struct model_frame *f)
{
	for (unsigned int p = MODEL_UPLINKS; p < MODEL_PORTS; p++)
		if (m->ports[p].segment == (int)segment && (int)p != from_port)
			out_port(m, p, f->data, f->len);
	for (unsigned int v = 0; from_port >= 0 && v < MODEL_VTEPS; v++)
		if (m->segments[segment].flood[v])
			out_vtep(m, segment, v, f);
}

static void access_in(struct model *m, unsigned int port, const struct model_frame *f)
{
	static const uint8_t reserved[5] = {0x01, 0x80, 0xc2, 0x00, 0x00};
	const uint8_t *dst = f->data, *src = f->data + 6;
	const int segment = m->ports[port].segment;
	int to_port = -1, to_vtep = -1, mac;

	if (f->len < 14 || segment < 0 || is_group(src) || is_zero(src) ||
		memcmp(src, m->ports[port].mac, 6) == 0 || is_tagged(f->data) ||
		(memcmp(dst, reserved, 5) == 0 && dst[5] < 0x10))
		return;
	mac = mac_number(m, src);
	if (mac >= 0) {
		struct model_event e = {port, (unsigned int)segment, (unsigned int)mac, -1, -1};

		model_mac_place(m, e.segment, e.mac, &e.saw_port, &e.saw_vtep);
		if (e.saw_port != (int)port)
			m->events[m->n_events++] = e;
	}
	mac = mac_number(m, dst);
	if (mac >= 0)
		model_mac_place(m, (unsigned int)segment, (unsigned int)mac, &to_port, &to_vtep);
	if (to_port >= 0) {
		if (to_port != (int)port)
			out_port(m, (unsigned int)to_port, f->data, f->len);
	} else if (to_vtep >= 0) {
		out_vtep(m, (unsigned int)segment, (unsigned int)to_vtep, f);
	} else {
		flood(m, (unsigned int)segment, (int)port, f);
	}
}

/* A whole VXLAN packet for us, without padding. */
static void decap(struct model *m, const uint8_t *data, size_t len)
{
	const size_t l4 = 14 + (size_t)(data[14] & 15) * 4;
	const uint32_t src = get32(data + 26), dst = get32(data + 30);
	int segment = -1, vtep = -1, mac, to_port = -1, to_vtep = -1;
	struct model_frame inner;
	uint32_t udp_len;

	if (len < l4 + 16)
		return;
	udp_len = get16(data + l4 + 4);
	if (udp_len < 16 || l4 + udp_len > len || (data[l4 + 8] & 0x08) == 0)
		return;
	for (int i = 0; i < MODEL_SEGMENTS; i++)
		if (m->segments[i].exists && m->segments[i].vni == get32(data + l4 + 12) >> 8)
			segment = i;
	for (int i = 0; i < MODEL_VTEPS; i++)
		if (m->vteps[i] == src)
			vtep = i;
	if (segment < 0 || vtep < 0 || dst != m->local ||
		!vtep_known(&m->segments[segment], vtep) || udp_len < 30)
		return;
	inner.len = udp_len - 16;
	memcpy(inner.data, data + l4 + 16, inner.len);
	if (is_group(inner.data + 6) || is_zero(inner.data + 6) || is_tagged(inner.data))
		return;
	mac = mac_number(m, inner.data);
	if (mac >= 0)
		model_mac_place(m, (unsigned int)segment, (unsigned int)mac, &to_port, &to_vtep);
	if (to_vtep >= 0)
		return; /* split horizon */
	if (to_port >= 0)
		out_port(m, (unsigned int)to_port, inner.data, inner.len);
	else
		flood(m, (unsigned int)segment, -1, &inner);
}

/* UDP to us that is too short to say to which port. */
static bool is_udp_cut(const uint8_t *data, size_t len)
{
	return data[23] == 17 && (get16(data + 20) & 0x1fff) == 0 &&
	       len < 14 + (size_t)(data[14] & 15) * 4 + 8;
}

static bool is_vxlan(const uint8_t *data, size_t len, size_t udp)
{
	const size_t l4 = 14 + (size_t)(data[14] & 15) * 4;

	return data[23] == 17 && (get16(data + 20) & 0x1fff) == 0 && len >= l4 + udp &&
	       get16(data + l4 + 2) == VXLAN_PORT;
}

/* To the kernel, which must not see VXLAN, nor a piece of it. */
static void punt(struct model *m, unsigned int port, const uint8_t *data, size_t len)
{
	if (get16(data + 12) == 0x0800 && is_vxlan(data, len, 4))
		return;
	out_tap(m, port, data, len);
}

static void forward(struct model *m, unsigned int port, const bool legs[MODEL_UPLINKS],
	uint8_t *data, size_t len)
{
	if (data[22] <= 1) {
		punt(m, port, data, len);
		return;
	}
	data[22]--;
	set16(data + 24, 0);
	set16(data + 24, model_checksum(data + 14, (size_t)(data[14] & 15) * 4));
	out_legs(m, legs, data, len, false);
}

static bool address_bad(uint32_t src, uint32_t dst)
{
	return src >= 0xe0000000u || src >> 24 == 127 || dst >> 24 == 127 || dst >> 24 == 0 ||
	       (dst >= 0xf0000000u && dst != 0xffffffffu);
}

static void uplink_in(struct model *m, unsigned int port, const struct model_frame *f)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const struct model_route *route;
	uint8_t data[MODEL_FRAME];
	size_t len = f->len, header;
	uint32_t src, dst;

	memcpy(data, f->data, len);
	if (len < 14 || memcmp(data + 6, m->ports[port].mac, 6) == 0 ||
		(memcmp(data, m->ports[port].mac, 6) != 0 && !is_group(data)) || is_tagged(data))
		return;
	if (get16(data + 12) != 0x0800) {
		punt(m, port, data, len);
		return;
	}
	header = (size_t)(data[14] & 15) * 4;
	if (len < 34 || data[14] >> 4 != 4 || header < 20 || len < 14 + header ||
		get16(data + 16) < header || get16(data + 16) > len - 14 ||
		model_checksum(data + 14, header) != 0)
		return;
	len = 14 + get16(data + 16);
	src = get32(data + 26);
	dst = get32(data + 30);
	if (address_bad(src, dst))
		return;
	if (is_group(data)) {
		if (memcmp(data, broadcast, 6) == 0 || dst >= 0xe0000000u)
			punt(m, port, data, len);
		return;
	}
	route = route_best(m, dst);
	if (dst >= 0xe0000000u)
		punt(m, port, data, len);
	else if (route == NULL || route->kind == MODEL_ROUTE_BLACKHOLE)
		return;
	else if (route->kind == MODEL_ROUTE_UNREACHABLE)
		punt(m, port, data, len);
	else if (route_legs(m, route) != NULL)
		forward(m, port, route_legs(m, route), data, len);
	else if (is_udp_cut(data, len))
		return;
	else if (!is_vxlan(data, len, 8))
		punt(m, port, data, len);
	else if ((get16(data + 20) & 0x3fff) == 0)
		decap(m, data, len);
}

void model_frame_in(struct model *m, unsigned int port, const struct model_frame *f)
{
	m->source++;
	if (port < MODEL_UPLINKS)
		uplink_in(m, port, f);
	else
		access_in(m, port, f);
}

void model_tap_in(struct model *m, unsigned int port, const struct model_frame *f)
{
	m->source++;
	if (port >= MODEL_UPLINKS)
		return;
	if (f->len >= 34 && get16(f->data + 12) == 0x0800 && is_vxlan(f->data, f->len, 4))
		return;
	out_port(m, port, f->data, f->len);
}

void model_step_end(struct model *m)
{
	for (unsigned int i = 0; i < m->n_events; i++) {
		const struct model_event *e = &m->events[i];
		struct model_mac *mac = &m->segments[e->segment].macs[e->mac];
		int port, vtep;

		/* only who saw what still stands may change it */
		model_mac_place(m, e->segment, e->mac, &port, &vtep);
		if (port != e->saw_port || vtep != e->saw_vtep || !port_works(m, e->port))
			continue;
		mac->learnt = (int)e->port;
		mac->expiring = false;
	}
	m->n_events = m->n_outs = 0;
}
