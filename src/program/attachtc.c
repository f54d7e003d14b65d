/* SPDX-License-Identifier: MIT */
/* Ways to attach programs to traffic control, to tcx, and to netkit, which has lists of programs as tcx has. */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/pkt_sched.h>

#include <lauxlib.h>

#include "base/cause.h"
#include "base/newer.h"
#include "program/attach.h"
#include "program/leftover.h"
#include "program/program.h"
#include "program/qdisc.h"

/* ---- tc ---- */

static const struct lbpf_name tc_points[] = {
	{ "ingress", BPF_TC_INGRESS },
	{ "egress", BPF_TC_EGRESS },
	{ NULL, 0 },
};

static const struct lbpf_option tc_options[] = {
	{ "attach_point", LBPF_OPT_STRING, offsetof(struct lbpf_target, mode) },
	LBPF_TARGET_OPT(U32, handle),
	LBPF_TARGET_OPT(U64, priority),
	{ "replace", LBPF_OPT_OTHER, 0 },
	{ NULL, LBPF_OPT_OTHER, 0 },
};

#define BAD_PRIORITY "option 'priority' must be an integer from 0 to 65535, got %I"

static int read_tc(lua_State *L, struct lbpf_target *to)
{
	int64_t point = lbpf_name_value(tc_points, to->mode ? to->mode : "ingress");

	if (point < 0)
		lbpf_name_unknown(L, tc_points, "attach_point", to->mode);
	if ((int64_t)to->priority < 0)
		luaL_error(L, "attach_tc: " BAD_PRIORITY, (LUAI_UACINT)to->priority);
	to->point = (uint32_t)point;
	lbpf_leftover_read(L, "attach_tc", to);
	return lbpf_attach_interface(L, to);
}

static int undo_tc(struct lbpf_link *self)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = self->at.ifindex,
		    .attach_point = (enum bpf_tc_attach_point)self->at.point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = self->at.handle, .priority = self->at.priority);
	LIBBPF_OPTS(bpf_tc_opts, now, .handle = self->at.handle, .priority = self->at.priority);

	/* another process may have replaced the program */
	if (bpf_tc_query(&hook, &now) == 0 && now.prog_id != self->at.flags)
		return 0;
	return -bpf_tc_detach(&hook, &opts);
}

/* Removes the clsact qdisc, with the filters of both directions. */
static void remove_clsact(int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	bpf_tc_hook_destroy(&both);
}

/* Checks for an ingress qdisc, which is in the place that clsact needs. The kernel would accept an egress filter there,
 * but treat it as one more ingress filter. */
static int check_clsact(int ifindex)
{
	char kind[LBPF_QDISC_KIND];
	int err = lbpf_qdisc_kind(ifindex, kind);

	return err ? err : strcmp(kind, "clsact") == 0 ? 0 : EEXIST;
}

/* What the kernel calls an attach point. */
static uint32_t parent_of(const struct lbpf_target *to)
{
	return TC_H_MAKE(TC_H_CLSACT, to->point == BPF_TC_EGRESS ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
}

/* Attaches the program in the place of the first filter that an earlier process left, which is atomic: every packet
 * meets the old program or the new one. Then removes the further ones. */
static int take_over(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts, const struct lbpf_target *to)
{
	struct lbpf_leftovers old;
	int err = lbpf_leftover_tc(to->ifindex, parent_of(to), to, &old);

	if (err)
		return err;
	if (old.count) {
		opts->handle = old.filter[0].handle;
		opts->priority = old.filter[0].priority;
		opts->flags = BPF_TC_F_REPLACE;
	}
	err = -bpf_tc_attach(hook, opts);
	for (size_t i = 1; !err && i < old.count; i++)
		lbpf_qdisc_remove(&old.filter[i]);
	return err;
}

static int attach_tc(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = to->ifindex, .attach_point = (enum bpf_tc_attach_point)to->point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = lbpf_program_descriptor(p), .handle = to->handle,
		    .priority = (uint32_t)to->priority, .flags = to->replace ? BPF_TC_F_REPLACE : 0);
	int err = to->priority > UINT16_MAX ? EINVAL : -bpf_tc_hook_create(&hook);
	bool made = !err;

	if (err == EEXIST) /* the clsact qdisc exists already. It stays, because others may use it */
		err = to->point == BPF_TC_EGRESS ? check_clsact(to->ifindex) : 0;
	if (err)
		return err;
	err = to->replaced ? take_over(&hook, &opts, to) : -bpf_tc_attach(&hook, &opts);
	if (err && made)
		remove_clsact(to->ifindex);
	if (err)
		return err;
	link->at.ifindex = to->ifindex;
	link->at.point = (int)to->point;
	link->at.handle = opts.handle;
	link->at.priority = opts.priority;
	link->at.flags = opts.prog_id;
	link->undo = undo_tc;
	return 0;
}

static const char *tc_cause(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	(void)p;
	if (err == EINVAL && to->priority > UINT16_MAX)
		return lua_pushfstring(L, BAD_PRIORITY, (LUAI_UACINT)to->priority);
	if (err == EPERM && to->replaced)
		return lbpf_refused(L, "CAP_SYS_ADMIN");
	if (err != EEXIST)
		return lbpf_attachcause_interface(L, to);
	if (to->point == BPF_TC_EGRESS && check_clsact(to->ifindex) == EEXIST)
		return "the interface has an ingress qdisc, which sees incoming packets only, in the place of the "
		       "clsact qdisc that egress takes (tc qdisc del dev … ingress)";
	if (to->replaced)
		return lbpf_leftover_tc_cause(L, to, parent_of(to));
	return "there is a filter with this handle and priority; option 'replace' takes its place";
}

/* ---- tcx and netkit: lists of programs ---- */

static int read_mprog_interface(lua_State *L, struct lbpf_target *to)
{
	lbpf_attach_read_mprog(L, to);
	return lbpf_attach_interface(L, to);
}

static int attach_tcx(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	struct lbpf_mprog_opts opts = lbpf_attach_mprog(to);

	return lbpf_attach_done(link, lbpf_newer_tcx(p->prog, to->ifindex, &opts));
}

/* Constants that libbpf lacks before 1.3. */
enum { TCX_INGRESS = 46, TCX_EGRESS = 47, NETKIT_PRIMARY = 54, NETKIT_PEER = 55 };

/* Whether the program's section is one for these attach types. The section of an opened program isn't known. */
static bool is_for(const struct lbpf_program *p, const struct lbpf_target *to, int one, int other)
{
	int type = to->type >= 0 || !p->prog ? to->type : (int)bpf_program__expected_attach_type(p->prog);

	return type == one || type == other;
}

static const char *tcx_cause(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	(void)L;
	if (err != EINVAL || is_for(p, to, TCX_INGRESS, TCX_EGRESS))
		return lbpf_attachcause_mprog(err);
	return p->prog ? "this takes a program of SEC(\"tcx/ingress\") or SEC(\"tcx/egress\"), or option "
			 "'attach_type'; "
			 "SEC(\"tc\") is for attach_tc"
		       : "option 'attach_type' must say \"tcx_ingress\" or \"tcx_egress\"";
}

static const char *netkit_cause(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	(void)L;
	if (err != EINVAL || is_for(p, to, NETKIT_PRIMARY, NETKIT_PEER))
		return lbpf_attachcause_mprog(err);
	return p->prog ? "this takes a program of SEC(\"netkit/primary\") or SEC(\"netkit/peer\"), or option "
			 "'attach_type'"
		       : "option 'attach_type' must say \"netkit_primary\" or \"netkit_peer\"";
}

static int attach_netkit(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	struct lbpf_mprog_opts opts = lbpf_attach_mprog(to);

	return lbpf_attach_done(link, lbpf_newer_netkit(p->prog, to->ifindex, &opts));
}

/*** Attaches a tc program (SEC("tc")) to the clsact queueing discipline of an interface. If the interface has no
clsact, the call creates one, which stays when the link is closed.
@function prog:attach_tc
@tparam string|integer interface name or index
@tparam ?table options
- attach_point: "ingress" (the default) or "egress"
- handle: the handle of the filter; by default the kernel chooses it
- priority: the priority of the filter, up to 65535; by default the kernel chooses it
- replace: true replaces the filter that has this handle and priority. The program's own name, as a string, replaces a
  filter whose program has this name, wherever the kernel has put it: what an earlier process of the same tool has left.
  It takes CAP_SYS_ADMIN, and leaves filters of other programs alone; if there is none of this name, a filter is added.
  Every packet meets the old program or the new one. If several filters have such a program, one is replaced and the
  others are removed
@treturn bpf.link the link, which has no descriptor and can't be pinned
@treturn nil,string,string on failure: ENODEV, EEXIST (another filter has the handle and priority, or the interface has
 an ingress queueing discipline, which egress can't use), EPERM, …
@usage
local link = assert(obj.progs.one:attach_tc("eth0", { attach_point = "egress" }))
link:close()
local again = assert(obj.progs.one:attach_tc("eth0", { replace = "one" })) -- takes over what a killed process left
again:close()
@see bpf_tc_hook_create, bpf_tc_attach */

/*** Adds a tc program (SEC("tcx/ingress") or SEC("tcx/egress")) to an interface's list of programs.
@function prog:attach_tcx
@tparam string|integer interface name or index
@tparam ?table options
- flags: "before", "after" or "replace": the place in the list, relative to relative_fd or relative_id; "id" and "link"
  tell what these are; a name or a sequence of names
- relative_fd, relative_id: descriptor or id of a program in the list; with the flag "link", of its link
- expected_revision: attach only if the list has this revision
- attach_type: "tcx_ingress" or "tcx_egress", for a program whose section names neither or that was opened by pin or id
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOSYS (libbpf before 1.3), ENODEV, …
@usage not run: it needs libbpf 1.3
local last <close> = assert(obj.progs.count:attach_tcx("eth0"))
local order = { flags = "before", relative_fd = obj.progs.count:fd() }
local first <close> = assert(obj.progs.drop:attach_tcx("eth0", order))
@see bpf_program__attach_tcx
@since kernel 6.6, libbpf 1.3 */

/*** Attaches a program (SEC("netkit/primary") or SEC("netkit/peer")) to a netkit interface.
@function prog:attach_netkit
@tparam string|integer interface name or index
@tparam ?table options as for prog:attach_tcx; attach_type is "netkit_primary" or "netkit_peer"
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOSYS (libbpf before 1.3), ENODEV, …
@usage not run: it needs libbpf 1.3
local link <close> = assert(obj.progs.primary:attach_netkit("nk0"))
@see bpf_program__attach_netkit
@since kernel 6.7, libbpf 1.3 */
const struct lbpf_way lbpf_ways_tc[] = {
	{ .method = "attach_tc",
	  .read = read_tc,
	  .options_at = 3,
	  .options = tc_options,
	  .attach = attach_tc,
	  .opened = attach_tc,
	  .cause = tc_cause,
	  .types = LBPF_OF(SCHED_CLS) },
	{ .method = "attach_tcx",
	  .read = read_mprog_interface,
	  .options_at = 3,
	  .options = lbpf_mprog_options,
	  .attach = attach_tcx,
	  .opened = lbpf_opened_interface,
	  .cause = tcx_cause,
	  .types = LBPF_OF(SCHED_CLS),
	  .libbpf = "1.3",
	  .symbol = lbpf_newer_tcx },
	{ .method = "attach_netkit",
	  .read = read_mprog_interface,
	  .options_at = 3,
	  .options = lbpf_mprog_options,
	  .attach = attach_netkit,
	  .opened = lbpf_opened_interface,
	  .cause = netkit_cause,
	  .types = LBPF_OF(SCHED_CLS),
	  .libbpf = "1.3",
	  .symbol = lbpf_newer_netkit },
	{ .method = NULL },
};
