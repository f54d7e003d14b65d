-- SPDX-License-Identifier: MIT
-- Objects: opening, settings, variables, loading, attaching, pins; and their programs.
local bpf = require "bpf"
local common = require "spec.support.reentry.common"

local map = bpf.map
local finalize, obj = common.finalize, common.obj

-- What can be done to an object, open or loaded, and through its handles.
local function object_operations(variable, value)
  return {
    get = function(h) return h.vars[variable] end,
    set = function(h) h.vars[variable] = value end,
    add = function(h) return map.add(h.vars, variable, 1) end,
    each = function(h)
      for _ in pairs(h.vars) do end
    end,
    unknown = function(h) return h.vars.nothing, h.obj.maps.nothing end,
    no_program = function(h) return h.obj.progs.nothing end,
    text = function(h) return tostring(h.obj), tostring(h.obj.maps), tostring(h.vars), tostring(h.prog) end,
    name = function(h) return h.obj:name() end,
    settings = function(h) return h.prog:section(), h.prog:type(), h.prog:name(), h.prog:expected_attach_type() end,
    attach_settings = function(h) return h.prog:autoload(), h.prog:autoattach(true), h.prog:log_level() end,
    target = function(h) return h.prog:attach_target "bpf_fentry_test1" end,
    load = function(h) return h.obj:load() end,
    attach = function(h) h.link = h.prog:attach() end,
    attach_all = function(h) return h.obj:attach() end,
    detach_all = function(h) return h.obj:detach() end,
    btf = function(h) h.btf = h.obj:btf() end,
    close_map = function(h) return map.close(h.map) end,
    close_program = function(h) return h.prog:close() end,
    close = function(h) return h.obj:close() end,
    finalize = function(h) finalize(h.obj) end,
    finalize_vars = function(h) finalize(h.vars) end,
    use_btf = function(h) return h.btf:find "int" end,
  }
end

local function handles(o)
  return { obj = o, vars = o.vars, map = o.maps.events, prog = o.progs.send }
end

return {
  {
    name = "an object before it is loaded",
    setup = function() return handles(assert(bpf.open(obj "reentry"))) end,
    operations = common.with(object_operations("settings", { level = 1, text = "x" }), {
      resize = function(h) return map.resize(h.map, 8192) end,
      configure = function(h) return map.configure(h.map, { max_entries = 4096, map_flags = { "zero_seed" } }) end,
      configure_values = function(h)
        return map.configure(h.obj.maps.notes, { value_size = 24, type = "hash", pin_path = false })
      end,
      info = function(h) return map.info(h.map), h.prog:info() end,
      flags = function(h) return h.prog:flags { "strict_alignment" }, h.prog:flags(0) end,
      order = function(h)
        for name in pairs(h.obj.maps) do assert(name) end
      end,
      set_small = function(h) h.vars.step = 2 end,
    }),
  },
  {
    name = "an object that is loaded",
    setup = common.lasting(function() return handles(assert(bpf.load(obj "reentry"))) end),
    operations = common.with(object_operations("current", { level = 1, text = "x" }), {
      get_small = function(h) return h.vars.sent end,
      run = function(h) return h.prog:run { ctx = ("\0"):rep(8) } end,
      run_table = function(h) return h.prog:run { ctx = { 2, 0 } } end,
      run_packet = function(h) return h.obj.progs.pass:run { data = ("\0"):rep(64), ctx = { data_end = 64 } } end,
      info = function(h) return h.prog:info(), h.prog:fd() end,
      pin = function(h)
        common.pinned(function(path)
          h.obj:pin(path)
          h.obj:unpin(path)
        end)
      end,
      pin_program = function(h)
        common.pinned(function(path)
          h.prog:pin(path)
          h.opened = bpf.prog.open(path)
          h.prog:unpin(path)
        end)
      end,
      by_id = function(h) h.opened = bpf.prog.by_id(h.prog:info().id) end,
      close_opened = function(h) return h.opened:close() end,
    }),
  },
  {
    name = "opening",
    setup = function()
      return { map = assert(map.create { type = "ringbuf", max_entries = 4096 }) }
    end,
    operations = {
      options = function(h)
        h.obj = bpf.open(obj "reentry", { name = "x", vars = { step = 3 }, maps = { events = 4096 } })
      end,
      reuse = function(h)
        h.obj = bpf.open(obj "reentry", { maps = { events = h.map }, autoload = { send = false } })
      end,
      bytes = function(h) h.obj = bpf.open { bytes = ("\127ELF"):rep(100) } end,
      legacy = function(h) h.obj = bpf.open(obj "legacy_plain") end,
      refused = function(h) h.obj = bpf.load(obj "refused") end,
      absent = function() return bpf.open "build/progs/none/absent.bpf.o" end,
      log = function() return bpf.log(function() common.interrupt() end) end,
      no_log = function() return bpf.log(nil) end,
      close_map = function(h) return map.close(h.map) end,
      close = function(h) return h.obj:close() end,
    },
  },
}
