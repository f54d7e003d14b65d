/* SPDX-License-Identifier: MIT */
/* The module: a list of openers, each of which adds its part to the module table. */
#include <lua.h>

#include <lauxlib.h>

#include <bpf/libbpf.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/posix.h"
#include "base/process.h"
#include "base/signals.h"
#include "base/token.h"
#include "btf/open.h"
#include "event/perfbuf.h"
#include "event/ringbuf.h"
#include "event/user_ringbuf.h"
#include "host/lbpf.h"
#include "map/batch.h"
#include "map/clear.h"
#include "map/column.h"
#include "map/create.h"
#include "map/descriptor.h"
#include "map/index.h"
#include "map/info.h"
#include "map/iterate.h"
#include "map/map.h"
#include "map/open.h"
#include "map/ops.h"
#include "map/view.h"
#include "map/walk.h"
#include "object/add.h"
#include "object/load.h"
#include "object/mapsettings.h"
#include "object/object.h"
#include "object/open.h"
#include "object/pins.h"
#include "object/vars.h"
#include "program/attach.h"
#include "program/info.h"
#include "program/iter.h"
#include "program/link.h"
#include "program/linkopen.h"
#include "program/open.h"
#include "program/program.h"
#include "program/run.h"
#include "program/settings.h"
#include "program/stream.h"
#include "system/attached.h"
#include "system/child.h"
#include "system/cpus.h"
#include "system/features.h"
#include "system/kallsyms.h"
#include "system/leave.h"
#include "system/names.h"
#include "system/procfile.h"
#include "system/system.h"
#include "value/type.h"

/* The order matters: finalizers run in reverse order, and later parts add to tables of earlier ones. */
static void (*const openers[])(lua_State *L) = {
	lbpf_process_open,   lbpf_log_open,	     lbpf_type_open,	     lbpf_btf_open,	 lbpf_map_open,
	lbpf_mapcreate_open, lbpf_descriptor_open,   lbpf_mapopen_open,	     lbpf_mapops_open,	 lbpf_index_open,
	lbpf_column_open,    lbpf_walk_open,	     lbpf_iterate_open,	     lbpf_batch_open,	 lbpf_clear_open,
	lbpf_view_open,	     lbpf_vars_open,	     lbpf_link_open,	     lbpf_linkopen_open, lbpf_program_open,
	lbpf_progopen_open,  lbpf_progrun_open,	     lbpf_attach_open,	     lbpf_stream_open,	 lbpf_iter_open,
	lbpf_object_open,    lbpf_pins_open,	     lbpf_load_open,	     lbpf_open_open,	 lbpf_ringbuf_open,
	lbpf_perfbuf_open,   lbpf_user_ringbuf_open, lbpf_system_open,	     lbpf_features_open, lbpf_names_open,
	lbpf_posix_open,     lbpf_mapsettings_open,  lbpf_progsettings_open, lbpf_proginfo_open, lbpf_mapinfo_open,
	lbpf_token_open,     lbpf_cpus_open,	     lbpf_clock_open,	     lbpf_signals_open,	 lbpf_attached_open,
	lbpf_kallsyms_open,  lbpf_procfile_open,     lbpf_child_open,	     lbpf_perfbuf_posix, lbpf_leave_open,
	lbpf_add_open,
};

__attribute__((section(LBPF_AT_OPENING))) int luaopen_bpf_core(lua_State *L)
{
	luaL_checkversion(L); /* a module for another version of Lua would crash it */
	luaL_checkstack(L, 16, NULL);
	lua_newtable(L);
	lua_pushliteral(L, LBPF_VERSION);
	lua_setfield(L, -2, "_VERSION");
	lua_pushstring(L, libbpf_version_string());
	lua_setfield(L, -2, "libbpf_version");
	for (size_t i = 0; i < sizeof(openers) / sizeof(*openers); i++)
		openers[i](L);
	return 1;
}
