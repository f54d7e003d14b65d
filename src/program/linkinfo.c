/* SPDX-License-Identifier: MIT */
/* The kernel's information about a link: one table of the fields that each type of link has.
 *
 * Offsets are those in the kernel's struct bpf_link_info. They are ABI, and written as numbers because the installed
 * header may be older than the kernel. A field beyond the bytes that the kernel has filled is left out. */
#include "program/linkinfo.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <lauxlib.h>

#include "base/arg.h"

enum kind {
	END,
	U32,
	S32,
	U64,
	SOME32, /* integers that are left out when 0 */
	SOME64,
	ATTACH, /* an attach type, by name where libbpf has one */
	TEXT,	/* a pointer to our own memory, whose length is at `len` */
};

struct field {
	const char *name;
	enum kind kind;
	uint32_t at, len;
	const char *only; /* shown only if the text begins like this */
};

struct row {
	uint32_t type;
	uint32_t event; /* for perf events: the kind, which is at EVENT; 0: any */
	const char *name;
	const char *event_name;
	struct field field[6];
};

#define EVENT 16 /* where the part of each type begins; for a perf event it begins with the kind */
#define PERF_EVENT 7

static const struct row rows[] = {
	{ .type = 1,
	  .name = "raw_tracepoint",
	  .field = { { "tp_name", TEXT, 16, 24, NULL }, { "cookie", SOME64, 32, 0, NULL } } },
	{ .type = 2,
	  .name = "tracing",
	  .field = { { "attach_type", ATTACH, 16, 0, NULL },
		     { "target_obj_id", U32, 20, 0, NULL },
		     { "target_btf_id", U32, 24, 0, NULL },
		     { "cookie", SOME64, 32, 0, NULL } } },
	{ .type = 3,
	  .name = "cgroup",
	  .field = { { "cgroup_id", U64, 16, 0, NULL }, { "attach_type", ATTACH, 24, 0, NULL } } },
	{ .type = 4,
	  .name = "iter",
	  .field = { { "target_name", TEXT, 16, 24, NULL },
		     { "map_id", SOME32, 28, 0, "bpf_" },
		     { "cgroup_id", U64, 32, 0, "cgroup" },
		     { "order", U32, 40, 0, "cgroup" },
		     { "tid", SOME32, 32, 0, "task" },
		     { "pid", SOME32, 36, 0, "task" } } },
	{ .type = 5,
	  .name = "netns",
	  .field = { { "netns_ino", U32, 16, 0, NULL }, { "attach_type", ATTACH, 20, 0, NULL } } },
	{ .type = 6, .name = "xdp", .field = { { "ifindex", U32, 16, 0, NULL } } },
	{ .type = PERF_EVENT,
	  .event = 1,
	  .name = "perf_event",
	  .event_name = "uprobe",
	  .field = { { "file_name", TEXT, 24, 32, NULL },
		     { "offset", U32, 36, 0, NULL },
		     { "cookie", SOME64, 40, 0, NULL },
		     { "ref_ctr_offset", SOME64, 48, 0, NULL } } },
	{ .type = PERF_EVENT,
	  .event = 2,
	  .name = "perf_event",
	  .event_name = "uretprobe",
	  .field = { { "file_name", TEXT, 24, 32, NULL },
		     { "offset", U32, 36, 0, NULL },
		     { "cookie", SOME64, 40, 0, NULL },
		     { "ref_ctr_offset", SOME64, 48, 0, NULL } } },
	{ .type = PERF_EVENT,
	  .event = 3,
	  .name = "perf_event",
	  .event_name = "kprobe",
	  .field = { { "func_name", TEXT, 24, 32, NULL },
		     { "offset", U32, 36, 0, NULL },
		     { "addr", SOME64, 40, 0, NULL },
		     { "missed", U64, 48, 0, NULL },
		     { "cookie", SOME64, 56, 0, NULL } } },
	{ .type = PERF_EVENT,
	  .event = 4,
	  .name = "perf_event",
	  .event_name = "kretprobe",
	  .field = { { "func_name", TEXT, 24, 32, NULL },
		     { "offset", U32, 36, 0, NULL },
		     { "addr", SOME64, 40, 0, NULL },
		     { "missed", U64, 48, 0, NULL },
		     { "cookie", SOME64, 56, 0, NULL } } },
	{ .type = PERF_EVENT,
	  .event = 5,
	  .name = "perf_event",
	  .event_name = "tracepoint",
	  .field = { { "tp_name", TEXT, 24, 32, NULL }, { "cookie", SOME64, 40, 0, NULL } } },
	{ .type = PERF_EVENT,
	  .event = 6,
	  .name = "perf_event",
	  .event_name = "event",
	  .field = { { "config", U64, 24, 0, NULL },
		     { "event_type", U32, 32, 0, NULL },
		     { "cookie", SOME64, 40, 0, NULL } } },
	{ .type = PERF_EVENT, .name = "perf_event" }, /* before kernel 6.6 there is nothing more */
	{ .type = 8,
	  .name = "kprobe_multi",
	  .field = { { "count", U32, 24, 0, NULL }, { "flags", U32, 28, 0, NULL }, { "missed", U64, 32, 0, NULL } } },
	{ .type = 9, .name = "struct_ops", .field = { { "map_id", U32, 16, 0, NULL } } },
	{ .type = 10,
	  .name = "netfilter",
	  .field = { { "pf", U32, 16, 0, NULL },
		     { "hooknum", U32, 20, 0, NULL },
		     { "priority", S32, 24, 0, NULL },
		     { "flags", U32, 28, 0, NULL } } },
	{ .type = 11,
	  .name = "tcx",
	  .field = { { "ifindex", U32, 16, 0, NULL }, { "attach_type", ATTACH, 20, 0, NULL } } },
	{ .type = 12,
	  .name = "uprobe_multi",
	  .field = { { "path", TEXT, 16, 48, NULL },
		     { "count", U32, 52, 0, NULL },
		     { "flags", U32, 56, 0, NULL },
		     { "pid", SOME32, 60, 0, NULL } } },
	{ .type = 13,
	  .name = "netkit",
	  .field = { { "ifindex", U32, 16, 0, NULL }, { "attach_type", ATTACH, 20, 0, NULL } } },
	{ .type = 14,
	  .name = "sockmap",
	  .field = { { "map_id", U32, 16, 0, NULL }, { "attach_type", ATTACH, 20, 0, NULL } } },
};

#define FIELDS (sizeof(rows[0].field) / sizeof(rows[0].field[0]))

_Static_assert(offsetof(struct bpf_link_info, xdp.ifindex) == EVENT, "the types' own parts");
_Static_assert(offsetof(struct bpf_link_info, iter.cgroup.order) == 40, "as in the table");
_Static_assert(BPF_LINK_TYPE_PERF_EVENT == PERF_EVENT, "as in the table");

static uint32_t get32(const struct lbpf_link_info *info, uint32_t at)
{
	uint32_t value;

	memcpy(&value, info->bytes + at, sizeof(value));
	return value;
}

static uint64_t get64(const struct lbpf_link_info *info, uint32_t at)
{
	uint64_t value;

	memcpy(&value, info->bytes + at, sizeof(value));
	return value;
}

/* The row for the information that the kernel has filled so far, or NULL. */
static const struct row *find_row(const struct lbpf_link_info *info)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].type == info->kernel.type && (!rows[i].event || rows[i].event == get32(info, EVENT)))
			return &rows[i];
	return NULL;
}

static const struct field *find_text(const struct row *row)
{
	return row && row->field[0].kind == TEXT ? &row->field[0] : NULL;
}

/* Makes the kernel fill in the text that links of this type have. If that fails, the information so far stays as it
 * is. */
static void fetch_text(int fd, struct lbpf_link_info *out, const struct field *text)
{
	uint64_t pointer = (uintptr_t)out->text;
	uint32_t room = sizeof(out->text), len = out->len;
	uint8_t before[sizeof(out->bytes)];

	memcpy(before, out->bytes, sizeof(before));
	memset(out->bytes, 0, sizeof(out->bytes));
	memcpy(out->bytes + text->at, &pointer, sizeof(pointer));
	memcpy(out->bytes + text->len, &room, sizeof(room));
	out->len = sizeof(out->bytes);
	if (bpf_obj_get_info_by_fd(fd, out->bytes, &out->len)) {
		memcpy(out->bytes, before, sizeof(before));
		out->len = len;
	}
	out->text[sizeof(out->text) - 1] = '\0';
}

/* The first call returns the type. */
int lbpf_link_fetch_info(int fd, struct lbpf_link_info *out)
{
	const struct field *text;

	memset(out, 0, sizeof(*out));
	out->len = sizeof(out->bytes);
	if (bpf_obj_get_info_by_fd(fd, out->bytes, &out->len))
		return errno;
	text = find_text(find_row(out));
	if (text)
		fetch_text(fd, out, text);
	return 0;
}

static void push_attach_type(lua_State *L, uint32_t type)
{
	const char *name = libbpf_bpf_attach_type_str((enum bpf_attach_type)type);

	if (name)
		lua_pushstring(L, name);
	else
		lua_pushinteger(L, type);
}

/* Pushes the field's value, or nil to leave it out. */
static void push_field(lua_State *L, const struct lbpf_link_info *info, const struct field *f)
{
	bool wide = f->kind == U64 || f->kind == SOME64 || f->kind == TEXT,
	     some = f->kind == SOME32 || f->kind == SOME64;
	uint64_t value;

	if (f->at + (wide ? 8 : 4) > info->len || (f->only && strncmp(info->text, f->only, strlen(f->only)) != 0)) {
		lua_pushnil(L);
		return;
	}
	value = wide ? get64(info, f->at) : get32(info, f->at);
	if (f->kind == TEXT)
		lua_pushstring(L, info->text);
	else if (f->kind == ATTACH)
		push_attach_type(L, (uint32_t)value);
	else if (f->kind == S32)
		lua_pushinteger(L, (int32_t)(uint32_t)value);
	else if (some && !value)
		lua_pushnil(L);
	else
		lua_pushinteger(L, (lua_Integer)value);
}

static const char *type_name(const struct lbpf_link_info *info)
{
	const struct row *row = find_row(info);

	return row ? row->name : libbpf_bpf_link_type_str((enum bpf_link_type)info->kernel.type);
}

const char *lbpf_link_type_name(const struct lbpf_link_info *info)
{
	const char *name = type_name(info);

	return name ? name : "other";
}

void lbpf_link_push_info(lua_State *L, const struct lbpf_link_info *info)
{
	const struct row *row = find_row(info);
	const char *type = type_name(info);

	luaL_checkstack(L, 4, NULL);
	lua_createtable(L, 0, 8);
	lbpf_set_integer(L, "id", info->kernel.id);
	lbpf_set_integer(L, "prog_id", info->kernel.prog_id);
	lbpf_set_string(L, "type", type ? type : "other");
	if (!type)
		lbpf_set_integer(L, "type_number", info->kernel.type);
	if (!row)
		return;
	if (row->event_name)
		lbpf_set_string(L, "event", row->event_name);
	for (const struct field *f = row->field; f < row->field + FIELDS && f->kind != END; f++) {
		push_field(L, info, f);
		lua_setfield(L, -2, f->name);
	}
}
