/* FRR's JSON; see readback.h. */
#include "controller/agent/frr/readback.h"

#include "controller/agent/text.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static uint32_t number_of(const json_t *o, const char *key)
{
	const json_int_t v = json_integer_value(json_object_get(o, key));

	return v < 0 || v > UINT32_MAX ? 0 : (uint32_t)v;
}

static json_t *parse(const char *json)
{
	return json_loads(json, 0, NULL);
}

/* ---- VNIs ---- */

static int compare_vni(const void *a, const void *b)
{
	const struct rb_vni *x = a, *y = b;

	return x->vni < y->vni ? -1 : x->vni > y->vni;
}

void rb_vnis_clear(struct rb_vnis *r)
{
	for (size_t i = 0; i < r->count; i++) {
		free(r->vnis[i].rt_import);
		free(r->vnis[i].rt_export);
	}
	free(r->vnis);
	json_decref(r->root);
	memset(r, 0, sizeof(*r));
}

/* Pointers to the strings of an array, which stay the document's. */
static int strings_of(const json_t *array, char ***out, size_t *count)
{
	const size_t n = json_array_size(array);

	*count = 0;
	*out = calloc(n + 1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(array, i));

		if (s)
			(*out)[(*count)++] = (char *)s;
	}
	return 0;
}

int rb_vnis_parse(struct rb_vnis *r, const char *json)
{
	json_t *o, *root = parse(json);
	const char *key;
	int err = 0;

	memset(r, 0, sizeof(*r));
	if (!root)
		return -EINVAL;
	r->root = root;
	r->advertise_all = strcmp(text_of(root, "advertiseAllVnis"), "Enabled") == 0;
	r->vnis = calloc(json_object_size(root) + 1, sizeof(*r->vnis));
	if (!r->vnis)
		err = -ENOMEM;
	if (!err) {
		json_object_foreach (root, key, o) {
			struct rb_vni *v = &r->vnis[r->count];

			if (err || !json_is_object(o) || !text_u32(key, 16777215, &v->vni))
				continue;
			v->is_l2 = strcmp(text_of(o, "type"), "L2") == 0;
			/* a string in FRR 8.4, should it become a boolean both are understood */
			v->in_kernel = strcmp(text_of(o, "inKernel"), "True") == 0 ||
				       json_is_true(json_object_get(o, "inKernel"));
			snprintf(v->rd, sizeof(v->rd), "%s", text_of(o, "rd"));
			r->count++;
			err = strings_of(
				json_object_get(o, "importRTs"), &v->rt_import, &v->import_count);
			if (!err)
				err = strings_of(json_object_get(o, "exportRTs"), &v->rt_export,
					&v->export_count);
		}
	}
	if (err) {
		rb_vnis_clear(r);
		return err;
	}
	qsort(r->vnis, r->count, sizeof(*r->vnis), compare_vni);
	return 0;
}

const struct rb_vni *rb_vnis_find(const struct rb_vnis *r, uint32_t vni)
{
	const struct rb_vni key = {.vni = vni};

	return r->count ? bsearch(&key, r->vnis, r->count, sizeof(key), compare_vni) : NULL;
}

/* ---- sessions ---- */

static int compare_peer(const void *a, const void *b)
{
	return strcmp(((const struct rb_peer *)a)->address, ((const struct rb_peer *)b)->address);
}

static int peers_of(struct rb_peers *p, const json_t *family)
{
	json_t *o, *peers = json_object_get(family, "peers");
	const char *key;

	if (!json_is_object(peers))
		return 0;
	p->peers = calloc(json_object_size(peers) + 1, sizeof(*p->peers));
	if (!p->peers)
		return -ENOMEM;
	json_object_foreach (peers, key, o) {
		struct rb_peer *peer = &p->peers[p->count];

		if (strlen(key) >= sizeof(peer->address))
			continue; /* IPv6: not ours */
		snprintf(peer->address, sizeof(peer->address), "%s", key);
		peer->remote_as = number_of(o, "remoteAs");
		peer->established = strcmp(text_of(o, "state"), "Established") == 0;
		p->count++;
	}
	qsort(p->peers, p->count, sizeof(*p->peers), compare_peer);
	return 0;
}

void rb_summary_clear(struct rb_summary *r)
{
	free(r->ipv4.peers);
	free(r->evpn.peers);
	memset(r, 0, sizeof(*r));
}

int rb_summary_parse(struct rb_summary *r, const char *json)
{
	json_t *root = parse(json), *o;
	const char *key;
	int err = 0;

	memset(r, 0, sizeof(*r));
	if (!json_is_object(root)) {
		json_decref(root);
		return -EINVAL;
	}
	json_object_foreach (root, key, o) {
		if (err || !json_is_object(o))
			continue;
		if (!r->as) {
			r->as = number_of(o, "as");
			snprintf(r->router_id, sizeof(r->router_id), "%s", text_of(o, "routerId"));
		}
		if (strcmp(key, "ipv4Unicast") == 0 && !r->ipv4.peers)
			err = peers_of(&r->ipv4, o);
		else if (strcmp(key, "l2VpnEvpn") == 0 && !r->evpn.peers)
			err = peers_of(&r->evpn, o);
	}
	json_decref(root);
	if (err)
		rb_summary_clear(r);
	return err;
}

const struct rb_peer *rb_peers_find(const struct rb_peers *p, const char *address)
{
	struct rb_peer key;

	if (!p->count || strlen(address) >= sizeof(key.address))
		return NULL;
	snprintf(key.address, sizeof(key.address), "%s", address);
	return bsearch(&key, p->peers, p->count, sizeof(key), compare_peer);
}

/* ---- BFD ---- */

static int compare_bfd(const void *a, const void *b)
{
	return strcmp(
		((const struct rb_bfd_peer *)a)->address, ((const struct rb_bfd_peer *)b)->address);
}

void rb_bfd_clear(struct rb_bfd *r)
{
	free(r->peers);
	memset(r, 0, sizeof(*r));
}

int rb_bfd_parse(struct rb_bfd *r, const char *json)
{
	json_t *root = parse(json), *o;
	size_t i;

	memset(r, 0, sizeof(*r));
	if (!json_is_array(root)) {
		json_decref(root);
		return -EINVAL;
	}
	r->peers = calloc(json_array_size(root) + 1, sizeof(*r->peers));
	if (!r->peers) {
		json_decref(root);
		return -ENOMEM;
	}
	json_array_foreach (root, i, o) {
		struct rb_bfd_peer *p = &r->peers[r->count];
		const char *address = text_of(o, "peer");

		if (strlen(address) >= sizeof(p->address))
			continue;
		snprintf(p->address, sizeof(p->address), "%s", address);
		p->up = strcmp(text_of(o, "status"), "up") == 0;
		p->multihop = json_is_true(json_object_get(o, "multihop"));
		p->transmit_ms = number_of(o, "transmit-interval");
		p->receive_ms = number_of(o, "receive-interval");
		p->multiplier = number_of(o, "detect-multiplier");
		r->count++;
	}
	json_decref(root);
	qsort(r->peers, r->count, sizeof(*r->peers), compare_bfd);
	return 0;
}

const struct rb_bfd_peer *rb_bfd_find(const struct rb_bfd *r, const char *address)
{
	struct rb_bfd_peer key;

	if (!r->count || strlen(address) >= sizeof(key.address))
		return NULL;
	snprintf(key.address, sizeof(key.address), "%s", address);
	return bsearch(&key, r->peers, r->count, sizeof(key), compare_bfd);
}
