-- SPDX-License-Identifier: MIT
-- C hosts: each function of lbpf.h, called by a host of its own, and the daemon in examples/embed.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local core = assert(package.searchpath("bpf.core", package.cpath))
local build = core:match "^(.*)/bpf/core%.so$"

-- Runs a host that can find no file of the library's.
local function host(name, arguments)
  return helper.run(("LUA_PATH=/nowhere LUA_CPATH=/nowhere LBPF_MODULE=%s %s/hosts/%s %s"):format(core, build, name,
    arguments or ""))
end

describe("a host", function()
  local what = {
    opening = "opens the library without a file of it, once or twice, and is told what is missing",
    another_copy = "is told of another copy of the library in the state",
    version = "knows the version",
    map_by_fd = "lends or gives away a map by its descriptor",
    map_of_libbpf = "lends a map of libbpf's",
    object_loaded = "lends an object that is loaded",
    object_not_loaded = "lends an object that scripts load, or it does itself meanwhile",
    object_owned = "gives an object away",
    programs = "lends programs, and gives away descriptors of programs",
    links = "lends and gives away links",
    type_errors = "gets handles back, and errors for what is none or closed",
    values = "turns bytes into values and back",
    process = "keeps its limits, signals and libbpf's messages",
    no_memory = "doesn't panic and loses nothing when any allocation fails",
  }
  local unprivileged = { opening = true, another_copy = true, version = true, values = true }

  for name in assert(helper.run(build .. "/hosts/embed")):gmatch "%S+" do
    it(assert(what[name], name), function()
      if not unprivileged[name] and not kernel.is_root() then
        helper.skip "needs root"
      end
      local output, ok = host("embed", name)
      assert(ok, output)
    end)
  end
end)
