/*
 * What FRR's daemons have told each other and lose when one of them starts again. bgpd and bfdd
 * come back to a new zebra by themselves, but tell it nothing of what they had told the old one.
 */
#pragma once

struct frr;

/* What zebra is asked at each poll; the answer goes to retell_zebra(). */
#define RETELL_COMMAND "show zebra client summary"

/* Have bgpd tell bfdd of its sessions again; BGP itself does not notice. */
void retell_bfd(struct frr *f);

/* zebra has said who its clients are: when it is not the one that knew all, and they are back, have
 * them tell it again. */
void retell_zebra(struct frr *f, const char *clients);
