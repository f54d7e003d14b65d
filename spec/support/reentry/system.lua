-- SPDX-License-Identifier: MIT
-- What the kernel holds and can do, and what is built on maps in Lua.
package.cpath = package.cpath .. ";build/?.so"

local bpf = require "bpf"
local common = require "spec.support.reentry.common"
local sys = require "support.sys"

local map = bpf.map
local posix = bpf.posix

local USR1 <const>, USR2 <const> = 10, 12

return {
  {
    name = "what the kernel holds",
    setup = function()
      local h = { map = assert(map.create { type = "array", max_entries = 1, value = "u32" }) }
      h.id = map.info(h.map).id
      h.step = assert(bpf.maps())
      h.stats = assert(bpf.enable_stats())
      return h
    end,
    operations = {
      maps = function(h) h.step = bpf.maps() end,
      step = function(h) return h.step() end,
      progs = function() return (bpf.progs())() end,
      links = function() return (bpf.links())() end,
      map_info = function(h) return bpf.map_info(h.id) end,
      prog_info = function(h) return bpf.prog_info(h.id) end,
      link_info = function(h) return bpf.link_info(h.id) end,
      statistics = function(h) h.stats = bpf.enable_stats() end,
      close_statistics = function(h) return h.stats:close() end,
      token = function() return bpf.token "/sys/fs/bpf" end,
      printk = function() return bpf.printk(0) end,
      feature = function() return bpf.features.map_type "hash", bpf.features.prog_type "xdp" end,
      helper = function() return bpf.features.helper("xdp", "redirect"), bpf.features.cpus(), bpf.features.kernel() end,
      cpus = function() return bpf.cpus() end,
      attached = function() return bpf.attached { interface = "lo", cgroup = common.cgroup() } end,
      detach = function() return bpf.detach { kind = "tc", prog_id = 0, ifindex = 1 } end,
      names = function() return bpf.interface_name(1), bpf.cgroup_path(1) end,
      close = function(h) return map.close(h.map) end,
    },
  },
  {
    name = "time and signals",
    setup = function()
      sys.handle(USR1) -- what handles them when nobody else does
      sys.handle(USR2)
      return { signals = assert(bpf.signals("USR2")), reader = assert(bpf.ringbuf(assert(map.create {
        type = "ringbuf", max_entries = 4096 }), nil, print)) }
    end,
    operations = {
      clock = function() return bpf.walltime(bpf.clock()) end,
      sleep = function() return bpf.sleep(0) end,
      catch = function(h) h.signals = bpf.signals("USR1", "USR2") end,
      came = function(h) return sys.kill(USR1), h.signals:poll(0) end,
      read = function(h) return sys.kill(USR2), h.reader:poll(0) end,
      fd = function(h) return h.signals:fd(), h.signals:getfd() end,
      text = function(h) return tostring(h.signals) end,
      close = function(h) return h.signals:close() end,
    },
  },
  {
    name = "commands that wait",
    setup = function()
      return { child = assert(posix.child { "true" }) }
    end,
    operations = {
      new = function(h) h.child = posix.child { "true", "all is well" } end,
      go = function(h) return h.child:go() end,
      about = function(h) return h.child:pid(), h.child:fd(), h.child:status() end,
      leave = function(h) return posix.leave({ h.child:fd() }, function() h.child:close() end) end,
      close = function(h) return h.child:close() end,
      finalize = function(h) common.finalize(h.child) end,
    },
  },
  {
    name = "metrics",
    setup = function()
      local h = { map = assert(map.create { type = "percpu_hash", max_entries = 4, key = "u32", value = "u64" }) }
      h.map[1], h.map[2] = 1, 2
      h.metrics = bpf.metrics.new()
      h.metrics:counter { name = "things", help = "Things.", map = h.map, labels = { "thing" } }
      return h
    end,
    operations = {
      text = function(h) return h.metrics:text() end,
      json = function(h) return bpf.json(h.map[1]) end,
      close = function(h) return map.close(h.map) end,
      finalize = function(h) common.finalize(h.map) end,
    },
  },
}
