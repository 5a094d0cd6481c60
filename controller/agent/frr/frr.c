/* The FRR half of the agent; see frr.h. */
#include "controller/agent/frr/frr.h"

#include "controller/agent/desired.h"
#include "controller/agent/frr/render.h"
#include "controller/agent/frr/retell.h"
#include "controller/agent/text.h"
#include "controller/rpc/loop.h"
#include "proto/lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define POLL_MS       500
#define POLL_QUICK_MS 10
#define POLL_SOON_MS  100 /* while a session is not up */
#define HURRY         60  /* quick polls after a change; they grow slower */
#define GATE_MS       2000
#define TRIES         3 /* read-backs that may differ before the segment is called failed */
#define TRIES_PAUSE   10
#define REPAIR_MIN_MS 250
#define REPAIR_MAX_MS 10000
#define BFD_WRONG     2  /* polls in a row with wrong times that call for repair */
#define BFD_AGAIN     12 /* and after so many more again */

static void ask(struct frr *f);

/* ---- reading back ---- */

static bool sets_equal(char *const *want, size_t n, char *const *have, size_t m)
{
	size_t hits = 0;

	for (size_t i = 0; i < n; i++) {
		bool found = false;

		for (size_t k = 0; k < m && !found; k++)
			found = strcmp(want[i], have[k]) == 0;
		if (!found)
			return false;
	}
	for (size_t k = 0; k < m; k++)
		for (size_t i = 0; i < n; i++)
			if (strcmp(want[i], have[k]) == 0) {
				hits++;
				break;
			}
	return hits == m;
}

/* Lines that take away route targets that are there and not wanted. */
static size_t extra_lines(char *out, size_t size, size_t at, const char *kind, char *const *want,
	size_t n, char *const *have, size_t m)
{
	for (size_t k = 0; k < m; k++) {
		bool wanted = false;

		for (size_t i = 0; i < n && !wanted; i++)
			wanted = strcmp(want[i], have[k]) == 0;
		/* what is read back is typed in again: nothing but a route target may be */
		if (!wanted && text_rt(have[k]) && at + 64 < size)
			at += (size_t)snprintf(
				out + at, size - at, "no route-target %s %s\n", kind, have[k]);
	}
	return at;
}

static void tell_drift(struct frr *f, const char *kind, const char *name, const char *message)
{
	char object[64];

	snprintf(object, sizeof(object), "%s/%s", kind, name);
	f->drift(f->arg, object, message);
}

/* The segment's item is acknowledged: is it there, and as wanted? */
static void judge_segment(struct frr *f, struct segment *s, const char *key)
{
	const Audums__V1__SegmentConfig *c = s->cfg;
	const struct rb_vni *v = rb_vnis_find(&f->vnis, c->vni);
	const bool matched = s->frr_match;
	char fix[2048] = "", message[DAEMON_ERROR_MAX];
	size_t at;

	if (v && v->is_l2 && strcmp(v->rd, c->rd) == 0 &&
		sets_equal(c->rt_import, c->n_rt_import, v->rt_import, v->import_count) &&
		sets_equal(c->rt_export, c->n_rt_export, v->rt_export, v->export_count)) {
		snprintf(s->rd, sizeof(s->rd), "%s", v->rd);
		s->frr_match = true;
		s->frr_ok = v->in_kernel;
		s->frr_tries = 0;
		s->frr_error[0] = '\0';
		return;
	}
	s->frr_ok = s->frr_match = false;
	snprintf(s->rd, sizeof(s->rd), "%s", v ? v->rd : "");
	if (!v)
		snprintf(message, sizeof(message), "bgpd has lost vni %u", c->vni);
	else
		snprintf(message, sizeof(message),
			"bgpd reads back vni %u rd %s import %s export %s, wanted rd %s", c->vni,
			v->rd, v->import_count ? v->rt_import[0] : "none",
			v->export_count ? v->rt_export[0] : "none", c->rd);
	if (matched)
		tell_drift(f, "segment", c->name, message);
	if (s->frr_tries >= TRIES)
		snprintf(s->frr_error, sizeof(s->frr_error), "%s", message);
	/* A residue that stays is tried again now and then, not at every poll. */
	if (s->frr_tries++ >= TRIES && s->frr_tries % TRIES_PAUSE != 0)
		return;
	at = v ? extra_lines(fix, sizeof(fix), 0, "import", c->rt_import, c->n_rt_import,
			 v->rt_import, v->import_count)
	       : 0;
	if (v)
		extra_lines(fix, sizeof(fix), at, "export", c->rt_export, c->n_rt_export,
			v->rt_export, v->export_count);
	daemon_redo(&f->bgpd, CONF_VNI, key, fix);
	frr_hurry(f);
}

static void judge_segments(struct frr *f)
{
	const struct desired *d = f->desired;
	char key[RENDER_KEY_MAX];

	for (size_t i = 0; i < d->vni_count; i++) {
		struct segment *s = d->by_vni[i];
		const char *error;

		render_key_vni(key, s->cfg->vni);
		if (daemon_holds(&f->bgpd, CONF_VNI, key)) {
			judge_segment(f, s, key);
			continue;
		}
		s->frr_ok = s->frr_match = false;
		error = daemon_error(&f->bgpd, key);
		snprintf(s->frr_error, sizeof(s->frr_error), "%s", error ? error : "");
	}
}

/* Whether a repair is due. Repairs are followed by a look at what came of them: without a pause,
 * one that bgpd accepts and does not show would be made as fast as bgpd answers. */
static bool repair_due(const struct frr *f)
{
	return loop_now_ms() >= f->repair_at_ms;
}

/* After each look at bgpd: whether anything of its instance or sessions was wrong. */
static void repair_note(struct frr *f, bool wrong)
{
	if (!wrong) {
		f->repair_delay_ms = f->repair_at_ms = 0;
		return;
	}
	if (!repair_due(f))
		return;
	f->repair_delay_ms = f->repair_delay_ms ? 2 * f->repair_delay_ms : REPAIR_MIN_MS;
	if (f->repair_delay_ms > REPAIR_MAX_MS)
		f->repair_delay_ms = REPAIR_MAX_MS;
	f->repair_at_ms = loop_now_ms() + f->repair_delay_ms;
}

/* Returns whether the session is there as it should be, as far as can be said. */
static bool judge_session(struct frr *f, enum conf_order order, const char *key,
	const struct rb_peers *peers, const char *address, uint32_t asn, const char *kind,
	const char *name)
{
	const struct rb_peer *p = rb_peers_find(peers, address);

	if (!daemon_holds(&f->bgpd, order, key) || (p && p->remote_as == asn))
		return true;
	if (repair_due(f)) {
		tell_drift(f, kind, name,
			p ? "bgpd has another AS for the peer" : "bgpd has lost the peer");
		daemon_redo(&f->bgpd, order, key, NULL);
	}
	return false;
}

/* Returns whether there is an instance to go on with. */
static bool judge_instance(struct frr *f, const Audums__V1__NodeBase *b, bool *wrong)
{
	/* without any peer bgpd's summary names neither its AS nor its router id */
	const bool alone = !b->n_uplinks && !b->n_evpn_peers;
	char key[RENDER_KEY_MAX];

	render_key_base(key, b->asn, b->vtep);
	if (alone ? !f->vnis.advertise_all : f->summary.as != b->asn) {
		*wrong = true;
		if (repair_due(f)) {
			tell_drift(f, "node", b->node,
				f->summary.as ? "bgpd runs another AS"
					      : "bgpd has lost its instance");
			daemon_forget(&f->bgpd, CONF_BASE);
			frr_hurry(f);
		}
		return false;
	}
	if (f->vnis.advertise_all && (alone || strcmp(f->summary.router_id, b->router_id) == 0))
		return true;
	*wrong = true;
	if (repair_due(f)) {
		tell_drift(f, "node", b->node, "bgpd has lost advertise-all-vni or the router id");
		daemon_redo(&f->bgpd, CONF_BASE, key, NULL);
	}
	return true;
}

static void judge_bgp(struct frr *f)
{
	const Audums__V1__NodeBase *b = f->desired->base;
	char key[RENDER_KEY_MAX];
	bool wrong = false;

	if (!b)
		return;
	render_key_base(key, b->asn, b->vtep);
	if (!daemon_holds(&f->bgpd, CONF_BASE, key))
		return;
	if (!judge_instance(f, b, &wrong)) {
		repair_note(f, wrong);
		return;
	}
	for (size_t i = 0; i < b->n_uplinks; i++) {
		const Audums__V1__UplinkConfig *u = b->uplinks[i];

		render_key_uplink(key, u->peer_address);
		if (!judge_session(f, CONF_UPLINK, key, &f->summary.ipv4, u->peer_address,
			    u->peer_asn, "link", u->link))
			wrong = true;
	}
	for (size_t i = 0; i < b->n_evpn_peers; i++) {
		const Audums__V1__EvpnPeerConfig *e = b->evpn_peers[i];

		render_key_peer(key, e->address);
		if (!judge_session(f, CONF_PEER, key, &f->summary.evpn, e->address, e->asn, "peer",
			    e->node[0] ? e->node : e->address))
			wrong = true;
	}
	repair_note(f, wrong);
	judge_segments(f);
}

static void judge_bfd(struct frr *f)
{
	const Audums__V1__NodeBase *b = f->desired->base;
	unsigned int transmit, receive, multiplier;
	bool wrong = false;

	if (!b || !daemon_holds(&f->bfdd, CONF_POLICY, RENDER_KEY_PROFILE))
		return;
	render_bfd_times(f->desired, &transmit, &receive, &multiplier);
	for (size_t i = 0; i < b->n_uplinks; i++) {
		const struct rb_bfd_peer *p = rb_bfd_find(&f->bfd, b->uplinks[i]->peer_address);

		if (p && !p->multihop &&
			(p->transmit_ms != transmit || p->receive_ms != receive ||
				p->multiplier != multiplier))
			wrong = true;
	}
	f->bfd_wrong = wrong ? f->bfd_wrong + 1 : 0;
	/* one poll may fall between a session's birth and its profile */
	if (f->bfd_wrong == BFD_WRONG)
		tell_drift(f, "node", b->node, "bfdd has lost the times of its profile");
	if (f->bfd_wrong % BFD_AGAIN == BFD_WRONG)
		daemon_redo(&f->bfdd, CONF_POLICY, RENDER_KEY_PROFILE, NULL);
	/* Sessions do not find a profile that was deleted and made again by themselves. */
	if (f->bfd_wrong % BFD_AGAIN == BFD_WRONG + 1)
		retell_bfd(f);
}

/* ---- asking ---- */

static bool sessions_up(const struct frr *f)
{
	const Audums__V1__NodeBase *b = f->desired->base;

	for (size_t i = 0; b && i < b->n_uplinks; i++) {
		const struct rb_peer *p =
			rb_peers_find(&f->summary.ipv4, b->uplinks[i]->peer_address);

		if (!p || !p->established)
			return false;
	}
	for (size_t i = 0; b && i < b->n_evpn_peers; i++) {
		const struct rb_peer *p =
			rb_peers_find(&f->summary.evpn, b->evpn_peers[i]->address);

		if (!p || !p->established)
			return false;
	}
	return true;
}

static void schedule(struct frr *f)
{
	uint64_t ms = POLL_MS;

	if (f->hurry) {
		/* 10 ms at first, then slower: a second and a half in all */
		ms = POLL_QUICK_MS + (HURRY - f->hurry) / 2;
		f->hurry--;
	} else if (f->bgpd.up && !sessions_up(f)) {
		ms = POLL_SOON_MS;
	}
	if (ms < 2 * f->cost_ms)
		ms = 2 * f->cost_ms;
	loop_timer_arm(f->timer, ms, 0);
}

static bool waits_for_bgpd(const struct frr *f)
{
	const struct desired *d = f->desired;

	for (size_t i = 0; i < d->vni_count; i++)
		if (d->by_vni[i]->kernel_ok && !d->by_vni[i]->frr_ok &&
			d->by_vni[i]->frr_tries < TRIES)
			return true;
	return !frr_settled(f);
}

static void answer_last(struct frr *f)
{
	const bool current = f->asked_epoch == f->bgpd.epoch && f->bgpd.in_flight == 0;

	if (--f->asked > 0)
		return;
	f->cost_ms = loop_now_ms() - f->asked_at_ms;
	if (f->bgpd.up && f->have_vnis && f->have_summary && current)
		judge_bgp(f);
	if (f->hurry && !waits_for_bgpd(f))
		f->hurry = 0;
	schedule(f);
	f->changed(f->arg);
}

static void got_vnis(void *arg, int status, const char *text, size_t len)
{
	struct frr *f = arg;

	if (status == VTY_LOST) {
		f->have_vnis = false;
	} else {
		rb_vnis_clear(&f->vnis);
		/* without an instance the command fails and says nothing */
		f->have_vnis = true;
		if (len > 0 && rb_vnis_parse(&f->vnis, text) < 0) {
			log_warn("frr_malformed", "daemon=bgpd command=vni");
			f->have_vnis = false;
		}
	}
	answer_last(f);
}

static void got_summary(void *arg, int status, const char *text, size_t len)
{
	struct frr *f = arg;

	if (status == VTY_LOST) {
		f->have_summary = false;
	} else {
		rb_summary_clear(&f->summary);
		f->have_summary = true;
		if (len > 0 && rb_summary_parse(&f->summary, text) < 0) {
			log_warn("frr_malformed", "daemon=bgpd command=summary");
			f->have_summary = false;
		}
	}
	answer_last(f);
}

static void got_bfd(void *arg, int status, const char *text, size_t len)
{
	struct frr *f = arg;

	f->asked_bfdd = false;
	if (status == VTY_LOST)
		return;
	rb_bfd_clear(&f->bfd);
	if (len > 0 && rb_bfd_parse(&f->bfd, text) < 0)
		log_warn("frr_malformed", "daemon=bfdd command=peers");
	else if (f->bfd_epoch == f->bfdd.epoch && f->bfdd.in_flight == 0)
		judge_bfd(f);
	f->changed(f->arg);
}

static void got_clients(void *arg, int status, const char *text, size_t len)
{
	struct frr *f = arg;

	f->asked_zebra = false;
	if (status != VTY_LOST)
		retell_zebra(f, text);
}

static bool ask_one(struct frr *f, struct daemon *dm, const char *command, vty_done_fn *done)
{
	return dm->up && vty_send(dm->vty, command, done, f) == 0;
}

/* A daemon that hangs holds only itself up. */
static void ask(struct frr *f)
{
	if (!f->asked_bfdd) {
		f->bfd_epoch = f->bfdd.epoch;
		f->asked_bfdd = ask_one(f, &f->bfdd, "show bfd peers json", got_bfd);
	}
	if (!f->asked_zebra)
		f->asked_zebra = ask_one(f, &f->zebra, RETELL_COMMAND, got_clients);
	if (f->asked) {
		schedule(f);
		return;
	}
	f->asked_at_ms = loop_now_ms();
	f->asked_epoch = f->bgpd.epoch;
	f->asked += ask_one(f, &f->bgpd, "show bgp l2vpn evpn vni json", got_vnis);
	f->asked += ask_one(f, &f->bgpd, "show bgp summary json", got_summary);
	/* When bgpd answers, answer_last() sets the timer anew. */
	schedule(f);
}

static void timer(void *arg)
{
	ask(arg);
}

void frr_hurry(struct frr *f)
{
	f->hurry = HURRY;
	if (!f->asked)
		loop_timer_arm(f->timer, 0, 0);
}

/* ---- the daemons ---- */

static void daemon_changed(void *arg, struct daemon *dm)
{
	struct frr *f = arg;
	struct desired *d = f->desired;

	if (!dm->up && dm == &f->bgpd) {
		rb_vnis_clear(&f->vnis);
		rb_summary_clear(&f->summary);
		f->have_vnis = f->have_summary = false;
		for (size_t i = 0; i < d->count; i++) {
			d->segments[i]->frr_ok = d->segments[i]->frr_match = false;
			d->segments[i]->rd[0] = '\0';
		}
	}
	if (!dm->up && dm == &f->bfdd)
		rb_bfd_clear(&f->bfd);
	if (dm->up && dm->in_flight == 0)
		frr_hurry(f);
	f->changed(f->arg);
}

static bool may_undo(void *arg, const struct conf_item *item)
{
	struct frr *f = arg;
	const struct rb_vni *v;
	uint32_t vni;

	if (item->order != CONF_VNI || !text_u32(item->key + strlen("vni/"), 16777215, &vni))
		return true;
	/* While the device lives, `no vni` would leave bgpd with route targets of its own making.
	 */
	if (f->kernel_has_vni(f->arg, vni))
		return false;
	v = f->have_vnis ? rb_vnis_find(&f->vnis, vni) : NULL;
	if (!v || !v->in_kernel)
		return true;
	if (!f->hurry)
		frr_hurry(f);
	return false;
}

static int open_one(struct frr *f, struct daemon *dm, const char *name, const char *vty_dir,
	const char *state_dir)
{
	char socket[128], file[256];

	dm->changed = daemon_changed;
	dm->may_undo = may_undo;
	dm->arg = f;
	if (snprintf(socket, sizeof(socket), "%s/%s.vty", vty_dir, name) >= (int)sizeof(socket) ||
		snprintf(file, sizeof(file), "%s/frr-%s.json", state_dir ? state_dir : "", name) >=
			(int)sizeof(file))
		return -ENAMETOOLONG;
	return daemon_open(dm, f->loop, name, socket, state_dir ? file : NULL);
}

int frr_open(struct frr *f, struct loop *loop, const char *vty_dir, const char *state_dir,
	struct desired *desired)
{
	int err;

	f->loop = loop;
	f->desired = desired;
	f->timer = loop_timer_new(loop, timer, f);
	if (!f->timer)
		return -ENOMEM;
	err = open_one(f, &f->bgpd, "bgpd", vty_dir, state_dir);
	if (!err)
		err = open_one(f, &f->bfdd, "bfdd", vty_dir, state_dir);
	if (!err)
		err = open_one(f, &f->zebra, "zebra", vty_dir, state_dir);
	if (err) {
		frr_close(f);
		return err;
	}
	loop_timer_arm(f->timer, POLL_MS, 0);
	return 0;
}

static void nothing(void *arg)
{
}

void frr_close(struct frr *f)
{
	f->changed = nothing;
	daemon_close(&f->bgpd);
	daemon_close(&f->bfdd);
	daemon_close(&f->zebra);
	loop_timer_free(f->timer);
	f->timer = NULL;
	rb_vnis_clear(&f->vnis);
	rb_summary_clear(&f->summary);
	rb_bfd_clear(&f->bfd);
}

int frr_apply(struct frr *f)
{
	struct conf c = {0};
	int err;

	err = render_bgpd(f->desired, &c);
	if (!err)
		daemon_want(&f->bgpd, &c);
	if (!err)
		err = render_bfdd(f->desired, &c);
	if (!err)
		daemon_want(&f->bfdd, &c);
	if (!err)
		err = render_zebra(f->desired, &c);
	if (!err)
		daemon_want(&f->zebra, &c);
	conf_clear(&c);
	frr_hurry(f);
	return err;
}

bool frr_gate(struct frr *f)
{
	const uint64_t now = loop_now_ms();
	bool waits = false;
	char key[RENDER_KEY_MAX];

	for (size_t i = 0; i < f->desired->vni_count; i++) {
		struct segment *s = f->desired->by_vni[i];

		render_key_vni(key, s->cfg->vni);
		s->frr_open = true;
		if ((!f->bgpd.up && f->bgpd.reason[0]) || daemon_holds(&f->bgpd, CONF_VNI, key)) {
			s->frr_since_ms = 0;
			continue;
		}
		if (!s->frr_since_ms)
			s->frr_since_ms = now;
		/* A bgpd that hangs must not hold the kernel up for ever; one that refuses does. */
		if (!daemon_error(&f->bgpd, key) && now - s->frr_since_ms >= GATE_MS)
			continue;
		s->frr_open = false;
		waits = true;
	}
	return waits;
}

bool frr_settled(const struct frr *f)
{
	const struct daemon *all[] = {&f->bgpd, &f->bfdd, &f->zebra};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct daemon *dm = all[i];

		if (!dm->up || dm->in_flight || dm->applied.count != dm->wanted.count)
			return false;
		for (size_t k = 0; k < dm->wanted.count; k++) {
			const struct conf_item *it = &dm->wanted.items[k];

			if (!daemon_holds(dm, it->order, it->key))
				return false;
		}
	}
	return true;
}
